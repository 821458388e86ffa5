//! File or bytes to an upright RGB photo, within limits.
//!
//! A network sees a photo at a few hundred pixels a side. Where its pixels are not needed for anything else,
//! [`Detail::EnoughFor`] lets a large JPEG be decoded at 1/8, 1/4 or 1/2 of its size, which takes a fraction of the time
//! and of the memory; masks and polygons come out at the photo's own size all the same.

#[cfg(feature = "avif")]
mod avif;
#[cfg(test)]
mod counting;
mod deadline;
mod full;
#[cfg(feature = "heic")]
mod heic;
mod jpeg;
mod png;
pub(crate) mod profile;
mod reduced;
mod refusal;
mod salvage;
mod tiff;
mod webp;

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use image::{ImageFormat, RgbImage};

use crate::error::{Error, Result};
use crate::files::kind::{Format, Kind, looks_like};
use crate::geometry::Region;
use crate::spec::Fit;
use deadline::Deadline;
use reduced::Reduction;
#[doc(hidden)]
pub use reduced::{Plan, ReducedPlan};

/// What is read, for messages.
const READ: &str = match (cfg!(feature = "avif"), cfg!(feature = "heic")) {
    (true, true) => "JPEG, PNG, WebP, AVIF, HEIC, BMP, GIF and TIFF are read",
    (true, false) => "JPEG, PNG, WebP, AVIF, BMP, GIF and TIFF are read",
    (false, true) => "JPEG, PNG, WebP, HEIC, BMP, GIF and TIFF are read",
    (false, false) => "JPEG, PNG, WebP, BMP, GIF and TIFF are read",
};

/// What a photo may cost before it is refused. Photos come from anywhere; a few hundred bytes can claim gigapixels.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest file, in bytes.
    pub max_bytes: u64,
    /// Largest photo, width x height.
    pub max_pixels: u64,
    /// Longest time that decoding may take.
    ///
    /// PNG, GIF, WebP, TIFF and BMP, and JPEG at a reduced size, are given up at the next few thousand bytes read after
    /// it. A JPEG at its full size is checked before and after: what it takes is bounded by its bytes, its pixels and
    /// the number of its scans, of which at most 100 are read. So are each tile of an AVIF, and a HEIC as a whole. The first frame of an animation is the only one looked
    /// at.
    pub max_decode_time: Duration,
    /// Whether a photo that is cut off is read as far as it goes, with grey in place of what is missing, and not refused. JPEG,
    /// PNG, GIF and BMP can be read in part; an interlaced GIF repeats the rows that it has. See [`Photo::is_truncated`].
    pub allow_truncated: bool,
}

impl Default for Limits {
    /// 256 MiB, 128 megapixels and 30 seconds: more than any camera in use gives, and than any machine in use takes.
    fn default() -> Self {
        Self {
            max_bytes: 256 << 20,
            max_pixels: 128_000_000,
            max_decode_time: Duration::from_secs(30),
            allow_truncated: false,
        }
    }
}

impl Limits {
    /// The same with this largest file, in bytes.
    #[must_use]
    pub fn with_max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// The same with this largest photo, width x height.
    #[must_use]
    pub fn with_max_pixels(mut self, max_pixels: u64) -> Self {
        self.max_pixels = max_pixels;
        self
    }

    /// The same with this longest time.
    #[must_use]
    pub fn with_max_decode_time(mut self, max_decode_time: Duration) -> Self {
        self.max_decode_time = max_decode_time;
        self
    }

    /// The same, reading photos that are cut off as far as they go, or not.
    #[must_use]
    pub fn with_allow_truncated(mut self, allow_truncated: bool) -> Self {
        self.allow_truncated = allow_truncated;
        self
    }
}

impl Limits {
    fn check_bytes(&self, bytes: &[u8]) -> Result<()> {
        let found = bytes.len() as u64;
        if found > self.max_bytes {
            return Err(Error::TooLarge { found, limit: self.max_bytes, unit: "bytes" });
        }
        Ok(())
    }

    fn check_pixels(&self, (width, height): (u32, u32)) -> Result<()> {
        let pixels = u64::from(width) * u64::from(height);
        if pixels > self.max_pixels {
            return Err(Error::TooLarge { found: pixels, limit: self.max_pixels, unit: "pixels" });
        }
        Ok(())
    }

