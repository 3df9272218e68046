//! From the plug to current, with the fastest peer: how much of that time is ours.
//!
//! A whole simulated station; its vehicle's conversation is held by a second process of this
//! program ([`drive`]), which asks at once whatever is next and notes when each step began and
//! ended: from its first request in to its last response out, all "ongoing" rounds between. What
//! the modules and the insulation test take is apart. The bus says how long that was:
//!
//! - CableCheck: from the test voltage commanded to both sides measured below 60 V again;
//! - PreCharge: from its voltage commanded to the cable measured near the battery's;
//! - the charge loop: from its first set-point to current measured.
//!
//! Of the matching (SLAC) the station's share is what passes from the last frame of the vehicle, or of the
//! station's modem, to each answer, as the simulated cable saw it.
//!
//! A measurement counts from when it was asked for: what passes until it is used is ours.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use voltry_bus as bus;
use voltry_service::clock;
use zbus::Message;

use crate::certificates;
use crate::report::Report;
use crate::station::{Station, monitor};
use crate::vehicle::{PRE_CHARGED_V, Protocol, Step, Vehicle};

/// Below this a side counts as without voltage.
const SAFE_V: f64 = 60.0;
/// Current flows from this on, amperes: above the 2 A that PreCharge may give.
const FLOWS_A: f64 = 5.0;
/// The whole way, with all that is apart.
const PATIENCE: Duration = Duration::from_secs(60);

/// When a part of the way began and ended, microseconds of `CLOCK_BOOTTIME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Span {
    begin: u64,
    end: u64,
}

/// The vehicle's notes: its battery's volts, and the parts of the way in their order.
#[derive(Debug, Serialize, Deserialize)]
struct Journey {
    battery: f64,
    /// How long the matching took, and how much of that the station took to answer; microseconds.
    matching: [u64; 2],
    discovery: Span,
    /// As [`Step::TO_CHARGING`].
    steps: Vec<Span>,
    current: Span,
}

