//! The daemon's task with real sockets on the loopback interface, and a private bus.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests")]

#[path = "daemon/certificates.rs"]
mod certificates;
#[path = "daemon/rig.rs"]
mod rig;
#[path = "daemon/schedules.rs"]
mod schedules;
#[path = "daemon/texts.rs"]
mod texts;
#[path = "daemon/tls.rs"]
mod tls;

use crate::{bench, evse, pki, private_bus};

use std::time::{Duration, Instant};

use bench::*;
use futures_util::StreamExt as _;
use iso15118::app_protocol::SupportedAppProtocolReq;
use iso15118::iso2::{self, BodyChoice as B, ChargeProgress, ChargingSession, EVSEProcessing, ResponseCode};
use iso15118::message::Message;
use iso15118::{Protocol, Protocols};
use private_bus::Bus;
use rig::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use voltry_bus::{
    ChargeLimits, EvseLimits, LinkPhase, MeterRegister, Present, V2gConversation, V2gLog1Proxy, V2gMessage,
    VehicleNeeds,
};
use voltry_secc::bus;
use voltry_secc::transcript::Said;
use voltry_secc::v2g_log::V2gLog;
use voltry_service::clock::now;
use voltry_service::{Device, Identity};

#[tokio::test]
async fn what_a_vehicle_says_of_itself_is_there_to_read_until_its_conversation_is_over() {
    with_daemon(|evse| async move {
        attach(&evse).await;
        let mut vehicle = Vehicle::connect().await;
        vehicle.set_up().await;
        vehicle.ok(service_discovery()).await;
        vehicle.ok(payment()).await;
        vehicle.ok(authorization()).await;
        let mut request = parameters();
        if let B::ChargeParameterDiscoveryReq(request) = &mut request
            && let iso2::ChargeParameterDiscoveryReqChoice::DCEVChargeParameter(dc) = &mut request.choice
        {
            dc.departure_time = Some(3600);
            dc.full_soc = Some(97);
        }
        let before = now().as_micros();
        vehicle.ok(request).await;
        let needs = loop {
            let needs = evse.needs().await.unwrap();
            if needs != VehicleNeeds::UNTOLD {
                break needs;
            }
        };
        let limits = evse.charge_limits().await.unwrap();
        assert_eq!((limits.voltage_max, limits.current_max, limits.energy_capacity), (410.0, 150.0, 2000.0));
        assert_eq!((needs.soc, needs.energy), (97.0, -1.0));
        let until_departure = Duration::from_micros(needs.departure_at - before);
        assert!((3600.0..3620.0).contains(&until_departure.as_secs_f64()), "{until_departure:?}");
        vehicle.ok(session_stop(ChargingSession::Terminate)).await;
        until(&evse, LinkPhase::Listening).await;
        while evse.needs().await.unwrap() != VehicleNeeds::UNTOLD {
            tokio::task::yield_now().await;
        }
        assert_eq!(evse.charge_limits().await.unwrap(), ChargeLimits::default());
    })
    .await;
}

#[tokio::test]
async fn what_was_said_is_still_there_after_the_daemon_was_restarted() {
    let folder = tempfile::tempdir().unwrap();
    let bus = Bus::start();
    let mut before: Option<(Vec<V2gConversation>, Vec<V2gMessage>)> = None;
    for life in 0..2 {
        let (server, client) = (bus.connect().await, bus.connect().await);
        server.request_name(NAME).await.unwrap();
        let log = V2gLog::serve(&server, PATH).await.unwrap();
        log.keep_in(folder.path()).unwrap();
        let proxy = V2gLog1Proxy::builder(&client).destination(NAME).path(PATH).build().await.unwrap();
        if life == 0 {
            let said = |by_vehicle, byte| Said {
                by_vehicle,
                protocol: None,
                payload_type: 0x8001,
                payload: vec![byte; 3],
            };
            log.begin(now(), 1_700_000_000_000_000);
            log.agreed("ISO 15118-2:2014");
            log.note(now(), vec![said(true, 1), said(false, 2)]).await.unwrap();
            log.ended("the vehicle ended it with SessionStop".to_owned());
            log.closed();
        }
        let conversations = proxy.conversations().await.unwrap();
        let messages = proxy.read(conversations[0].began).await.unwrap();
        match &before {
            None => before = Some((conversations, messages)),
            Some(before) => assert_eq!((&before.0, &before.1), (&conversations, &messages)),
        }
        let written = folder.path().join("1700000000000000.jsonl");
        while !std::fs::read_to_string(&written).is_ok_and(|text| text.contains("SessionStop")) {
            tokio::task::yield_now().await;
        }
        server.release_name(NAME).await.unwrap();
    }
    assert_eq!(before.unwrap().1.len(), 2);
}

