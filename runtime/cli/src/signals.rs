//! Signals. Of Ctrl-C and SIGTERM the first finishes what is in work, the second stops at once.

use clothseg_batch::Cancel;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Cancels at the first signal. At the second the process ends: files that were being written stay behind under temporary
/// names, and the next run removes them.
pub fn cancel_on_first(cancel: &Cancel) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot listen to Ctrl-C: {error}");
    for signal in [SIGINT, SIGTERM] {
        // Handlers run in this order: the flag that the first signal sets arms the end for the second.
        flag::register_conditional_shutdown(signal, super::INTERRUPTED.into(), cancel.flag()).map_err(failed)?;
        flag::register(signal, cancel.flag()).map_err(failed)?;
    }
    Ok(())
}

/// Lets a file that exceeds the limit of the shell (`ulimit -f`) fail with its name, as on a full disk. Without a handler the
/// system's signal ends the program.
pub fn outlive_file_size_limit() {
    // The flag is nobody's: the handler alone makes the write fail. Where it cannot be set, all is as without it.
    #[cfg(unix)]
    let _ = flag::register(signal_hook::consts::SIGXFSZ, std::sync::Arc::default());
}
