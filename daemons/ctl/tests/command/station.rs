//! A station of the test's own: what it serves is always the same.
#![allow(clippy::unused_self, clippy::needless_pass_by_value, reason = "the bus wants them so")]

use std::sync::{Arc, Mutex};

use voltry_bus::{
    BookEvent, ChargeLimits, CheckResult, Connector, CsmsState, Error, EvseStatus, Fault, Module,
    ModuleGroup, ModuleUse, PowerShare, Powerline, PowerlineState, SelfTestOutcome, SelfTestStep, SimFault,
    SimTruth, StartOutcome, TokenKind, Transaction, V2gConversation, V2gMessage, VehicleNeeds, names,
};
use voltry_service::{Device, Identity};
use zbus::{Connection, interface};

use crate::private_bus::Bus;

/// It remembers whose self-test it was told to end.
struct Station {
    ended: Arc<Mutex<Vec<u32>>>,
}

fn transaction() -> Transaction {
    Transaction {
        id: 17,
        evse: 1,
        identity: "04A1…".to_owned(),
        state: "closed".to_owned(),
        started: 1_700_000_000_000_000,
        ended: 1_700_000_600_000_000,
        register_start: 1000.0,
        register_end: 2204.0,
        energy: 1204.0,
        end_reason: "ended by the vehicle".to_owned(),
        note: String::new(),
        why: "The vehicle ended it while charging; check: nothing".to_owned(),
    }
}

fn fault() -> Fault {
    Fault { code: "DiodeFault".to_owned(), cause: "no diode".to_owned(), at: 1 }
}

fn known(evse: u32) -> Result<(), Error> {
    match evse {
        1 | 3 => Ok(()),
        2 => Err(Error::Unavailable("EVSE 2 does not answer within 3 s".to_owned())),
        _ => Err(Error::UnknownEvse(format!("there is no EVSE {evse}"))),
    }
}

#[interface(name = "org.voltry.Station1")]
impl Station {
    fn authorize_token(&self, token: String, _kind: TokenKind, evse: u32) -> (StartOutcome,) {
        let (outcome, detail) =
            if token == "GOOD" { ("granted", "") } else { ("refused", "the back end says it is expired") };
        (StartOutcome { evse, outcome: outcome.to_owned(), detail: detail.to_owned() },)
    }

    fn stop(&self, evse: u32) -> Result<(), Error> {
        known(evse)
    }

    fn clear_faults(&self, evse: u32) -> Result<Vec<Fault>, Error> {
        known(evse).map(|()| vec![fault()])
    }

    fn self_test(&self, evse: u32, step: SelfTestStep) -> Result<(CheckResult,), Error> {
        known(evse)?;
        if evse == 1 {
            return Err(Error::Busy("EVSE 1: a transaction runs".to_owned()));
        }
        let outcome = match step {
            SelfTestStep::Lock => SelfTestOutcome::Skipped,
            SelfTestStep::Modules => SelfTestOutcome::Failed,
            SelfTestStep::Voltages
            | SelfTestStep::Temperatures
            | SelfTestStep::InsulationMonitor
            | SelfTestStep::Contactors => SelfTestOutcome::Passed,
        };
        Ok((CheckResult { outcome, seen: format!("saw {step}") },))
    }

    #[zbus(out_args("result"))]
    fn load_test(&self, evse: u32, voltage: f64, current: f64) -> Result<(CheckResult,), Error> {
        known(evse)?;
        let seen = format!("saw {current} A at {voltage} V");
        Ok((CheckResult { outcome: SelfTestOutcome::Passed, seen },))
    }

    fn end_self_test(&self, evse: u32) -> Result<(), Error> {
        self.ended.lock().unwrap().push(evse);
        known(evse)
    }

    fn set_available(&self, evse: u32, _available: bool) -> Result<(), Error> {
        known(evse)
    }

    fn transactions(&self, _limit: u32) -> Result<Vec<Transaction>, Error> {
        Ok(vec![transaction()])
    }

