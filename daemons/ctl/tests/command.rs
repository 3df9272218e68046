//! The command as a script uses it: exit codes, JSON, and what it says when nobody answers. The
//! station behind it is one of this test, on a private bus.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

#[path = "command/devices.rs"]
mod devices;
#[path = "command/setup.rs"]
mod setup;
#[path = "command/updates.rs"]
mod updates;

use crate::{private_bus, station};

use std::process::Stdio;
use std::time::{Duration, Instant};

use private_bus::Bus;
use serde_json::Value;
use station::{VEHICLE, serve};
use voltry_bus::names;
use voltry_service::FaultLog;
use voltry_units::Timestamp;
use zbus::Connection;

/// Runs `voltryctl`, with the arguments parted by spaces.
async fn on(bus: &Bus, arguments: &str) -> Said {
    ctl(&bus.address, arguments).await
}

/// How a command ended, and what it said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
    took: Duration,
}

impl Said {
    fn json(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "one line of JSON: {self:?}");
        serde_json::from_str(&self.out).unwrap()
    }
}

async fn ctl(bus: &str, arguments: &str) -> Said {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_voltryctl"));
    said(command.args(arguments.split_whitespace()).env("VOLTRY_BUS", bus)).await
}

async fn said(command: &mut tokio::process::Command) -> Said {
    let begin = Instant::now();
    let output = command.kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(30), output).await.expect("it ends").unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
        took: begin.elapsed(),
    }
}

fn keys(value: &Value, found: &mut Vec<String>) {
    if let Some(object) = value.as_object() {
        for (key, value) in object {
            found.push(key.clone());
            keys(value, found);
        }
    }
    value.as_array().into_iter().flatten().for_each(|value| keys(value, found));
}

#[tokio::test]
async fn every_key_of_json_is_explained_by_help() {
    let bus = Bus::start();
    let served = serve(&bus).await;
    let mut log = FaultLog::new();
    log.raise("DiodeFault", "no diode", Timestamp::from_micros(1));
    served.device.set_faults(&log);
    let _updates = updates::serve(&bus).await;
    for (arguments, help, wanted) in [
        ("status", "status", vec!["/0/evse", "/0/state", "/0/soc", "/0/faults/0/code"]),
        ("status 1", "status", vec!["/0/energy", "/0/connector/reservation", "/0/power", "/0/vehicle"]),
        ("ocpp status", "ocpp status", vec!["/state", "/waiting", "/acknowledged"]),
        ("sessions list", "sessions list", vec!["/0/id", "/0/energy", "/0/end_reason"]),
        ("sessions show 17", "sessions show", vec!["/transaction/id", "/events/0/kind"]),
        ("sessions show 17 --v2g", "v2g show", vec!["/conversation/began", "/messages/0/name"]),
        ("authorize GOOD --evse 1", "authorize", vec!["/evse", "/outcome", "/detail"]),
        ("devices", "devices", vec!["/0/object", "/0/online", "/0/powerline/vehicle", "/4/faults/0/cause"]),
        ("faults list", "devices", vec!["/0/object", "/0/faults/0/code"]),
        ("faults clear 1", "faults clear", vec!["/0/code", "/0/cause", "/0/at"]),
        (
            "modules",
            "modules",
            vec!["/0/bus", "/0/address", "/0/alarms", "/0/share", "/0/hours", "/0/evse", "/0/place"],
        ),
        ("v2g list", "v2g list", vec!["/0/evse", "/0/began", "/0/ended"]),
        ("v2g show 1", "v2g show", vec!["/conversation/began", "/messages/0/name"]),
        ("selftest 3 --yes", "selftest", vec!["/0/check", "/5/outcome", "/0/seen"]),
        ("faults show DiodeFault", "faults show", vec!["/means", "/causes/0", "/measure/0", "/clears"]),
        ("sim fault list", "sim fault list", vec!["/0/name", "/0/breaks", "/0/seen"]),
        ("sim swipe GOOD", "sim swipe", vec!["/outcome"]),
        ("sim truth", "sim truth", vec!["/contactors_closed", "/register"]),
        ("update status", "update status", vec!["/version", "/verdict", "/slots/1/booted"]),
    ] {
        let json = on(&bus, &format!("--json {arguments}")).await.json();
        for pointer in wanted {
            assert!(json.pointer(pointer).is_some(), "{arguments} has no {pointer}: {json}");
        }
        let said = on(&bus, &format!("{help} --help")).await.out;
        let words: Vec<&str> = said.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let mut told = Vec::new();
        keys(&json, &mut told);
        for key in told {
            // `sessions show` refers to the list for its transaction.
            let referred = help == "sessions show" && json["transaction"].get(&key).is_some();
            assert!(referred || words.contains(&key.as_str()), "`{help} --help` does not explain {key}");
        }
    }
}

