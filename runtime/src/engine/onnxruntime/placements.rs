//! Asks ONNX Runtime which provider got which nodes. `ort` has no call of its own for that (2.0.0-rc.14).

use std::ffi::{CStr, c_char};
use std::ptr;

use ort::AsPointer;
use ort::session::Session;
use ort::sys::OrtStatusPtr;

use crate::engine::placement::Placement;

/// The session's option that makes ONNX Runtime (1.24 and later) remember it.
pub(super) const RECORD: &str = "session.record_ep_graph_assignment_info";

/// Who got which nodes when the session was made: after the graph was simplified, before nodes were fused.
pub(super) fn of(session: &Session) -> ort::Result<Vec<Placement>> {
    let api = ort::api();
    let (mut parts, mut count) = (ptr::null(), 0);
    // SAFETY: the session is alive, both places outlive the call, and the list belongs to the session.
    let parts = unsafe {
        check((api.Session_GetEpGraphAssignmentInfo)(session.ptr(), &mut parts, &mut count))?;
        slice(parts, count)
    };
    let mut placements = Vec::with_capacity(parts.len());
    for &part in parts {
        let (mut name, mut nodes, mut count) = (ptr::null(), ptr::null(), 0);
        // SAFETY: `part` comes from the list above, and so do its name and nodes, which live as long as the session.
        let (provider, nodes) = unsafe {
            check((api.EpAssignedSubgraph_GetEpName)(part, &mut name))?;
            check((api.EpAssignedSubgraph_GetNodes)(part, &mut nodes, &mut count))?;
            (text(name), slice(nodes, count))
        };
        let mut operators = Vec::with_capacity(nodes.len());
        for &node in nodes {
            let mut operator = ptr::null();
            // SAFETY: `node` comes from the nodes above, and its name lives as long as the session.
            operators.push(unsafe {
                check((api.EpAssignedNode_GetOperatorType)(node, &mut operator))?;
                text(operator)
            });
        }
        placements.push(Placement { provider, operators });
    }
    Ok(placements)
}

/// # Safety
/// `status` is what a call of ONNX Runtime returned, and nobody has taken it yet.
unsafe fn check(status: OrtStatusPtr) -> ort::Result<()> {
    // SAFETY: the caller vouches that it is a status, and that it is freed only here.
    unsafe { ort::Error::result_from_status(status) }
}

/// # Safety
/// `list` is null or points to `count` values that outlive `'a` and do not change meanwhile.
unsafe fn slice<'a, T>(list: *const T, count: usize) -> &'a [T] {
    if list.is_null() {
        return &[];
    }
    // SAFETY: it is not null; the caller vouches for `count` values and their life.
    unsafe { std::slice::from_raw_parts(list, count) }
}

/// # Safety
/// `text` is null or a C string.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: it is not null; the caller vouches for the NUL at its end. It is copied at once.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