    fn transaction(&self, id: u64) -> Result<(Transaction, Vec<BookEvent>), Error> {
        if id != 17 {
            return Err(Error::UnknownTransaction(format!("no transaction {id}")));
        }
        let event = BookEvent {
            number: 1,
            time: 1_700_000_000_000_000,
            kind: "started".to_owned(),
            register: 1000.0,
            detail: String::new(),
        };
        Ok((transaction(), vec![event]))
    }

    #[zbus(property)]
    fn connectors(&self) -> Vec<Connector> {
        vec![Connector {
            evse: 1,
            state: "reserved".to_owned(),
            since: 1,
            transaction: 0,
            reservation: "7".to_owned(),
            limit: 0.0,
            limit_origin: "csms".to_owned(),
        }]
    }

    #[zbus(property)]
    fn shares(&self) -> Vec<PowerShare> {
        let (source, detail) = ("session".to_owned(), String::new());
        vec![PowerShare { evse: 1, permit: 60_000.0, share: 60_000.0, wants: 72_000.0, source, detail }]
    }

    #[zbus(property)]
    fn evses(&self) -> Vec<EvseStatus> {
        let free = EvseStatus {
            evse: 3,
            state: "unavailable".to_owned(),
            available: false,
            authorized: false,
            voltage: 0.0,
            current: 0.0,
            share: 0.0,
            energy: 0.0,
            soc: -1.0,
            transaction: 0,
            faults: Vec::new(),
        };
        let charging = EvseStatus {
            evse: 1,
            state: "charging".to_owned(),
            available: true,
            authorized: true,
            voltage: 400.0,
            current: 125.0,
            share: 60_000.0,
            energy: 1204.0,
            soc: 54.0,
            transaction: 17,
            faults: vec![fault()],
        };
        vec![charging, free]
    }

    #[zbus(property)]
    fn name(&self) -> String {
        "Test".to_owned()
    }
}

struct Rack;

#[interface(name = "org.voltry.PowerRack1")]
impl Rack {
    fn identify(&self, _bus: String, _address: u32, _on: bool) {}

    #[zbus(property)]
    fn modules(&self) -> Vec<Module> {
        vec![Module {
            bus: "main".to_owned(),
            address: 3,
            group: 0,
            serial: "S1".to_owned(),
            state: "on".to_owned(),
            online: true,
            voltage: 400.0,
            current: 20.0,
            available: 50.0,
            temperature: 40.0,
            alarms: Vec::new(),
            at: 0,
        }]
    }

    #[zbus(property)]
    fn group(&self) -> ModuleGroup {
        ModuleGroup { name: "a".to_owned(), evse: 2, place: "serving".to_owned() }
    }

    #[zbus(property)]
    fn uses(&self) -> Vec<ModuleUse> {
        vec![ModuleUse { bus: "main".to_owned(), address: 3, share: 25.0, hours: 1234 }]
    }
}

struct Log;

#[interface(name = "org.voltry.V2gLog1")]
impl Log {
    fn conversations(&self) -> Vec<V2gConversation> {
        let (protocol, ended) = ("ISO 15118-2:2014".to_owned(), "the vehicle, in Charging".to_owned());
        vec![V2gConversation { began: transaction().started, protocol, ended, left_out: 0 }]
    }

    fn read(&self, _began: i64) -> Vec<V2gMessage> {
        vec![V2gMessage {
            time: 1,
            by_vehicle: true,
            name: "SessionSetupReq".to_owned(),
            text: String::new(),
            payload_type: 0x8001,
            payload: vec![0x80],
        }]
    }
}

/// A link over a powerline, with what is known of its last vehicle.
struct Link;

/// By it this vehicle is let in.
pub(crate) const VEHICLE: &str = "02:56:4f:4c:54:01";

#[interface(name = "org.voltry.EvLink1")]
impl Link {
    #[zbus(property)]
    fn protocol(&self) -> &str {
        "ISO 15118-2:2014"
    }

