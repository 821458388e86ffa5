//! Labels as regions in annotation files.
//!
//! A file such as [`super::imaterialist`]'s and [`super::coco`]'s can be larger than memory. A reader goes through it, checks
//! each region's numbers, and keeps only where it stands; [`RegionLabel::load`] goes back there and paints. Readers of files
//! with one photo's regions each hold them.
//!
//! Regions are painted from the largest to the smallest, and among equals in the order of the file: a part or an
//! accessory lies on the garment that it belongs to, never under it. Pixels without a region are background.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::runs::{Runs, Size};
use super::{IGNORE, Label, LabelImage, Listing, Pair, polygon};
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::text::TextFile;

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
    /// The union of polygons in a picture of `size`, checked.
    pub(super) fn of_polygons(polygons: Vec<Vec<[f64; 2]>>, size: Size) -> Result<Self, Fault> {
        polygon::check(&polygons, size)?;
        match polygon::emptiness(&polygons, size) {
            Some(cause) => Err(Fault::empty(cause)),
            None => Ok(Shape::Polygons(polygons)),
        }
    }

    /// The region's pixels.
    pub fn into_runs(self, size: Size) -> Runs {
        match self {
            Shape::Runs(runs) => runs,
            Shape::Polygons(polygons) => polygon::fill(&polygons, size),
        }
    }
}

impl Shape {
    /// The shape in a picture of `from` as one of the same picture at the size `to`.
    pub(super) fn scaled(self, from: Size, to: Size) -> Result<Self, Fault> {
        if from == to {
            return Ok(self);
        }
        match self {
            Shape::Runs(runs) => {
                let mut label =
                    LabelImage { width: from.width(), height: from.height(), data: vec![0; from.pixels() as usize] };
                runs.paint(1, &mut label);
                let runs = Runs::of_class(&label.resized(to.width(), to.height()), 1);
                if runs.area_px() == 0 { Err(Fault::empty("has no pixel")) } else { Ok(Shape::Runs(runs)) }
            }
            Shape::Polygons(mut polygons) => {
                let [x, y] = [(to.width(), from.width()), (to.height(), from.height())]
                    .map(|(to, from)| f64::from(to) / f64::from(from));
                polygons.iter_mut().flatten().for_each(|corner| *corner = [corner[0] * x, corner[1] * y]);
                Self::of_polygons(polygons, to)
            }
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
    fn read(&self, record: &[u8], size: Size) -> Result<Region, Fault>;
}

/// An annotation file.
#[derive(Debug)]
pub struct RegionFile {
    /// Its text.
    pub text: TextFile,
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

/// A label that is painted from regions.
#[derive(Clone, Debug)]
pub struct RegionLabel {
    size: Size,
    regions: Regions,
}

/// Where regions are.
#[derive(Clone, Debug)]
enum Regions {
    /// In an annotation file of many photos, which may be larger than memory.
    InFile(Arc<RegionFile>, Vec<Record>),
    /// In memory: those of a file with the regions of one photo, or of a small one.
    InMemory(Arc<Path>, Arc<[Region]>),
}

impl RegionLabel {
    /// Regions that a reader holds; `path` is the file that they are from. All their numbers are checked.
    pub(super) fn in_memory(path: &Path, size: Size, regions: Vec<Region>) -> Self {
        Self { size, regions: Regions::InMemory(path.into(), regions.into()) }
    }

    /// The annotation file.
    pub fn path(&self) -> &Path {
        match &self.regions {
            Regions::InFile(file, _) => file.text.path(),
            Regions::InMemory(path, _) => path,
        }
    }

    /// Size of the photo, as the file says.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Reads and paints the regions.
    pub fn load(&self) -> Result<LabelImage> {
        match &self.regions {
            Regions::InFile(file, records) => Ok(paint(self.size, self.read(file, records)?)),
            Regions::InMemory(_, regions) => Ok(paint(self.size, regions.to_vec())),
        }
    }

    fn read(&self, RegionFile { text, reader }: &RegionFile, records: &[Record]) -> Result<Vec<Region>> {
        let (mut file, path) = (text.open()?, text.path());
        let mut regions = Vec::with_capacity(records.len());
        for record in records {
            let mut bytes = vec![0; record.bytes as usize];
            file.seek(SeekFrom::Start(record.offset)).map_err(Error::io("read", path))?;
            file.read_exact(&mut bytes).map_err(Error::io("read", path))?;
            let region = reader.read(&bytes, self.size).map_err(|fault| {
                let cause = fault.cause;
                Error::file(path, format!("{} {} {cause}; has the file changed?", reader.unit(), record.number))
            })?;
            regions.push(region);
        }
        Ok(regions)
    }
}

/// Regions on a background, the largest first.
fn paint(size: Size, regions: Vec<Region>) -> LabelImage {
    let mut regions: Vec<(u8, Runs)> =
        regions.into_iter().map(|Region { class, shape }| (class, shape.into_runs(size))).collect();
    regions.sort_by_key(|(_, runs)| Reverse(runs.area_px()));
    let mut label = LabelImage { width: size.width(), height: size.height(), data: vec![0; size.pixels() as usize] };
    regions.iter().for_each(|(class, runs)| runs.paint(*class, &mut label));
    label
}

/// What is wrong with a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The cause, as the rest of a sentence.
    pub cause: String,
    /// Whether the region has no pixel, so that nothing is lost without it.
    pub is_empty: bool,
}

impl Fault {
    /// A region that has no pixel.
    pub(super) fn empty(cause: impl Into<String>) -> Self {
        Self { cause: cause.into(), is_empty: true }
    }
}

impl From<String> for Fault {
    fn from(cause: String) -> Self {
        Self { cause, is_empty: false }
    }
}

impl From<&str> for Fault {
    fn from(cause: &str) -> Self {
        cause.to_owned().into()
    }
}

/// What a reader gathers about one photo.
#[derive(Clone, Debug)]
pub(super) struct Gathered {
    /// Size of the photo, as the file says.
    pub size: Size,
    /// Its regions.
    pub records: Vec<Record>,
    photo: Causes,
    pieces: Pieces,
}

/// What is wrong: the first causes, and how many there are.
#[derive(Clone, Debug, Default)]
struct Causes {
    first: Vec<String>,
    count: usize,
}

impl Causes {
    fn add(&mut self, cause: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(cause());
        }
    }

    fn line(&self) -> String {
        let more = self.count - self.first.len();
        let tail = if more > 0 { format!("; and {more} more") } else { String::new() };
        format!("{}{tail}", self.first.join("; "))
    }
}

/// Pieces of a photo's label that are left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Pieces {
    bad: Causes,
    empty: Causes,
}

