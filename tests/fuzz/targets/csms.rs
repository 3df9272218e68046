//! What a CSMS asks and answers: texts, one a line, for a station that was accepted. The first byte
//! chooses the version. A line that begins with `=` answers the station's open call with its rest.
#![no_main]

use libfuzzer_sys::fuzz_target;
use voltry_ocpp::Version;
use voltry_ocpp::model::Variables;
use voltry_ocpp::rpc::{Endpoint, Received};
use voltry_ocpp::time::Now;
use voltry_ocpp::transactions::{Event, Kind, Sample, Token};
use voltry_ocpp::uplink::{Action, Input, Known, Outcome, Progress, Tokens, Uplink};
use voltry_units::Timestamp;

const LINES: usize = 64;

fn charge() -> Vec<Event> {
    let kinds = [Kind::Plugged, Kind::Authorized, Kind::Started, Kind::Reading, Kind::Ended, Kind::Unplugged];
    let token = Token { id: "A".to_owned(), kind: "ISO14443".to_owned() };
    (1..)
        .zip(kinds)
        .map(|(number, kind)| Event {
            number,
            unix: 1_780_000_000_000_000,
            clock_set: true,
            at: None,
            evse: 1,
            session: 1,
            transaction: u64::from(number > 2),
            kind,
            token: Some(token.clone()),
            sample: Sample { register: Some(1000), ..Sample::default() },
            reason: None,
            remote_start: None,
            reservation: None,
            occasion: voltry_ocpp::transactions::Occasion::Interval,
            signed: None,
        })
        .collect()
}

struct Desk {
    uplink: Uplink,
    open: Option<String>,
    asked: usize,
    answered: usize,
    seconds: u64,
}

impl Desk {
    fn step(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let at = Timestamp::from_micros(self.seconds * 1_000_000);
            let unix = 1_780_000_000_000_000 + i64::try_from(self.seconds).unwrap() * 1_000_000;
            for action in self.uplink.step(Now { at, unix, set: true }, input) {
                match action {
                    Action::Call { id, .. } => {
                        assert!(self.open.is_none(), "two calls at a time");
                        self.open = Some(id);
                    }
                    Action::Reply { .. } => self.answered += 1,
                    Action::ReadBook(after) => {
                        let from = usize::try_from(after).unwrap();
                        inputs.push(Input::Book(charge().into_iter().skip(from).collect()));
                    }
                    Action::Command { ticket, .. } => {
                        inputs.push(Input::Done { ticket, outcome: Outcome::Done })
                    }
                    _ => {}
                }
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((version, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let version = if version % 2 == 0 { Version::V16 } else { Version::V201 };
    let uplink = Uplink::new(Known {
        version,
        progress: Progress::default(),
        variables: Variables::default(),
        tokens: Tokens::default(),
        held: Default::default(),
        profiles: Default::default(),
        files: Default::default(),
        display: Default::default(),
        supply: Default::default(),
        networks: Default::default(),
        journal: Default::default(),
        monitors: Default::default(),
        events: Vec::new(),
        event_number: 0,
        boot_reason: "PowerUp".to_owned(),
        prefix: "p".to_owned(),
        transactions_prefix: "t".to_owned(),
    });
    let mut desk = Desk { uplink, open: None, asked: 0, answered: 0, seconds: 1 };
    desk.step(Input::Connected);
    let boot = r#"{"status":"Accepted","currentTime":"2026-05-28T20:26:40Z","interval":300}"#;
    let id = desk.open.take().expect("it boots");
    desk.step(Input::Answered { id, answer: Ok(boot.to_owned()) });
    desk.step(Input::BookGrew(6));
    // Nothing waits for the station's word any longer.
    desk.seconds += 20;
    let mut endpoint: Endpoint<()> = Endpoint::new(version.dialect());
    for line in text.lines().take(LINES) {
        desk.seconds += 1;
        if let Some(answer) = line.strip_prefix('=') {
            if let Some(id) = desk.open.take() {
                desk.step(Input::Answered { id, answer: Ok(answer.to_owned()) });
            }
            continue;
        }
        if let Received::Call(call) = endpoint.received(Timestamp::BOOT, line) {
            desk.asked += 1;
            let (id, action) = (call.id.to_string(), call.action.into_owned());
            let payload = call.payload.to_owned();
            desk.step(Input::Called { id: id.clone(), action, payload });
            let _ = endpoint.answer(&call.id, "{}");
        }
    }
    assert!(desk.answered <= desk.asked, "more answers than questions");
});
