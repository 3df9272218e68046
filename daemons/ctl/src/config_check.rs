//! `voltryctl config check`.

use std::path::{Path, PathBuf};

use serde::Serialize;
use voltry_service::config_check;

use crate::cli;
use crate::outcome::{Failure, Outcome};
use crate::output;

/// What is printed with `--json`.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    daemons: Vec<String>,
    pub(crate) errors: Vec<String>,
}

pub(crate) async fn run(command: cli::Config, json: bool) -> Result<Outcome, Failure> {
    let cli::Config::Check { config, daemons } = command;
    let report = check(config.as_deref(), daemons.as_deref()).await?;
    if json {
        output::json(&report)?;
    } else {
        report.errors.iter().for_each(|error| println!("{error}"));
        println!("{} daemons asked, {} errors", report.daemons.len(), report.errors.len());
    }
    Ok(if report.errors.is_empty() { Outcome::Done } else { Outcome::BadNews })
}

/// Has every daemon in the folder, or beside us, check its part, and looks across them.
pub(crate) async fn check(config: Option<&Path>, daemons: Option<&Path>) -> Result<Report, Failure> {
    let folder = match daemons {
        Some(folder) => folder.to_owned(),
        None => beside_us()?,
    };
    let found = config_check::check(config, &folder).await;
    let found = found.map_err(|error| Failure::Other(format!("{error}: give --daemons DIR")))?;
    let errors = found.problems.iter().map(ToString::to_string).collect();
    Ok(Report { daemons: found.daemons, errors })
}

pub(crate) fn beside_us() -> Result<PathBuf, Failure> {
    config_check::beside_us().map_err(|error| Failure::Other(error.to_string()))
}
