//! What real vehicles do, each held by a test; those that stand in no other file are here, of bytes that were
//! recorded (EVerest/logfiles, Apache License 2.0).
//!
//! No recording has DIN 70121's EVCCID of eight bytes, ISO 15118-20, TLS or a signature: those are held
//! by messages that were made.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests")]

use crate::bench;

use std::path::Path;
use std::time::Duration;

use bench::din::{bytes, under_id};
use bench::*;
use iso15118::iso2::{BodyChoice as B, EVSEProcessing, ResponseCode as R};
use iso15118::message::Message;
use iso15118::v2gtp::PayloadType;
use voltry_bus::{LinkOutcome, LinkPhase, PhaseAnswer};
use voltry_secc::session::Event;
use voltry_secc::v2g::Tolerance;

/// The tests of a tolerance. One that is added to the table needs a line here.
const fn tested_by(tolerance: Tolerance) -> &'static [&'static str] {
    use Tolerance as T;
    match tolerance {
        T::TrailingByte => {
            &["a_driver_who_takes_time_is_waited_for_and_teslas_trailing_byte_does_not_matter"]
        }
        T::ChargingProfile => &[
            "a_charging_profile_outside_the_schema_is_taken_as_it_is",
            "a_charging_profile_is_taken_as_it_is",
        ],
        T::BeyondSchema => &["a_state_of_charge_beyond_the_schema_ends_no_session"],
        T::SenselessLimit => &["a_power_limit_that_makes_no_sense_is_taken_as_not_told"],
        T::OtherContacts => {
            &["the_contacts_that_are_configured_are_offered_and_a_vehicle_that_asks_for_them_gets_them"]
        }
        T::UnsignedRepeat => &["a_contract_that_leads_to_a_root_and_signs_the_challenge_charges"],
        T::EarlyStop => &[
            "a_vehicle_that_gives_up_before_the_delivery_may_stop_it",
            "a_vehicle_may_give_up_by_stopping_the_delivery_before_it_began",
        ],
        T::EarlyGoodbye => &["a_goodbye_in_any_phase_ends_well", "a_vehicle_may_say_goodbye_in_any_phase"],
        T::UnknownProtocol | T::AnySchemaId => &[
            "every_recorded_offer_is_answered_by_the_vehicles_own_number",
            "the_vehicles_priorities_decide_and_its_schema_id_comes_back",
        ],
        T::AnySessionId | T::StaleSessionId => &["a_session_id_of_any_length_opens_a_new_session"],
        T::NotYetReady => &["a_vehicle_that_is_not_ready_yet_gets_its_parameters"],
        T::LongEvccId => &["an_evcc_id_of_eight_bytes_is_taken"],
        T::ChangingAddress => &["an_address_that_is_no_vehicles_own_is_none"],
        T::HastyForParameters => &["the_parameters_are_answered_before_a_hasty_vehicle_gives_up"],
        T::SlowStart => &["a_minute_without_current_ends_no_session"],
        T::CableCheckForAc => &["a_vehicle_that_wants_ac_and_goes_on_is_refused_twice"],
        T::NoTargetYet => &["a_target_of_nothing_goes_on_in_pre_charge"],
        T::RepeatedDelivery => &["a_scheduled_session_runs_from_handshake_to_goodbye_in_evses_phases"],
        T::SameRunId => &[
            "a_run_id_of_zeros_of_text_or_of_a_counter_comes_back_verbatim",
            "of_two_vehicles_with_the_same_run_id_the_nearer_one_is_matched",
        ],
        T::ParametersAgain => &["parameters_asked_for_again_in_the_middle_are_confirmed_again"],
        T::SilentAboutAttenuation => {
            &["a_vehicle_that_does_not_answer_the_report_gets_it_again_and_is_matched"]
        }
        T::DeafUntilReplugged => {
            &["a_vehicle_that_says_nothing_is_started_anew_by_its_pilot_twice_and_then_left_alone"]
        }
        T::OldTls => &[
            "an_iso_15118_2_vehicle_charges_by_its_own_suite_and_gets_an_ocsp_response",
            "a_vehicle_that_names_its_roots_is_shown_a_certificate_below_one_of_them",
        ],
        T::StandaloneSignature => &["a_signature_over_the_other_grammar_is_accepted_too"],
    }
}

