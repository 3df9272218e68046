//! The daemon as it runs: on a private bus, with a player for each role under a name of its own.
//!
//! The plant is that of the energy path's tests, in real time. A deadline of the design is
//! asserted with [`SLACK`], and printed beside what was measured: the deadlines themselves are
//! decided, and asserted without slack, in virtual time.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

mod plant;
mod rig;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use plant::player::{self, permit};
use rig::{Rig, name};
use voltry_bus::{self as bus, Authorization, Error, EvseState, LinkPhase, contract};
use voltry_evse::energy_path::Role;
use voltry_service::clock;
use zbus::fdo::IntrospectableProxy;

const MS: fn(u64) -> Duration = Duration::from_millis;

#[tokio::test]
async fn what_it_serves_is_the_contract() {
    let rig = Rig::start().await;
    let served = IntrospectableProxy::builder(&rig.connection)
        .destination(rig::NAME)
        .path(rig::PATH)
        .build()
        .await
        .unwrap();
    let xml = served.introspect().await.unwrap();
    assert_eq!(
        contract::check_served(&xml, &["org.voltry.Evse1", "org.voltry.SelfTest1", "org.voltry.Device1"]),
        Ok(())
    );
}

#[tokio::test]
async fn it_charges_a_vehicle_and_tells_what_flows() {
    let mut rig = Rig::charging().await;
    rig.station.stop("enough").await.unwrap();
    rig.until(EvseState::Finished).await;
    let session = rig.station.session().await.unwrap();
    assert_eq!((session.end_reason.as_str(), session.protocol.as_str()), ("enough", "ISO 15118-2:2014"));
    assert!(session.energised_at > session.plugged_at && session.ended_at > session.energised_at);
    // Only now: signals that nobody takes would stop all answers on this connection after 64.
    let mut live = rig.station.receive_live().await.unwrap();
    let told = rig::soon(futures_util::StreamExt::next(&mut live)).await.unwrap();
    assert!(told.args().unwrap().live.energy > 0.0);
    rig.player.vehicle.unplug();
    rig.until(EvseState::Available).await;
    assert_eq!(rig.faults().await, []);
}

#[tokio::test]
async fn a_supply_that_can_give_more_or_less_while_it_charges_is_told_of_at_once() {
    let mut rig = Rig::charging().await;
    let session = rig.station.session().await.unwrap();
    for power_max in [120_000.0, 30_000.0] {
        rig.player.capability.power_max = power_max;
        let capability = rig.player.capability;
        rig.player.changed(Role::PowerSupply, "Capability", capability.into()).await.unwrap();
        let begin = Instant::now();
        while rig.station.capability().await.unwrap().power_max.total_cmp(&power_max).is_ne() {
            assert!(begin.elapsed() < Duration::from_secs(20), "{power_max} W: never told\n{}", rig.log());
            rig.step().await;
        }
    }
    assert_eq!(rig.station.session().await, Ok(session), "nothing else was to be told");
}

/// A provider that leaves while it charges: safe in its time, and for that reason.
async fn leaves(role: Role, fault: &str) {
    let mut rig = Rig::charging().await;
    let late = rig.player.leave(role).unwrap();
    late.close().await.unwrap();
    rig.is_off_within(MS(1_300), fault).await;
    assert_eq!(rig.faults().await[0].code, fault);
    // Whoever takes its place starts anew, and the EVSE with it.
    rig.play_role(role).await;
    rig.recovers().await;
}

#[tokio::test]
async fn a_power_supply_that_leaves_ends_the_session() {
    leaves(Role::PowerSupply, "MREC15PowerLoss").await;
}

#[tokio::test]
async fn a_voltage_monitor_that_leaves_ends_the_session() {
    leaves(Role::VoltageMonitor, "VoltageMonitorMissing").await;
}

#[tokio::test]
async fn an_over_voltage_monitor_that_leaves_ends_the_session() {
    leaves(Role::OverVoltageMonitor, "OverVoltageMonitorMissing").await;
}

#[tokio::test]
async fn an_over_voltage_monitor_is_armed_for_the_vehicles_class_and_its_trip_is_told() {
    let mut rig = Rig::charging().await;
    let guard = &rig.player.devices.guard;
    assert_eq!((guard.armed, guard.limit.as_si()), (true, 550.0), "a vehicle of 450 V");
    rig.player.devices.guard.peak = 600.0;
    rig.until(EvseState::Faulted).await;
    let faults = rig.faults().await;
    assert_eq!(faults[0].code, "MREC5OverVoltage");
    assert!(faults[0].cause.contains("monitor tripped at 600.0 V, limit 550.0 V"), "{faults:?}");
    rig.player.devices.guard.peak = 0.0;
    rig.recovers().await;
    rig.station.stop("enough").await.unwrap();
    rig.until(EvseState::Finished).await;
    let disarmed = |rig: &Rig| !rig.player.devices.guard.armed;
    rig.until_true(MS(500), "disarmed, since nothing is left to watch", disarmed).await;
}

