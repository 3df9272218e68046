//! Pilot, contactors, temperatures, emergency stop.

use std::process::ExitCode;

use voltry_service::Program;

fn main() -> ExitCode {
    Program {
        name: "voltry-board",
        about: "The wires of the connectors: pilot, contactors, temperatures, emergency stop",
        instances: None,
    }
    .main_with_outputs(voltry_board::configure, voltry_board::make_safe, voltry_board::run)
}