    fn timed_out(&self) -> Error {
        Error::DecodeTimeout { limit: self.max_decode_time }
    }
}

/// Width and height of a photo, upright as it is decoded, by its header; nothing where that does not tell them.
#[doc(hidden)]
pub fn upright_size(bytes: &[u8]) -> Option<(u32, u32)> {
    match Kind::of(bytes) {
        Kind::Photo(Format::Image(format)) => full::upright_size(bytes, format),
        #[cfg(feature = "avif")]
        Kind::Photo(Format::Avif) => avif::size(bytes),
        #[cfg(feature = "heic")]
        Kind::Photo(Format::Heic) => heic::size(bytes),
        _ => None,
    }
}

/// How much of a photo is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Detail {
    /// Every pixel.
    #[default]
    Full,
    /// At least twice as many pixels, a side, as a network sees: a JPEG that has enough of them is decoded at 1/8, 1/4 or
    /// (from 8 megapixels on) 1/2 of its size. Other formats, and JPEGs that are damaged or unusual (arithmetic coding,
    /// CMYK, progressive where 1/8 is too small), are decoded in full.
    EnoughFor(Fit),
}

/// A decoded photo: 8-bit RGB, upright (the EXIF orientation is applied), no transparency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photo {
    width: u32,
    height: u32,
    rgb: RgbImage,
    reduction: Option<Reduction>,
    icc: Option<Arc<[u8]>>,
    is_truncated: bool,
}

impl Photo {
    /// Decodes a file in full. The format is told by the content, not by the name: JPEG, PNG, WebP, BMP, GIF and TIFF,
    /// AVIF with the feature `avif`, and HEIC with the feature `heic` where libheif is installed; of an animation the first frame. Transparent pixels are laid over white.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::TooLarge`], [`Error::DecodeTimeout`], [`Error::CutOff`], and [`Error::Decode`] for what is no
    /// photo, or a damaged one.
    pub fn open(path: impl AsRef<Path>, limits: &Limits) -> Result<Self> {
        Self::open_with(path, limits, Detail::Full)
    }

    /// Decodes a file as far as it is needed: see [`Photo::open`].
    ///
    /// # Errors
    /// As [`Photo::open`].
    pub fn open_with(path: impl AsRef<Path>, limits: &Limits, detail: Detail) -> Result<Self> {
        let path = path.as_ref();
        let read_error = |source| Error::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read_error)?;
        let mut bytes = Vec::new();
        // One byte over the limit tells "too large" apart without a second look at the file.
        file.take(limits.max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(read_error)?;
        Self::from_bytes_with(&bytes, limits, detail)
    }

    /// Decodes bytes in full: see [`Photo::open`].
    ///
    /// # Errors
    /// As [`Photo::open`], less [`Error::Read`].
    pub fn from_bytes(bytes: &[u8], limits: &Limits) -> Result<Self> {
        Self::from_bytes_with(bytes, limits, Detail::Full)
    }

    /// Decodes bytes as far as it is needed: see [`Photo::open`].
    ///
    /// # Errors
    /// As [`Photo::open`], less [`Error::Read`].
    pub fn from_bytes_with(bytes: &[u8], limits: &Limits, detail: Detail) -> Result<Self> {
        let started = Instant::now();
        match Self::reduced_from_bytes(bytes, limits, detail)? {
            Some(photo) => Ok(photo),
            None => Self::whole_from_bytes(bytes, limits, started.elapsed()),
        }
    }

    /// Decodes bytes at a reduced size; nothing where they should be decoded in full.
    #[doc(hidden)]
    pub fn reduced_from_bytes(bytes: &[u8], limits: &Limits, detail: Detail) -> Result<Option<Self>> {
        limits.check_bytes(bytes)?;
        reduced::decode(bytes, limits, detail, &Deadline::after(limits.max_decode_time))
    }

