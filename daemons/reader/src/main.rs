//! Card readers.

use std::process::ExitCode;

use voltry_service::Program;

fn main() -> ExitCode {
    Program { name: "voltry-reader", about: "Card readers", instances: None }
        .main(voltry_reader::configure, voltry_reader::run)
}