impl Pieces {
    /// Notes a piece; `name` is what the message calls it.
    pub fn leave_out(&mut self, name: impl std::fmt::Display, fault: Fault) {
        let causes = if fault.is_empty { &mut self.empty } else { &mut self.bad };
        causes.add(|| format!("{name} {}", fault.cause));
    }

    /// Adds what is left out of a photo's label to a listing. Where nothing is left of the label, the photo is damaged: a
    /// background where something is marked would be a wrong label. Whether the photo can be used.
    pub fn tell(self, photo: impl std::fmt::Display, is_label_empty: bool, listing: &mut Listing) -> bool {
        let Self { bad, empty } = self;
        match (bad.count, empty.count) {
            (0, 0) => return true,
            (0, _) if is_label_empty => listing.incomplete.push(format!("{photo}: {}", empty.line())),
            (_, _) if is_label_empty => listing.incomplete.push(format!("{photo}: {}", bad.line())),
            _ => {
                if bad.count > 0 {
                    listing.bad_pieces.push(format!("{photo}: {}", bad.line()));
                }
                if empty.count > 0 {
                    listing.notes.push(format!("left out: {photo}: {}", empty.line()));
                }
                return true;
            }
        }
        false
    }
}

impl Gathered {
    /// Nothing yet.
    pub fn new(size: Size) -> Self {
        Self { size, records: Vec::new(), photo: Causes::default(), pieces: Pieces::default() }
    }

    /// Notes damage that makes the whole label useless.
    pub fn fault(&mut self, cause: impl FnOnce() -> String) {
        self.photo.add(cause);
    }

    /// Notes a piece that is left out.
    pub fn leave_out(&mut self, name: impl std::fmt::Display, fault: Fault) {
        self.pieces.leave_out(name, fault);
    }

    /// Adds the pair to a listing, and what is wrong with it, one line each.
    pub fn finish(mut self, stem: String, photo: PathBuf, file: &Arc<RegionFile>, listing: &mut Listing) {
        let name = format!("{}: {stem}", file.text.path().display());
        if self.photo.count > 0 {
            listing.incomplete.push(format!("{name}: {}", self.photo.line()));
        } else if self.pieces.tell(name, self.records.is_empty(), listing) {
            self.records.shrink_to_fit();
            let label = RegionLabel { size: self.size, regions: Regions::InFile(file.clone(), self.records) };
            listing.pairs.push(Pair { stem, photo, label: Label::Regions(label) });
        }
    }
}

/// What a file calls a category or photo: a number, or what is none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Id {
    Number(i64),
    Text(String),
}

impl From<u64> for Id {
    fn from(number: u64) -> Self {
        i64::try_from(number).map_or_else(|_| Self::Text(number.to_string()), Self::Number)
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Id::Number(number) => number.fmt(formatter),
            Id::Text(text) => write!(formatter, "`{text}`"),
        }
    }
}

/// Categories with numbers of their own. The index is 1 + the rank of the number: number + 1 where they run from 0
/// without a gap, as iMaterialist's do. Index 0 is the background.
#[derive(Clone, Debug)]
pub(super) struct Categories {
    index_of: BTreeMap<Id, u8>,
    names: Vec<String>,
}

impl Categories {
    /// Categories by number.
    pub fn new<I: Into<Id>>(categories: impl IntoIterator<Item = (I, String)>) -> Result<Self, String> {
        let mut name_of = BTreeMap::new();
        for (id, name) in categories {
            let (id, name) = (id.into(), name.trim().to_owned());
            if let Some(other) = name_of.insert(id.clone(), name.clone()) {
                return Err(format!("gives the id {id} to two categories, `{other}` and `{name}`"));
            }
        }
        if name_of.is_empty() || name_of.len() >= usize::from(IGNORE) {
            return Err(format!("has {}; 1 to 254 are possible", counted(name_of.len(), "category", "categories")));
        }
        let index_of = name_of.keys().cloned().zip(1..).collect();
        let names = std::iter::once("background".to_owned()).chain(name_of.into_values()).collect();
        Ok(Self { index_of, names })
    }

    /// The index of a category.
    pub fn index(&self, id: impl Into<Id>) -> Result<u8, String> {
        let id = id.into();
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
        assert_eq!([2_u64, 7, 900].map(|id| categories.index(id).unwrap()), [1, 2, 3]);
        assert!(categories.index(3_u64).unwrap_err().contains("category 3"));
        assert!(named(&[(1, "hat"), (1, "shoe")]).unwrap_err().contains("`shoe`"));
        let many: Vec<(u64, String)> = (0..255).map(|id| (id, String::new())).collect();
        assert!(Categories::new(many).unwrap_err().contains("255 categories"));
    }
}