/// A vehicle for the simulator's inlet: charges behind `NETWORK_INTERFACE`, writes its notes once
/// current flows, and charges on until it is ended.
pub(crate) async fn drive(
    protocol: Protocol,
    notes: &Path,
    certificates: Option<&Path>,
) -> anyhow::Result<()> {
    let interface = std::env::var("NETWORK_INTERFACE").context("who starts it names the interface")?;
    let battery: f64 = std::env::var("VOLTRY_BATTERY_VOLTAGE")?.parse()?;
    let micros = |name| -> anyhow::Result<u64> { Ok(std::env::var(name).context(name)?.parse()?) };
    let matching = [micros("VOLTRY_MATCHING_US")?, micros("VOLTRY_MATCHING_STATION_US")?];
    let tls = certificates.map(certificates::vehicle).transpose()?;
    let begin = clock::now().as_micros();
    let mut vehicle = Vehicle::connected(&interface, protocol, battery, tls.as_ref()).await?;
    let discovery = since(begin);
    let mut steps = Vec::new();
    for step in Step::TO_CHARGING {
        match step {
            Step::CableCheck => println!("s2 closed"),
            Step::PowerDelivery => println!("contactors closed"),
            Step::SessionSetup | Step::Selection | Step::Parameters | Step::PreCharge | Step::Demand => {}
        }
        let begin = clock::now().as_micros();
        vehicle.take(step).await?;
        steps.push(since(begin));
    }
    let begin = clock::now().as_micros();
    while vehicle.take(Step::Demand).await?.current.is_none_or(|current| current < FLOWS_A) {
        tokio::time::sleep(Duration::from_millis(17)).await;
    }
    let journey = Journey { battery, matching, discovery, steps, current: since(begin) };
    let new = notes.with_extension("new");
    std::fs::write(&new, serde_json::to_vec(&journey)?)?;
    std::fs::rename(new, notes)?;
    loop {
        vehicle.take(Step::Demand).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn since(begin: u64) -> Span {
    Span { begin, end: clock::now().as_micros() }
}

pub(crate) async fn measure(report: &mut Report, runs: u32) -> anyhow::Result<()> {
    let mut worst: Option<Shares> = None;
    for protocol in [Protocol::Iso2, Protocol::Iso20, Protocol::Din] {
        let mut slowest: Option<Shares> = None;
        for _ in 0..runs {
            let shares = one(protocol).await.with_context(|| format!("{protocol:?}"))?;
            if slowest.as_ref().is_none_or(|slowest| slowest.total() < shares.total()) {
                slowest = Some(shares);
            }
        }
        let Some(shares) = slowest else { continue };
        report.add(format!("plug_to_current_share_{}_ms", protocol.configured()), shares.total());
        if worst.as_ref().is_none_or(|worst| worst.total() < shares.total()) {
            worst = Some(shares);
        }
    }
    let worst = worst.context("at least one run")?;
    for (phase, share) in &worst.ours {
        report.add(format!("plug_to_current_{phase}_ms"), *share);
    }
    report.add("plug_to_current_share_ms", worst.total());
    report.add("plug_to_current_apart_ms", worst.apart);
    report.note(format!(
        "plug to current: the slowest of {runs} runs each, idle, over TCP, in ISO 15118-20 over mutual TLS 1.3; the \
         phases are those of the slowest protocol; apart: insulation test, module ramps, and of the matching what the \
         vehicle and the modems take"
    ));
    Ok(())
}

/// Our share of each phase, and what is apart; milliseconds.
#[derive(Debug)]
struct Shares {
    ours: Vec<(&'static str, f64)>,
    apart: f64,
}

impl Shares {
    fn total(&self) -> f64 {
        self.ours.iter().map(|(_, share)| share).sum()
    }
}

async fn one(protocol: Protocol) -> anyhow::Result<Shares> {
    let folder = tempfile::tempdir()?;
    let notes = folder.path().join("journey.json");
    let own = std::env::current_exe()?;
    let (shown, keys) = match protocol.certificates(folder.path())? {
        None => (String::new(), String::new()),
        Some((_, keys)) => {
            (format!(", \"--certificates\", {:?}", folder.path()), format!("[config.secc.1.tls]\n{keys}"))
        }
    };
    let topology = format!(
        "[config.secc.1]\nprotocols = [{:?}]\n{keys}[[evse]]\nvehicle = {{ capacity_wh = 60000.0, program = \
         [{own:?}, \"--drive\", \"{}\", \"--notes\", {notes:?}{shown}] }}\n",
        protocol.configured(),
        protocol.name()
    );
    let (mut station, _) = Station::of(&topology).await?;
    let mut messages = monitor(&station, &RULES).await?;
    let mut told = Told::default();
    let plugged = clock::now().as_micros();
    station.plug().await?;
    let charged = tokio::time::timeout(PATIENCE, async {
        loop {
            told.hear(&messages.next().await.context("the bus ended")??)?;
            // What was measured on the way may come after the notes.
            if notes.exists() {
                let journey: Journey = serde_json::from_slice(&std::fs::read(&notes)?)?;
                if told.output.last().is_some_and(|(at, ..)| *at > journey.current.end) {
                    return anyhow::Ok(journey);
                }
            }
        }
    });
    let journey = charged.await.context("no current flows")??;
    station.quit().await?;
    told.shares(plugged, &journey)
}

const RULES: [&str; 3] = [
    "type='signal',interface='org.voltry.PowerSupply1',member='Output'",
    "type='signal',interface='org.voltry.VoltageMonitor1',member='Voltage'",
    "type='method_call',interface='org.voltry.PowerSupply1',member='SetOutput'",
];

/// What the bus told.
#[derive(Debug, Default)]
struct Told {
    /// Set-points: when sent, volts, amperes.
    set: Vec<(u64, f64, f64)>,
    /// The supply's output: when measured, volts, amperes.
    output: Vec<(u64, f64, f64)>,
    /// The cable's voltage: when measured, volts.
    cable: Vec<(u64, f64)>,
}

impl Told {
    fn hear(&mut self, message: &Message) -> anyhow::Result<()> {
        let header = message.header();
        let body = message.body();
        match header.member().map(zbus::names::MemberName::as_str).unwrap_or_default() {
            "Output" => {
                let output: bus::DcOutput = body.deserialize()?;
                self.output.push((output.at, output.voltage, output.current));
            }
            "Voltage" => {
                let reading: bus::VoltageReading = body.deserialize()?;
                self.cable.push((reading.at, reading.voltage));
            }
            "SetOutput" => {
                let (_, _, sent_at, voltage, current): (u64, u64, u64, f64, f64) = body.deserialize()?;
                self.set.push((sent_at, voltage, current));
            }
            _ => {}
        }
        Ok(())
    }

    fn shares(&self, plugged: u64, journey: &Journey) -> anyhow::Result<Shares> {
        let [setup, selection, parameters, cable_check, pre_charge, power_delivery] = journey.steps[..]
        else {
            bail!("{} steps", journey.steps.len());
        };
        let test = self.first_set(cable_check)?;
        let tested = [
            past(&self.output, test, |(at, volts, _)| (at, volts >= SAFE_V))?,
            past(&self.cable, test, |(at, volts)| (at, volts >= SAFE_V))?,
        ];
        let near = |volts: f64| (volts - journey.battery).abs() < PRE_CHARGED_V;
        let ramp = self.first_set(pre_charge)?;
        let met = first(&self.cable, ramp, |(at, volts)| (at, near(volts)))?;
        let rise = self.first_set(journey.current)?;
        let flows = first(&self.output, rise, |(at, _, amps)| (at, amps >= FLOWS_A))?;
        let apart = [
            (cable_check, Span { begin: test, end: tested[0].max(tested[1]) }),
            (pre_charge, Span { begin: ramp, end: met }),
            (journey.current, Span { begin: rise, end: flows }),
        ];
        let all = [
            ("plugged", Span { begin: plugged, end: journey.discovery.begin }),
            ("discovery", journey.discovery),
            ("session_setup", setup),
            ("selection", selection),
            ("parameters", parameters),
            ("cable_check", cable_check),
            ("pre_charge", pre_charge),
            ("power_delivery", power_delivery),
            ("charge_loop", journey.current),
        ];
        let apart_of = |whole: Span| {
            let within = apart.iter().filter(|(phase, _)| *phase == whole);
            within.map(|(_, apart)| apart.milliseconds()).sum::<f64>()
        };
        let mut ours = all.map(|(name, whole)| (name, whole.milliseconds() - apart_of(whole))).to_vec();
        let [matching, station] = journey.matching.map(|end| Span { begin: 0, end }.milliseconds());
        ours[0].1 -= matching;
        ours.insert(1, ("matching", station));
        let apart: f64 = apart.iter().map(|(_, span)| span.milliseconds()).sum();
        Ok(Shares { ours, apart: apart + matching - station })
    }

    /// When the first set-point of a phase was sent that gives anything.
    fn first_set(&self, phase: Span) -> anyhow::Result<u64> {
        let mut sets = self.set.iter().filter(|(at, ..)| (phase.begin..=phase.end).contains(at));
        let set = sets.find(|(_, voltage, current)| *voltage > 0.0 && *current > 0.0);
        set.map(|(at, ..)| *at).with_context(|| format!("no set-point in {phase:?}: {:?}", self.set))
    }
}

impl Span {
    fn milliseconds(self) -> f64 {
        Duration::from_micros(self.end.saturating_sub(self.begin)).as_secs_f64() * 1e3
    }
}

/// When the first reading after `begin` that is so was taken.
fn first<R: Copy>(readings: &[R], begin: u64, is_so: impl Fn(R) -> (u64, bool)) -> anyhow::Result<u64> {
    let found = readings.iter().map(|reading| is_so(*reading)).find(|(at, so)| *at >= begin && *so);
    found.map(|(at, _)| at).context("no such reading")
}

/// When the first reading was taken that is not so, after the first after `begin` that was.
fn past<R: Copy>(readings: &[R], begin: u64, is_so: impl Fn(R) -> (u64, bool)) -> anyhow::Result<u64> {
    let since = first(readings, begin, &is_so)?;
    first(readings, since, |reading| {
        let (at, so) = is_so(reading);
        (at, !so)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_modules_take_is_no_share_of_ours() {
        let ms = |ms: u64| ms * 1000;
        let span = |begin, end| Span { begin: ms(begin), end: ms(end) };
        let journey = Journey {
            battery: 350.0,
            matching: [ms(100), ms(40)],
            discovery: span(150, 160),
            steps: vec![
                span(160, 165),
                span(165, 175),
                span(175, 200),
                span(200, 5300),
                span(5300, 5700),
                span(5700, 5720),
            ],
            current: span(5720, 5900),
        };
        let told = Told {
            set: vec![(ms(300), 460.0, 2.0), (ms(5350), 350.0, 2.0), (ms(5800), 405.0, 10.0)],
            output: vec![
                (ms(250), 0.0, 0.0),
                (ms(400), 460.0, 0.0),
                (ms(5200), 59.0, 0.0),
                (ms(5650), 345.0, 0.0),
                (ms(5850), 350.0, 5.0),
            ],
            cable: vec![(ms(400), 460.0), (ms(5100), 61.0), (ms(5250), 55.0), (ms(5600), 345.0)],
        };
        let shares = told.shares(ms(20), &journey).unwrap_or_else(|error| panic!("{error:#}"));
        let names = |name| shares.ours.iter().find(|(known, _)| *known == name).map(|(_, share)| *share);
        assert_eq!(names("plugged"), Some(30.0));
        assert_eq!(names("matching"), Some(40.0));
        assert_eq!(names("cable_check"), Some(100.0 + 50.0), "to the set-point, and from 55 V");
        assert_eq!(names("pre_charge"), Some(50.0 + 100.0));
        assert_eq!(names("charge_loop"), Some(80.0 + 50.0));
        assert!((shares.total() + shares.apart - 5880.0).abs() < 1e-6, "nothing is lost: {shares:?}");

        let untested = Told { set: Vec::new(), ..told };
        assert!(untested.shares(ms(20), &journey).is_err());
    }
}
