//! What a file holds, told by its first bytes.

use std::path::Path;

use image::ImageFormat;

use crate::error::Error;

/// Bytes of a file's beginning that tell what it is.
pub const HEAD_BYTES: usize = 4096;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A photo in a format that is read.
    Photo(Format),
    /// Something with pictures in it that is not read.
    Unread(Unread),
    /// Anything else.
    Other,
}

/// A format that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One that the crate `image` decodes.
    Image(ImageFormat),
    /// AV1 stills.
    #[cfg(feature = "avif")]
    Avif,
    /// HEVC stills.
    #[cfg(feature = "heic")]
    Heic,
}

impl Format {
    /// The usual extension of its files.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Image(format) => format.extensions_str().first().copied().unwrap_or("bin"),
            #[cfg(feature = "avif")]
            Self::Avif => "avif",
            #[cfg(feature = "heic")]
            Self::Heic => "heic",
        }
    }
}

/// A kind of file with pictures in it that is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread {
    /// What it is, with its article.
    pub what: &'static str,
    /// What to do about it.
    pub advice: &'static str,
}

impl Unread {
    /// The same as an error about a photo.
    pub fn error(self) -> Error {
        let Self { what, advice } = self;
        Error::Decode { reason: format!("it is {what}, which is not read; {advice}"), source: None }
    }
}

const EXPORT: &str = "export it as PNG or JPEG from the program that made it";
const CONVERT: &str = "convert it to PNG or JPEG first";
const DEVELOP: &str = "develop it first, to JPEG or TIFF";
const FRAMES: &str = "take frames from it first, such as with: ffmpeg -i VIDEO frame-%04d.jpg";
const UNPACK: &str = "unpack it first and name the folder";

const fn unread(what: &'static str, advice: &'static str) -> Unread {
    Unread { what, advice }
}

#[cfg(feature = "avif")]
const CONVERT_HEIF: &str =
    "convert it to JPEG or AVIF first; iPhones write JPEG with Settings, Camera, Formats, Most Compatible";
#[cfg(not(feature = "avif"))]
const CONVERT_HEIF: &str =
    "convert it to JPEG first; iPhones write JPEG with Settings, Camera, Formats, Most Compatible";
const HEIC: Unread = unread("a HEIC photo (HEIF)", CONVERT_HEIF);
const HEIF: Unread = unread("a HEIF photo", CONVERT_HEIF);
const AVIF: Unread = unread("an AVIF photo", CONVERT);
const RAW: Unread = unread("a camera's raw file", DEVELOP);
const DNG: Unread = unread("a raw photo (DNG)", DEVELOP);
const CR2: Unread = unread("a Canon raw photo (CR2)", DEVELOP);
const CR3: Unread = unread("a Canon raw photo (CR3)", DEVELOP);
const RAF: Unread = unread("a Fujifilm raw photo (RAF)", DEVELOP);
const ORF: Unread = unread("an Olympus raw photo (ORF)", DEVELOP);
const RW2: Unread = unread("a Panasonic raw photo (RW2)", DEVELOP);
const JXL: Unread = unread("a JPEG XL photo", CONVERT);
const JP2: Unread = unread("a JPEG 2000 photo", CONVERT);
const PSD: Unread = unread("a Photoshop file (PSD)", EXPORT);
const XCF: Unread = unread("a GIMP file (XCF)", EXPORT);
const SVG: Unread = unread("a drawing (SVG)", EXPORT);
const EPS: Unread = unread("a PostScript file (EPS)", EXPORT);
const PDF: Unread = unread("a PDF document", "save its pictures first, such as with: pdfimages -all FILE.pdf picture");
const EXR: Unread = unread("an OpenEXR picture", CONVERT);
const HDR: Unread = unread("a Radiance HDR picture", CONVERT);
const ICO: Unread = unread("an icon (ICO)", CONVERT);
const DDS: Unread = unread("a DDS texture", CONVERT);
const QOI: Unread = unread("a QOI picture", CONVERT);
const PNM: Unread = unread("a Netpbm picture (PNM)", CONVERT);
const JXR: Unread = unread("a JPEG XR photo", CONVERT);
const TGA: Unread = unread("a Targa picture (TGA)", CONVERT);
const PCX: Unread = unread("a PCX picture", CONVERT);
const ICNS: Unread = unread("an icon of macOS (ICNS)", CONVERT);
const BPG: Unread = unread("a BPG photo", CONVERT);
const DICOM: Unread = unread("a DICOM picture", CONVERT);
const VIDEO: Unread = unread("a video", FRAMES);
const ARCHIVE: Unread = unread("an archive", UNPACK);
const GZIP: Unread = unread("compressed data (gzip)", "decompress it first");

