//! `clothseg-serve`: photos in, masks and polygons out, over HTTP.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::var_os(clothseg_server::TELEMETRY_SWITCH).is_none() {
        // SAFETY: there is no other thread yet that could read the environment.
        unsafe { std::env::set_var(clothseg_server::TELEMETRY_SWITCH, "1") };
    }
    ExitCode::from(clothseg_server::run(std::env::args_os()))
}
