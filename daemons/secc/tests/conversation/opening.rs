//! The handshake, and under which id a session opens.

use super::*;

#[test]
fn unknown_protocols_are_skipped_and_the_vehicles_schema_id_comes_back() {
    let mut bench = Bench::new();
    let entry = |namespace: &str, schema_id, priority| AppProtocol {
        protocol_namespace: namespace.to_owned(),
        version_number_major: 2,
        version_number_minor: 0,
        schema_id,
        priority,
    };
    let offer = SupportedAppProtocolReq {
        app_protocols: vec![
            entry("urn:tesla:din:2018:MsgDef", 0, 1),
            entry("urn:din:70121:2012:MsgDef", 1, 7),
            entry("urn:iso:15118:2:2013:MsgDef", 20, 2),
        ],
    };
    bench.vehicle.send(&Message::AppProtocolReq(Box::new(offer))).unwrap();
    bench.flush();
    let Some(Message::AppProtocolRes(answer)) = bench.vehicle.next_message().unwrap() else { panic!() };
    assert_eq!(answer.schema_id, Some(20));
    assert_eq!(bench.events, [Event::Protocol("ISO 15118-2:2014")]);
}

#[test]
fn a_vehicle_with_no_protocol_of_ours_is_told_so() {
    let mut bench = Bench::speaking(&[Protocol::Iso2]);
    let offer = SupportedAppProtocolReq {
        app_protocols: vec![AppProtocol {
            protocol_namespace: "urn:din:70121:2012:MsgDef".to_owned(),
            version_number_major: 2,
            version_number_minor: 0,
            schema_id: 1,
            priority: 1,
        }],
    };
    bench.vehicle.send(&Message::AppProtocolReq(Box::new(offer))).unwrap();
    bench.flush();
    let Some(Message::AppProtocolRes(answer)) = bench.vehicle.next_message().unwrap() else { panic!() };
    assert_eq!(answer.schema_id, None);
    assert!(bench.session.is_closed());
    assert_eq!(ended(&bench), Some((LinkOutcome::Failed, Some("no common protocol"))));
}

#[test]
fn of_endless_names_of_protocols_the_beginning_is_told() {
    let mut bench = Bench::new();
    let entry = |schema_id| AppProtocol {
        protocol_namespace: "\0".repeat(90),
        version_number_major: 2,
        version_number_minor: 0,
        schema_id,
        priority: 1,
    };
    let offer = SupportedAppProtocolReq { app_protocols: (0..20).map(entry).collect() };
    bench.vehicle.send(&Message::AppProtocolReq(Box::new(offer))).unwrap();
    bench.flush();
    let told = bench.events.iter().find_map(|event| match event {
        Event::Ended(_, cause) => cause.as_ref().map(ToString::to_string),
        _ => None,
    });
    let told = told.unwrap();
    assert!(told.len() < 500 && told.contains("\\0\\0"), "{told}");
}

#[test]
fn a_session_id_of_any_length_opens_a_new_session() {
    // Recorded (EVerest/logfiles, Apache License 2.0) from a Subaru Solterra: no byte. VW ID.3: one.
    // Seres 3: six zeros. Kia EV6: eight. Audi Q4: that of a session long past.
    for recorded in [
        "80980011d0180301652003fc00",
        "8098004011d01801f7e820c45c00",
        "80980180000000000011d018507ee8401bd000",
        "809802000000000000000011d018139df803ce6000",
        "8098022bfbb6f3fefbdffed1d01801f7e821f21400",
    ] {
        let mut bench = Bench::new();
        bench.handshake();
        bench.vehicle.send_frame(PayloadType::ExiEncodedV2gMessage, &din::bytes(recorded)).unwrap();
        bench.flush();
        assert_eq!(code(&bench.heard().unwrap()), ResponseCode::OKNewSessionEstablished);
        assert_eq!(bench.id, ID);
    }
    for id in [vec![], vec![0], vec![0; 6], vec![0; 8], vec![9; 8]] {
        let mut bench = Bench::resuming(Some(*b"elsewhen"));
        bench.handshake();
        bench.id = id;
        let answer = bench.ask(session_setup()).unwrap();
        assert_eq!(code(&answer), ResponseCode::OKNewSessionEstablished);
        assert_eq!(bench.id, ID);
        bench.ok(service_discovery());
    }
}

#[test]
fn a_paused_session_is_joined_again_under_its_id() {
    let mut bench = Bench::resuming(Some(*b"elsewhen"));
    bench.handshake();
    bench.id = b"elsewhen".to_vec();
    let answer = bench.ask(session_setup()).unwrap();
    assert_eq!(code(&answer), ResponseCode::OKOldSessionJoined);
    assert_eq!(bench.id, b"elsewhen");
    bench.ok(service_discovery());
}

#[test]
fn a_request_under_another_session_id_is_refused() {
    let mut bench = Bench::new();
    bench.reach_services();
    bench.id = b"somebody".to_vec();
    let answer = bench.ask(service_discovery()).unwrap();
    assert_eq!(code(&answer), ResponseCode::FAILEDUnknownSession);
    assert_eq!(ended(&bench), Some((LinkOutcome::Failed, Some("unknown session"))));
}