#[tokio::test]
async fn an_insulation_monitor_that_leaves_ends_the_session() {
    leaves(Role::InsulationMonitor, "InsulationMonitorMissing").await;
}

#[tokio::test]
async fn a_board_that_leaves_ends_the_session() {
    leaves(Role::ConnectorIo, "ConnectorIoMissing").await;
}

#[tokio::test]
async fn a_link_that_leaves_ends_the_session() {
    leaves(Role::EvLink, "EvLinkMissing").await;
}

#[tokio::test]
async fn a_provider_that_is_replaced_is_lost_and_what_the_old_one_still_says_counts_for_nothing() {
    let mut rig = Rig::charging().await;
    let old = rig.player.leave(Role::VoltageMonitor).unwrap();
    old.release_name(name(Role::VoltageMonitor)).await.unwrap();
    rig.play_role(Role::VoltageMonitor).await;
    rig.player.silent.push(Role::VoltageMonitor);
    rig.is_off_within(MS(1_300), "replaced").await;
    assert_eq!(rig.faults().await[0].code, "VoltageMonitorMissing");
    // Only the old one speaks: the EVSE stays without its voltage, cleared or not.
    rig.player.vehicle.unplug();
    for _ in 0..150 {
        rig.step().await;
        let sequence = rig.player.next();
        let reading = bus::VoltageReading { sequence, voltage: 0.0, at: clock::now().as_micros() };
        player::signal(&old, Role::VoltageMonitor, "Voltage", &(reading,)).await.unwrap();
    }
    let remaining = rig.station.clear_faults().await.unwrap();
    assert_eq!(remaining.len(), 1, "{remaining:?}");
    rig.player.silent.clear();
    rig.recovers().await;
}

#[tokio::test]
async fn a_stranger_under_a_bound_path_is_not_heard() {
    let mut rig = Rig::charging().await;
    let stranger = rig.connect().await;
    for _ in 0..100 {
        rig.step().await;
        let (sequence, at) = (rig.player.next() + 1_000_000, clock::now().as_micros());
        let output = bus::DcOutput { sequence, voltage: 900.0, current: 500.0, at };
        player::signal(&stranger, Role::PowerSupply, "Output", &(output,)).await.unwrap();
        let cable = bus::VoltageReading { sequence, voltage: 900.0, at };
        player::signal(&stranger, Role::VoltageMonitor, "Voltage", &(cable,)).await.unwrap();
        let entry = bus::PhaseEntry { counter: sequence, phase: LinkPhase::Stopping, at };
        player::signal(&stranger, Role::EvLink, "PhaseEntered", &(entry,)).await.unwrap();
    }
    assert_eq!(rig.station.state().await, Ok(EvseState::Charging));
    assert_eq!((rig.faults().await, rig.log_lines("input refused")), (vec![], 0));
    // A stranger's live stream does not stand in for one that fell silent.
    rig.player.silent.push(Role::PowerSupply);
    let off = rig.is_off_within(MS(1_700), "MREC15PowerLoss");
    let forged = async {
        let mut tick = tokio::time::interval(MS(50));
        loop {
            tick.tick().await;
            let (sequence, at) = (u64::MAX, clock::now().as_micros());
            let output = bus::DcOutput { sequence, voltage: 400.0, current: 100.0, at };
            player::signal(&stranger, Role::PowerSupply, "Output", &(output,)).await.unwrap();
        }
    };
    tokio::select! { () = off => {}, () = forged => {} }
    assert_eq!(rig.faults().await[0].code, "MREC15PowerLoss");
}

