//! One EVSE's energy path.

use std::process::ExitCode;

use voltry_evse::{config, shell};
use voltry_service::Program;

fn main() -> ExitCode {
    Program { name: "voltry-evse", about: "One EVSE's energy path", instances: Some("evse") }
        .main(config::configure, shell::run)
}
