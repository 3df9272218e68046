//! The daemon of the pages.

use std::process::ExitCode;

use voltry_service::Program;

fn main() -> ExitCode {
    Program {
        name: "voltry-ui",
        about: "The screen at the charger, and the technician's page",
        instances: None,
    }
    .main(voltry_ui::configure, voltry_ui::run)
}
