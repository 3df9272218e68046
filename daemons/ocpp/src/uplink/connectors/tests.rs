use super::*;

fn heard(evse: u32, state: &str) -> EvseStatus {
    EvseStatus {
        evse,
        state: state.to_owned(),
        available: true,
        authorized: false,
        voltage: 0.0,
        current: 0.0,
        share: 0.0,
        energy: 0.0,
        soc: -1.0,
        transaction: 0,
        faults: Vec::new(),
    }
}

fn used(evse: u32, state: &str, since: u64) -> voltry_bus::Connector {
    voltry_bus::Connector {
        evse,
        state: state.to_owned(),
        since: at(since).unix,
        transaction: 0,
        reservation: String::new(),
        limit: 0.0,
        limit_origin: String::new(),
    }
}

fn at(seconds: u64) -> Since {
    let at = Timestamp::from_micros(seconds * 1_000_000);
    Since { unix: i64::try_from(seconds * 1_000_000).unwrap(), set: true, at }
}

fn tell_all(connectors: &mut Connectors) -> Vec<u32> {
    let mut told = Vec::new();
    while let Some(evse) = connectors.untold(Version::V201) {
        let connector = connectors.get(evse).unwrap();
        let (status, trouble) = (connector.status, connector.trouble.clone());
        connectors.told(evse, status, trouble);
        told.push(evse);
    }
    told
}

fn see(connectors: &mut Connectors, heard: Vec<EvseStatus>, used: &[voltry_bus::Connector], seconds: u64) {
    connectors.hear(heard);
    connectors.judge(used, true, at(seconds));
}

#[test]
fn only_what_changed_is_told_and_with_the_time_of_the_change() {
    let mut connectors = Connectors::default();
    let both = vec![heard(1, "available"), heard(2, "available")];
    see(&mut connectors, both, &[used(1, "available", 1), used(2, "available", 1)], 1);
    assert_eq!(tell_all(&mut connectors), [1, 2]);
    let plugged = vec![heard(2, "authorizing")];
    see(&mut connectors, plugged, &[used(1, "available", 1), used(2, "preparing", 5)], 9);
    assert_eq!(connectors.get(2).unwrap().since, at(5));
    assert_eq!(tell_all(&mut connectors), [2]);
}

#[test]
fn who_is_let_in_before_he_plugs_in_occupies_nothing_in_2_0_1_and_prepares_in_1_6() {
    let mut connectors = Connectors::default();
    see(&mut connectors, vec![heard(1, "available")], &[used(1, "available", 1)], 1);
    tell_all(&mut connectors);
    see(&mut connectors, vec![], &[used(1, "preparing", 5)], 5);
    let connector = connectors.get(1).unwrap();
    assert_eq!((connector.status.v16(), connector.status.v201()), ("Preparing", "Available"));
    assert_eq!(connectors.untold(Version::V201), None);
    assert_eq!(connectors.untold(Version::V16), Some(1));
    assert_eq!(connectors.taken(), [1].into());
    connectors.told(1, connector_status(&connectors), Trouble::default());
    see(&mut connectors, vec![heard(1, "authorizing")], &[used(1, "preparing", 5)], 9);
    let connector = connectors.get(1).unwrap();
    assert_eq!((connector.status.v201(), connector.since), ("Occupied", at(9)), "since the cable is in");
    assert_eq!(connectors.untold(Version::V201), Some(1));
    assert_ne!(connectors.untold(Version::V16), Some(1), "which 1.6 tells apart in no way");
}

fn connector_status(connectors: &Connectors) -> Status {
    connectors.get(1).unwrap().status
}

#[test]
fn what_changed_back_in_an_outage_is_not_told() {
    let mut connectors = Connectors::default();
    see(&mut connectors, vec![heard(1, "available")], &[used(1, "available", 1)], 1);
    tell_all(&mut connectors);
    see(&mut connectors, vec![], &[used(1, "preparing", 2)], 2);
    see(&mut connectors, vec![], &[used(1, "available", 3)], 3);
    assert_eq!(connectors.untold(Version::V201), None);
}

#[test]
fn an_evse_whose_daemon_is_away_is_unavailable_and_says_so() {
    let mut connectors = Connectors::default();
    see(&mut connectors, vec![], &[used(1, "available", 1)], 1);
    see(&mut connectors, vec![heard(1, "absent")], &[], 1);
    assert_eq!(connectors.get(1).unwrap().status, Status::Unavailable);
    assert_eq!(tell_all(&mut connectors), [1]);
}