/// What stands below a folder, of its Rust files.
fn sources(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                sources(&path)
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                vec![std::fs::read_to_string(path).unwrap()]
            } else {
                Vec::new()
            }
        })
        .collect()
}

/// The names of a file's tests.
fn tests_of(source: &str) -> Vec<&str> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let tests = lines.windows(2).filter(|pair| pair[0] == "#[test]" || pair[0].starts_with("#[tokio::test"));
    tests
        .filter_map(|pair| pair[1].trim_start_matches("async ").strip_prefix("fn ")?.split('(').next())
        .collect()
}

#[test]
fn every_tolerance_is_in_the_table_once_and_has_a_test_and_a_reason() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = ["tests", "src"].map(|folder| sources(&here.join(folder))).concat();
    let tests: Vec<&str> = sources.iter().flat_map(|source| tests_of(source)).collect();
    assert!(tests.len() > 100, "too few: {}", tests.len());
    for (at, tolerance) in Tolerance::ALL.into_iter().enumerate() {
        assert_eq!(
            Tolerance::ALL.iter().position(|other| *other == tolerance),
            Some(at),
            "{tolerance:?} twice"
        );
        assert!(tolerance.reason().len() > 20, "{tolerance:?}");
        assert!(!tested_by(tolerance).is_empty(), "{tolerance:?}");
        for name in tested_by(tolerance) {
            assert!(tests.contains(name), "{tolerance:?}: there is no test {name}");
        }
    }
}

/// The table names all there are: one that is missing in it is not found by its place.
#[test]
fn the_table_is_whole() {
    let last = Tolerance::StandaloneSignature;
    assert_eq!(Tolerance::ALL.len(), last as usize + 1);
}

/// Sends a recorded request of ISO 15118-2 under our session id.
fn send(bench: &mut Bench, recorded: &str) {
    let payload = under_id(&bytes(recorded), ID);
    bench.vehicle.send_frame(PayloadType::ExiEncodedV2gMessage, &payload).unwrap();
    bench.flush();
}

fn ended(bench: &Bench) -> Option<LinkOutcome> {
    bench.events.iter().find_map(|event| match event {
        Event::Ended(outcome, _) => Some(*outcome),
        _ => None,
    })
}

#[test]
fn every_recorded_offer_is_answered_by_the_vehicles_own_number() {
    const DIN: &str = "DIN SPEC 70121:2014";
    const ISO: &str = "ISO 15118-2:2014";
    // What they offer, as (number, priority) of DIN 70121 and of the other.
    for (vehicle, offer, number, protocol) in [
        (
            "Audi Q4: (1, 2), (0, 1)",
            "8000dbab9371d3234b71d1b981899189d191818991d26b9b3a232b30020000040401d75726e3a69736f3a31353131383a323a323031333a4d73674465660040000000080",
            0,
            ISO,
        ),
        ("BMW iX: (1, 1)", "8000dbab9371d3234b71d1b981899189d191818991d26b9b3a232b30020000040040", 1, DIN),
        (
            "BMW iX: (1, 1), (0, 2)",
            "8000dbab9371d3234b71d1b981899189d191818991d26b9b3a232b30020000040001d75726e3a69736f3a31353131383a323a323031333a4d73674465660040000000880",
            1,
            DIN,
        ),
        (
            "BYD Atto 3: (1, 1), (3, 5)",
            "8000dbab9371d3234b71d1b981899189d191818991d26b9b3a232b30020000040001d75726e3a69736f3a31353131383a323a323031333a4d73674465660040000182080",
            1,
            DIN,
        ),
        (
            "Kia EV6: (1, 1), (2, 2)",
            "8000dbab9371d3234b71d1b981899189d191818991d26b9b3a232b30020000040001d75726e3a69736f3a31353131383a323a323031333a4d73674465660040000100880",
            1,
            DIN,
        ),
        (
            "Seres 3: (10, 1), (20, 2)",
            "8000dbab9371d3234b71d1b981899189d191818991d26b9b3a232b30020000280001d75726e3a69736f3a31353131383a323a323031333a4d73674465660040000a00880",
            10,
            DIN,
        ),
        ("Tesla Model Y: (1, 2), its own (2, 1)", din::TESLA_OFFER, 1, DIN),
    ] {
        let mut bench = Bench::new();
        bench.vehicle.send_frame(PayloadType::ExiEncodedV2gMessage, &bytes(offer)).unwrap();
        bench.flush();
        let Some(Message::AppProtocolRes(answer)) = bench.vehicle.next_message().unwrap() else { panic!() };
        assert_eq!(answer.schema_id, Some(number), "{vehicle}");
        assert_eq!(bench.events, [Event::Protocol(protocol)], "{vehicle}");
    }
    // Where the station speaks ISO 15118-2 alone, the other number comes back.
    for (offer, number) in [
        (
            "8000dbab9371d3234b71d1b981899189d191818991d26b9b3a232b30020000040001d75726e3a69736f3a31353131383a323a323031333a4d73674465660040000182080",
            3,
        ),
        (
            "8000dbab9371d3234b71d1b981899189d191818991d26b9b3a232b30020000280001d75726e3a69736f3a31353131383a323a323031333a4d73674465660040000a00880",
            20,
        ),
    ] {
        let mut bench = Bench::speaking(&[voltry_secc::message::Protocol::Iso2]);
        bench.vehicle.send_frame(PayloadType::ExiEncodedV2gMessage, &bytes(offer)).unwrap();
        bench.flush();
        let Some(Message::AppProtocolRes(answer)) = bench.vehicle.next_message().unwrap() else { panic!() };
        assert_eq!(answer.schema_id, Some(number));
    }
}

