//! What every daemon does alike, seen on this one's executable: checking its configuration,
//! readiness, the watchdog, and a configuration that it cannot run with.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

use crate::private_bus;

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use private_bus::{Bus, Process};

const BOARD: &str = env!("CARGO_BIN_EXE_voltry-board");

fn check(folder: &Path, config: &str) -> Output {
    std::fs::write(folder.join("voltry.toml"), config).unwrap();
    Command::new(BOARD).args(["--check-config", "--json", "--config"]).arg(folder).output().unwrap()
}

#[test]
fn a_good_configuration_is_claimed_and_its_objects_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = check(folder.path(), "[board.1]\ndevice = '/dev/ttyLP2'\n[power]\n");
    assert_eq!(output.status.code(), Some(0));
    let text: String = String::from_utf8(output.stdout).unwrap().split_whitespace().collect();
    assert_eq!(
        text,
        r#"{"tables":["board.1"],"objects":[{"name":"org.voltry.Board1","path":"/org/voltry/connector/1"}],"errors":[]}"#
    );
}

#[test]
fn a_bad_configuration_is_told_with_file_and_line_and_ends_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let output = check(folder.path(), "[board.1]\ndevise = '/dev/ttyLP2'\n");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stdout).unwrap();
    let message = "unknown key `devise` in [board.1], did you mean `device`?";
    assert!(text.contains(message) && text.contains("\"line\": 2"), "{text}");
    let joined: String = text.split_whitespace().collect();
    assert!(
        joined.contains(r#""tables":["board.1"]"#),
        "a table with an error is known all the same: {text}"
    );

    let started = Command::new(BOARD).arg("--config").arg(folder.path()).output().unwrap();
    assert_eq!(started.status.code(), Some(2), "starting it again would not help");
    let errors = String::from_utf8(started.stderr).unwrap();
    assert!(errors.contains(message), "{errors}");
}

#[test]
fn without_a_bus_it_ends_with_1_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("voltry.toml"), "[board.1]\ndevice = 'x'").unwrap();
    let nowhere = format!("unix:path={}/none", folder.path().display());
    let output =
        Command::new(BOARD).args(["--bus", &nowhere, "--config"]).arg(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("connecting to the bus"));
}

#[test]
fn the_supervisor_hears_that_it_is_ready_and_then_its_watchdog() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("voltry.toml"), "[board.1]\ndevice = 'x'").unwrap();
    let supervisor = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    supervisor.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let bus = Bus::start();
    let _board = Process(
        Command::new(BOARD)
            .arg("--config")
            .arg(folder.path())
            .env("DBUS_SYSTEM_BUS_ADDRESS", &bus.address)
            .env("NOTIFY_SOCKET", folder.path().join("notify"))
            .env("WATCHDOG_USEC", "400000")
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let heard = || {
        let mut text = [0; 64];
        let length = supervisor.recv(&mut text).expect("the daemon speaks to its supervisor");
        // Assignments, each on a line (sd_notify(3)).
        String::from_utf8_lossy(&text[..length]).trim_end().to_owned()
    };
    assert_eq!(heard(), "READY=1");
    assert_eq!(heard(), "WATCHDOG=1");
    assert_eq!(heard(), "WATCHDOG=1");
}