/// What begins with these bytes at this place.
const SIGNATURES: &[(usize, &[u8], Unread)] = &[
    (0, b"FUJIFILMCCD-RAW", RAF),
    (0, b"IIRO", ORF),
    (0, b"IIRS", ORF),
    (0, b"MMOR", ORF),
    (0, b"IIU\0", RW2),
    (0, b"FOVb", RAW),
    (0, b"\0MRM", RAW),
    (0, b"II\x1a\0\0\0HEAPCCDR", RAW),
    (0, b"\xff\x0a", JXL),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", JXL),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", JP2),
    (0, b"\xff\x4f\xff\x51", JP2),
    (0, b"8BPS", PSD),
    (0, b"gimp xcf", XCF),
    (0, b"%!PS", EPS),
    (0, b"\xc5\xd0\xd3\xc6", EPS),
    (0, b"%PDF-", PDF),
    (0, b"\x76\x2f\x31\x01", EXR),
    (0, b"#?RADIANCE", HDR),
    (0, b"#?RGBE", HDR),
    (0, b"\0\0\x01\0", ICO),
    (0, b"icns", ICNS),
    (0, b"BPG\xfb", BPG),
    (0, b"DDS \x7c\0\0\0", DDS),
    (0, b"qoif", QOI),
    (0, b"II\xbc\x01", JXR),
    (128, b"DICM", DICOM),
    (0, b"\x1a\x45\xdf\xa3", VIDEO),
    (0, b"\0\0\x01\xba", VIDEO),
    (0, b"\0\0\x01\xb3", VIDEO),
    (0, b"FLV\x01", VIDEO),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", VIDEO),
    (0, b"OggS", VIDEO),
    (0, b"7z\xbc\xaf\x27\x1c", ARCHIVE),
    (0, b"Rar!\x1a\x07", ARCHIVE),
    (4, b"1AY&SY", ARCHIVE),
    (0, b"\xfd7zXZ\0", ARCHIVE),
    (0, b"\x28\xb5\x2f\xfd", ARCHIVE),
    (0, b"PK\x03\x04", ARCHIVE),
    (0, b"\x1f\x8b\x08", GZIP),
    (257, b"ustar", ARCHIVE),
];

/// Kinds that are known by their extension, too: where the bytes say nothing else, that is what was meant.
const EXTENSIONS: &[(&[&str], Unread)] = &[
    (&["heic", "heics"], HEIC),
    (&["heif", "heifs", "hif"], HEIF),
    (&["avif", "avifs"], AVIF),
    (&["dng"], DNG),
    (&["cr2"], CR2),
    (&["cr3"], CR3),
    (&["raf"], RAF),
    (&["orf"], ORF),
    (&["rw2"], RW2),
    (
        &[
            "nef", "nrw", "arw", "srf", "sr2", "pef", "srw", "crw", "x3f", "3fr", "fff", "iiq", "erf", "mrw", "kdc",
            "dcr", "mos", "mef", "rwl", "gpr",
        ],
        RAW,
    ),
    (&["jxl"], JXL),
    (&["jp2", "j2k", "jpf", "jpx", "j2c", "jpc"], JP2),
    (&["psd", "psb"], PSD),
    (&["xcf"], XCF),
    (&["svg"], SVG),
    (&["eps"], EPS),
    (&["exr"], EXR),
    (&["hdr"], HDR),
    (&["tga"], TGA),
    (&["ico"], ICO),
    (&["icns"], ICNS),
    (&["pcx"], PCX),
    (&["bpg"], BPG),
    (&["mp4", "mov", "m4v", "avi", "mkv", "webm", "mpg", "mpeg", "wmv", "3gp", "mts", "m2ts"], VIDEO),
];

