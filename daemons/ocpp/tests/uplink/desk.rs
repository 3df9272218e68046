//! An uplink between a book and a CSMS that the test plays, in virtual time.

use serde_json::{Value, json};
use voltry_bus::{EvseStatus, ScheduleOffer};
use voltry_ocpp::certificates::{Configured, Folder, Outcome as Certified, Request};
use voltry_ocpp::files::Order;
use voltry_ocpp::model::Variables;
use voltry_ocpp::networks::Network;
use voltry_ocpp::profiles::Supply;
use voltry_ocpp::store::Store;
use voltry_ocpp::time::Now;
use voltry_ocpp::transactions::{Event, Kind, Occasion, Reason, Sample, Signed, Token};
use voltry_ocpp::uplink::{Action, Command, Input, Known, Networks, Outcome, Uplink};
use voltry_ocpp::{Shown, Version};
use voltry_units::Timestamp;

/// The machine's time of day at the start: 2026-05-28T20:26:40Z.
pub(crate) const START: i64 = 1_780_000_000_000_000;

/// A CALL that the uplink made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) action: String,
    pub(crate) payload: Value,
}

pub(crate) struct Desk {
    pub(crate) version: Version,
    pub(crate) uplink: Uplink,
    pub(crate) store: Store,
    pub(crate) book: Vec<Event>,
    /// Seconds since the start.
    pub(crate) seconds: u64,
    pub(crate) clock_set: bool,
    /// Seconds that the machine's clock was put forward.
    pub(crate) wall_ahead: i64,
    /// Nobody has set the clock, which is right all the same.
    pub(crate) unsynced: bool,
    /// All CALLs, oldest first.
    pub(crate) calls: Vec<Call>,
    /// How many of them `answer` has answered.
    pub(crate) answered: usize,
    pub(crate) replies: Vec<(String, Result<Value, String>)>,
    pub(crate) commands: Vec<(u64, Command)>,
    pub(crate) authorized: Vec<(u64, String)>,
    pub(crate) reconnects: usize,
    /// What the CSMS answered to makers' messages.
    pub(crate) letters: Vec<(u64, Option<String>)>,
    /// What people at the station see.
    pub(crate) shown: Shown,
    /// Files that were to be carried.
    pub(crate) orders: Vec<Order>,
    /// What vehicles were told that asked for contract certificates.
    pub(crate) contracts: Vec<(u64, Vec<u8>)>,
    /// What vehicles were offered, and where.
    pub(crate) offers: Vec<(u32, ScheduleOffer)>,
    /// What links were told of contracts that nobody here can vouch for.
    pub(crate) judged: Vec<(u64, bool)>,
    /// Whether they may ask that.
    pub(crate) central_validation: Vec<bool>,
    /// By what OCSP is asked about the certificates towards vehicles.
    pub(crate) asks: Vec<Value>,
    /// What it was told to be stapled.
    pub(crate) stapled: Vec<Vec<u8>>,
    /// How often the ways to the CSMS changed.
    pub(crate) networks: usize,
    /// Its certificates.
    pub(crate) certificates: Folder,
    pub(crate) resets: usize,
    pub(crate) acknowledged: u64,
    /// The export register that they name, thousandths of a watt-hour.
    pub(crate) exported: Option<i64>,
    /// The request to start that the book's events name.
    pub(crate) remote_start: Option<i64>,
    /// The reason that they name; else an end is local.
    pub(crate) reason: Option<Reason>,
    /// Whose token they name.
    pub(crate) card: Token,
    /// What their readings are for.
    pub(crate) occasion: Occasion,
    /// What its meter signs.
    pub(crate) signed: Option<Box<Signed>>,
    configuration: Vec<(String, String)>,
    folder: tempfile::TempDir,
    starts: u32,
    asked: u32,
}

/// The one way that is configured.
pub(crate) fn network() -> Network {
    let versions = vec![Version::V201, Version::V16];
    let url = "ws://csms.example/ocpp".to_owned();
    Network { url, versions, security_profile: 1, message_timeout_s: None }
}

