//! Power modules over CAN.

use std::process::ExitCode;

use voltry_service::Program;

fn main() -> ExitCode {
    Program { name: "voltry-power", about: "DC power modules over CAN", instances: None }.main_with_outputs(
        voltry_power::configure,
        voltry_power::make_safe,
        voltry_power::run,
    )
}
