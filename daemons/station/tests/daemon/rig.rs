//! A station on a private bus: the daemon as it is shipped, and around it an EVSE, a meter and a back
//! end that do what the test says. Included by the uplink's tests too, which bring the back end.
#![allow(dead_code, reason = "each test uses a part")]

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use voltry_bus::{
    Authorization, Book1Proxy, CheckResult, DcCapability, Error, EvseSession, EvseState, Fault, Live,
    MeterReading, Permit, SelfTestOutcome, SelfTestStep, SessionEvent, Settings1Proxy, SignedReading,
    Station1Proxy, TokenAnswer, TokenKind, TokenStatus, names,
};
use voltry_service::clock::now;
use zbus::object_server::SignalEmitter;
use zbus::proxy::CacheProperties;
use zbus::{Connection, interface};

use crate::private_bus::{Bus, Process};

const EVSE_PATH: &str = "/org/voltry/evse/1";
const SECOND_PATH: &str = "/org/voltry/evse/2";
const SECOND_METER_PATH: &str = "/org/voltry/energy_meter/2";
pub(crate) const METER_NAME: &str = "org.voltry.Meter.Test";
const METER_PATH: &str = "/org/voltry/energy_meter/1";
/// The meter at the grid connection.
pub(crate) const GRID_PATH: &str = "/org/voltry/energy_meter/grid";
const CSMS_NAME: &str = "org.voltry.Ocpp1";
const CSMS_PATH: &str = "/org/voltry/csms";

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// A condition that has not come after this does not come.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// What the EVSE, the meter and the back end do, and what they were told.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) state: EvseState,
    pub(crate) session: EvseSession,
    pub(crate) vehicle_id: String,
    pub(crate) contract: String,
    /// Which session was granted or refused last.
    pub(crate) authorization: Option<(u64, Authorization)>,
    pub(crate) permit: Option<Permit>,
    pub(crate) available: bool,
    /// Why it was last told to stop.
    pub(crate) stopped: Option<String>,
    /// The meter's register, watt-hours.
    pub(crate) register: f64,
    /// The transaction that the meter has open.
    pub(crate) open: Option<String>,
    /// The transaction that the meter ended last, and what it signed.
    pub(crate) ended: Option<(String, SignedReading)>,
    /// So many answers of the meter to an end are lost on their way.
    pub(crate) lost_answers: u32,
    /// The meter gives no answer as long as this holds.
    pub(crate) meter_hangs: bool,
    /// Starts and stops that the meter was asked for.
    pub(crate) meter_asked: u32,
    /// What the back end says of every token; `None`: it hangs.
    pub(crate) verdict: Option<(TokenStatus, String)>,
    /// The tokens that the back end was asked for.
    pub(crate) judged: Vec<(String, TokenKind)>,
}

impl World {
    fn new() -> Self {
        Self {
            state: EvseState::Available,
            session: EvseSession::default(),
            vehicle_id: String::new(),
            contract: String::new(),
            authorization: None,
            permit: None,
            available: true,
            stopped: None,
            register: 1000.0,
            open: None,
            ended: None,
            lost_answers: 0,
            meter_hangs: false,
            meter_asked: 0,
            verdict: Some((TokenStatus::Unknown, String::new())),
            judged: Vec::new(),
        }
    }

    fn plug(&mut self, id: u64) {
        self.state = EvseState::Authorizing;
        self.session = EvseSession { id, plugged_at: now().as_micros(), ..EvseSession::default() };
    }
}

/// The world, shared with what is served.
pub(crate) type Shared = Arc<Mutex<World>>;

struct FakeEvse(Shared);

#[interface(name = "org.voltry.Evse1")]
impl FakeEvse {
    fn set_permit(&self, permit: Permit) {
        self.0.lock().unwrap().permit = Some(permit);
    }