#[tokio::test]
async fn exit_codes_are_as_help_says() {
    let bus = Bus::start();
    let served = serve(&bus).await;
    let _updates = updates::serve(&bus).await;
    for (arguments, code, said) in [
        ("status", 0, "charging"),
        ("status 9", 1, "there is no EVSE 9"),
        ("status x", 2, "invalid value 'x'"),
        ("stop 1", 0, "is being ended"),
        ("stop 9", 1, "there is no EVSE 9"),
        ("stop 2", 3, "EVSE 2 does not answer"),
        ("faults clear 2", 3, "EVSE 2 does not answer"),
        ("stop", 2, "<EVSE>"),
        ("available 1 --no", 0, "out of service"),
        ("available 9", 1, "there is no EVSE 9"),
        ("authorize GOOD --evse 1", 0, "granted"),
        ("authorize BAD --evse 1", 1, "refused: the back end says it is expired"),
        ("sessions show 17", 0, "1.204 kWh"),
        ("sessions show 18", 1, "no transaction 18"),
        ("sessions list -n 0", 2, "1..=1000"),
        ("faults list", 0, "no faults"),
        ("faults clear 1", 4, "stays: DiodeFault"),
        ("faults show diodefault", 0, "Likely causes"),
        ("faults show MREC14", 0, "MREC14PilotFault"),
        ("faults show Diode", 1, "is it one of DiodeFault"),
        ("selftest 1", 1, "a transaction runs"),
        ("selftest 9", 1, "there is no EVSE 9"),
        ("selftest 3 --only lock", 0, "skipped: saw lock"),
        ("selftest 3 --only modules", 4, "not agreed to"),
        ("selftest 3 --yes", 4, "failed: saw modules"),
        ("selftest 3 --load 400,20", 4, "not agreed to"),
        ("selftest 3 --load 400,20 --yes", 0, "the power modules deliver 20 A, at 400 V at most"),
        ("selftest 3 --load 400,20 --yes", 0, "passed: saw 20 A at 400 V"),
        ("selftest 3 --load 400 --yes", 2, "VOLTS,AMPERES"),
        ("selftest 3 --load 400,20 --only lock", 2, "cannot be used with"),
        ("selftest 3 --only nonsense", 2, "nonsense"),
        ("modules identify main 3", 0, "blinks"),
        ("modules identify main 4", 1, "no module 4"),
        ("modules", 0, "never"),
        ("modules", 0, "EVSE 2, serving"),
        ("ocpp status", 4, "refused by the back end"),
        ("ocpp", 2, "subcommand"),
        ("sim plug 1", 0, ""),
        ("update status", 4, "fell-back: EVSE 1 does not work"),
        ("update restart", 0, "starts anew"),
        ("update", 2, "<FILE>"),
        ("update /nonexistent", 1, "/nonexistent"),
        ("sim plug 9", 1, "there is no EVSE 9"),
        ("config check --config /nonexistent", 4, "/nonexistent"),
        ("nonsense", 2, "unrecognized subcommand"),
        ("", 2, "requires a subcommand"),
        ("--help", 0, "EXIT CODES"),
        ("completions bash", 0, "_voltryctl"),
        ("completions zsh", 0, "#compdef voltryctl"),
        ("completions fish", 0, "complete -c voltryctl"),
    ] {
        let ended = on(&bus, arguments).await;
        assert_eq!(ended.code, Some(code), "{arguments}: {ended:?}");
        let (heard, other) =
            if code == 0 || code == 4 { (&ended.out, &ended.err) } else { (&ended.err, &ended.out) };
        assert!(heard.contains(said), "{arguments} does not say {said:?}: {ended:?}");
        assert_eq!(other, "", "{arguments}");
    }
    let mut log = FaultLog::new();
    log.raise("DiodeFault", "no diode", Timestamp::from_micros(1));
    served.device.set_faults(&log);
    let faults = on(&bus, "faults list").await;
    assert!(faults.code == Some(4) && faults.out.contains("DiodeFault"), "{faults:?}");
}