#[test]
fn a_charging_profile_outside_the_schema_is_taken_as_it_is() {
    let mut bench = Bench::new();
    bench.reach_pre_charge();
    bench.ok(pre_charge());
    // Seres 3: Start, -2413.6 W on 4 phases.
    send(&mut bench, "8098020e8a6bfddbcfdcdfd150000000010a38f78020c41002800000");
    assert_eq!(bench.phase(), Some(LinkPhase::PowerOn));
    bench.answer(PhaseAnswer::Finished);
    assert_eq!(code(&bench.heard().unwrap()), R::OK);
}

#[test]
fn a_state_of_charge_beyond_the_schema_ends_no_session() {
    let mut vehicle = din::Vehicle::new();
    vehicle.reach_pre_charge();
    vehicle.bench.pass(Duration::from_secs(1), true);
    // PreChargeReq of a Seres 3, with 120 % in place of its 81.
    vehicle.send_recorded("809a021b927fd3fef7fa1f5151401e008143d8740c0c0000");
    assert_eq!(din::code(&vehicle.heard().unwrap()), voltry_din70121::ResponseCode::Ok);
    let soc = vehicle.bench.events.iter().rev().find_map(|event| match event {
        Event::Status(status) => Some(status.soc),
        _ => None,
    });
    assert_eq!(soc, Some(voltry_units::Percent::new(100)));
}

#[test]
fn a_power_limit_that_makes_no_sense_is_taken_as_not_told() {
    let mut bench = Bench::new();
    bench.reach_parameters();
    let B::ChargeParameterDiscoveryReq(mut request) = parameters() else { panic!() };
    let iso15118::iso2::ChargeParameterDiscoveryReqChoice::DCEVChargeParameter(dc) = &mut request.choice
    else {
        panic!()
    };
    dc.ev_maximum_power_limit = Some(value(3, iso15118::iso2::UnitSymbol::W, -60));
    dc.ev_energy_capacity = Some(value(0, iso15118::iso2::UnitSymbol::V, 2000));
    bench.send(B::ChargeParameterDiscoveryReq(request));
    bench.answer(PhaseAnswer::Finished);
    assert_eq!(code(&bench.heard().unwrap()), R::OK);
    let told = bench.events.iter().find_map(|event| match event {
        Event::Limits(limits) => Some((limits.power, limits.capacity, limits.voltage.is_some())),
        _ => None,
    });
    assert_eq!(told, Some((None, None, true)));
}

