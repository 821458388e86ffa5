//! Labels as regions in an annotation file, such as [`super::imaterialist`]'s and [`super::coco`]'s.
//!
//! Such a file can be larger than memory. A reader goes through it, checks each region's numbers, and keeps only
//! where it stands; [`RegionLabel::load`] goes back there and paints.
//!
//! Regions are painted from the largest to the smallest, and among equals in the order of the file: a part or an
//! accessory lies on the garment that it belongs to, never under it. Pixels without a region are background.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::runs::{Runs, Size};
use super::{IGNORE, Label, LabelImage, Pair, polygon};
use crate::error::{Error, Result};

/// Longest record (a row, an annotation), in bytes.
pub(super) const MAX_RECORD_BYTES: usize = 64 << 20;

/// Causes that the message about one photo names.
const NAMED: usize = 3;

/// A region as the file describes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Runs of pixels.
    Runs(Runs),
    /// The union of polygons, in pixels; see [`polygon`].
    Polygons(Vec<Vec<[f64; 2]>>),
}

impl Shape {
    /// The region's pixels.
    pub fn into_runs(self, size: Size) -> Runs {
        match self {
            Shape::Runs(runs) => runs,
            Shape::Polygons(polygons) => polygon::fill(&polygons, size),
        }
    }
}

/// A class and where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// Index into the source's classes.
    pub class: u8,
    /// Its pixels.
    pub shape: Shape,
}

/// How the records of a file are read.
pub trait ReadRegion: std::fmt::Debug + Send + Sync {
    /// What a record's number counts: `line`, `annotation`.
    fn unit(&self) -> &'static str;

    /// Reads one record for a picture of `size`, and checks all its numbers.
    fn read(&self, record: &[u8], size: Size) -> Result<Region, String>;
}

/// An annotation file.
#[derive(Debug)]
pub struct RegionFile {
    /// Where it is.
    pub path: PathBuf,
    /// How it is read.
    pub reader: Box<dyn ReadRegion>,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// First byte.
    pub offset: u64,
    /// Length in bytes, at most [`u32::MAX`].
    pub bytes: u32,
    /// Its number, for messages.
    pub number: u64,
}

/// A label in an annotation file.
#[derive(Clone, Debug)]
pub struct RegionLabel {
    file: Arc<RegionFile>,
    size: Size,
    records: Vec<Record>,
}

impl RegionLabel {
    /// The annotation file.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Size of the photo, as the file says.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Reads and paints the regions.
    pub fn load(&self) -> Result<LabelImage> {
        let path = self.path();
        let mut file = File::open(path).map_err(Error::io("read", path))?;
        let mut regions = Vec::with_capacity(self.records.len());
        for record in &self.records {
            let mut bytes = vec![0; record.bytes as usize];
            file.seek(SeekFrom::Start(record.offset)).map_err(Error::io("read", path))?;
            file.read_exact(&mut bytes).map_err(Error::io("read", path))?;
            let reader = &self.file.reader;
            let region = reader.read(&bytes, self.size).map_err(|cause| {
                Error::file(path, format!("{} {} {cause}; has the file changed?", reader.unit(), record.number))
            })?;
            let runs = region.shape.into_runs(self.size);
            regions.push((Reverse(runs.area_px()), region.class, runs));
        }
        regions.sort_by_key(|(area, ..)| *area);
        let (width, height) = (self.size.width(), self.size.height());
        let mut label = LabelImage { width, height, data: vec![0; self.size.pixels() as usize] };
        regions.iter().for_each(|(_, class, runs)| runs.paint(*class, &mut label));
        Ok(label)
    }
}

/// What a reader gathers about one photo.
#[derive(Clone, Debug)]
pub(super) struct Gathered {
    /// Size of the photo, as the file says.
    pub size: Size,
    /// Its regions.
    pub records: Vec<Record>,
    /// What is wrong, the first causes, and how many there are.
    faults: Vec<String>,
    fault_count: usize,
}

impl Gathered {
    /// Nothing yet.
    pub fn new(size: Size) -> Self {
        Self { size, records: Vec::new(), faults: Vec::new(), fault_count: 0 }
    }

    /// Notes damage.
    pub fn fault(&mut self, cause: impl FnOnce() -> String) {
        self.fault_count += 1;
        if self.faults.len() < NAMED {
            self.faults.push(cause());
        }
    }

    /// The pair, or one line about what is wrong with it.
    pub fn finish(mut self, stem: String, photo: PathBuf, file: &Arc<RegionFile>) -> Result<Pair, String> {
        if self.fault_count == 0 {
            self.records.shrink_to_fit();
            let label = RegionLabel { file: file.clone(), size: self.size, records: self.records };
            return Ok(Pair { stem, photo, label: Label::Regions(label) });
        }
        let more = self.fault_count - self.faults.len();
        let tail = if more > 0 { format!("; and {more} more") } else { String::new() };
        Err(format!("{}: {stem}: {}{tail}", file.path.display(), self.faults.join("; ")))
    }
}

/// Categories with numbers of their own. The index is 1 + the rank of the number: number + 1 where they run from 0
/// without a gap, as iMaterialist's do. Index 0 is the background.
#[derive(Clone, Debug)]
pub(super) struct Categories {
    index_of: BTreeMap<u64, u8>,
    names: Vec<String>,
}

impl Categories {
    /// Categories by number.
    pub fn new(categories: impl IntoIterator<Item = (u64, String)>) -> Result<Self, String> {
        let mut name_of = BTreeMap::new();
        for (id, name) in categories {
            let name = name.trim().to_owned();
            if let Some(other) = name_of.insert(id, name.clone()) {
                return Err(format!("gives the id {id} to two categories, `{other}` and `{name}`"));
            }
        }
        if name_of.is_empty() || name_of.len() >= usize::from(IGNORE) {
            return Err(format!("has {} categories; 1 to 254 are possible", name_of.len()));
        }
        let index_of = name_of.keys().zip(1..).map(|(id, index)| (*id, index)).collect();
        let names = std::iter::once("background".to_owned()).chain(name_of.into_values()).collect();
        Ok(Self { index_of, names })
    }

    /// The index of a category.
    pub fn index(&self, id: u64) -> Result<u8, String> {
        self.index_of.get(&id).copied().ok_or_else(|| format!("has the category {id}, which the file does not list"))
    }

    /// Names of the indices, background first.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn categories_keep_the_order_of_their_ids_and_clashes_are_named() {
        let named = |list: &[(u64, &str)]| Categories::new(list.iter().map(|(id, name)| (*id, (*name).to_owned())));
        let categories = named(&[(7, "hat"), (2, "shoe"), (900, " coat ")]).unwrap();
        assert_eq!(categories.names(), ["background", "shoe", "hat", "coat"]);
        assert_eq!([2, 7, 900].map(|id| categories.index(id).unwrap()), [1, 2, 3]);
        assert!(categories.index(3).unwrap_err().contains("category 3"));
        assert!(named(&[(1, "hat"), (1, "shoe")]).unwrap_err().contains("`shoe`"));
        let many: Vec<(u64, String)> = (0..255).map(|id| (id, String::new())).collect();
        assert!(Categories::new(many).unwrap_err().contains("255 categories"));
    }
}
