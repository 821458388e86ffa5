//! `clothseg-run`: photos in, masks and polygons out.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::var_os(clothseg_cli::TELEMETRY_SWITCH).is_none() {
        // SAFETY: there is no other thread yet that could read the environment.
        unsafe { std::env::set_var(clothseg_cli::TELEMETRY_SWITCH, "1") };
    }
    ExitCode::from(clothseg_cli::run(std::env::args_os()))
}
