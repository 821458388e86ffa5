//! The part of libheif's C interface that is needed (`libheif/heif.h`, from version 1.6 on), and who owns what in it.
//!
//! Each object of the library has an owner here that frees it. A context borrows the bytes that it reads, and all owners
//! borrow what they come from.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

/// Names under which systems have the library, the likeliest first.
const NAMES: &[&str] = if cfg!(target_os = "macos") {
    &["libheif.1.dylib", "/opt/homebrew/lib/libheif.1.dylib", "/usr/local/lib/libheif.1.dylib"]
} else if cfg!(windows) {
    &["libheif.dll", "heif.dll"]
} else {
    &["libheif.so.1"]
};

/// `heif_suberror_End_of_data`.
const END_OF_DATA: c_int = 100;
/// `heif_colorspace_RGB`.
const RGB: c_int = 1;
/// `heif_chroma_interleaved_RGB` and `heif_chroma_interleaved_RGBA`: 8 bits a channel, whatever the file has.
const INTERLEAVED: [c_int; 2] = [10, 11];
/// `heif_channel_interleaved`.
const ALL_CHANNELS: c_int = 10;

/// `struct heif_error`.
#[repr(C)]
struct Status {
    code: c_int,
    detail: c_int,
    message: *const c_char,
}

/// Why the library refused something.
#[derive(Debug)]
pub(super) enum Failure {
    /// The file ends too early.
    EndOfData,
    /// What the library says.
    Other(String),
}

impl Status {
    fn check(self) -> Result<(), Failure> {
        if self.code == 0 {
            return Ok(());
        }
        if self.detail == END_OF_DATA {
            return Err(Failure::EndOfData);
        }
        if self.message.is_null() {
            return Err(Failure::Other(format!("error {} of libheif", self.code)));
        }
        // SAFETY: the message is a C string that lives as long as the object that gave the status, which is alive here.
        let message = unsafe { CStr::from_ptr(self.message) };
        Err(Failure::Other(message.to_string_lossy().into_owned()))
    }
}

macro_rules! library {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions of the library, which stays open.
        pub(super) struct Library {
            $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Library {
            fn of(library: &libloading::Library) -> Result<Self, libloading::Error> {
                // SAFETY: these are the types of libheif/heif.h; they have not changed since version 1.6.
                Ok(unsafe { Self { $($name: *library.get(concat!(stringify!($name), "\0").as_bytes())?,)* } })
            }
        }
    };
}

library! {
    heif_context_alloc: fn() -> *mut c_void;
    heif_context_free: fn(*mut c_void);
    heif_context_read_from_memory_without_copy: fn(*mut c_void, *const c_void, usize, *const c_void) -> Status;
    heif_context_get_primary_image_handle: fn(*mut c_void, *mut *mut c_void) -> Status;
    heif_image_handle_get_width: fn(*const c_void) -> c_int;
    heif_image_handle_get_height: fn(*const c_void) -> c_int;
    heif_image_handle_has_alpha_channel: fn(*const c_void) -> c_int;
    heif_image_handle_get_raw_color_profile_size: fn(*const c_void) -> usize;
    heif_image_handle_get_raw_color_profile: fn(*const c_void, *mut c_void) -> Status;
    heif_image_handle_release: fn(*const c_void);
    heif_decode_image: fn(*const c_void, *mut *mut c_void, c_int, c_int, *const c_void) -> Status;
    heif_image_get_width: fn(*const c_void, c_int) -> c_int;
    heif_image_get_height: fn(*const c_void, c_int) -> c_int;
    heif_image_get_plane_readonly: fn(*const c_void, c_int, *mut c_int) -> *const u8;
    heif_image_release: fn(*const c_void);
}

impl Library {
    /// The library, opened once; why it cannot be, otherwise.
    pub(super) fn get() -> Result<&'static Self, &'static str> {
        static LIBRARY: OnceLock<Result<Library, String>> = OnceLock::new();
        LIBRARY.get_or_init(Self::open).as_ref().map_err(String::as_str)
    }

    fn open() -> Result<Self, String> {
        let mut causes = Vec::new();
        for name in NAMES {
            // SAFETY: a library of this name is libheif, of which opening has no effect but its own set-up.
            match unsafe { libloading::Library::new(*name) } {
                Ok(library) => {
                    start(&library);
                    let functions = Self::of(&library).map_err(|error| error.to_string());
                    // Its functions stay in use until the program ends.
                    std::mem::forget(library);
                    return functions;
                }
                Err(error) => causes.push(error.to_string()),
            }
        }
        Err(causes.swap_remove(0))
    }
}

/// Loads the library's decoders, which newer versions have as plug-ins; versions before 1.13 have no such function.
fn start(library: &libloading::Library) {
    // SAFETY: `struct heif_error heif_init(struct heif_init_params*)`, for which null means the usual parameters.
    unsafe {
        if let Ok(init) = library.get::<unsafe extern "C" fn(*mut c_void) -> Status>(b"heif_init\0") {
            init(null_mut());
        }
    }
}

/// A file.
pub(super) struct Context<'a> {
    library: &'static Library,
    pointer: *mut c_void,
    bytes: PhantomData<&'a [u8]>,
}