fn uplink(
    store: &Store,
    version: Version,
    starts: u32,
    hexadecimal: bool,
    configuration: &[(String, String)],
) -> Uplink {
    let mut variables = Variables::new(store.variables().unwrap());
    for (key, value) in configuration {
        variables.make(voltry_ocpp::model::find_named(key).unwrap().name, value);
    }
    let (events, event_number) = store.events().unwrap();
    Uplink::new(Known {
        version,
        progress: store.progress().unwrap().unwrap_or_default(),
        variables,
        tokens: store.tokens().unwrap(),
        profiles: store.profiles().unwrap(),
        files: store.files().unwrap(),
        display: store.display().unwrap(),
        held: store.held().unwrap(),
        monitors: store.monitors().unwrap(),
        events,
        event_number,
        supply: Supply::default(),
        networks: Networks {
            known: [(1, network())].into_iter().chain(store.networks().unwrap()).collect(),
            hexadecimal,
            ..Networks::default()
        },
        journal: store.journal().unwrap(),
        boot_reason: "PowerUp".to_owned(),
        prefix: format!("start{starts}"),
        transactions_prefix: "voltry".to_owned(),
    })
}

impl Desk {
    pub(crate) fn new(version: Version) -> Self {
        Self::with(version, &[])
    }

    /// Accepted, with a variable that the configuration gives another value.
    pub(crate) fn configured(version: Version, key: &str, value: &str) -> Self {
        Self::with(version, &[(key.to_owned(), value.to_owned())]).accept()
    }

    fn with(version: Version, configuration: &[(String, String)]) -> Self {
        let mut desk = Self::without_station(version, configuration);
        desk.input(Input::Evses(vec![evse(1, "available")]));
        desk.seen("available");
        desk
    }

    /// The station's daemon has not been heard yet.
    pub(crate) fn without_station(version: Version, configuration: &[(String, String)]) -> Self {
        // What a disk does is tested in the store; here it would be waited for thousands of times.
        let memory = std::path::Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let store = Store::open(&folder.path().join("ocpp.db")).unwrap();
        let uplink = uplink(&store, version, 0, version == Version::V16, configuration);
        Self {
            version,
            uplink,
            store,
            book: Vec::new(),
            seconds: 0,
            clock_set: true,
            wall_ahead: 0,
            unsynced: false,
            calls: Vec::new(),
            answered: 0,
            replies: Vec::new(),
            commands: Vec::new(),
            authorized: Vec::new(),
            reconnects: 0,
            letters: Vec::new(),
            shown: Shown::default(),
            orders: Vec::new(),
            contracts: Vec::new(),
            offers: Vec::new(),
            judged: Vec::new(),
            central_validation: Vec::new(),
            asks: Vec::new(),
            stapled: Vec::new(),
            networks: 0,
            certificates: Folder::new(&folder.path().join("certificates"), Configured::default()),
            resets: 0,
            acknowledged: 0,
            exported: None,
            remote_start: None,
            reason: None,
            card: card(),
            occasion: Occasion::Interval,
            signed: None,
            configuration: configuration.to_vec(),
            folder,
            starts: 0,
            asked: 0,
        }
    }

    /// Connected, accepted, and all that is told at the start is told.
    pub(crate) fn accepted(version: Version) -> Self {
        Self::new(version).accept()
    }

    pub(crate) fn accept(mut self) -> Self {
        self.input(Input::Connected);
        self.answer_boot("Accepted", 300);
        self.answer_all();
        self
    }

    /// The daemon dies and starts again, with what the disk has.
    pub(crate) fn restart(&mut self) {
        self.starts += 1;
        self.store = Store::open(&self.folder.path().join("ocpp.db")).unwrap();
        let hexadecimal = self.version == Version::V16;
        self.uplink = uplink(&self.store, self.version, self.starts, hexadecimal, &self.configuration);
        self.input(Input::Evses(vec![evse(1, "available")]));
        self.seen("available");
        self.input(Input::BookGrew(self.book.len() as u64));
    }

    /// What the connector is to a driver, from now on.
    pub(crate) fn seen(&mut self, state: &str) {
        self.held(state, "");
    }

    /// The same, with the reservation that holds it.
    pub(crate) fn held(&mut self, state: &str, reservation: &str) {
        let connector = voltry_bus::Connector {
            evse: 1,
            state: state.to_owned(),
            since: self.now().unix,
            transaction: 0,
            reservation: reservation.to_owned(),
            limit: 0.0,
            limit_origin: String::new(),
        };
        self.input(Input::Connectors(vec![connector]));
    }

    pub(crate) fn now(&self) -> Now {
        let micros = self.seconds * 1_000_000;
        let unix = i64::try_from(micros).unwrap()
            + if self.clock_set { START + self.wall_ahead * 1_000_000 } else { 0 };
        Now { at: Timestamp::from_micros(micros + 1_000_000), unix, set: self.clock_set && !self.unsynced }
    }