#[tokio::test]
async fn an_update_tells_how_far_it_is_and_what_came_of_it() {
    let bus = Bus::start();
    let _updates = updates::serve(&bus).await;
    let folder = tempfile::tempdir().unwrap();
    for (bundle, arguments, code, said) in [
        ("good", "", 0, "40 %\ninstalled; it runs after"),
        ("good", "--restart", 0, "the machine starts anew"),
        ("good", "--json", 0, "{\"progress\":40}\n{\"detail\":\"\",\"outcome\":\"restart-needed\"}\n"),
        ("tampered", "", 1, "not installed (invalid): signature verification failed"),
        ("tampered", "--json", 1, "\"outcome\":\"invalid\""),
        ("other", "", 1, "somebody charges at EVSE 1"),
    ] {
        let file = folder.path().join(bundle);
        std::fs::write(&file, "").unwrap();
        let ended = on(&bus, &format!("update {} {arguments}", file.display())).await;
        assert_eq!(ended.code, Some(code), "{bundle} {arguments}: {ended:?}");
        assert!(format!("{}{}", ended.out, ended.err).contains(said), "{bundle} {arguments}: {ended:?}");
    }
}

#[tokio::test]
async fn a_command_that_only_acts_prints_no_json() {
    let bus = Bus::start();
    let _served = serve(&bus).await;
    for arguments in ["stop 1", "available 1", "sim plug 1", "modules identify main 3"] {
        let ended = on(&bus, &format!("--json {arguments}")).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""), "{arguments}");
    }
}

#[tokio::test]
async fn a_station_that_is_away_is_told_at_once() {
    let bus = Bus::start();
    let nowhere = "unix:path=/nonexistent/bus";
    for (address, arguments, said) in [
        (nowhere, "status", "no bus"),
        ("rubbish", "status", "no bus"),
        (bus.address.as_str(), "status", "org.voltry.Station1 is not on the bus"),
        (bus.address.as_str(), "sessions list", "org.voltry.Station1 is not on the bus"),
        (bus.address.as_str(), "stop 1", "org.voltry.Station1 is not on the bus"),
        (bus.address.as_str(), "devices", "no device is on the bus"),
        (bus.address.as_str(), "faults list", "no device is on the bus"),
        (bus.address.as_str(), "modules", "no power supply is on the bus"),
        (bus.address.as_str(), "update status", "org.voltry.Update1 is not on the bus"),
        (bus.address.as_str(), "sim plug", "this is no simulated station"),
    ] {
        let ended = ctl(address, arguments).await;
        assert!(ended.code == Some(3) && ended.err.contains(said) && ended.out.is_empty(), "{ended:?}");
        assert!(ended.took < Duration::from_secs(3), "{arguments} took {:?}", ended.took);
    }
}

/// A daemon that is on the bus, and hangs.
async fn hung(bus: &Bus, name: &str) -> Connection {
    // No object server: nobody answers, not even with an error.
    let connection = bus.connect().await;
    connection.request_name(name).await.unwrap();
    connection
}

#[tokio::test]
async fn a_station_that_hangs_is_told_in_seconds() {
    let bus = Bus::start();
    let _hung = hung(&bus, names::STATION).await;
    let ended = on(&bus, "status").await;
    assert!(ended.code == Some(3) && ended.err.contains("hangs"), "{ended:?}");
    assert!(ended.took < Duration::from_secs(10), "{:?}", ended.took);
}

#[tokio::test]
async fn one_daemon_that_hangs_hides_no_other() {
    let bus = Bus::start();
    let _served = serve(&bus).await;
    let _hung = [hung(&bus, names::BOARD).await, hung(&bus, "org.voltry.Meter.Dc1").await];
    let held = async |arguments, shown: &str| {
        let ended = on(&bus, arguments).await;
        assert!(ended.code == Some(3) && ended.out.contains(shown), "{ended:?}");
        assert!(ended.err.contains("org.voltry.Board1, org.voltry.Meter.Dc1 does not answer"), "{ended:?}");
        assert!(ended.took < Duration::from_secs(10), "one after the other: {:?}", ended.took);
    };
    tokio::join!(held("devices", "power_supply/1"), held("faults list", "no faults of those that answer"));
}

