//! The station's daemon.

use std::process::ExitCode;

use voltry_service::Program;

fn main() -> ExitCode {
    Program {
        name: "voltry-station",
        about: "Authorization, shares, transactions and the book",
        instances: None,
    }
    .main(voltry_station::configure, voltry_station::run)
}