    fn set_authorization(&self, session: u64, authorization: Authorization) -> Result<(), Error> {
        let mut world = self.0.lock().unwrap();
        if session != world.session.id || session == 0 {
            return Err(Error::Stale("another session".to_owned()));
        }
        world.authorization = Some((session, authorization));
        Ok(())
    }

    fn stop(&self, reason: String) {
        self.0.lock().unwrap().stopped = Some(reason);
    }

    fn clear_faults(&self) -> Vec<Fault> {
        Vec::new()
    }

    fn set_available(&self, available: bool) {
        self.0.lock().unwrap().available = available;
    }

    #[zbus(signal)]
    async fn live(emitter: &SignalEmitter<'_>, live: Live) -> zbus::Result<()>;

    #[zbus(property)]
    fn state(&self) -> EvseState {
        self.0.lock().unwrap().state
    }

    #[zbus(property)]
    fn session(&self) -> EvseSession {
        self.0.lock().unwrap().session.clone()
    }

    #[zbus(property)]
    fn vehicle_id(&self) -> String {
        self.0.lock().unwrap().vehicle_id.clone()
    }

    #[zbus(property)]
    fn contract(&self) -> String {
        self.0.lock().unwrap().contract.clone()
    }

    #[zbus(property)]
    fn capability(&self) -> DcCapability {
        DcCapability { voltage_min: 150.0, voltage_max: 920.0, current_max: 500.0, power_max: 150_000.0 }
    }
}

/// Passes every check that it is asked for out of service.
struct FakeSelfTest(Shared);

#[interface(name = "org.voltry.SelfTest1")]
impl FakeSelfTest {
    #[zbus(out_args("result"))]
    fn check(&self, step: SelfTestStep) -> (CheckResult,) {
        let out = self.0.lock().unwrap().state == EvseState::Unavailable;
        let outcome = if out { SelfTestOutcome::Passed } else { SelfTestOutcome::Refused };
        (CheckResult { outcome, seen: step.to_string() },)
    }
}

struct FakeMeter {
    world: Shared,
    woken: Arc<Notify>,
}

impl FakeMeter {
    /// Waits for as long as the meter gives no answer.
    async fn answer(&self) {
        self.world.lock().unwrap().meter_asked += 1;
        loop {
            let woken = self.woken.notified();
            if !self.world.lock().unwrap().meter_hangs {
                return;
            }
            woken.await;
        }
    }
}

fn signed(world: &World, what: &str) -> SignedReading {
    SignedReading {
        energy: world.register,
        format: "OCMF".to_owned(),
        data: format!("OCMF|{what}|{}", world.register),
        public_key: "key".to_owned(),
        unix_time: 1,
        at: now().as_micros(),
    }
}

fn reading(world: &World) -> MeterReading {
    MeterReading {
        sequence: 1,
        voltage: 400.0,
        current: 100.0,
        power: 40_000.0,
        energy_import: world.register,
        energy_export: 0.0,
        at: now().as_micros(),
    }
}

#[interface(name = "org.voltry.EnergyMeter1")]
impl FakeMeter {
    #[zbus(out_args("reading"))]
    fn read_register(&self) -> (MeterReading,) {
        (reading(&self.world.lock().unwrap()),)
    }

    #[zbus(out_args("reading"))]
    async fn start(
        &self,
        transaction: String,
        _identity: String,
        _tariff: String,
    ) -> Result<(SignedReading,), Error> {
        self.answer().await;
        let mut world = self.world.lock().unwrap();
        if world.open.as_ref().is_some_and(|open| *open != transaction) {
            return Err(Error::Refused("one is open".to_owned()));
        }
        world.open = Some(transaction);
        Ok((signed(&world, "start"),))
    }

