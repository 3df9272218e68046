//! The daemon's one control loop, over all connectors.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use voltry_bus::{Component, ConnectorState, Contactors, DeviceVariable, Error, Lock, names};
use voltry_service::{Daemon, Device, HolderWatch, Identity, Refusals, Watchdog, clock};
use voltry_units::Timestamp;

use crate::calls::{self, Call};
use crate::config::{self, ConnectorSettings, Settings, Wiring};
use crate::connector::{Action, Connector};
use crate::line::Line;
use crate::linux::{Fitted, LinuxBoard};
use crate::matrix;
use crate::object::{Method, Object, OfConnector};
use crate::report::Report;
use crate::wanted::Wanted;

/// Long enough for three messages to a controller.
const MAKING_SAFE: Duration = Duration::from_millis(350);

/// Serves every connector until the daemon has to end, and leaves contactors open and pilots at
/// −12 V.
///
/// # Errors
/// If the bus refuses the objects or the name.
pub async fn run(settings: Settings, daemon: Daemon) -> anyhow::Result<()> {
    let (calls_to, calls) = calls::queue();
    let (heard_to, heard) = mpsc::channel(64);
    let holders = HolderWatch::new(daemon.connection()).await?;
    let mut connectors = BTreeMap::new();
    for (number, settings) in settings.connectors {
        let path = config::path(number);
        let wires = Wires::open(&settings, number, &heard_to)?;
        let device = Device::serve(daemon.connection(), &path, wires.identity()).await?;
        device.set_component(part("CPPWMController"));
        let parts = Parts {
            wires,
            object: Object::serve(daemon.connection(), &path, number, calls_to.clone()).await?,
            device,
            connector: Connector::new(settings, clock::now()),
        };
        connectors.insert(number, parts);
    }
    let matrix = match settings.matrix {
        Some(settings) => Some(matrix::serve::Served::new(settings, &daemon).await?),
        None => None,
    };
    daemon.claim(names::BOARD).await?;
    daemon.ready();
    let control = Control { connectors, calls, heard, holders, refusals: Refusals::new() };
    match matrix {
        Some(matrix) => {
            tokio::join!(control.run(&daemon), matrix.run(&daemon));
        }
        None => control.run(&daemon).await,
    }
    Ok(())
}

/// Without a bus: requests every contactor open and drives every pilot to −12 V, until each controller has heard
/// it more than once.
pub async fn make_safe(settings: Settings) {
    let (heard_to, mut heard) = mpsc::channel(64);
    // A matrix is left to its controller, which opens it two seconds after it last heard a host: later than
    // the connectors, which are made to break a current.
    let mut connectors: Vec<_> = settings
        .connectors
        .into_iter()
        .filter_map(|(number, settings)| {
            let wires = Wires::open(&settings, number, &heard_to);
            let wires = wires.inspect_err(|error| tracing::error!(connector = number, "{error:#}")).ok()?;
            Some((wires, Connector::new(settings, clock::now())))
        })
        .collect();
    let until = clock::now() + MAKING_SAFE;
    while clock::now() < until {
        let now = clock::now();
        for (wires, connector) in &mut connectors {
            connector.shut_down(now);
            for action in connector.poll(now) {
                match action {
                    Action::Want(wanted) => wires.want(wanted),
                    Action::AskVersion | Action::Reset | Action::Publish(_) => {}
                }
            }
        }
        let due = connectors.iter().map(|(_, connector)| connector.deadline()).min().unwrap_or(until);
        tokio::select! {
            // What it says changes nothing; unread it would hold the line up.
            _ = heard.recv() => {}
            () = tokio::time::sleep(due.min(until).since(now)) => {}
        }
    }
    for (wires, _) in connectors {
        wires.close().await;
    }
}

const CONTROLLERS_VENDOR: &str = "chargebyte";

struct Parts {
    connector: Connector,
    wires: Wires,
    object: Object,
    device: Device,
}

/// What drives a connector's wires.
enum Wires {
    Serial(Line),
    Linux(LinuxBoard),
}

impl Wires {
    fn open(
        settings: &ConnectorSettings,
        connector: u32,
        heard: &mpsc::Sender<Report>,
    ) -> anyhow::Result<Self> {
        let heard = heard.clone();
        match settings.wiring().context("the settings were checked")? {
            Wiring::Serial(controller) => Ok(Self::Serial(Line::open(controller, connector, heard))),
            Wiring::Linux(lines) => Ok(Self::Linux(LinuxBoard::open(lines.clone(), connector, heard)?)),
        }
    }

    fn want(&self, wanted: Wanted) {
        match self {
            Self::Serial(line) => line.want(wanted),
            Self::Linux(board) => board.want(wanted),
        }
    }

    fn ask_version(&self) {
        match self {
            Self::Serial(line) => line.ask_version(),
            // It told what it is when it began.
            Self::Linux(_) => {}
        }
    }

    fn reset(&self) {
        match self {
            Self::Serial(line) => line.reset(),
            // It latches nothing of its own.
            Self::Linux(_) => {}
        }
    }

    fn fitted(&self) -> Fitted {
        match self {
            Self::Serial(_) => Fitted::ALL,
            Self::Linux(board) => board.fitted(),
        }
    }

    /// As far as it is known before anything answered.
    fn identity(&self) -> Identity {
        match self {
            Self::Serial(_) => Identity { vendor: CONTROLLERS_VENDOR.into(), ..Identity::default() },
            Self::Linux(_) => Identity { model: "lines of this machine".into(), ..Identity::default() },
        }
    }

    async fn close(self) {
        match self {
            Self::Serial(line) => line.close().await,
            Self::Linux(board) => board.close().await,
        }
    }
}