    #[zbus(property)]
    fn charge_limits(&self) -> ChargeLimits {
        ChargeLimits::default()
    }

    #[zbus(property)]
    fn needs(&self) -> VehicleNeeds {
        VehicleNeeds::UNTOLD
    }

    #[zbus(property)]
    fn powerline(&self) -> Powerline {
        Powerline {
            state: PowerlineState::Up,
            vehicle: VEHICLE.to_owned(),
            attenuation: 30.9,
            matched_at: 1,
            retries: 0,
        }
    }
}

struct Sim;

#[interface(name = "org.voltry.Sim1")]
impl Sim {
    fn plug(&self, evse: u32) -> Result<(), Error> {
        known(evse)
    }

    fn swipe(&self, _token: String, _evse: u32) -> String {
        "granted".to_owned()
    }

    fn faults(&self) -> Vec<SimFault> {
        let (name, breaks, seen) = ("wrong-crc".to_owned(), "frames".to_owned(), "a fault".to_owned());
        vec![SimFault { name, breaks, seen }]
    }

    fn truth(&self, _evse: u32) -> SimTruth {
        SimTruth {
            module_voltage: 400.0,
            cable_voltage: 400.0,
            current: 125.0,
            contactors_closed: true,
            soc: 54.0,
            register: 2204.0,
            resolution: 1.0,
            pilot: "C".to_owned(),
            at: 1,
        }
    }
}

/// An uplink that is refused.
struct Csms;

#[interface(name = "org.voltry.Csms1")]
impl Csms {
    #[zbus(property)]
    fn state(&self) -> CsmsState {
        CsmsState::Rejected
    }

    #[zbus(property)]
    fn url(&self) -> &str {
        "wss://csms.example/ocpp"
    }

    #[zbus(property)]
    fn identity(&self) -> &str {
        "VOLTRY-1"
    }

    #[zbus(property)]
    fn protocol(&self) -> &str {
        "ocpp2.0.1"
    }

    #[zbus(property)]
    fn since(&self) -> i64 {
        1
    }

    #[zbus(property)]
    fn next_attempt(&self) -> i64 {
        0
    }

    #[zbus(property)]
    fn last_error(&self) -> &str {
        ""
    }

    #[zbus(property)]
    fn acknowledged(&self) -> u64 {
        7
    }

    #[zbus(property)]
    fn waiting(&self) -> u32 {
        0
    }
}

/// A station with one EVSE, a rack, a simulator, an uplink, and a device with a fault. Ends when dropped.
pub(crate) struct Served {
    _connection: Connection,
    _link: Device,
    pub(crate) device: Device,
    /// The EVSEs whose self-test was ended.
    pub(crate) ended: Arc<Mutex<Vec<u32>>>,
}

pub(crate) async fn serve(bus: &Bus) -> Served {
    let connection = voltry_service::connect(Some(&bus.address)).await.unwrap();
    let server = connection.object_server();
    let ended = Arc::new(Mutex::new(Vec::new()));
    server.at(names::STATION_PATH, Station { ended: ended.clone() }).await.unwrap();
    server.at(names::SIM_PATH, Sim).await.unwrap();
    let link = names::path("ev_link", "1");
    server.at(link.as_str(), Log).await.unwrap();
    server.at(link.as_str(), Link).await.unwrap();
    let link = Device::serve(&connection, &link, Identity::default()).await.unwrap();
    server.at(names::CSMS_PATH, Csms).await.unwrap();
    let supply = names::path("power_supply", "1");
    server.at(supply.as_str(), Rack).await.unwrap();
    let device = Device::serve(&connection, &supply, Identity::default()).await.unwrap();
    for name in [names::STATION, names::SIM, names::POWER, names::OCPP] {
        connection.request_name(name).await.unwrap();
    }
    Served { _connection: connection, _link: link, device, ended }
}