    /// Decodes bytes in full, as [`Photo::from_bytes`], where `spent` of the time for it is spent already.
    #[doc(hidden)]
    pub fn whole_from_bytes(bytes: &[u8], limits: &Limits, spent: Duration) -> Result<Self> {
        limits.check_bytes(bytes)?;
        if bytes.is_empty() {
            return Err(Error::Decode { reason: "the file is empty".into(), source: None });
        }
        let format = match Kind::of(bytes) {
            Kind::Photo(format) => format,
            Kind::Unread(unread) => return Err(unread.error()),
            _ => {
                let reason = format!("{}; {READ}", looks_like(bytes));
                return Err(Error::Decode { reason, source: None });
            }
        };
        let deadline = Deadline::after(limits.max_decode_time.saturating_sub(spent));
        let pixels = match format {
            Format::Image(ImageFormat::Jpeg) => full::decode_jpeg(bytes, jpeg::metadata(bytes), limits, &deadline)?,
            Format::Image(format) => full::decode(bytes, format, limits, &deadline)?,
            #[cfg(feature = "avif")]
            Format::Avif => avif::decode(bytes, limits, &deadline)?,
            #[cfg(feature = "heic")]
            Format::Heic => heic::decode(bytes, limits, &deadline)?,
        };
        let is_truncated = pixels.is_cut_off;
        Ok(Self { icc: pixels.icc.map(Arc::from), is_truncated, ..Self::from_rgb(pixels.rgb)? })
    }

    /// Takes pixels that are decoded already, in sRGB.
    ///
    /// # Errors
    /// [`Error::Decode`] when there are none.
    pub fn from_rgb(rgb: RgbImage) -> Result<Self> {
        let (width, height) = rgb.dimensions();
        if width == 0 || height == 0 {
            return Err(Error::Decode { reason: "it has no pixels".into(), source: None });
        }
        Ok(Self { width, height, rgb, reduction: None, icc: None, is_truncated: false })
    }

    /// The pixels decoded, upright, in the colours of the file (see [`Photo::icc`]). They are fewer than the photo has
    /// where [`Photo::is_reduced`]; [`Photo::region`] says how they lie on it.
    pub fn rgb(&self) -> &RgbImage {
        &self.rgb
    }

    /// Every pixel of the photo.
    ///
    /// # Errors
    /// [`Error::ReducedPhoto`] where [`Photo::is_reduced`].
    pub fn full_rgb(&self) -> Result<&RgbImage> {
        match self.reduction {
            Some(Reduction { divisor, .. }) => Err(Error::ReducedPhoto { divisor }),
            None => Ok(&self.rgb),
        }
    }

    /// The pixels of [`Photo::rgb`] in sRGB: converted where the file has a profile. A profile that turns out to be
    /// unusable is passed over with a warning.
    pub fn srgb(&self) -> Cow<'_, RgbImage> {
        match self.icc() {
            Some(icc) => Cow::Owned(profile::to_srgb(self.rgb.clone(), icc)),
            None => Cow::Borrowed(&self.rgb),
        }
    }

    /// The ICC profile of the pixels, where the file has one for RGB; they are sRGB otherwise. Profiles of grey photos
    /// are applied already; those of CMYK photos are not used.
    pub fn icc(&self) -> Option<&[u8]> {
        self.icc.as_deref()
    }

    /// Whether fewer pixels were decoded than the photo has.
    pub fn is_reduced(&self) -> bool {
        self.reduction.is_some()
    }

    /// Whether the file is cut off, or ends in zeros that took the place of its data, and some of the pixels are missing: they
    /// are grey. Such a photo is read only where [`Limits::allow_truncated`] says so.
    pub fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    /// The part of [`Photo::rgb`] that is the photo, in pixels of it; all of it unless [`Photo::is_reduced`]. The last
    /// pixels of a reduced photo lie partly beyond it.
    pub fn region(&self) -> Region {
        let (full_width, full_height) = (f64::from(self.rgb.width()), f64::from(self.rgb.height()));
        let Some(Reduction { divisor, ends_left, ends_top }) = self.reduction else {
            return Region { left: 0.0, top: 0.0, width: full_width, height: full_height };
        };
        let (width, height) = (f64::from(self.width) / f64::from(divisor), f64::from(self.height) / f64::from(divisor));
        Region {
            left: if ends_left { full_width - width } else { 0.0 },
            top: if ends_top { full_height - height } else { 0.0 },
            width,
            height,
        }
    }

    /// Width of the photo in pixels, upright, whatever was decoded.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height of the photo in pixels, upright, whatever was decoded.
    pub fn height(&self) -> u32 {
        self.height
    }
}

#[cfg(test)]
mod tests;