#[tokio::test]
async fn a_vehicle_is_named_to_evse_only_where_autocharge_is_on_and_until_its_conversation_is_over() {
    for (autocharge, named) in [(false, ""), (true, "VID:98ED5CB428D3")] {
        let text =
            format!("[secc.1]\ninterface = \"lo\"\nevse_id = \"DE*VOL*E1\"\nautocharge = {autocharge}");
        with_daemon_of(&text, |evse| async move {
            attach(&evse).await;
            let mut vehicle = Vehicle::connect().await;
            let offer = SupportedAppProtocolReq::advertising(Protocols::only(Protocol::Iso2));
            vehicle.exchange(Message::AppProtocolReq(Box::new(offer))).await.unwrap();
            vehicle.v2g.set_protocol(Protocol::Iso2);
            let evcc_id = vec![0x98, 0xed, 0x5c, 0xb4, 0x28, 0xd3];
            vehicle.ask(B::SessionSetupReq(iso2::SessionSetupReq { evcc_id })).await;
            until(&evse, LinkPhase::Connected).await;
            vehicle.ok(service_discovery()).await;
            assert_eq!(evse.vehicle_id().await.unwrap(), named);
            vehicle.ok(session_stop(ChargingSession::Terminate)).await;
            until(&evse, LinkPhase::Listening).await;
            while !evse.vehicle_id().await.unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_served_is_the_contract() {
    let bus = Bus::start();
    let (server, client) = (bus.connect().await, bus.connect().await);
    server.request_name(NAME).await.unwrap();
    let _device = Device::serve(&server, PATH, Identity::default()).await.unwrap();
    let _served = bus::serve(&server, PATH).await.unwrap();
    let _log = V2gLog::serve(&server, PATH).await.unwrap();
    voltry_secc::installed::serve(&server, PATH, &voltry_secc::tls::Settings::default()).await.unwrap();
    let peer =
        zbus::fdo::IntrospectableProxy::builder(&client).destination(NAME).path(PATH).build().await.unwrap();
    let xml = peer.introspect().await.unwrap();
    let roles = [
        "org.voltry.EvLink1",
        "org.voltry.Certificates1",
        "org.voltry.ContractCertificates1",
        "org.voltry.ChargingSchedules1",
        "org.voltry.V2gLog1",
        "org.voltry.Device1",
    ];
    assert_eq!(voltry_bus::contract::check_served(&xml, &roles), Ok(()));
}

#[tokio::test]
async fn what_was_said_can_be_followed_and_read_afterwards() {
    with_daemon(|evse| async move {
        let log = V2gLog1Proxy::builder(evse.inner().connection())
            .destination(NAME)
            .path(PATH)
            .build()
            .await
            .unwrap();
        attach(&evse).await;
        assert_eq!(log.conversations().await.unwrap(), []);
        for bad in [0, 601, u32::MAX] {
            assert!(log.follow(bad).await.is_err(), "{bad}");
        }
        log.follow(60).await.unwrap();
        let mut live = log.receive_message().await.unwrap();
        let mut vehicle = Vehicle::connect().await;
        vehicle.charge().await;
        vehicle.ok(current_demand()).await;
        vehicle.stream.shutdown().await.unwrap();
        until(&evse, LinkPhase::Listening).await;

        let [conversation] = &log.conversations().await.unwrap()[..] else { panic!("not one") };
        assert_eq!(conversation.protocol, "ISO 15118-2:2014");
        assert_eq!(conversation.ended, "in charging the connection ended: the vehicle closed it");
        let messages = log.read(conversation.began).await.unwrap();
        let names: Vec<_> = messages.iter().map(|message| message.name.as_str()).collect();
        assert_eq!(
            names[..4],
            ["supportedAppProtocolReq", "supportedAppProtocolRes", "SessionSetupReq", "SessionSetupRes"]
        );
        assert_eq!(names[names.len() - 2..], ["CurrentDemandReq", "CurrentDemandRes"]);
        for (number, message) in messages.iter().enumerate() {
            assert_eq!(message.by_vehicle, number % 2 == 0, "{}", message.name);
            assert_eq!(message.payload_type, 0x8001);
            let signal = live.next().await.unwrap();
            assert_eq!(signal.args().unwrap().message(), message);
        }
        let demand = &messages[messages.len() - 2];
        assert!(demand.text.contains("EVTargetCurrent"), "{}", demand.text);
        assert!(log.read(conversation.began + 1).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_vehicle_charges_and_evse_hears_of_every_new_target() {
    with_daemon(|evse| async move {
        let mut targets = evse.receive_target().await.unwrap();
        let mut ends = evse.receive_ended().await.unwrap();
        attach(&evse).await;
        let mut vehicle = Vehicle::connect().await;
        vehicle.charge().await;
        assert_eq!(evse.protocol().await.unwrap(), "ISO 15118-2:2014");
        for amps in 0..20 {
            let B::CurrentDemandReq(mut request) = current_demand() else { panic!() };
            request.ev_target_current = value(0, iso2::UnitSymbol::A, amps);
            let B::CurrentDemandRes(answer) = vehicle.ok(B::CurrentDemandReq(request)).await else {
                panic!()
            };
            assert_eq!(answer.evse_present_current, value(-1, iso2::UnitSymbol::A, 1000));
        }
        let pre_charge = targets.next().await.unwrap();
        assert!(pre_charge.args().unwrap().target().voltage > 370.0);
        for amps in 0..20 {
            let target = targets.next().await.unwrap();
            assert_eq!(target.args().unwrap().target().current, f64::from(amps));
        }
        vehicle.ok(power_delivery(ChargeProgress::Stop)).await;
        vehicle.ok(welding_detection()).await;
        vehicle.ok(session_stop(ChargingSession::Terminate)).await;
        let end = ends.next().await.unwrap();
        assert_eq!(end.args().unwrap().end().outcome, voltry_bus::LinkOutcome::Normal);
        until(&evse, LinkPhase::Listening).await;
        assert_eq!(evse.protocol().await.unwrap(), "");
    })
    .await;
}

#[tokio::test]
async fn a_paused_session_is_joined_again_until_it_ends_for_good() {
    with_daemon(|evse| async move {
        attach(&evse).await;
        let mut vehicle = Vehicle::connect().await;
        vehicle.charge().await;
        vehicle.ok(power_delivery(ChargeProgress::Stop)).await;
        vehicle.ok(session_stop(ChargingSession::Pause)).await;
        let paused = vehicle.id;
        for expected in [ResponseCode::OKOldSessionJoined, ResponseCode::OKNewSessionEstablished] {
            let mut vehicle = Vehicle::connect().await;
            vehicle.agree().await;
            vehicle.id.clone_from(&paused);
            assert_eq!(code(&vehicle.ask(session_setup()).await), expected);
            vehicle.ok(service_discovery()).await;
            vehicle.ok(session_stop(ChargingSession::Terminate)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn nobody_is_answered_while_no_vehicle_is_attached() {
    with_daemon(|evse| async move {
        assert_eq!(Vehicle::discover().await, None);
        attach(&evse).await;
        assert!(Vehicle::discover().await.is_some());
        evse.detach().await.unwrap();
        until(&evse, LinkPhase::Detached).await;
        assert_eq!(Vehicle::discover().await, None);
    })
    .await;
}

#[tokio::test]
async fn a_second_vehicle_is_refused_while_the_first_one_talks() {
    with_daemon(|evse| async move {
        attach(&evse).await;
        let mut first = Vehicle::connect().await;
        first.set_up().await;
        let mut second = Vehicle::connect().await;
        let mut byte = [0];
        assert_eq!(second.stream.read(&mut byte).await.unwrap_or(0), 0, "it was served");
        first.ok(service_discovery()).await;
    })
    .await;
}

#[tokio::test]
async fn a_vehicle_that_dropped_its_connection_gets_in_again() {
    with_daemon(|evse| async move {
        let mut ends = evse.receive_ended().await.unwrap();
        attach(&evse).await;
        let mut vehicle = Vehicle::connect().await;
        vehicle.charge().await;
        drop(vehicle);
        let end = ends.next().await.unwrap();
        assert_eq!(end.args().unwrap().end().outcome, voltry_bus::LinkOutcome::Lost);
        Vehicle::connect().await.charge().await;
    })
    .await;
}

#[tokio::test]
async fn an_abort_that_came_too_late_does_not_hit_the_next_vehicle() {
    with_daemon(|evse| async move {
        attach(&evse).await;
        evse.abort("of the vehicle before").await.unwrap();
        Vehicle::connect().await.charge().await;
    })
    .await;
}

#[tokio::test]
async fn a_detached_vehicle_is_cut_off() {
    with_daemon(|evse| async move {
        attach(&evse).await;
        let mut vehicle = Vehicle::connect().await;
        vehicle.charge().await;
        evse.detach().await.unwrap();
        let mut byte = [0];
        assert_eq!(vehicle.stream.read(&mut byte).await.unwrap_or(0), 0);
        until(&evse, LinkPhase::Detached).await;
    })
    .await;
}

#[tokio::test]
async fn a_grant_comes_in_the_first_answer_and_not_in_the_next_round() {
    // So long a busy machine may keep evse from granting it.
    let patient = "[secc.1]\ninterface = \"lo\"\nevse_id = \"DE*VOL*E1\"\ntiming.hold_ms = 1000";
    with_daemon_of(patient, |evse| async move {
        attach(&evse).await;
        let mut vehicle = Vehicle::connect().await;
        vehicle.set_up().await;
        vehicle.ok(service_discovery()).await;
        vehicle.ok(payment()).await;
        vehicle.ok(authorization()).await;
        let B::ChargeParameterDiscoveryRes(answer) = vehicle.ok(parameters()).await else { panic!() };
        assert_eq!(answer.evse_processing, EVSEProcessing::Finished);
        let B::CableCheckRes(answer) = vehicle.ok(cable_check()).await else { panic!() };
        assert_eq!(answer.evse_processing, EVSEProcessing::Finished);
    })
    .await;
}

#[tokio::test]
async fn garbage_ends_the_connection_and_the_next_vehicle_is_served() {
    with_daemon(|evse| async move {
        attach(&evse).await;
        for garbage in [&[0xff; 2000][..], &[0x01, 0xfe, 0x80, 0x01, 0xff, 0xff, 0xff, 0xff]] {
            let mut vehicle = Vehicle::connect().await;
            vehicle.stream.write_all(garbage).await.unwrap();
            let mut byte = [0];
            assert_eq!(vehicle.stream.read(&mut byte).await.unwrap_or(0), 0);
        }
        Vehicle::connect().await.charge().await;
    })
    .await;
}

#[tokio::test]
async fn values_that_are_none_are_refused_at_the_bus() {
    with_daemon(|evse| async move {
        let bad = EvseLimits { voltage_max: f64::NAN, ..EvseLimits::default() };
        assert!(matches!(evse.set_limits(bad).await, Err(voltry_bus::Error::OutOfRange(_))));
        let bad = EvseLimits { voltage_min: 10.0, ..EvseLimits::default() };
        assert!(matches!(evse.set_limits(bad).await, Err(voltry_bus::Error::OutOfRange(_))));
        let mut present = Present { voltage: f64::NAN, ..evse::present(1) };
        assert!(matches!(evse.set_present(present).await, Err(voltry_bus::Error::OutOfRange(_))));
        (present.voltage, present.at) = (400.0, now().as_micros() + 60_000_000);
        let future = evse.set_present(present).await;
        assert!(matches!(future, Err(voltry_bus::Error::FromTheFuture(_))), "it would stay fresh");
        let at = now().as_micros();
        for energy in [f64::INFINITY, -1.0] {
            let refused = evse.set_meter(MeterRegister { energy, at }).await;
            assert!(matches!(refused, Err(voltry_bus::Error::OutOfRange(_))), "{energy}");
        }
        let future = evse.set_meter(MeterRegister { energy: 1.0, at: at + 60_000_000 }).await;
        assert!(matches!(future, Err(voltry_bus::Error::FromTheFuture(_))), "it would stay fresh");
        evse.set_meter(MeterRegister { energy: 1.0, at }).await.unwrap();
    })
    .await;
}

/// Not a benchmark, which is `tests/bench`'s: a guard against a second of delay creeping in.
#[tokio::test]
async fn a_round_of_the_charge_loop_takes_milliseconds() {
    with_daemon(|evse| async move {
        attach(&evse).await;
        let mut vehicle = Vehicle::connect().await;
        vehicle.charge().await;
        let mut rounds = Vec::new();
        for _ in 0..1000 {
            let start = Instant::now();
            vehicle.ok(current_demand()).await;
            rounds.push(start.elapsed());
        }
        rounds.sort_unstable();
        println!("CurrentDemandRes p50 {:?}, p99 {:?}, max {:?}", rounds[500], rounds[990], rounds[999]);
        assert!(rounds[500] < Duration::from_millis(25), "p50 {:?}", rounds[500]);
    })
    .await;
}
