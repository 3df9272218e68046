//! Updates of the firmware.

use std::process::ExitCode;

use voltry_service::Program;

fn main() -> ExitCode {
    Program { name: "voltry-update", about: "Updates of the firmware, by RAUC", instances: None }
        .main(voltry_update::configure, voltry_update::run)
}