#[tokio::test]
async fn watching_outlives_the_station_and_not_the_bus() {
    let mut bus = Bus::start();
    let served = serve(&bus).await;
    let mut watch = tokio::process::Command::new(env!("CARGO_BIN_EXE_voltryctl"))
        .args(["--json", "status", "--watch"])
        .env("VOLTRY_BUS", &bus.address)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut out = lines(watch.stdout.take().unwrap());
    let mut err = lines(watch.stderr.take().unwrap());
    assert!(next(&mut out).await.starts_with('['));
    drop(served);
    assert!(next(&mut err).await.contains("org.voltry.Station1 is not on the bus"));
    let _again = serve(&bus).await;
    while !next(&mut out).await.starts_with("[{\"evse\":1") {}
    bus.kill();
    let status = tokio::time::timeout(Duration::from_secs(10), watch.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(3));
}

type Lines<T> = tokio::io::Lines<tokio::io::BufReader<T>>;

fn lines<T: tokio::io::AsyncRead>(from: T) -> Lines<T> {
    tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(from))
}

async fn next<T: tokio::io::AsyncRead + Unpin>(lines: &mut Lines<T>) -> String {
    let line = tokio::time::timeout(Duration::from_secs(20), lines.next_line());
    line.await.expect("a line").unwrap().expect("it goes on")
}

#[tokio::test]
async fn a_program_that_is_no_daemon_does_not_hold_up_a_check() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("voltry.toml"), "").unwrap();
    let program = folder.path().join("voltry-hangs");
    std::fs::write(&program, "#!/bin/sh\nexec sleep 600\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).unwrap();
    let path = folder.path().display();
    let ended = ctl("", &format!("config check --config {path} --daemons {path}")).await;
    assert!(ended.code == Some(4) && ended.out.contains("voltry-hangs does not answer"), "{ended:?}");
    assert!(ended.took < Duration::from_secs(10), "{:?}", ended.took);
}

#[tokio::test]
async fn man_pages_tell_exit_codes_and_json() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(ctl("", &format!("man {}", folder.path().display())).await.code, Some(0));
    let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(page("voltryctl.1").contains("EXIT CODES"));
    assert!(page("voltryctl-faults-list.1").contains("Exit code 4"));
    assert!(page("voltryctl-status.1").contains("JSON"));
}

#[tokio::test]
async fn a_support_bundle_has_what_there_is_tells_what_there_is_not_and_no_secret() {
    let (bus, folder) = (Bus::start(), tempfile::tempdir().unwrap());
    let (file, config) = (folder.path().join("bundle.tar"), folder.path().join("voltry.toml"));
    let written = "[station]\nname = \"Harbour\"\ntokens = [\"04A1B2C3\"]\n\
                   [evse.1]\nconnector_io = { name = \"org.voltry.Board1\", path = \"/org/voltry/connector/1\" }\n";
    std::fs::write(&config, written).unwrap();
    let bundle = format!("support-bundle {} --config {}", file.display(), config.display());
    let read = |name: &str| {
        let tar = std::process::Command::new("tar").arg("-xOf").arg(&file).arg(name).output().unwrap();
        assert!(tar.status.success(), "no {name}: {tar:?}");
        String::from_utf8(tar.stdout).unwrap()
    };
    let alone = on(&bus, &bundle).await;
    assert_eq!(alone.code, Some(0), "{alone:?}");
    assert!(read("missing.txt").contains("status.json: org.voltry.Station1 is not on the bus"), "{alone:?}");
    let _station = serve(&bus).await;
    let whole = on(&bus, &bundle).await;
    assert_eq!(whole.code, Some(0), "{whole:?}");
    assert!(read("status.json").contains("\"DiodeFault\"") && read("transactions.json").contains("1204"));
    assert!(read("configuration.txt").contains("Harbour") && read("about.txt").contains("voltryctl"));
    // This station keeps no recordings.
    assert!(read("missing.txt").contains("sessions.json") && whole.err.contains("left out: sessions.json"));
    assert!(read("missing.txt").contains("devices.json: org.voltry.Board1 does not answer"), "{whole:?}");
    let devices = read("devices.json");
    assert!(devices.contains("…54:01"), "{devices}");
    let all = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
    assert!(!all.contains("04A1B2C3") && !all.contains(VEHICLE));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "read by its owner alone");
}