/// What no device can have measured, or not now.
async fn nonsense(rig: &mut Rig) {
    let now = clock::now().as_micros();
    let hour = 3_600_000_000;
    for (value, at) in [
        (f64::NAN, now),
        (f64::INFINITY, now),
        (f64::NEG_INFINITY, now),
        (1e12, now),
        (400.0, now + hour),
        (400.0, u64::MAX),
    ] {
        let sequence = rig.player.next() + 1_000_000;
        let player = &rig.player;
        let output = bus::DcOutput { sequence, voltage: value, current: value, at };
        player.signal(Role::PowerSupply, "Output", &(output,)).await.unwrap();
        let cable = bus::VoltageReading { sequence, voltage: value, at };
        player.signal(Role::VoltageMonitor, "Voltage", &(cable,)).await.unwrap();
    }
    let player = &rig.player;
    for (value, maximum) in [(f64::NAN, 100.0), (-1.0, 100.0), (100.0, f64::INFINITY)] {
        let capability = bus::DcCapability {
            voltage_min: value,
            voltage_max: maximum,
            current_max: maximum,
            power_max: maximum,
        };
        player.changed(Role::PowerSupply, "Capability", capability.into()).await.unwrap();
    }
    let (sequence, at) = (u64::MAX, now);
    for (limit, voltage) in [(f64::NAN, 400.0), (550.0, f64::INFINITY)] {
        let state = bus::OverVoltageState { sequence, armed: false, limit, tripped: true, voltage, at };
        player.signal(Role::OverVoltageMonitor, "State", &(state,)).await.unwrap();
    }
    for resistance in [f64::NAN, f64::INFINITY, -1.0] {
        let reading = bus::InsulationReading { sequence, resistance, valid: true, counter: 1, at };
        player.signal(Role::InsulationMonitor, "Insulation", &(reading,)).await.unwrap();
    }
    for energy_import in [f64::NAN, f64::INFINITY, -1.0] {
        let reading = bus::MeterReading {
            sequence,
            voltage: 0.0,
            current: 0.0,
            power: 0.0,
            energy_import,
            energy_export: 0.0,
            at,
        };
        player.signal(Role::EnergyMeter, "Reading", &(reading,)).await.unwrap();
    }
    for (voltage, current) in [(f64::NAN, 1.0), (400.0, f64::INFINITY), (-400.0, 100.0), (400.0, f64::NAN)] {
        let target = bus::Target { phase: u64::MAX, voltage, current, at };
        player.signal(Role::EvLink, "Target", &(target,)).await.unwrap();
    }
    player.signal(Role::ConnectorIo, "Io", &("no state",)).await.unwrap();
}

#[tokio::test]
async fn what_no_device_can_have_measured_is_refused_with_one_line_and_disturbs_nothing() {
    let mut rig = Rig::charging().await;
    for _ in 0..50 {
        rig.step().await;
        nonsense(&mut rig).await;
    }
    assert_eq!(rig.station.state().await, Ok(EvseState::Charging));
    assert_eq!(rig.faults().await, []);
    assert_eq!(rig.log_lines("input refused"), Role::ALL.len(), "one line a role, not one a message");
}

#[tokio::test]
async fn nonsense_and_stale_stamps_do_not_stand_in_for_a_measurement() {
    let mut rig = Rig::charging().await;
    rig.player.silent.push(Role::VoltageMonitor);
    let stale = clock::now().as_micros();
    let mut sequence = 1_000_000;
    let off = async {
        loop {
            rig.step().await;
            for (voltage, at) in [(f64::NAN, clock::now().as_micros()), (400.0, stale), (400.0, u64::MAX)] {
                sequence += 1;
                let reading = bus::VoltageReading { sequence, voltage, at };
                rig.player.signal(Role::VoltageMonitor, "Voltage", &(reading,)).await.unwrap();
            }
            if rig.is_off() {
                break;
            }
        }
    };
    tokio::time::timeout(MS(1_700) * rig::SLACK, off).await.expect("off: its newest voltage is too old");
    assert_eq!(rig.faults().await[0].code, "VoltageMonitorMissing");
}

#[tokio::test]
async fn a_stopped_process_that_wakes_does_not_energise_with_its_backlog() {
    let mut rig = Rig::charging().await;
    rig.send(Signal::SIGSTOP);
    // Fresh measurements and the vehicle's wishes pile up meanwhile; the leases lapse.
    rig.plays_without_evse_until(MS(620), "the leases lapsed", |rig| {
        !rig.player.devices.supply_on && !rig.player.devices.contactors
    })
    .await;
    for _ in 0..50 {
        rig.player.play_unattended().await.unwrap();
    }
    rig.send(Signal::SIGCONT);
    for _ in 0..100 {
        rig.player.play_unattended().await.unwrap();
        let devices = &rig.player.devices;
        assert!(!devices.supply_on && !devices.contactors, "energised by its backlog");
    }
    assert_eq!(rig.faults().await[0].code, "ControlStalled");
    rig.recovers().await;
}

#[tokio::test]
async fn told_to_end_while_it_charges_it_makes_all_safe_first() {
    let mut rig = Rig::charging().await;
    rig.send(Signal::SIGTERM);
    rig.plays_without_evse_until(MS(1_300), "off after SIGTERM", Rig::is_off).await;
    let (code, took) = rig.ends().await;
    assert_eq!(code, Some(0));
    println!("ended {took:?} after everything was off, of 4 s");
    assert!(took < Duration::from_secs(4) * rig::SLACK);
    assert!(rig.is_off());
}

