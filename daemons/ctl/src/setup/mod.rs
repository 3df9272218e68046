//! `voltryctl setup`: the first day on site, from what was built to a report that it works.

mod configuration;
mod password;
mod probe;
mod report;
mod secrets;
mod site;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zbus::Connection;

use crate::cli;
use crate::config_check;
use crate::outcome::{Failure, Outcome};
pub(crate) use password::change as change_password;
use report::Report;
use site::Site;

pub(crate) async fn run(command: cli::Setup, bus: Option<&str>, json: bool) -> Result<Outcome, Failure> {
    let cli::Setup { from, dry_run, config, credentials, daemons } = command;
    let site = match from {
        Some(file) => Site::read(&file)?,
        None => Site::ask(std::io::stdin().lock(), std::io::stderr())?,
    };
    let mut report = Report::new(&site);
    let trial = Trial::new(&config)?;
    trial.write(&site)?;
    report.errors = config_check::check(Some(&trial.folder), daemons.as_deref()).await?.errors;
    if !report.errors.is_empty() {
        return report.show(json);
    }
    let folder = match &daemons {
        Some(folder) => folder.clone(),
        None => config_check::beside_us()?,
    };
    let station = probe::running(bus).await;
    report.found(match &station {
        Some(station) => probe::ask(station).await?,
        None => probe::look(&site, &trial.folder, &folder).await?,
    });
    if !dry_run {
        let installed = install(&site, &mut report, &config, &credentials, station.as_ref()).await;
        report.failure = installed.err().map(|failure| failure.to_string());
    }
    report.show(json)
}

/// Makes the secrets, writes the configuration and has a station that runs test itself. What was done is in the
/// report however it ends: nobody sees a secret again that is not shown now.
async fn install(
    site: &Site,
    report: &mut Report,
    config: &Path,
    credentials: &Path,
    station: Option<&Connection>,
) -> Result<(), Failure> {
    secrets::make(site, credentials, &mut report.secrets)?;
    report.written = Some(write(site, config)?);
    if let Some(station) = station {
        report.self_test = probe::self_test(station).await?;
    }
    Ok(())
}

fn text(site: &Site) -> Result<String, Failure> {
    let config =
        toml::to_string(&configuration::of(site)).map_err(|error| Failure::Other(error.to_string()))?;
    Ok(format!("# Written by voltryctl setup. Put changes into voltry.d/*.toml.\n\n{config}"))
}

/// Writes the configuration whole or not at all, and keeps the one before it. The daemons read it as users of
/// their own, whatever root's umask is.
fn write(site: &Site, folder: &Path) -> Result<PathBuf, Failure> {
    let file = folder.join("voltry.toml");
    let failed = |error: std::io::Error| Failure::Other(format!("{}: {error}", file.display()));
    let text = text(site)?;
    if !folder.exists() {
        fs::create_dir_all(folder).and_then(|()| allow(folder, 0o755)).map_err(failed)?;
    }
    if file.exists() {
        fs::copy(&file, folder.join("voltry.toml.before")).map_err(failed)?;
    }
    let new = folder.join("voltry.toml.new");
    let mut written = fs::File::create(&new).map_err(failed)?;
    allow(&new, 0o644).map_err(failed)?;
    written.write_all(text.as_bytes()).and_then(|()| written.sync_all()).map_err(failed)?;
    fs::rename(&new, &file).and_then(|()| fs::File::open(folder)?.sync_all()).map_err(failed)?;
    Ok(file)
}

fn allow(path: &Path, mode: u32) -> std::io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// A folder for the configuration that is tried, with what the site has added by hand.
struct Trial {
    folder: PathBuf,
}

impl Trial {
    fn new(config: &Path) -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("voltry-setup-{}", std::process::id()));
        let failed = |error: std::io::Error| Failure::Other(format!("{}: {error}", folder.display()));
        fs::DirBuilder::new().mode(0o700).create(&folder).map_err(failed)?;
        let trial = Self { folder };
        let failed = |error: std::io::Error| Failure::Other(format!("{}: {error}", trial.folder.display()));
        let added = config.join("voltry.d");
        if added.is_dir() {
            let added = added.canonicalize().map_err(failed)?;
            std::os::unix::fs::symlink(added, trial.folder.join("voltry.d")).map_err(failed)?;
        }
        Ok(trial)
    }

    fn write(&self, site: &Site) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::Other(format!("{}: {error}", self.folder.display()));
        fs::write(self.folder.join("voltry.toml"), text(site)?).map_err(failed)
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // It is ours, and in the folder for what need not last.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
