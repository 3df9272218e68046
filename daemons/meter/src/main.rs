//! `voltry-meter LINE`: energy meters and insulation monitors on one Modbus line.

use std::process::ExitCode;

use voltry_meter::{bus, config};
use voltry_service::Program;

fn main() -> ExitCode {
    Program {
        name: "voltry-meter",
        about: "Energy meters and insulation monitors on one Modbus line",
        instances: Some("meter"),
    }
    .main(config::configure, bus::run)
}
