//! Floods, and frames that are cut short or run on.

use iso15118::slac::{
    AttenCharRsp, AttenProfileInd, MnbcSoundInd, SetKeyCnf, SlacMatchReq, SlacParmReq, StartAttenCharInd,
};

use super::*;

#[test]
fn a_flood_is_answered_at_its_rate_and_the_vehicle_is_matched_all_the_same() {
    let mut world = World::attached();
    for number in 0..2000_u16 {
        let [high, low] = number.to_be_bytes();
        world.inject(&start_atten([2, 0xaa, 0, 0, high, low], [0; 8]));
    }
    assert!(world.slac.held().0 <= 16, "{:?}", world.slac.held());
    world.start(Vehicle::new(1, 30));
    world.until(4 * SECOND, "a match", |world| world.vehicles[0].key.is_some());
    world.run(SECOND);
    let before = world.count(Mmtype::SlacParmCnf);
    for number in 0..2000_u16 {
        let [high, low] = number.to_be_bytes();
        world.inject(&parm_req([2, 0xaa, 0, 0, high, low], [0; 8]));
    }
    assert_eq!(world.count(Mmtype::SlacParmCnf) - before, 20);
}

/// Ethernet's and HomePlug's.
const HEADER: usize = 19;
/// At the end of CM_SLAC_MATCH.REQ (ISO 15118-3 table A.7).
const RESERVED: usize = 8;

/// Every message that the station hears, and how many of its bytes say something.
fn heard() -> Vec<(&'static str, Vec<u8>, usize)> {
    let run = [7; 8];
    vec![
        ("CM_SLAC_PARM.REQ", parm_req(NEAR, run), HEADER + SlacParmReq::LEN),
        ("CM_START_ATTEN_CHAR.IND", start_atten(NEAR, run), HEADER + StartAttenCharInd::LEN),
        ("CM_MNBC_SOUND.IND", sound(NEAR, run), HEADER + MnbcSoundInd::LEN),
        ("CM_ATTEN_CHAR.RSP", atten_char_rsp(NEAR, run), HEADER + AttenCharRsp::LEN),
        ("CM_SLAC_MATCH.REQ", match_req(NEAR, run), HEADER + SlacMatchReq::LEN - RESERVED),
        ("CM_ATTEN_PROFILE.IND", profile(MODEM, NEAR, 30), HEADER + AttenProfileInd::LEN),
        ("CM_SET_KEY.CNF", key_set(STATION, MODEM, 1), HEADER + SetKeyCnf::LEN),
    ]
}

#[test]
fn a_message_cut_short_anywhere_is_refused_and_the_vehicle_is_matched_all_the_same() {
    let mut world = World::attached();
    world.run(SECOND);
    for (name, frame, says) in heard() {
        for length in 0..says {
            assert!(world.slac.receive(world.now, &frame[..length]).is_err(), "{length} bytes of {name}");
            assert_eq!(world.slac.take_transmit(), None, "{length} bytes of {name} were answered");
        }
    }
    assert_eq!(world.slac.held(), (0, 0));
    world.start(Vehicle::new(1, 30));
    world.until(3 * SECOND, "a match", |world| world.vehicles[0].key.is_some());
}

#[test]
fn a_message_longer_than_it_may_be_says_no_more_than_its_beginning() {
    for (name, frame, _) in heard() {
        let answers = |frame: &[u8]| {
            let mut world = World::attached();
            world.run(SECOND);
            let before = world.sent.len();
            world.inject(frame);
            assert!(world.slac.held().0 <= 1, "{name}");
            let sent: Vec<_> = world.sent[before..].iter().map(|(_, frame)| frame.clone()).collect();
            world.start(Vehicle::new(1, 30));
            world.until(3 * SECOND, "a match", |world| world.vehicles[0].key.is_some());
            sent
        };
        let (once, longer) = (answers(&frame), answers(&[&frame[..], &[0xff; 9000]].concat()));
        assert!(longer.is_empty() || longer == once, "{name}");
    }
    // More groups than are there, and more than there can be.
    let mut groups = profile(MODEM, NEAR, 30);
    assert_eq!(groups[HEADER + 6], 58);
    groups[HEADER + 6] = 255;
    let mut world = World::attached();
    assert!(world.slac.receive(world.now, &groups).is_err());
}
