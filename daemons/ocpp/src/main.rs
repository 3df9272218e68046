//! The daemon of the uplink.

use std::process::ExitCode;

use voltry_ocpp::without_csms;
use voltry_service::Program;

fn main() -> ExitCode {
    Program { name: "voltry-ocpp", about: "The uplink to the CSMS: OCPP 1.6J and 2.0.1", instances: None }
        .main_with_audit(without_csms::configure, without_csms::audit, without_csms::run)
}