/// Documents and programs that are ZIP archives, and hold no photos of their own.
const ZIPPED: &[&str] =
    &["docx", "xlsx", "pptx", "odt", "ods", "odp", "epub", "jar", "apk", "whl", "npz", "pt", "pth", "ipynb"];

impl Kind {
    /// The kind of a file by its first [`HEAD_BYTES`], or by all of them.
    pub fn of(head: &[u8]) -> Self {
        if let Some(format) = read_format(head) {
            return Self::Photo(format);
        }
        let starts = |(at, signature, _): &&(usize, &[u8], Unread)| {
            head.get(*at..).is_some_and(|rest| rest.starts_with(signature))
        };
        let signature = || SIGNATURES.iter().find(starts).map(|(.., unread)| *unread);
        let unread = raw(head)
            .or_else(|| container(head))
            .or_else(signature)
            .or_else(|| pcx(head))
            .or_else(|| text_format(head));
        unread.map_or(Self::Other, Self::Unread)
    }

    /// The kind of a file in a folder, by its first bytes and, where these do not tell, by its extension.
    pub fn of_file(path: &Path, head: &[u8]) -> Self {
        let extension = super::extension(path).unwrap_or_default();
        let meant =
            || EXTENSIONS.iter().find(|(known, _)| known.contains(&extension.as_str())).map(|(_, unread)| *unread);
        match Self::of(head) {
            // The frame of a raw photo is a TIFF, with a thumbnail in it.
            Self::Photo(Format::Image(ImageFormat::Tiff)) => {
                meant().filter(|unread| unread.advice == DEVELOP).map_or(Self::of(head), Self::Unread)
            }
            Self::Unread(ARCHIVE) if ZIPPED.contains(&extension.as_str()) => Self::Other,
            Self::Other => meant().map_or(Self::Other, Self::Unread),
            kind => kind,
        }
    }
}

/// The format of a photo that is read.
fn read_format(head: &[u8]) -> Option<Format> {
    let format = match head {
        [0xff, 0xd8, 0xff, ..] => ImageFormat::Jpeg,
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => ImageFormat::Png,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => ImageFormat::WebP,
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => ImageFormat::Gif,
        // The size of the header that follows: other texts may begin with these letters.
        [b'B', b'M', ..] if matches!(head.get(14..18)?, [12 | 16 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]) => {
            ImageFormat::Bmp
        }
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] if raw(head).is_none() => ImageFormat::Tiff,
        #[cfg(feature = "avif")]
        _ if container(head) == Some(AVIF) => return Some(Format::Avif),
        #[cfg(feature = "heic")]
        _ if matches!(container(head), Some(HEIC | HEIF)) => return Some(Format::Heic),
        _ => return None,
    };
    Some(Format::Image(format))
}

/// The kind of raw photo in a TIFF.
fn raw(head: &[u8]) -> Option<Unread> {
    const NEW_SUBFILE_TYPE: u16 = 254;
    const SUB_IFDS: u16 = 330;
    const MAKE: u16 = 271;
    const DNG_VERSION: u16 = 50_706;
    let tiff = super::tiff::Tiff::new(head)?;
    if head.get(8..10) == Some(b"CR") {
        return Some(CR2);
    }
    let first = |tag| tiff.value(tag);
    if tiff.has(DNG_VERSION) {
        return Some(DNG);
    }
    // Nikon's, Sony's and others': a thumbnail first, and the photo below it.
    let is_thumbnail = first(NEW_SUBFILE_TYPE).is_some_and(|kind| kind & 1 == 1);
    (is_thumbnail && tiff.has(SUB_IFDS) && tiff.has(MAKE)).then_some(RAW)
}

