//! The whole configuration, checked: every installed daemon checks its own tables, and what no single
//! daemon can see is checked here: tables nobody claims, roles bound to objects nobody provides.
//!
//! A daemon is any executable `voltry-*` in the folder, ours or an OEM's: it joins by answering
//! `--check-config --json`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;

use crate::{Binding, Config, Problem};

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

/// What was found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// The daemons that were asked.
    pub daemons: Vec<String>,
    /// All that is wrong.
    pub problems: Vec<Problem>,
}

/// The folder that this program is in.
///
/// # Errors
/// The kernel does not say.
pub fn beside_us() -> std::io::Result<PathBuf> {
    let ours = std::env::current_exe()?;
    Ok(ours.parent().unwrap_or(Path::new("/usr/bin")).to_owned())
}

/// Has every daemon in the folder check its part, one after the other, and looks across them.
///
/// # Errors
/// The folder cannot be read, or has no daemon.
pub async fn check(config: Option<&Path>, folder: &Path) -> Result<Report, String> {
    let mut report = Report::default();
    if let Err(error) = Config::read(config) {
        report.problems = error.0;
        return Ok(report);
    }
    let mut all = Check::default();
    for daemon in installed(folder)? {
        match ask(&daemon, config).await {
            Ok(mut check) => {
                all.tables.append(&mut check.tables);
                all.objects.append(&mut check.objects);
                report.problems.extend(check.errors.iter().map(problem));
                all.errors.append(&mut check.errors);
            }
            Err(error) => report.problems.push(Problem::nowhere(error)),
        }
        report.daemons.push(daemon.file_name().unwrap_or_default().to_string_lossy().into_owned());
    }
    // Read once more: what is read is for one thread alone, and nothing waits with it.
    match Config::read(config) {
        Ok(merged) => report.problems.extend(cross_check(&merged, &all)),
        Err(error) => report.problems.extend(error.0),
    }
    Ok(report)
}

fn installed(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
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
        return Err(format!("no daemon is in {}", folder.display()));
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

/// As a daemon of ours tells it; whatever else an OEM's tells is told as it is.
fn problem(told: &serde_json::Value) -> Problem {
    let text = |key: &str| told.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
    let line = told.get("line").and_then(serde_json::Value::as_u64);
    Problem {
        file: text("file"),
        line: line.and_then(|line| usize::try_from(line).ok()),
        message: text("message").unwrap_or_else(|| told.to_string()),
    }
}

fn cross_check(config: &Config, all: &Check) -> Vec<Problem> {
    let claimed: BTreeSet<&str> = all.tables.iter().map(String::as_str).collect();
    let is_claimed = |path: &str| {
        let parent = path.split('.').next().unwrap_or(path);
        claimed.contains(path) || claimed.contains(parent)
    };
    let mut errors = Vec::new();
    for path in config.claimable() {
        let holds_claimed = claimed.iter().any(|table| table.starts_with(&format!("{path}.")));
        if !is_claimed(&path) && !holds_claimed {
            errors.push(config.problem(&path, format!("no daemon knows the table [{path}]")));
        }
    }
    errors.extend(deaf_station(config));
    // A daemon whose table is wrong does not say what it will provide.
    let all_told = all.errors.is_empty();
    for (path, binding) in config.bindings().into_iter().filter(|_| all_told) {
        if !all.objects.contains(&binding) {
            let message = format!("{path}: nobody provides {} at {}", binding.path, binding.name);
            errors.push(config.problem(&path, message));
        }
    }
    errors
}

/// An uplink that the station does not ask, where nobody else lets anybody in either.
fn deaf_station(config: &Config) -> Option<Problem> {
    let free = config.value("station.free_vending").and_then(|value| value.as_bool());
    let tokens = config.value("station.tokens").and_then(|value| Some(!value.as_array()?.is_empty()));
    let lets_in = config.contains("station.csms") || free == Some(true) || tokens == Some(true);
    let both = config.contains("ocpp") && config.contains("station");
    let message = "[station] refuses every card: it has no csms = { … } that names the uplink of [ocpp]";
    (both && !lets_in).then(|| config.problem("station", message))
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
        let found = cross_check(&Config::parse([("voltry.toml", text)]).unwrap(), &check());
        found.iter().map(ToString::to_string).collect()
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

    #[test]
    fn an_uplink_that_the_station_does_not_ask_is_told_where_nobody_else_lets_anybody_in() {
        let station = |keys: &str| {
            let text = format!("[ocpp]\nidentity = \"A\"\n[station]\n{keys}\n");
            deaf_station(&Config::parse([("voltry.toml", text.as_str())]).unwrap())
                .map(|problem| problem.to_string())
        };
        let deaf = station("name = \"Quay\"").unwrap();
        assert!(deaf.contains("voltry.toml:3") && deaf.contains("csms"), "{deaf}");
        for keys in [
            "csms = { name = \"org.voltry.Ocpp1\", path = \"/org/voltry/csms\" }",
            "free_vending = true",
            "tokens = [\"A\"]",
        ] {
            assert_eq!(station(keys), None, "{keys}");
        }
        let alone = Config::parse([("voltry.toml", "[station]\n")]).unwrap();
        assert!(deaf_station(&alone).is_none(), "there is no uplink");
    }

    #[tokio::test]
    async fn a_daemon_that_does_not_answer_is_named() {
        let error = ask(Path::new("/bin/true"), None).await.unwrap_err();
        assert!(error.contains("/bin/true"), "{error}");
    }
}
