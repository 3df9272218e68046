//! Transactions while the machine's clock goes wrong, and of a CSMS that answers with rubbish, late and twice:
//! each is told, once and in order, and nothing is stuck.

use voltry_ocpp::Version;
use voltry_ocpp::transactions::Kind;
use voltry_ocpp::uplink::Input;

use crate::desk::Desk;
use crate::transactions::{bill, kinds, told, whole};

const BOTH: [Version; 2] = [Version::V16, Version::V201];

/// A charge in whose middle `strikes` happens.
fn charge(desk: &mut Desk, strikes: impl FnOnce(&mut Desk)) {
    let first = [(Kind::Plugged, 0), (Kind::Authorized, 0), (Kind::Started, 0), (Kind::Charging, 0)];
    let rest = [(Kind::Reading, 400), (Kind::Reading, 800), (Kind::Ended, 1000), (Kind::Unplugged, 1000)];
    for (kind, register) in first {
        desk.pass(10);
        desk.happens(kind, register);
    }
    strikes(desk);
    for (kind, register) in rest {
        desk.pass(10);
        desk.happens(kind, register);
    }
}

/// Every message of one charge has been told, in order, and the CSMS has all of the book.
fn is_whole(desk: &Desk, version: Version, refused: &[String]) {
    let told = told(desk);
    let good: Vec<_> = told.iter().filter(|call| !refused.contains(&call.id)).cloned().collect();
    assert_eq!(kinds(&good), whole(version), "{version:?}");
    assert_eq!(bill(&good), 1000);
    let numbers: Vec<_> = good.iter().filter_map(|call| call.payload["seqNo"].as_u64()).collect();
    assert!(numbers.iter().zip(0..).all(|(number, place)| *number == place), "{numbers:?}");
    assert_eq!(desk.acknowledged, desk.book.len() as u64, "nothing is stuck");
}

#[test]
fn a_clock_that_is_put_back_or_set_in_a_charge_loses_nothing_of_it() {
    for version in BOTH {
        for by in [-3600, -86_400 * 365, 7200] {
            let mut desk = Desk::accepted(version);
            charge(&mut desk, |desk| desk.wall_ahead = by);
            desk.answer_all();
            is_whole(&desk, version, &[]);
        }
        let mut desk = Desk::accepted(version);
        desk.clock_set = false;
        charge(&mut desk, |desk| desk.clock_set = true);
        desk.answer_all();
        is_whole(&desk, version, &[]);
    }
}

#[test]
fn what_a_csms_answers_besides_what_it_should_loses_nothing() {
    let rubbish = [
        "",
        "null",
        "[]",
        "7",
        "{\"idTagInfo\":7,\"idTokenInfo\":7}",
        "{\"totalCost\":\"much\",\"transactionId\":\"x\"}",
    ];
    for version in BOTH {
        for text in rubbish {
            let mut desk = Desk::accepted(version);
            charge(&mut desk, |_| {});
            // Of 1.6 the first, the start, must be answered with a number.
            let id = desk.open().unwrap().id.clone();
            desk.answered += 1;
            desk.input(Input::Answered { id: id.clone(), answer: Ok(text.to_owned()) });
            let refused = [id.clone()];
            desk.pass(60);
            // Twice, late, and to nothing at all.
            for other in [id, "nobody's".to_owned()] {
                for answer in [Ok("{}".to_owned()), Err(("GenericError".to_owned(), String::new()))] {
                    desk.input(Input::Answered { id: other.clone(), answer });
                }
            }
            desk.answer_all();
            desk.pass(60);
            desk.answer_all();
            is_whole(&desk, version, &refused);
        }
    }
}
