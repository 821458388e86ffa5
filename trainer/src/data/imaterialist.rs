//! iMaterialist (Fashion) 2019 and 2020 as Kaggle gives them: a CSV file with a row for each region, photos in a folder,
//! and `label_descriptions.json` beside the CSV file.
//!
//! Columns: `ImageId` (with or without `.jpg`), `EncodedPixels` ([`super::run_length::parse_pairs`]), `Height`, `Width`
//! of the photo, and `ClassId`: the category's id; what follows its first `_` are attributes, which are dropped (2020
//! has them in a column of their own). Other columns do not matter. A class index is the id + 1; 0 is background.
//!
//! The file is the list: photos without a row are no examples.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::Listing;
use super::photos::{photos_by_stem, without_extension};
use super::regions::{Categories, Fault, Gathered, MAX_RECORD_BYTES, ReadRegion, Record, Region, RegionFile, Shape};
use super::run_length::parse_pairs;
use super::runs::Size;
use crate::error::{Error, Result};
use crate::text::{ReadAnywhere, TextFile, read_text};

/// Lists the photos that `annotations` has rows for; they lie in `images`.
pub fn list(annotations: &Path, images: &Path) -> Result<Listing> {
    let categories = read_categories(&annotations.with_file_name("label_descriptions.json"))?;
    let (mut incomplete, mut notes) = (Vec::new(), Vec::new());
    let mut photos = photos_by_stem(images, &mut incomplete, &mut notes)?;
    let text = TextFile::new(annotations)?;
    let mut lines = Lines::open(&text)?;
    let header = lines.next_line()?;
    let columns = Columns::find(&header.unwrap_or_default()).map_err(|cause| Error::file(annotations, cause))?;
    let classes = categories.names().to_vec();
    let reader = RowReader { columns, categories };
    let mut gathered: BTreeMap<String, Gathered> = BTreeMap::new();
    while let Some(line) = lines.next_line()? {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let record = Record { offset: lines.offset, bytes: line.len() as u32, number: lines.number };
        if let Err(cause) = reader.gather(&line, record, &mut gathered) {
            incomplete.push(format!("{}: line {} {cause}", annotations.display(), record.number));
        }
    }
    let file = Arc::new(RegionFile { text, reader: Box::new(reader) });
    let mut listing =
        Listing { classes, incomplete, notes, tables: vec![annotations.to_owned()], ..Listing::default() };
    for (stem, image) in gathered {
        match photos.remove(&stem) {
            Some(photo) => image.finish(stem, photo, &file, &mut listing),
            None => {
                listing.incomplete.push(format!("{}: {stem}: no photo in {}", annotations.display(), images.display()))
            }
        }
    }
    Ok(listing)
}

#[derive(Deserialize)]
struct Descriptions {
    categories: Vec<Description>,
}

#[derive(Deserialize)]
struct Description {
    id: u64,
    name: String,
}

fn read_categories(path: &Path) -> Result<Categories> {
    let descriptions: Descriptions =
        serde_json::from_str(&read_text(path)?).map_err(|error| Error::file(path, error.to_string()))?;
    let categories = descriptions.categories.into_iter().map(|category| (category.id, category.name));
    Categories::new(categories).map_err(|cause| Error::file(path, cause))
}

/// The lines of a file, none longer than a record may be.
struct Lines<'a> {
    path: &'a Path,
    input: BufReader<Box<dyn ReadAnywhere>>,
    /// Of the line that was read last: its first byte, its length, its number from 1.
    offset: u64,
    bytes: u64,
    number: u64,
}

impl<'a> Lines<'a> {
    fn open(text: &'a TextFile) -> Result<Self> {
        let input = BufReader::with_capacity(1 << 20, text.open()?);
        Ok(Self { path: text.path(), input, offset: 0, bytes: 0, number: 0 })
    }

    fn next_line(&mut self) -> Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let limit = MAX_RECORD_BYTES as u64;
        let read = self.input.by_ref().take(limit).read_until(b'\n', &mut line);
        let length = read.map_err(Error::io("read", self.path))? as u64;
        self.offset += self.bytes;
        self.bytes = length;
        self.number += 1;
        if length == limit {
            return Err(Error::file(self.path, format!("line {} is longer than {limit} bytes", self.number)));
        }
        Ok((length > 0).then_some(line))
    }
}

