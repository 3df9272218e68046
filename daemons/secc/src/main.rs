//! ISO 15118 communication with the vehicle.

use std::process::ExitCode;

use voltry_secc::{config, link};
use voltry_service::Program;

fn main() -> ExitCode {
    Program {
        name: "voltry-secc",
        about: "ISO 15118 communication with the vehicle",
        instances: Some("secc"),
    }
    .main_with_audit(config::configure, config::audit, link::run)
}
