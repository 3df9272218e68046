//! Power modules over CAN.

use std::process::ExitCode;

use voltry_service::Program;

fn main() -> ExitCode {
    Program { name: "voltry-power", about: "DC power modules over CAN", instances: None }
        .main(voltry_power::configure, voltry_power::run)
}