/// Where the columns are.
#[derive(Clone, Copy, Debug)]
struct Columns {
    image: usize,
    pixels: usize,
    height: usize,
    width: usize,
    class: usize,
}

impl Columns {
    fn find(header: &[u8]) -> Result<Self, String> {
        let header = fields(header.strip_prefix(b"\xef\xbb\xbf").unwrap_or(header))?;
        let column = |name: &str| {
            header.iter().position(|field| field.trim() == name).ok_or_else(|| {
                let there: Vec<&str> = header.iter().take(20).collect();
                format!("has no column `{name}` in its first line, only {there:?}")
            })
        };
        Ok(Self {
            image: column("ImageId")?,
            pixels: column("EncodedPixels")?,
            height: column("Height")?,
            width: column("Width")?,
            class: column("ClassId")?,
        })
    }
}

fn fields(line: &[u8]) -> Result<csv::StringRecord, String> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).buffer_capacity(4096).from_reader(line);
    let mut record = csv::StringRecord::new();
    match reader.read_record(&mut record) {
        Ok(_) => Ok(record),
        Err(error) => Err(format!("is no CSV: {error}")),
    }
}

/// Reads the rows.
#[derive(Debug)]
struct RowReader {
    columns: Columns,
    categories: Categories,
}

impl RowReader {
    /// Puts a row to its photo, with what is wrong with it; fails where the photo cannot be told.
    fn gather(&self, line: &[u8], record: Record, all: &mut BTreeMap<String, Gathered>) -> Result<(), String> {
        let row = fields(line)?;
        let id = row.get(self.columns.image).unwrap_or_default().trim();
        if id.is_empty() {
            return Err("has no ImageId".to_owned());
        }
        let stem = without_extension(id); // 2019 writes it, 2020 does not
        let size = self.size(&row);
        let image = match (all.get_mut(stem), &size) {
            (Some(image), _) => image,
            (None, Ok(size)) => all.entry(stem.to_owned()).or_insert_with(|| Gathered::new(*size)),
            // Any size will do for what is named as damage.
            (None, Err(_)) => all.entry(stem.to_owned()).or_insert_with(|| Gathered::new(Size::PIXEL)),
        };
        if let (true, Ok(size)) = (image.records.is_empty(), &size) {
            image.size = *size;
        }
        let read = size.and_then(|size| {
            if size != image.size {
                let (is, was) = (size, image.size);
                return Err(format!("says {is}, and a row before says {was}"));
            }
            self.region(&row, size)
        });
        match read {
            Ok(_) => image.records.push(record),
            Err(cause) => image.fault(|| format!("line {} {cause}", record.number)),
        }
        Ok(())
    }

    fn size(&self, row: &csv::StringRecord) -> Result<Size, String> {
        let side = |name: &str, column: usize| {
            let text = row.get(column).unwrap_or_default().trim();
            text.parse().map_err(|_| format!("has the {name} `{}`", shortened(text)))
        };
        let (width, height) = (side("Width", self.columns.width)?, side("Height", self.columns.height)?);
        Size::new(width, height).map_err(|cause| format!("is for {cause}"))
    }

    fn region(&self, row: &csv::StringRecord, size: Size) -> Result<Region, String> {
        let text = row.get(self.columns.class).unwrap_or_default().trim();
        let id = text.split('_').next().unwrap_or_default();
        let id: u64 = id.parse().map_err(|_| format!("has the ClassId `{}`", shortened(text)))?;
        let class = self.categories.index(id)?;
        let runs = parse_pairs(row.get(self.columns.pixels).unwrap_or_default(), size)?;
        Ok(Region { class, shape: Shape::Runs(runs) })
    }
}

impl ReadRegion for RowReader {
    fn unit(&self) -> &'static str {
        "line"
    }

    fn read(&self, record: &[u8], size: Size) -> Result<Region, Fault> {
        Ok(self.region(&fields(record)?, size)?)
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests;