    #[zbus(out_args("reading"))]
    async fn stop(&self, transaction: String) -> Result<(SignedReading,), Error> {
        self.answer().await;
        let mut world = self.world.lock().unwrap();
        if world.open.as_ref() == Some(&transaction) {
            world.open = None;
            world.ended = Some((transaction.clone(), signed(&world, "stop")));
        }
        if world.lost_answers > 0 {
            world.lost_answers -= 1;
            return Err(Error::Unavailable("the meter does not answer".to_owned()));
        }
        let ended = world.ended.clone().filter(|(ended, _)| *ended == transaction);
        let (_, reading) = ended.ok_or_else(|| Error::Refused("it is not open".to_owned()))?;
        Ok((reading,))
    }

    #[zbus(signal)]
    async fn reading(emitter: &SignalEmitter<'_>, reading: MeterReading) -> zbus::Result<()>;

    #[zbus(property)]
    fn unfinished(&self) -> String {
        self.world.lock().unwrap().open.clone().unwrap_or_default()
    }
}

struct FakeCsms(Shared);

#[interface(name = "org.voltry.Csms1")]
impl FakeCsms {
    #[zbus(out_args("answer"))]
    async fn authorize(&self, token: String, kind: TokenKind, _evse: u32) -> Result<(TokenAnswer,), Error> {
        let verdict = {
            let mut world = self.0.lock().unwrap();
            world.judged.push((token, kind));
            world.verdict.clone()
        };
        let Some((status, group)) = verdict else { return std::future::pending().await };
        let (source, detail) = ("csms".to_owned(), String::new());
        Ok((TokenAnswer { status, group, source, expires: 0, detail },))
    }
}

/// A station with one EVSE.
pub(crate) struct Rig {
    pub(crate) world: Shared,
    pub(crate) book: Book1Proxy<'static>,
    pub(crate) station: Station1Proxy<'static>,
    pub(crate) settings: Settings1Proxy<'static>,
    woken: Arc<Notify>,
    daemon: Option<Process>,
    pub(crate) connection: Connection,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) bus: Bus,
}

impl Rig {
    /// A station with these lines in its table, and a back end that does what the test says.
    pub(crate) async fn start(table: &str) -> Self {
        Self::start_with(table, true).await
    }

