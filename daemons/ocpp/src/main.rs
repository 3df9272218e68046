//! The daemon of the uplink.

use std::process::ExitCode;

use voltry_service::Program;

fn main() -> ExitCode {
    Program { name: "voltry-ocpp", about: "The uplink to the CSMS: OCPP 1.6J and 2.0.1", instances: None }
        .main_with_audit(voltry_ocpp::configure, voltry_ocpp::audit, voltry_ocpp::run)
}