/// The kind of file of ISO's boxes and of RIFF, by its brands.
fn container(head: &[u8]) -> Option<Unread> {
    if let [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] = head {
        return Some(VIDEO);
    }
    let (size, rest) = head.split_first_chunk::<4>()?;
    let rest = match rest.split_first_chunk::<4>()? {
        (b"ftyp", rest) => rest,
        // QuickTime before there were brands.
        (b"moov" | b"mdat" | b"wide" | b"free" | b"skip", _) if size[0] < 8 => return Some(VIDEO),
        _ => return None,
    };
    let length = usize::try_from(u32::from_be_bytes(*size)).ok()?.saturating_sub(8).min(rest.len());
    let (brands, _) = rest.get(..length.max(4)).unwrap_or(rest).as_chunks::<4>();
    let major = brands.first()?;
    let compatible = |brand: &[u8; 4]| brands.iter().skip(2).any(|other| other == brand);
    Some(match major {
        b"avif" | b"avis" => AVIF,
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"hevm" | b"hevs" => HEIC,
        b"mif1" | b"msf1" | b"mif2" if compatible(b"avif") => AVIF,
        b"mif1" | b"msf1" | b"mif2" if compatible(b"heic") || compatible(b"heix") => HEIC,
        b"mif1" | b"msf1" | b"mif2" => HEIF,
        b"crx " => CR3,
        b"jp2 " | b"jpx " | b"jpm " => JP2,
        b"M4A " | b"M4B " => return None,
        _ => VIDEO,
    })
}

/// A PCX has one byte of its own and a version; the fields behind them tell it from other bytes.
fn pcx(head: &[u8]) -> Option<Unread> {
    const RESERVED: usize = 64;
    const PLANES: usize = 65;
    let (&[0x0a, 0 | 2..=5, 0 | 1, 1 | 2 | 4 | 8], rest) = head.split_first_chunk()? else { return None };
    let corner = |at: usize| Some(u16::from_le_bytes(*rest.get(2 * at..)?.first_chunk()?));
    let is_upright = corner(0)? <= corner(2)? && corner(1)? <= corner(3)?;
    let planes = head.get(RESERVED) == Some(&0) && matches!(head.get(PLANES), Some(1..=4));
    (is_upright && planes).then_some(PCX)
}

/// Formats that are text.
fn text_format(head: &[u8]) -> Option<Unread> {
    let head = &head[..head.len().min(HEAD_BYTES)];
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let has = |what: &[u8]| memchr::memmem::find(head, what).is_some();
    if head.starts_with(b"<svg") || ((head.starts_with(b"<?xml") || head.starts_with(b"<!")) && has(b"<svg")) {
        return Some(SVG);
    }
    match head {
        [b'P', b'1'..=b'7', b' ' | b'\n' | b'\r' | b'\t', b'#' | b'0'..=b'9' | b'W', ..] => Some(PNM),
        _ => None,
    }
}

/// What bytes that are no photo look like, with what to do, for a message about a file that should be one.
pub fn looks_like(bytes: &[u8]) -> &'static str {
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let starts = |start: &str| text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()));
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(byte);
    if head.iter().all(|byte| *byte == 0) {
        return "it holds nothing but zeros: its copy or download was broken off";
    }
    if starts("<!doctype html") || starts("<html") {
        return "it is a web page: the download gave a page in place of the photo";
    }
    if starts("version https://git-lfs") {
        return "it is a pointer of Git LFS: fetch the photo itself with: git lfs pull";
    }
    if starts("data:image/") || (text.len() > 64 && text.iter().all(is_base64)) {
        return "it is a photo written as text (base64): decode it first";
    }
    if Kind::of(text) != Kind::Other || text.get(1..).is_some_and(|rest| read_format(rest).is_some()) {
        return "there are other bytes before the photo: remove them";
    }
    let is_text = std::str::from_utf8(head).map_or_else(|error| error.error_len().is_none(), |_| true);
    if is_text && !head.contains(&0) { "it is text" } else { "its content is of no known kind of photo" }
}

#[cfg(test)]
mod tests;
