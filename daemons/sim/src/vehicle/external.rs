//! A vehicle whose conversation is somebody else's program: a foreign EVCC against our station.
//!
//! The program is started once the simulated vehicle is matched (SLAC), where the topology has a
//! powerline; with `matches = true` it is started as soon as the pilot offers digital
//! communication, and does the matching too: on `NETWORK_INTERFACE` a modem of its own takes
//! CM_SET_KEY, other management messages go over the cable, and data crosses once both modems
//! have one key (`powerline/foreign.rs`). It runs in the simulator's network namespace and finds in its environment
//! `NETWORK_INTERFACE` (the vehicle's end of the cable's data link), `VOLTRY_BATTERY_VOLTAGE`
//! (volts) and `VOLTRY_BATTERY_SOC` (percent); where it was matched, `VOLTRY_MATCHING_US` (how long that took,
//! microseconds) and `VOLTRY_MATCHING_STATION_US` (how much of it the station took to answer). With lines on its standard output it switches what
//! a vehicle switches: `s2 closed`, `s2 open`, `contactors closed`, `contactors open`; and with
//! `battery 395.2` it says what voltage its battery has from now on, whatever its charge. With
//! `attenuation 31`, or a number for each of the 58 groups of carriers, it says how weakly the
//! station hears what it sends in its own matching (dB). Other lines are shown in the log. It ends when the session has ended; its exit code is the outcome.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::inlet::Inlet;
use super::{Link, Medium};
use crate::powerline::{Joined, Line, Matching};

/// A line longer than this is no command of ours; the program is ended.
const LINE_MAX: usize = 64 * 1024;

/// Runs `program` for one session; returns how it ended, in words. S2 and the vehicle's contactors
/// are open afterwards. Dropped, it kills the program.
pub(super) async fn charge(
    inlet: &Inlet,
    program: &[String],
    link: &Link,
    joined: Option<&Joined<'_>>,
) -> String {
    let words = match run(inlet, program, link, joined).await {
        Ok(words) => words,
        Err(error) => format!("{}: {error}", program.join(" ")),
    };
    inlet.set_contactors(false);
    inlet.set_s2(false);
    words
}

async fn run(
    inlet: &Inlet,
    program: &[String],
    link: &Link,
    joined: Option<&Joined<'_>>,
) -> std::io::Result<String> {
    let (name, arguments) = program.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
    let matching = joined.map(|Joined { matching: Matching { whole, station }, .. }| {
        [("VOLTRY_MATCHING_US", whole), ("VOLTRY_MATCHING_STATION_US", station)]
            .map(|(name, time)| (name, time.as_micros().to_string()))
    });
    let mut child = Command::new(name)
        .args(arguments)
        .env("NETWORK_INTERFACE", &link.interface)
        .env("VOLTRY_BATTERY_VOLTAGE", format!("{:.1}", inlet.battery_voltage()))
        .env("VOLTRY_BATTERY_SOC", format!("{:.0}", inlet.soc()))
        .envs(matching.into_iter().flatten())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = child.stdout.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    let cable = match &link.medium {
        Medium::OwnMatching(cable) => Some(cable),
        Medium::Ethernet | Medium::Powerline(_) => None,
    };
    while read_line(&mut output, &mut line).await? {
        obey(inlet, cable, String::from_utf8_lossy(&line).trim());
    }
    let status = child.wait().await?;
    Ok(if status.success() { "charged to its target".to_owned() } else { format!("its program: {status}") })
}

/// Reads a line of bounded length into `line`; false at the end.
async fn read_line(
    output: &mut (impl tokio::io::AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> std::io::Result<bool> {
    line.clear();
    loop {
        let buffer = output.fill_buf().await?;
        if buffer.is_empty() {
            return Ok(!line.is_empty());
        }
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let taken = end.map_or(buffer.len(), |end| end + 1);
        line.extend_from_slice(&buffer[..taken]);
        output.consume(taken);
        if end.is_some() {
            return Ok(true);
        }
        if line.len() > LINE_MAX {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
    }
}

fn obey(inlet: &Inlet, cable: Option<&Line>, line: &str) {
    match line {
        "s2 closed" => inlet.set_s2(true),
        "s2 open" => inlet.set_s2(false),
        "contactors closed" => inlet.set_contactors(true),
        "contactors open" => inlet.set_contactors(false),
        other => {
            if let Some(volts) = other.strip_prefix("battery ").and_then(battery_voltage) {
                inlet.set_battery_voltage(volts);
            } else if !attenuated(cable, other) {
                tracing::info!("the vehicle says: {other}");
            }
        }
    }
}

/// Whether the line says how weakly the station hears the vehicle, and there is a cable to be so.
fn attenuated(cable: Option<&Line>, line: &str) -> bool {
    let numbers = line.strip_prefix("attenuation ").map(|text| {
        let each = text.split_whitespace().map(str::parse);
        each.collect::<Result<Vec<u8>, _>>()
    });
    match (cable, numbers) {
        (Some(cable), Some(Ok(db))) => cable.attenuate(&db),
        _ => false,
    }
}

/// Volts that a traction battery may have.
fn battery_voltage(text: &str) -> Option<f64> {
    text.parse().ok().filter(|volts| (0.0..=1500.0).contains(volts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::electrical::{Battery, Circuit, CircuitConfig, PilotLoad, SharedCircuit, Vehicle};

    fn plugged_in() -> Inlet {
        let mut circuit = Circuit::new(CircuitConfig::of_modules(1));
        circuit.plug_in(Vehicle::new(Battery::of_400_v(2000.0, 0.5)));
        Inlet(SharedCircuit::new(circuit))
    }

    #[test]
    fn the_programs_lines_switch_s2_and_the_contactors() {
        let inlet = plugged_in();
        let vehicle = |inlet: &Inlet| inlet.0.with(|circuit| circuit.vehicle().cloned()).unwrap();
        obey(&inlet, None, "s2 closed");
        obey(&inlet, None, "contactors closed");
        assert_eq!((vehicle(&inlet).pilot_load, vehicle(&inlet).contactors_closed), (PilotLoad::C, true));
        obey(&inlet, None, "s2 sesame");
        obey(&inlet, None, "contactors open");
        assert_eq!((vehicle(&inlet).pilot_load, vehicle(&inlet).contactors_closed), (PilotLoad::C, false));
    }

    #[test]
    fn the_battery_has_the_voltage_that_the_program_names() {
        let inlet = plugged_in();
        obey(&inlet, None, "battery 395.2");
        assert!((inlet.battery_voltage() - 395.2).abs() < 1e-9);
        for nonsense in ["battery NaN", "battery -1", "battery 9999", "battery", "battery flat"] {
            obey(&inlet, None, nonsense);
            assert!((inlet.battery_voltage() - 395.2).abs() < 1e-9, "{nonsense}");
        }
    }

    #[tokio::test]
    async fn a_program_that_ends_leaves_the_vehicle_open_whatever_it_switched() {
        let inlet = plugged_in();
        let script = "echo s2 closed; echo contactors closed; exit 3";
        let program = ["sh", "-c", script].map(str::to_owned);
        let link = Link { interface: "ev1".to_owned(), evcc_id: [2; 6], medium: Medium::Ethernet };
        let words = charge(&inlet, &program, &link, None).await;
        assert!(words.contains('3'), "{words}");
        let vehicle = inlet.0.with(|circuit| circuit.vehicle().cloned()).unwrap();
        assert_eq!((vehicle.pilot_load, vehicle.contactors_closed), (PilotLoad::B, false));
    }
}