    /// A station with these lines in its table, and such a back end or none.
    pub(crate) async fn start_with(table: &str, back_end: bool) -> Self {
        let bus = Bus::start();
        let world = Arc::new(Mutex::new(World::new()));
        let woken = Arc::new(Notify::new());
        let connection = voltry_service::connect(Some(&bus.address)).await.unwrap();
        let server = connection.object_server();
        server.at(EVSE_PATH, FakeEvse(Arc::clone(&world))).await.unwrap();
        server.at(EVSE_PATH, FakeSelfTest(Arc::clone(&world))).await.unwrap();
        let meter = FakeMeter { world: Arc::clone(&world), woken: Arc::clone(&woken) };
        server.at(METER_PATH, meter).await.unwrap();
        for name in [names::evse(1).as_str(), METER_NAME] {
            connection.request_name(name).await.unwrap();
        }
        if back_end {
            server.at(CSMS_PATH, FakeCsms(Arc::clone(&world))).await.unwrap();
            connection.request_name(CSMS_NAME).await.unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("book.db");
        let configuration = format!(
            "[station]\nname = \"Test\"\npower_limit_w = 100000\ndatabase = {database:?}\n{table}\n\
             [station.evse.1]\nenergy_meter = {{ name = \"{METER_NAME}\", path = \"{METER_PATH}\" }}\n"
        );
        std::fs::write(folder.path().join("voltry.toml"), configuration).unwrap();
        let (destination, path) = (names::STATION, names::STATION_PATH);
        let cache = CacheProperties::No;
        let book = Book1Proxy::builder(&connection).destination(destination).path(path);
        let station = Station1Proxy::builder(&connection).destination(destination).path(path);
        let settings = Settings1Proxy::builder(&connection).destination(destination).path(path);
        let mut rig = Self {
            world,
            book: book.cache_properties(cache).build().await.unwrap(),
            station: station.cache_properties(cache).build().await.unwrap(),
            settings: settings.cache_properties(cache).build().await.unwrap(),
            woken,
            daemon: None,
            connection,
            folder,
            bus,
        };
        rig.start_daemon().await;
        rig
    }

    /// The same station with a second EVSE, and the world there.
    pub(crate) async fn with_second(table: &str) -> (Self, Shared) {
        let mut rig = Self::start(table).await;
        rig.kill();
        let second = Arc::new(Mutex::new(World::new()));
        let server = rig.connection.object_server();
        server.at(SECOND_PATH, FakeEvse(Arc::clone(&second))).await.unwrap();
        let meter = FakeMeter { world: Arc::clone(&second), woken: Arc::clone(&rig.woken) };
        server.at(SECOND_METER_PATH, meter).await.unwrap();
        let config = rig.folder.path().join("voltry.toml");
        let more = format!(
            "[station.evse.2]\nevse = {{ name = \"{}\", path = \"{SECOND_PATH}\" }}\n\
             energy_meter = {{ name = \"{METER_NAME}\", path = \"{SECOND_METER_PATH}\" }}\n",
            names::evse(1)
        );
        let both = std::fs::read_to_string(&config).unwrap() + &more;
        std::fs::write(config, both).unwrap();
        rig.start_daemon().await;
        (rig, second)
    }

    /// A vehicle is plugged in at the second EVSE, with this id of its session.
    pub(crate) async fn plug_at_second(&self, second: &Shared, id: u64) {
        second.lock().unwrap().plug(id);
        self.tell_at(SECOND_PATH).await;
    }

    /// Starts the daemon and waits until it answers and has seen the EVSE.
    pub(crate) async fn start_daemon(&mut self) {
        let log =
            std::fs::File::options().append(true).create(true).open(self.folder.path().join("log")).unwrap();
        let daemon = Command::new(crate::station_program())
            .arg("--config")
            .arg(self.folder.path())
            .args(["--bus", &self.bus.address])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemon = Some(Process(daemon));
        self.until("the station is up", async || {
            self.station.evses().await.is_ok_and(|evses| evses[0].state != "absent")
        })
        .await;
    }

    /// The meter at the grid connection, the same daemon's second, reads this.
    pub(crate) async fn grid_reads(&self, power: f64) {
        let reading = MeterReading { power, ..reading(&self.world.lock().unwrap()) };
        let interface = "org.voltry.EnergyMeter1";
        self.connection
            .emit_signal(None::<&str>, GRID_PATH, interface, "Reading", &(reading,))
            .await
            .unwrap();
    }

    /// What the daemon has said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Kills the daemon without a word.
    pub(crate) fn kill(&mut self) {
        self.daemon = None;
    }

    /// The book's files, as they are on the disk at this instant.
    pub(crate) fn copy_book(&self) -> Vec<(PathBuf, Vec<u8>)> {
        // The write-ahead log first: what it lacks is in no newer page of the book.
        ["book.db-wal", "book.db"]
            .iter()
            .map(|name| self.folder.path().join(name))
            .filter_map(|path| std::fs::read(&path).ok().map(|bytes| (path, bytes)))
            .collect()
    }

    /// Puts the book back to what the disk kept.
    pub(crate) fn restore_book(&self, files: &[(PathBuf, Vec<u8>)]) {
        for name in ["book.db", "book.db-wal", "book.db-shm"] {
            let _ = std::fs::remove_file(self.folder.path().join(name));
        }
        for (path, bytes) in files {
            std::fs::write(path, bytes).unwrap();
        }
    }

    /// What the book holds is of another boot of the machine. (The kernel's number cannot be changed.)
    pub(crate) fn boot_anew(&self) {
        let book = rusqlite::Connection::open(self.folder.path().join("book.db")).unwrap();
        for table in ["sessions", "transactions", "events"] {
            book.execute(&format!("UPDATE {table} SET boot_id = 'before'"), []).unwrap();
        }
    }

    /// Waits for a condition.
    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let started = Instant::now();
        while !holds().await {
            assert!(
                started.elapsed() < SOON,
                "{what}: not within {SOON:?}; {:?}\n{}",
                self.world.lock().unwrap(),
                std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the world is like this.
    pub(crate) async fn until_world(&self, what: &str, holds: impl Fn(&World) -> bool) {
        self.until(what, async || holds(&self.world.lock().unwrap())).await;
    }

    /// Waits until the newest event is of this kind; returns all of them.
    pub(crate) async fn until_newest(&self, kind: &str) -> Vec<SessionEvent> {
        self.until(kind, async || self.kinds().await.last().is_some_and(|newest| newest == kind)).await;
        self.events().await
    }

    /// The events of the book; numbered without gaps.
    pub(crate) async fn events(&self) -> Vec<SessionEvent> {
        let events = self.book.events(0, 500).await.unwrap();
        assert!(events.windows(2).all(|pair| pair[0].number + 1 == pair[1].number), "{events:?}");
        events
    }

    /// What happened, in words.
    pub(crate) async fn kinds(&self) -> Vec<String> {
        self.events().await.iter().map(|event| event.kind.to_string()).collect()
    }

    /// Changes the world, and lets the EVSE tell its state and session.
    pub(crate) async fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.world.lock().unwrap());
        self.tell().await;
    }

    /// Lets the EVSE tell its properties.
    pub(crate) async fn tell(&self) {
        self.tell_at(EVSE_PATH).await;
    }

    async fn tell_at(&self, path: &str) {
        let served = self.connection.object_server().interface::<_, FakeEvse>(path).await.unwrap();
        let evse = served.get().await;
        evse.state_changed(served.signal_emitter()).await.unwrap();
        evse.session_changed(served.signal_emitter()).await.unwrap();
    }

    /// A vehicle is plugged in, with this id of its session.
    pub(crate) async fn plug(&self, id: u64) {
        self.change(|world| world.plug(id)).await;
    }

    /// The vehicle leaves.
    pub(crate) async fn unplug(&self) {
        self.change(|world| {
            world.state = EvseState::Available;
            world.session = EvseSession::default();
            (world.vehicle_id, world.contract) = (String::new(), String::new());
        })
        .await;
    }

    /// Delivery ends for this reason.
    pub(crate) async fn end(&self, words: &str) {
        self.change(|world| {
            world.state = EvseState::Finished;
            world.session.ended_at = now().as_micros();
            words.clone_into(&mut world.session.end_reason);
        })
        .await;
    }

    /// Current flows, or with 0 none; the vehicle wants `wanted` amperes.
    pub(crate) async fn flow(&self, current: f64, wanted: f64) {
        self.change(|world| world.state = EvseState::Charging).await;
        let live = Live {
            sequence: 1,
            voltage: 400.0,
            current,
            target_voltage: 400.0,
            target_current: wanted,
            soc: 42.0,
            energy: 0.0,
            at: now().as_micros(),
        };
        let served = self.connection.object_server().interface::<_, FakeEvse>(EVSE_PATH).await.unwrap();
        FakeEvse::live(served.signal_emitter(), live).await.unwrap();
    }

    /// The meter counts to this, and says so.
    pub(crate) async fn meter(&self, register: f64) {
        let reading = {
            let mut world = self.world.lock().unwrap();
            world.register = register;
            reading(&world)
        };
        let served = self.connection.object_server().interface::<_, FakeMeter>(METER_PATH).await.unwrap();
        FakeMeter::reading(served.signal_emitter(), reading).await.unwrap();
    }

    /// The meter's daemon answers nothing but errors from now on.
    pub(crate) async fn lose_meter(&self) {
        assert!(self.connection.object_server().remove::<FakeMeter, _>(METER_PATH).await.unwrap());
    }

    /// Lets the meter answer again.
    pub(crate) fn wake_meter(&self) {
        self.world.lock().unwrap().meter_hangs = false;
        self.woken.notify_waiters();
    }
}
