//! Power modules over CAN.

use std::process::ExitCode;

use voltry_service::{Program, where_configured};

fn main() -> ExitCode {
    Program { name: "voltry-power", about: "DC power modules over CAN", instances: None }.main_with_outputs(
        where_configured("power", voltry_power::configure),
        async |settings| {
            if let Some(settings) = settings {
                voltry_power::make_safe(settings).await;
            }
        },
        async |settings, daemon| match settings {
            Some(settings) => voltry_power::run(settings, daemon).await,
            None => daemon.idle("there is no table [power]").await,
        },
    )
}