impl<'a> Context<'a> {
    /// Reads the boxes of a file.
    pub(super) fn read(library: &'static Library, bytes: &'a [u8]) -> Result<Self, Failure> {
        // SAFETY: it takes nothing.
        let pointer = unsafe { (library.heif_context_alloc)() };
        if pointer.is_null() {
            return Err(Failure::Other("out of memory".into()));
        }
        let context = Self { library, pointer, bytes: PhantomData };
        // SAFETY: the context is valid, and borrows the bytes as long as it lives.
        let status = unsafe {
            (library.heif_context_read_from_memory_without_copy)(pointer, bytes.as_ptr().cast(), bytes.len(), null())
        };
        status.check().map(|()| context)
    }

    /// The picture that the file is for.
    pub(super) fn primary(&self) -> Result<Picture<'_>, Failure> {
        let mut pointer = null_mut();
        // SAFETY: the context is valid; where there is an error nothing is written.
        unsafe { (self.library.heif_context_get_primary_image_handle)(self.pointer, &raw mut pointer) }.check()?;
        Ok(Picture { library: self.library, pointer, context: PhantomData })
    }
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        // SAFETY: it is valid, and nothing that borrows it is left.
        unsafe { (self.library.heif_context_free)(self.pointer) }
    }
}

/// A picture in a file, not yet decoded.
pub(super) struct Picture<'a> {
    library: &'static Library,
    pointer: *mut c_void,
    context: PhantomData<&'a Context<'a>>,
}

impl Picture<'_> {
    /// Width and height as shown.
    pub(super) fn size(&self) -> Option<(u32, u32)> {
        // SAFETY: the handle is valid.
        let size = unsafe {
            let width = (self.library.heif_image_handle_get_width)(self.pointer);
            (width, (self.library.heif_image_handle_get_height)(self.pointer))
        };
        positive(size)
    }

    /// Its colour profile.
    pub(super) fn icc(&self) -> Option<Vec<u8>> {
        // SAFETY: the handle is valid, and the library writes as many bytes as it says that there are.
        unsafe {
            let length = (self.library.heif_image_handle_get_raw_color_profile_size)(self.pointer);
            let mut icc = vec![0; length];
            let status = (self.library.heif_image_handle_get_raw_color_profile)(self.pointer, icc.as_mut_ptr().cast());
            (length > 0 && status.check().is_ok()).then_some(icc)
        }
    }

    /// Decodes it, to 8 bits a channel.
    pub(super) fn decode(&self) -> Result<Image<'_>, Failure> {
        let mut pointer = null_mut();
        // SAFETY: the handle is valid; where there is an error nothing is written.
        let has_alpha = unsafe {
            let has_alpha = (self.library.heif_image_handle_has_alpha_channel)(self.pointer) != 0;
            let layout = INTERLEAVED[usize::from(has_alpha)];
            (self.library.heif_decode_image)(self.pointer, &raw mut pointer, RGB, layout, null()).check()?;
            has_alpha
        };
        Ok(Image { library: self.library, pointer, has_alpha, picture: PhantomData })
    }
}

impl Drop for Picture<'_> {
    fn drop(&mut self) {
        // SAFETY: it is valid, and nothing that borrows it is left.
        unsafe { (self.library.heif_image_handle_release)(self.pointer) }
    }
}

/// Decoded pixels.
pub(super) struct Image<'a> {
    library: &'static Library,
    pointer: *mut c_void,
    has_alpha: bool,
    picture: PhantomData<&'a Picture<'a>>,
}

impl Image<'_> {
    /// Whether pixels are RGBA, not RGB.
    pub(super) fn has_alpha(&self) -> bool {
        self.has_alpha
    }

    /// Width and height.
    pub(super) fn size(&self) -> Option<(u32, u32)> {
        // SAFETY: the image is valid.
        let size = unsafe {
            let width = (self.library.heif_image_get_width)(self.pointer, ALL_CHANNELS);
            (width, (self.library.heif_image_get_height)(self.pointer, ALL_CHANNELS))
        };
        positive(size)
    }

    /// The `bytes` bytes of a row; nothing where there are not as many.
    pub(super) fn row(&self, y: u32, bytes: usize) -> Option<&[u8]> {
        let (width, height) = self.size()?;
        let mut stride = 0;
        // SAFETY: the image is valid.
        let plane =
            unsafe { (self.library.heif_image_get_plane_readonly)(self.pointer, ALL_CHANNELS, &raw mut stride) };
        let stride = usize::try_from(stride).ok()?;
        let is_there = !plane.is_null() && y < height && bytes <= stride && bytes <= width as usize * 4;
        // SAFETY: the plane has `height` rows of `stride` bytes, and lives as long as the image.
        is_there.then(|| unsafe { std::slice::from_raw_parts(plane.add(y as usize * stride), bytes) })
    }
}

impl Drop for Image<'_> {
    fn drop(&mut self) {
        // SAFETY: it is valid, and no row of it is borrowed.
        unsafe { (self.library.heif_image_release)(self.pointer) }
    }
}

fn positive((width, height): (c_int, c_int)) -> Option<(u32, u32)> {
    let positive = |side| u32::try_from(side).ok().filter(|side| *side > 0);
    Some((positive(width)?, positive(height)?))
}
