//! Which daemons run, and how they are started.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

use super::supervisor::{Scheduling, Unit};
use super::topology::Topology;
use super::{bus, config, namespace};

/// As in the units of `packaging/`.
const WATCHDOG: Duration = Duration::from_secs(3);

/// The daemons of a station, in the order in which they are started. None needs another to be up.
pub(super) fn daemons(topology: &Topology, state: &Path) -> anyhow::Result<Vec<Unit>> {
    let mut units = vec![unit(state, "voltry-board", None)?, unit(state, "voltry-power", None)?];
    for line in config::meter_lines(topology) {
        units.push(unit(state, "voltry-meter", Some(&line))?);
    }
    for (evse, _) in topology.evses() {
        let evse = evse.to_string();
        units.push(unit(state, "voltry-secc", Some(&evse))?);
        units.push(unit(state, "voltry-evse", Some(&evse))?);
    }
    units.push(unit(state, "voltry-station", None)?);
    if topology.uplink.is_some() {
        units.push(unit(state, "voltry-ocpp", None)?);
    }
    if topology.readers {
        units.push(unit(state, "voltry-reader", None)?);
    }
    if topology.screen.is_some() {
        units.push(unit(state, "voltry-ui", None)?);
    }
    if let Some(unknown) = topology.without.iter().find(|name| units.iter().all(|unit| unit.name != **name)) {
        bail!("without = {unknown:?}: there is no such daemon");
    }
    units.retain(|unit| !topology.without.contains(&unit.name));
    Ok(units)
}

fn unit(state: &Path, program: &str, instance: Option<&str>) -> anyhow::Result<Unit> {
    let short = program.trim_start_matches("voltry-");
    let name = instance.map_or_else(|| short.to_owned(), |instance| format!("{short}-{instance}"));
    let mut arguments: Vec<OsString> = vec!["--config".into(), state.into()];
    arguments.extend(instance.map(OsString::from));
    let library = state.join("lib");
    Ok(Unit {
        name,
        program: find(program)?,
        arguments,
        environment: vec![
            ("DBUS_SYSTEM_BUS_ADDRESS".to_owned(), bus::address(state).into()),
            ("STATE_DIRECTORY".to_owned(), library.into()),
            ("RUNTIME_DIRECTORY".to_owned(), state.join("run").into()),
        ],
        scheduling: scheduling(short),
        watchdog: Some(WATCHDOG),
    })
}

/// As in the units of `packaging/`; the bus as distributions ship it.
pub(super) fn scheduling(daemon: &str) -> Scheduling {
    if !namespace::real_time() {
        return Scheduling::Inherited;
    }
    match daemon {
        "board" => Scheduling::RealTime(25),
        "evse" | "power" => Scheduling::RealTime(20),
        "secc" | "meter" => Scheduling::RealTime(15),
        _ => Scheduling::Ordinary,
    }
}

/// A daemon beside our own executable, else on `$PATH`.
fn find(program: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("finding this program's own file")?;
    let beside = own.with_file_name(program);
    if beside.is_file() {
        return Ok(beside);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    match std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file()) {
        Some(file) => Ok(file),
        None => bail!(
            "no {program} beside {} nor on $PATH; `cargo build --workspace` builds all daemons",
            own.display()
        ),
    }
}
