//! `voltryctl setup` where a station runs: it is asked for its devices, and tests itself.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{on, said};
use crate::private_bus::Bus;
use crate::station::serve;

const SITE: &str = r#"
name = "Depot 3"
power_limit_w = 150000.0
csms = { url = "ws://csms.example/ocpp", identity = "DEPOT-3", version = "2.0.1" }
[[evse]]
profile = "iec61851-23-2023"
voltage_max = 1000.0
current_max = 300.0
over_voltage_by_hardware = true
evse_id = "DE*VOL*E1"
interface = "qca0"
board = "/dev/ttyS1"
modules = { family = "infypower", can = "can0", addresses = [0, 1] }
meter = { model = "acrel-djsf1352-rn", line = "/dev/ttyS2", address = 1 }
insulation_monitor = { model = "isocha425hv", line = "/dev/ttyS3", address = 3 }
"#;

/// A daemon that knows every table and provides whatever this site binds to.
const DAEMON: &str = r#"#!/bin/sh
cat <<END
{ "tables": ["station", "evse", "power", "board", "meter", "secc", "ocpp"], "errors": [], "objects": [
  { "name": "org.voltry.Power1", "path": "/org/voltry/power_supply/1" },
  { "name": "org.voltry.Board1", "path": "/org/voltry/connector/1" },
  { "name": "org.voltry.Meter.Dc1", "path": "/org/voltry/energy_meter/dc1" },
  { "name": "org.voltry.Meter.Imd1", "path": "/org/voltry/insulation_monitor/imd1" },
  { "name": "org.voltry.Secc.N1", "path": "/org/voltry/ev_link/1" },
  { "name": "org.voltry.Ocpp1", "path": "/org/voltry/csms" }
] }
END
"#;

/// The arguments of a setup below a folder that ends there; the configuration goes to `config`.
fn arguments(folder: &Path, config: &str) -> String {
    let (site, daemons) = (folder.join("site.toml"), folder.join("daemons"));
    std::fs::write(&site, SITE).unwrap();
    std::fs::create_dir(&daemons).unwrap();
    let daemon = daemons.join("voltry-all");
    std::fs::write(&daemon, DAEMON).unwrap();
    std::fs::set_permissions(&daemon, PermissionsExt::from_mode(0o755)).unwrap();
    let folder = folder.display();
    format!(
        "setup --from {} --daemons {} --config {folder}/{config} --credentials {folder}/credstore",
        site.display(),
        daemons.display()
    )
}

#[tokio::test]
async fn passwords_are_shown_though_an_evse_refuses_its_self_test() {
    let (bus, folder) = (Bus::start(), tempfile::tempdir().unwrap());
    let station = serve(&bus).await;
    let ended = on(&bus, &format!("--json {}", arguments(folder.path(), "etc"))).await;
    assert_eq!(ended.code, Some(4), "{ended:?}");
    let report = ended.json();
    assert_eq!(report["secrets"].as_array().unwrap().len(), 2, "{report}");
    let tests = report["self_test"].as_array().unwrap();
    let of = |evse| tests.iter().filter(|row| row["evse"] == evse).collect::<Vec<_>>();
    let [refused] = of(1)[..] else { panic!("it is asked once: {report}") };
    assert_eq!(refused["outcome"], "refused");
    assert!(refused["seen"].as_str().unwrap().contains("a transaction runs"), "{report}");
    assert_eq!(of(3).len(), 5, "the next EVSE is tested all the same: {report}");
    assert_eq!(*station.ended.lock().unwrap(), [1, 3]);
    let help = on(&bus, "setup --help").await.out;
    let words: Vec<&str> = help.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    for key in report.as_object().unwrap().keys() {
        assert!(words.contains(&key.as_str()), "`setup --help` does not explain {key}");
    }
}

#[tokio::test]
async fn passwords_are_shown_though_the_configuration_cannot_be_written() {
    let (bus, folder) = (Bus::start(), tempfile::tempdir().unwrap());
    let _station = serve(&bus).await;
    let ended = on(&bus, &arguments(folder.path(), "site.toml/etc")).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.out.matches("shown once").count(), 2, "{ended:?}");
    assert!(ended.out.contains("It broke off: ") && ended.out.contains("There is trouble."), "{ended:?}");
}

#[tokio::test]
async fn the_daemons_can_read_what_root_writes_with_a_strict_umask() {
    let (bus, folder) = (Bus::start(), tempfile::tempdir().unwrap());
    let _station = serve(&bus).await;
    let setup = format!("{} --bus {}", arguments(folder.path(), "etc"), bus.address);
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", &format!("umask 077; exec {} {setup}", env!("CARGO_BIN_EXE_voltryctl"))]);
    let ended = said(&mut command).await;
    assert_eq!(ended.code, Some(4), "{ended:?}");
    let mode = |path: &str| {
        let found = std::fs::metadata(folder.path().join(path)).unwrap();
        found.permissions().mode() & 0o777
    };
    assert_eq!((mode("etc"), mode("etc/voltry.toml")), (0o755, 0o644));
    assert_eq!(mode("credstore/ui.accounts"), 0o600, "secrets stay root's");
}
