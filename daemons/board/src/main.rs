//! Pilot, contactors, temperatures, emergency stop.

use std::process::ExitCode;

use voltry_service::{Program, where_configured};

fn main() -> ExitCode {
    Program {
        name: "voltry-board",
        about: "The wires of the connectors: pilot, contactors, temperatures, emergency stop",
        instances: None,
    }
    .main_with_outputs(
        where_configured("board", voltry_board::configure),
        async |settings| {
            if let Some(settings) = settings {
                voltry_board::make_safe(settings).await;
            }
        },
        async |settings, daemon| match settings {
            Some(settings) => voltry_board::run(settings, daemon).await,
            None => daemon.idle("there is no table [board]").await,
        },
    )
}