#[test]
fn a_goodbye_in_any_phase_ends_well() {
    type Reach = fn(&mut Bench);
    let phases: [Reach; 6] = [
        // An Audi Q4 leaves here already.
        Bench::reach_services,
        Bench::reach_parameters,
        Bench::reach_cable_check,
        |bench| {
            bench.reach_cable_check();
            bench.send(cable_check());
            bench.pass(Duration::from_millis(1500), true);
            assert_eq!(code(&bench.heard().unwrap()), R::OK);
        },
        Bench::reach_pre_charge,
        Bench::reach_charging,
    ];
    for (at, reach) in phases.into_iter().enumerate() {
        let mut bench = Bench::new();
        reach(&mut bench);
        // Audi Q4.
        send(&mut bench, "8098022613ed9befdffffd51f000");
        assert_eq!(code(&bench.heard().unwrap()), R::OK, "phase {at}");
        assert_eq!(ended(&bench), Some(LinkOutcome::Normal), "phase {at}");
        assert!(bench.session.is_closed());
    }
}

#[test]
fn the_parameters_are_answered_before_a_hasty_vehicle_gives_up() {
    let mut bench = Bench::new();
    bench.reach_parameters();
    for round in 0..3 {
        // Kia EV6; evse has not decided.
        send(&mut bench, "8098022cec1fbd76f7fbe5d090181940008c08309c181108180802640a00");
        bench.pass(Duration::from_millis(390), true);
        let Some(B::ChargeParameterDiscoveryRes(answer)) = bench.heard() else { panic!("round {round}") };
        assert_eq!((answer.response_code, answer.evse_processing), (R::OK, EVSEProcessing::Ongoing));
    }
    send(&mut bench, "8098022cec1fbd76f7fbe5d090181940008c08309c181108180802640a00");
    bench.answer(PhaseAnswer::Finished);
    let Some(B::ChargeParameterDiscoveryRes(answer)) = bench.heard() else { panic!() };
    assert_eq!(answer.evse_processing, EVSEProcessing::Finished);
}

#[test]
fn a_minute_without_current_ends_no_session() {
    let mut bench = Bench::new();
    bench.reach_charging();
    for _ in 0..500 {
        bench.pass(Duration::from_millis(120), true);
        // VW ID.4: 0 A.
        send(&mut bench, "809802372479ffeb6aebe7d0d10012810600001081e03e01061104e4020400022103c07c00");
        let answer = bench.heard().unwrap();
        assert_eq!(code(&answer), R::OK);
    }
    // And then 3.6 A.
    send(&mut bench, "809802372479ffeb6aebe7d0d10012810604801081e03e01061104e4020400022103c07c00");
    assert_eq!(code(&bench.heard().unwrap()), R::OK);
    let wanted = bench.events.iter().rev().find_map(|event| match event {
        Event::Target(target) => Some(target.current.as_milli()),
        _ => None,
    });
    assert_eq!((wanted, ended(&bench)), (Some(3600), None));
}

#[test]
fn a_vehicle_that_wants_ac_and_goes_on_is_refused_twice() {
    let mut bench = Bench::new();
    bench.reach_parameters();
    // Seres 3: AC_three_phase_core with parameters for DC, and then CableCheckReq.
    send(&mut bench, "809802173e6b5ffb6a7bff90944a000000418500f88840be1f13185000");
    assert_eq!(code(&bench.heard().unwrap()), R::FAILEDWrongEnergyTransferMode);
    assert_eq!(ended(&bench), Some(LinkOutcome::Failed));
    send(&mut bench, "809802173e6b5ffb6a7bff9031000000");
    assert_eq!(
        bench.heard().map(|answer| code(&answer)).unwrap_or(R::FAILEDSequenceError),
        R::FAILEDSequenceError
    );
    let phases =
        bench.events.iter().any(|event| matches!(event, Event::Phase { phase: LinkPhase::CableCheck, .. }));
    assert!(!phases, "evse was told of a CableCheck");
}

#[test]
fn a_target_of_nothing_goes_on_in_pre_charge() {
    let mut vehicle = din::Vehicle::new();
    vehicle.reach_pre_charge();
    vehicle.bench.present(0, 0);
    // Seres 3: 0 V.
    vehicle.send_recorded("809a021b927fd3fef7fa1f51514000008140000c0c0000");
    let answer = vehicle.heard().unwrap();
    assert_eq!(din::code(&answer), voltry_din70121::ResponseCode::Ok);
    assert_eq!((vehicle.ended(), vehicle.bench.phase()), (None, Some(LinkPhase::PreCharge)));
    let volts = vehicle.bench.events.iter().rev().find_map(|event| match event {
        Event::Target(target) => Some(target.voltage.as_milli()),
        _ => None,
    });
    assert_eq!(volts, Some(0));
}
