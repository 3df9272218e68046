//! `voltryctl config check`: every installed daemon checks its own tables, and what no single
//! daemon can see is checked here: tables nobody claims, roles bound to objects nobody provides.
//!
//! A daemon is any executable `voltry-*` in the folder, ours or an OEM's: it joins by answering
//! `--check-config --json`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use voltry_service::{Binding, Config};

use crate::cli;
use crate::outcome::{Failure, Outcome};
use crate::output;

/// No part of a station, though their names look so where all was built in one folder.
const NO_DAEMONS: [&str; 2] = ["voltry-sim", "voltry-bench"];
/// A daemon that has not answered by then does something else than checking.
const ANSWER: Duration = Duration::from_secs(5);

/// What a daemon answers.
#[derive(Debug, Default, Deserialize)]
struct Check {
    tables: Vec<String>,
    objects: Vec<Binding>,
    errors: Vec<serde_json::Value>,
}

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
    let mut report = Report::default();
    match Config::read(config) {
        Ok(merged) => {
            let mut all = Check::default();
            let daemons = installed(&folder)?;
            let answers = join_all(daemons.iter().map(|daemon| ask(daemon, config))).await;
            for (daemon, answer) in daemons.iter().zip(answers) {
                match answer {
                    Ok(mut check) => {
                        all.tables.append(&mut check.tables);
                        all.objects.append(&mut check.objects);
                        report.errors.extend(check.errors.iter().map(as_text));
                        all.errors.append(&mut check.errors);
                    }
                    Err(error) => report.errors.push(error),
                }
                report.daemons.push(daemon.file_name().unwrap_or_default().to_string_lossy().into_owned());
            }
            report.errors.extend(cross_check(&merged, &all));
        }
        Err(error) => report.errors.extend(error.0.iter().map(ToString::to_string)),
    }
    Ok(report)
}

pub(crate) fn beside_us() -> Result<PathBuf, Failure> {
    let ours = std::env::current_exe().map_err(|error| Failure::Other(error.to_string()))?;
    Ok(ours.parent().unwrap_or(Path::new("/usr/bin")).to_owned())
}

fn installed(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(folder)
        .map_err(|error| Failure::Other(format!("{}: {error}", folder.display())))?;
    let mut daemons: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // A name with a dot is a build's by-product.
            let daemon = name.starts_with("voltry-") && !NO_DAEMONS.contains(&name.as_ref());
            daemon && !name.contains('.') && path.is_file()
        })
        .collect();
    daemons.sort();
    if daemons.is_empty() {
        return Err(Failure::Other(format!("no daemon is in {}: give --daemons DIR", folder.display())));
    }
    Ok(daemons)
}

async fn ask(daemon: &Path, config: Option<&Path>) -> Result<Check, String> {
    let mut command = Command::new(daemon);
    command.args(["--check-config", "--json"]).stdin(Stdio::null()).kill_on_drop(true);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    let output = tokio::time::timeout(ANSWER, command.output())
        .await
        .map_err(|_| {
            format!("{} does not answer --check-config within {} s", daemon.display(), ANSWER.as_secs())
        })?
        .map_err(|error| format!("{}: {error}", daemon.display()))?;
    serde_json::from_slice(&output.stdout).map_err(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!(
            "{} does not answer --check-config --json: {error}; it said: {}",
            daemon.display(),
            said.trim()
        )
    })
}

fn as_text(error: &serde_json::Value) -> String {
    let text = |key: &str| error.get(key).and_then(serde_json::Value::as_str);
    let message = text("message").map_or_else(|| error.to_string(), str::to_owned);
    match (text("file"), error.get("line").and_then(serde_json::Value::as_u64)) {
        (Some(file), Some(line)) => format!("{file}:{line}: {message}"),
        (Some(file), None) => format!("{file}: {message}"),
        (None, _) => message,
    }
}

fn cross_check(config: &Config, all: &Check) -> Vec<String> {
    let claimed: BTreeSet<&str> = all.tables.iter().map(String::as_str).collect();
    let is_claimed = |path: &str| {
        let parent = path.split('.').next().unwrap_or(path);
        claimed.contains(path) || claimed.contains(parent)
    };
    let mut errors = Vec::new();
    for path in config.claimable() {
        let holds_claimed = claimed.iter().any(|table| table.starts_with(&format!("{path}.")));
        if !is_claimed(&path) && !holds_claimed {
            errors.push(config.problem(&path, format!("no daemon knows the table [{path}]")).to_string());
        }
    }
    // A daemon whose table is wrong does not say what it will provide.
    let all_told = all.errors.is_empty();
    for (path, binding) in config.bindings().into_iter().filter(|_| all_told) {
        if !all.objects.contains(&binding) {
            let message = format!("{path}: nobody provides {} at {}", binding.path, binding.name);
            errors.push(config.problem(&path, message).to_string());
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> Check {
        Check {
            tables: vec!["station".to_owned(), "evse.1".to_owned()],
            objects: vec![Binding::new("org.voltry.Power1", "/org/voltry/power_supply/1").unwrap()],
            errors: Vec::new(),
        }
    }

    #[test]
    fn while_a_daemons_own_table_is_wrong_nobody_is_said_to_provide_nothing() {
        let bound = "[evse.1]\npower_supply = { name = \"org.voltry.Power1\", path = \"/org/voltry/power_supply/9\" }";
        let config = Config::parse([("voltry.toml", bound)]).unwrap();
        let broken = Check { errors: vec![serde_json::json!({"message": "a value is wrong"})], ..check() };
        assert!(cross_check(&config, &broken).is_empty());
    }

    fn errors(text: &str) -> Vec<String> {
        cross_check(&Config::parse([("voltry.toml", text)]).unwrap(), &check())
    }

    #[test]
    fn a_table_that_nobody_claims_is_told_with_its_place() {
        let errors = errors("[station]\n[evse.1]\n[evse.2]\n[statoin]\n");
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(
            errors.iter().any(|error| error.contains("[evse.2]") && error.contains("voltry.toml:3")),
            "{errors:?}"
        );
        assert!(errors.iter().any(|error| error.contains("[statoin]")), "{errors:?}");
    }

    #[test]
    fn a_role_bound_to_what_nobody_provides_is_told() {
        let good = "[evse.1]\npower_supply = { name = \"org.voltry.Power1\", path = \"/org/voltry/power_supply/1\" }";
        assert!(errors(good).is_empty());
        let errors = errors(&good.replace("power_supply/1", "power_supply/9"));
        assert!(errors.len() == 1 && errors[0].contains("power_supply/9"), "{errors:?}");
    }

    #[tokio::test]
    async fn a_daemon_that_does_not_answer_is_named() {
        let error = ask(Path::new("/bin/true"), None).await.unwrap_err();
        assert!(error.contains("/bin/true"), "{error}");
    }
}