    pub(crate) fn input(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let now = self.now();
            for action in self.uplink.step(now, input) {
                match action {
                    Action::Store(record) => self.store.write(&record).unwrap(),
                    Action::Call { id, action, payload } => {
                        let payload = serde_json::from_str(&payload).unwrap();
                        self.calls.push(Call { id, action: action.to_owned(), payload });
                    }
                    Action::Reply { id, answer } => {
                        let answer = answer.map(|text| serde_json::from_str(&text).unwrap());
                        self.replies.push((id, answer.map_err(|refusal| format!("{:?}", refusal.code))));
                    }
                    Action::Command { ticket, command } => self.commands.push((ticket, command)),
                    Action::Authorized { ticket, answer } => {
                        self.authorized.push((ticket, format!("{} by {}", answer.status, answer.source)));
                    }
                    Action::ReadBook(after) => {
                        let from = usize::try_from(after).unwrap();
                        inputs.push(Input::Book(self.book.iter().skip(from).take(50).cloned().collect()));
                    }
                    Action::Acknowledge(number) => {
                        assert!(number >= self.acknowledged);
                        self.acknowledged = number;
                    }
                    Action::Reconnect(_) => self.reconnects += 1,
                    Action::ContractAnswer { ticket, message } => self.contracts.push((ticket, message)),
                    Action::ContractJudged { ticket, believed } => self.judged.push((ticket, believed)),
                    Action::CentralValidation(allowed) => self.central_validation.push(allowed),
                    Action::Offer { evse, offer } => self.offers.push((evse, offer)),
                    Action::Networks(_) => self.networks += 1,
                    Action::Certificates { ticket, request } => {
                        let outcome = match &request {
                            Request::Status if !self.asks.is_empty() => Certified::Asks(self.asks.clone()),
                            Request::Stapled(response) => {
                                self.stapled.push(response.clone());
                                Certified::Done
                            }
                            Request::Status
                            | Request::List(..)
                            | Request::Install(..)
                            | Request::Delete(_)
                            | Request::Sign { .. }
                            | Request::Issued(..) => {
                                self.certificates.perform(&request, Some(now.unix / 1_000_000))
                            }
                        };
                        let summary = self.certificates.summary();
                        inputs.push(Input::Certified { ticket, outcome, summary });
                    }
                    Action::Times => {}
                    Action::LetterAnswered { ticket, answer } => {
                        let answer = answer.map(|(status, data)| format!("{status} {data}"));
                        self.letters.push((ticket, answer));
                    }
                    Action::Show(shown) => self.shown = shown,
                    Action::Files(order) => self.orders.push(order),
                    Action::StartAnew => self.resets += 1,
                }
            }
        }
    }

    /// Time passes; the uplink is woken when it wants to be.
    pub(crate) fn pass(&mut self, seconds: u64) {
        let end = self.seconds + seconds;
        while let Some(due) = self.uplink.deadline() {
            let due = due.as_micros().div_ceil(1_000_000).saturating_sub(1).max(self.seconds);
            if due > end {
                break;
            }
            let before = self.calls.len();
            self.seconds = due;
            self.input(Input::Tick);
            if self.calls.len() == before
                && self.uplink.deadline().is_none_or(|next| next.as_micros() <= (due + 1) * 1_000_000)
            {
                break;
            }
        }
        self.seconds = end;
        self.input(Input::Tick);
    }

    /// The newest CALL, if nobody has answered it.
    pub(crate) fn open(&self) -> Option<&Call> {
        self.calls.get(self.answered)
    }

    pub(crate) fn answer(&mut self, payload: Value) {
        let id = self.calls[self.answered].id.clone();
        self.answered += 1;
        self.input(Input::Answered { id, answer: Ok(payload.to_string()) });
    }

    pub(crate) fn answer_error(&mut self, code: &str) {
        let id = self.calls[self.answered].id.clone();
        self.answered += 1;
        self.input(Input::Answered { id, answer: Err((code.to_owned(), String::new())) });
    }

    pub(crate) fn answer_boot(&mut self, status: &str, interval: u64) {
        assert_eq!(self.open().unwrap().action, "BootNotification");
        let time = voltry_ocpp::time::rfc3339(START + i64::try_from(self.seconds * 1_000_000).unwrap());
        self.answer(json!({ "status": status, "currentTime": time, "interval": interval }));
    }

    /// Answers everything as a good CSMS does, as long as there is something to answer. StartTransaction
    /// gets the number of its place among all CALLs.
    pub(crate) fn answer_all(&mut self) {
        while let Some(call) = self.open().cloned() {
            let answer = match call.action.as_str() {
                "StartTransaction" => {
                    json!({ "transactionId": self.answered, "idTagInfo": { "status": "Accepted" } })
                }
                "Authorize" if self.version == Version::V16 => {
                    json!({ "idTagInfo": { "status": "Accepted" } })
                }
                "Authorize" => json!({ "idTokenInfo": { "status": "Accepted" } }),
                "Heartbeat" => json!({ "currentTime": voltry_ocpp::time::rfc3339(START) }),
                "BootNotification" => panic!("a boot"),
                _ => json!({}),
            };
            self.answer(answer);
        }
    }

    /// What was called since, by action.
    pub(crate) fn actions(&self, from: usize) -> Vec<&str> {
        self.calls[from..].iter().map(|call| call.action.as_str()).collect()
    }

    /// The CSMS asks; the answer's number among `replies`.
    pub(crate) fn ask(&mut self, action: &str, payload: &Value) -> Result<Value, String> {
        self.asked += 1;
        let id = format!("csms-{}", self.asked);
        let payload = payload.to_string();
        self.input(Input::Called { id: id.clone(), action: action.to_owned(), payload });
        let found = self.replies.iter().rev().find(|(answered, _)| *answered == id);
        found.map_or_else(|| Err("nothing yet".to_owned()), |(_, answer)| answer.clone())
    }

    /// The CSMS of 2.0.1 sets one variable.
    pub(crate) fn set(&mut self, component: &str, variable: &str, value: &str) -> Result<Value, String> {
        let data = json!({ "component": { "name": component }, "variable": { "name": variable },
            "attributeValue": value });
        self.ask("SetVariables", &json!({ "setVariableData": [data] }))
    }

    /// The station did the newest command.
    pub(crate) fn done(&mut self, outcome: Outcome) -> Option<Result<Value, String>> {
        let (ticket, _) = *self.commands.last().as_ref().unwrap();
        let before = self.replies.len();
        self.input(Input::Done { ticket: *ticket, outcome });
        self.replies.get(before).map(|(_, answer)| answer.clone())
    }

    pub(crate) fn happens(&mut self, kind: Kind, register_wh: i64) {
        let number = self.book.len() as u64 + 1;
        let session = 1 + self.book.iter().filter(|event| event.kind == Kind::Unplugged).count() as u64;
        let started = self.book.iter().filter(|event| event.kind == Kind::Started).count() as u64;
        let running = matches!(kind, Kind::Plugged | Kind::Authorized).then_some(0);
        let now = self.now();
        self.book.push(Event {
            number,
            unix: now.unix,
            clock_set: now.set,
            at: Some(now.at),
            evse: 1,
            session,
            transaction: running.unwrap_or(if kind == Kind::Started { started + 1 } else { started }),
            kind,
            token: matches!(kind, Kind::Authorized | Kind::Started | Kind::Deauthorized | Kind::Ended)
                .then(|| self.card.clone()),
            sample: Sample {
                register: Some(register_wh * 1000),
                export: self.exported,
                power: Some(50_000.0),
                current: Some(125.0),
                voltage: Some(400.0),
                ..Sample::default()
            },
            reason: self.reason.or((kind == Kind::Ended).then_some(Reason::Local)),
            remote_start: self.remote_start,
            reservation: None,
            occasion: self.occasion,
            signed: self.signed.clone().filter(|_| matches!(kind, Kind::Started | Kind::Ended)),
        });
        self.input(Input::BookGrew(number));
    }

    /// A whole charge: 1000 Wh, two readings.
    pub(crate) fn charge(&mut self, from_wh: i64) {
        for (kind, wh) in [
            (Kind::Plugged, 0),
            (Kind::Authorized, 0),
            (Kind::Started, 0),
            (Kind::Charging, 0),
            (Kind::Reading, 400),
            (Kind::Reading, 800),
            (Kind::Ended, 1000),
            (Kind::Unplugged, 1000),
        ] {
            self.seconds += 10;
            self.happens(kind, from_wh + wh);
        }
    }
}

pub(crate) fn card() -> Token {
    Token { id: "04A1B2C3".to_owned(), kind: "ISO14443".to_owned() }
}

pub(crate) fn evse(number: u32, state: &str) -> EvseStatus {
    EvseStatus {
        evse: number,
        state: state.to_owned(),
        available: true,
        authorized: false,
        voltage: 400.0,
        current: 100.0,
        share: 50_000.0,
        energy: 0.0,
        soc: -1.0,
        transaction: 0,
        faults: Vec::new(),
    }
}

pub(crate) fn lost(desk: &mut Desk) {
    desk.input(Input::Disconnected);
    desk.answered = desk.calls.len();
}