struct Control {
    connectors: BTreeMap<u32, Parts>,
    calls: mpsc::Receiver<Call<OfConnector>>,
    heard: mpsc::Receiver<Report>,
    holders: HolderWatch,
    refusals: Refusals,
}

impl Control {
    async fn run(mut self, daemon: &Daemon) {
        let mut watchdog = Watchdog::from_environment();
        let mut stopping = false;
        while !(stopping && self.connectors.values().all(|parts| parts.connector.is_shut_down())) {
            let wait = self.deadline().since(clock::now());
            tokio::select! {
                Some(call) = self.calls.recv() => self.call(call),
                Some(report) = self.heard.recv() => self.hear(report),
                who = self.holders.lost() => self.left(&who),
                _ = daemon.stop(), if !stopping => {
                    stopping = true;
                    self.shut_down();
                }
                () = tokio::time::sleep(wait) => {}
            }
            let now = clock::now();
            self.connectors.values_mut().for_each(|parts| parts.act(now));
            watchdog.beat(now);
        }
        for (_, parts) in self.connectors {
            parts.wires.close().await;
        }
    }

    fn deadline(&self) -> Timestamp {
        let deadlines = self.connectors.values().map(|parts| parts.connector.deadline());
        // Without connectors the loop goes round for the watchdog alone.
        deadlines.min().unwrap_or_else(|| clock::now() + Duration::from_millis(100))
    }

    fn call(&mut self, call: Call<OfConnector>) {
        let verdict = self.obey(&call);
        let verdict = self.refusals.note(call.method.method.name(), verdict);
        call.answer(verdict);
    }

    fn obey(&mut self, call: &Call<OfConnector>) -> Result<(), Error> {
        let now = clock::now();
        let sender = call.sender.as_str();
        let OfConnector { connector, method } = call.method;
        let parts = self.connectors.get_mut(&connector).ok_or_else(no_connector)?;
        let connector = &mut parts.connector;
        match method {
            Method::Enable { epoch } => {
                connector.enable(now, sender, epoch)?;
                self.holders.watch(sender);
                Ok(())
            }
            Method::CloseContactors(stamp) => connector.close(now, sender, stamp),
            Method::RenewLease(stamp) => connector.renew(now, sender, stamp),
            Method::OpenContactors => {
                connector.open(now);
                Ok(())
            }
            Method::SetPilot(output) => {
                connector.set_pilot(now, sender, output)?;
                self.holders.watch(sender);
                Ok(())
            }
            Method::SetLock(locked) => connector.set_lock(now, locked),
            Method::Reset => connector.reset(now),
        }
    }

    fn hear(&mut self, report: Report) {
        if let Some(parts) = self.connectors.get_mut(&report.connector) {
            parts.connector.heard(report.at, report.message);
        }
    }

    fn left(&mut self, who: &str) {
        let now = clock::now();
        for parts in self.connectors.values_mut() {
            parts.connector.left(now, who);
        }
    }

    fn shut_down(&mut self) {
        let now = clock::now();
        for parts in self.connectors.values_mut() {
            parts.connector.shut_down(now);
        }
    }
}

impl Parts {
    fn act(&mut self, now: Timestamp) {
        for action in self.connector.poll(now) {
            match action {
                Action::Want(wanted) => self.wires.want(wanted),
                Action::AskVersion => self.wires.ask_version(),
                Action::Reset => self.wires.reset(),
                Action::Publish(state) => {
                    self.device.set_variables(variables(&state, self.wires.fitted()));
                    self.object.publish(state);
                }
            }
        }
        self.object.set_opened_under_load(self.connector.opened_under_load());
        self.device.set_online(self.connector.is_online(now));
        self.device.set_faults(self.connector.faults());
        if let Some(firmware) = self.connector.firmware() {
            self.device.set_identity(Identity {
                vendor: CONTROLLERS_VENDOR.into(),
                model: firmware.platform.clone(),
                serial: String::new(),
                firmware: firmware.version.clone(),
            });
        }
    }
}

/// A part of a connector, in OCPP's words; which EVSE's, that EVSE says.
fn part(name: &str) -> Component {
    Component::new(name).of_connector(1)
}

/// What the board senses of its connector, in OCPP's words.
fn variables(state: &ConnectorState, fitted: Fitted) -> Vec<DeviceVariable> {
    let words = |component: &Component, word: &dyn ToString| {
        DeviceVariable::text(component, "State", &word.to_string())
    };
    let stop = part("EmergencyStopSensor");
    let mut variables = vec![
        words(&part("CPPWMController"), &state.pilot),
        words(&part("PowerContactor"), &state.contactors),
        DeviceVariable::boolean(&part("PowerContactor"), "Active", state.contactors == Contactors::Closed),
        DeviceVariable::boolean(&stop, "Available", fitted.emergency_stop),
    ];
    if fitted.emergency_stop {
        variables.push(DeviceVariable::boolean(&stop, "Active", state.emergency_stop));
    }
    if state.lock != Lock::NotFitted {
        let lock = part("ConnectorPlugRetentionLock");
        variables.push(words(&lock, &state.lock));
        variables.push(DeviceVariable::boolean(&lock, "Active", state.lock == Lock::Locked));
        variables.push(DeviceVariable::boolean(&lock, "Problem", state.lock == Lock::Fault));
    }
    for (place, celsius) in state.temperatures.iter().enumerate() {
        let sensor = part("TemperatureSensor").instance(&(place + 1).to_string());
        variables.push(DeviceVariable::decimal(&sensor, "Temperature", "Celsius", Some(*celsius)));
    }
    variables
}

fn no_connector() -> Error {
    Error::Invalid("there is no such connector".into())
}
