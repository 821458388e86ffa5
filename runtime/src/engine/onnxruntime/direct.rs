//! A run of ONNX Runtime that writes into our own memory. `ort` takes memory for an output only to keep it
//! (2.0.0-rc.14), and a full-size output is megabytes to copy.

use std::ffi::CString;

use ort::AsPointer;
use ort::session::Session;
use ort::value::{TensorRef, TensorRefMut};

/// The names of a graph's input and of the output that is wanted.
pub(super) struct Direct {
    input: CString,
    output: CString,
}

impl Direct {
    /// Nothing for names that C cannot have.
    pub(super) fn new(input: &str, output: &str) -> Option<Self> {
        Some(Self { input: CString::new(input).ok()?, output: CString::new(output).ok()? })
    }

    /// Runs the graph; `output` must have the shape that it gives, else it fails.
    pub(super) fn run(
        &self,
        session: &mut Session,
        input: &TensorRef<'_, f32>,
        output: &mut TensorRefMut<'_, f32>,
    ) -> ort::Result<()> {
        let (input_names, output_names) = ([self.input.as_ptr()], [self.output.as_ptr()]);
        let inputs = [input.ptr()];
        let mut outputs = [output.ptr_mut()];
        // SAFETY: names and values are alive throughout and there is one of each; the session is ours alone during the
        // run; ONNX Runtime writes to no output but this one, whose memory is borrowed for writing, and checks its shape.
        unsafe {
            ort::Error::result_from_status((ort::api().Run)(
                session.ptr_mut(),
                std::ptr::null(),
                input_names.as_ptr(),
                inputs.as_ptr(),
                inputs.len(),
                output_names.as_ptr(),
                output_names.len(),
                outputs.as_mut_ptr(),
            ))
        }
    }
}