#[tokio::test]
async fn without_the_bus_it_ends_with_a_failure() {
    let mut rig = Rig::charging().await;
    rig.kill_bus();
    let (code, took) = rig.ends().await;
    assert_eq!(code, Some(1));
    println!("ended {took:?} after the bus, of 500 ms");
    assert!(took < MS(500) * rig::SLACK, "{took:?}");
}

#[tokio::test]
async fn a_provider_that_refuses_to_energise_ends_the_session() {
    let mut rig = Rig::charging().await;
    rig.player.refusing.push(Role::PowerSupply);
    rig.is_off_within(MS(1_300), "PowerSupplyRefused").await;
    let faults = rig.faults().await;
    assert_eq!(faults[0].code, "PowerSupplyRefused");
    assert!(faults[0].cause.ends_with(" was refused by the device itself"), "{}", faults[0].cause);
    rig.player.refusing.clear();
    rig.recovers().await;
}

#[tokio::test]
async fn a_provider_that_does_not_answer_ends_the_session() {
    let mut rig = Rig::charging().await;
    // It does measure, and does nothing that it is told.
    rig.player.deaf.push(Role::ConnectorIo);
    rig.is_off_within(MS(2_400), "no answer").await;
    let faults = rig.faults().await;
    // Its lease lapses under the current before its silence is noticed: either is right.
    let wanted = ["MREC17EVSEContactorFault", "ConnectorIoRefused"];
    assert!(wanted.contains(&faults[0].code.as_str()), "{faults:?}");
    rig.player.deaf.clear();
    rig.recovers().await;
}

#[tokio::test]
async fn a_permit_that_means_nothing_is_refused_and_the_last_good_one_holds() {
    let mut rig = Rig::charging().await;
    let good = permit();
    for bad in [
        bus::Permit { power: -1.0, ..good },
        bus::Permit { power: f64::NAN, ..good },
        bus::Permit { valid_for: -1.0, ..good },
        bus::Permit { valid_for: f64::INFINITY, ..good },
        bus::Permit { valid_for: 601.0, ..good },
    ] {
        let refused = rig.station.set_permit(bad).await;
        assert!(matches!(refused, Err(Error::OutOfRange(_))), "{bad:?}: {refused:?}");
    }
    let future = bus::Permit { sent_at: good.sent_at + 3_600_000_000, ..good };
    let refused = rig.station.set_permit(future).await;
    assert!(matches!(refused, Err(Error::FromTheFuture(_))), "{refused:?}");
    rig.steps(20).await;
    assert_eq!(rig.station.state().await, Ok(EvseState::Charging));
    assert_eq!(rig.log_lines("calls refused"), 1, "one line, not one a call");
}

#[tokio::test]
async fn a_permit_that_has_run_out_on_its_way_ends_the_session_in_the_normal_way() {
    let mut rig = Rig::charging().await;
    let sent_at = clock::now().as_micros() - 31_000_000;
    rig.station.set_permit(bus::Permit { sent_at, ..permit() }).await.unwrap();
    rig.until(EvseState::Finished).await;
    assert_eq!(rig.faults().await, []);
    assert_eq!(rig.station.session().await.unwrap().end_reason, "no permit from the station");
}

#[tokio::test]
async fn an_answer_for_another_session_is_stale() {
    let mut rig = Rig::start().await;
    let answer = |session| rig.station.set_authorization(session, Authorization::Granted);
    assert!(matches!(answer(0).await, Err(Error::Stale(_))), "there is no session");
    assert!(matches!(answer(17).await, Err(Error::Stale(_))));
    rig.player.vehicle.plug();
    rig.reach(EvseState::Authorizing).await;
    let session = rig.station.session().await.unwrap().id;
    let late = rig.station.set_authorization(session - 1, Authorization::Granted).await;
    assert!(matches!(late, Err(Error::Stale(_))), "{late:?}");
    rig.steps(30).await;
    assert_eq!(rig.station.state().await, Ok(EvseState::Authorizing), "nobody was let in");
    rig.station.set_authorization(session, Authorization::Granted).await.unwrap();
    rig.reach(EvseState::Charging).await;
}

#[tokio::test]
async fn a_flood_of_orders_is_answered_and_charging_goes_on() {
    let mut rig = Rig::charging().await;
    let station = rig.station.clone();
    let answers = rig.playing(join_all((0..400).map(|_| station.set_permit(permit())))).await;
    for answer in answers {
        assert!(matches!(answer, Ok(()) | Err(Error::Busy(_))), "{answer:?}");
    }
    rig.steps(50).await;
    assert_eq!(rig.station.state().await, Ok(EvseState::Charging));
    assert_eq!(rig.faults().await, []);
}