#[test]
fn nothing_is_told_of_a_connector_before_it_is_known_what_it_is_to_a_driver() {
    let mut connectors = Connectors::default();
    see(&mut connectors, vec![heard(1, "available")], &[], 1);
    assert_eq!(connectors.untold(Version::V201), None);
    see(&mut connectors, vec![], &[used(1, "available", 1)], 2);
    assert_eq!(tell_all(&mut connectors), [1]);
}

#[test]
fn an_evse_that_starts_with_the_station_is_not_called_out_of_service_until_it_had_time_to() {
    let mut connectors = Connectors::default();
    let pass = |connectors: &mut Connectors, seconds| {
        connectors.pass(at(seconds).at, Duration::ZERO);
        tell_all(connectors)
    };
    assert_eq!(pass(&mut connectors, 1), [0; 0]);
    let uses = [used(1, "unavailable", 1), used(2, "unavailable", 1), used(3, "unavailable", 1)];
    let closed = EvseStatus { available: false, ..heard(3, "available") };
    see(&mut connectors, vec![heard(1, "absent"), heard(2, "starting"), closed], &uses, 2);
    assert_eq!(pass(&mut connectors, 2), [3], "one that somebody took out of service");
    assert_eq!(connectors.due(), Some(at(11).at));
    see(&mut connectors, vec![heard(1, "available")], &[used(1, "available", 3)], 3);
    assert_eq!(pass(&mut connectors, 3), [1]);
    assert_eq!(pass(&mut connectors, 11), [2]);
    assert_eq!(connectors.due(), None);
    see(&mut connectors, vec![heard(1, "absent")], &[], 12);
    assert_eq!(pass(&mut connectors, 12), [1], "one that goes later");
}

#[test]
fn times_of_changes_never_go_back_and_a_fault_is_of_now() {
    let mut connectors = Connectors::default();
    see(&mut connectors, vec![heard(1, "charging")], &[used(1, "charging", 1)], 1);
    let mut broken = heard(1, "emergency");
    broken.faults =
        vec![voltry_bus::Fault { code: "MREC8EmergencyStop".to_owned(), cause: String::new(), at: 0 }];
    see(&mut connectors, vec![broken], &[], 9);
    assert_eq!(connectors.get(1).unwrap().since, at(9), "charging since 1 s, broken since 9 s");
    see(&mut connectors, vec![], &[used(1, "faulted", 8)], 10);
    assert_eq!(connectors.get(1).unwrap().since, at(9));
}

#[test]
fn the_station_is_out_of_service_when_every_evse_is() {
    let mut connectors = Connectors::default();
    let out = |evse| EvseStatus { available: false, ..heard(evse, "available") };
    see(&mut connectors, vec![heard(1, "available"), out(2)], &[], 1);
    assert_eq!(connectors.get(0).unwrap().status, Status::Available);
    see(&mut connectors, vec![EvseStatus { transaction: 5, ..out(1) }], &[], 2);
    assert_eq!(connectors.get(0).unwrap().status, Status::Available, "one still charges");
    see(&mut connectors, vec![out(1)], &[], 3);
    assert_eq!(connectors.get(0).unwrap().status, Status::Unavailable);
}

#[test]
fn what_does_not_hold_for_long_is_not_told_where_the_csms_wants_it_so() {
    let mut connectors = Connectors::default();
    let pass = |connectors: &mut Connectors, seconds| {
        connectors.pass(at(seconds).at, Duration::from_secs(5));
        tell_all(connectors)
    };
    see(&mut connectors, vec![heard(1, "available")], &[used(1, "available", 1)], 1);
    assert_eq!(pass(&mut connectors, 5), [0; 0]);
    assert_eq!(connectors.stable_at(Version::V201), Some(at(6).at));
    assert_eq!(pass(&mut connectors, 6), [1]);
    see(&mut connectors, vec![heard(1, "authorizing")], &[used(1, "preparing", 20)], 20);
    assert_eq!(pass(&mut connectors, 24), [0; 0]);
    see(&mut connectors, vec![heard(1, "available")], &[used(1, "available", 24)], 24);
    assert_eq!(pass(&mut connectors, 60), [0; 0], "it went as it came");
    see(&mut connectors, vec![heard(1, "authorizing")], &[used(1, "preparing", 61)], 61);
    assert_eq!(pass(&mut connectors, 65), [0; 0]);
    assert_eq!(pass(&mut connectors, 66), [1]);
    assert_eq!(connectors.stable_at(Version::V201), None);
}
