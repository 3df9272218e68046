//! A whole station in the foreground: private bus, simulated hardware, vehicles, and the real
//! daemons under a supervisor that does what systemd does for them.
//!
//! ```text
//! STATE/bus                 the bus's socket
//! STATE/voltry.toml         the daemons' configuration, written from the topology
//! STATE/voltry.d/*.toml     yours, read after it
//! STATE/dev/…               the serial lines to the simulated hardware
//! STATE/lib/…               what the daemons store
//! STATE/log/NAME.log        what they say
//! ```

pub mod bus;
mod config;
pub mod console;
pub mod control;
pub mod hardware;
pub mod installer;
mod lock;
pub mod namespace;
pub mod network;
pub mod screen;
pub mod sim1;
pub mod supervisor;
pub mod topology;
mod units;
pub mod uplink;
mod wiring;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::sync::watch;
use tokio::task::JoinSet;
use voltry_bus::{Evse1Proxy, EvseState, EvseStatus, Station1Proxy, names};
use zbus::proxy::CacheProperties;

use crate::electrical::{Circuit, KeptRegisters, Matrix, SharedCircuit, SharedMatrix};
use crate::hardware::can::SharedLoad;
use crate::powerline::{ForeignCable, Powerline};
use crate::vehicle::{self, Doing, Link, Medium};
use control::{Control, Place};
use installer::Installed;
use supervisor::{Places, Supervised};
use topology::{EvseParts, Topology};

/// How often the station's state is looked at while somebody waits for it.
const LOOK: Duration = Duration::from_millis(20);

/// Real hardware waits for no processor, and the daemons take a value of 300 ms for none. Ours may have been held up
/// for half of it before that is told.
const HELD_UP: Duration = Duration::from_millis(150);

/// A running station. Dropping it kills everything.
#[derive(Debug)]
pub struct Station {
    /// Steers the simulated world.
    pub control: Arc<Control>,
    installed: Arc<Installed>,
    state: PathBuf,
    topology: Topology,
    places: Places,
    bus: Option<Supervised>,
    daemons: Vec<Supervised>,
    /// Hardware, vehicles, our connection to the bus. They survive a power cut, as the metal does.
    _world: JoinSet<()>,
}

impl Station {
    /// Brings everything up in `state`, which is made if it is not there. Returns when the
    /// processes run; [`Station::available`] waits until a vehicle could come.
    ///
    /// # Errors
    /// Something is missing on this machine, or refuses.
    pub async fn start(mut topology: Topology, state: &Path, verbose: bool) -> anyhow::Result<Self> {
        let state = prepare(state)?;
        let places = Places { logs: state.join("log"), sockets: state.join("run"), verbose };
        network::bring_loopback_up().await?;
        let mut world = JoinSet::new();
        world.spawn(tell_when_held_up());
        if let Some(uplink) = &topology.uplink {
            topology.uplink = Some(uplink::lead_in(uplink, &mut world).await?);
        }
        if topology.screen.is_some() {
            screen::lead_on(&mut world)?;
        }
        let (connection_in, connection) = watch::channel(None);
        let control = Arc::new(build_world(&topology, &state, &mut world, connection).await?);
        config::write(&topology, &state)?;
        for (evse, _) in topology.evses().filter(|(_, parts)| parts.lock) {
            let circuit = control.place(evse)?.circuit.clone();
            world.spawn(lock::stand_before(evse, circuit, bus::address(&state)));
        }
        let installed = Arc::new(Installed::default());
        let update = Some(installed.clone());
        world.spawn(bus::stay_connected(bus::address(&state), control.clone(), update, connection_in));
        let mut station = Self {
            control,
            installed,
            state,
            topology,
            places,
            bus: None,
            daemons: Vec::new(),
            _world: world,
        };
        station.power_on().await?;
        Ok(station)
    }

    /// The bus's address.
    #[must_use]
    pub fn bus_address(&self) -> String {
        bus::address(&self.state)
    }

    /// Where browsers find the screen's page.
    #[must_use]
    pub const fn screen(&self) -> Option<std::net::SocketAddr> {
        self.topology.screen
    }

    /// The state folder.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Waits until every EVSE says that it is available, and until those see it who let drivers in.
    ///
    /// # Errors
    /// After `limit`, with what is missing; at once when a daemon gave up.
    pub async fn available(&self, limit: Duration) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let mut missing = Vec::new();
            let ours = |evse: &u32| !self.topology.without.contains(&format!("evse-{evse}"));
            for evse in self.control.evses().filter(ours) {
                match self.evse_state(evse).await {
                    Some(EvseState::Available) => {}
                    Some(state) => missing.push(format!("EVSE {evse} is {state}")),
                    None => missing.push(format!("EVSE {evse} does not answer")),
                }
            }
            if missing.is_empty() {
                missing = self.not_let_in(ours).await;
            }
            if missing.is_empty() {
                return Ok(());
            }
            if let Some(daemon) = self.daemons.iter().find(|daemon| daemon.gave_up()) {
                bail!("{} gave up; see {}", daemon.name, self.log(&daemon.name).display());
            }
            if tokio::time::Instant::now() > deadline {
                let waiting = self.daemons.iter().filter(|daemon| !daemon.ready());
                missing.extend(waiting.map(|daemon| {
                    format!("{} is not ready, see {}", daemon.name, self.log(&daemon.name).display())
                }));
                bail!("not available after {} s: {}", limit.as_secs(), missing.join("; "));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Why a driver is not let in at EVSEs that are available.
    async fn not_let_in(&self, ours: impl Fn(&u32) -> bool) -> Vec<String> {
        let mut missing = Vec::new();
        if self.daemons.iter().any(|daemon| daemon.name == "station") {
            match self.seen_by_the_station().await {
                None => missing.push("station does not answer".to_owned()),
                Some(seen) => {
                    let unseen = seen.iter().filter(|seen| ours(&seen.evse) && seen.state != "available");
                    missing.extend(
                        unseen.map(|seen| format!("station does not see EVSE {} available", seen.evse)),
                    );
                }
            }
        }
        let uplink = self.daemons.iter().find(|daemon| daemon.name == "ocpp" && !daemon.ready());
        missing.extend(uplink.map(|uplink| format!("{} is not ready", uplink.name)));
        missing
    }

    /// The EVSEs as the station's own daemon sees them; `None` while it does not answer.
    async fn seen_by_the_station(&self) -> Option<Vec<EvseStatus>> {
        let connection = self.control.connection().ok()?;
        let proxy = Station1Proxy::builder(&connection)
            .destination(names::STATION)
            .path(names::STATION_PATH)
            .cache_properties(CacheProperties::No)
            .build()
            .await
            .ok()?;
        proxy.evses().await.ok()
    }

    /// What an EVSE's own daemon says; `None` while it does not answer.
    pub async fn evse_state(&self, evse: u32) -> Option<EvseState> {
        let connection = self.control.connection().ok()?;
        let proxy = Evse1Proxy::builder(&connection)
            .destination(names::evse(evse))
            .path(names::path("evse", &evse.to_string()))
            .cache_properties(CacheProperties::No)
            .build()
            .await
            .ok()?;
        proxy.state().await.ok()
    }

    /// Kills all daemons and the bus at once, as a loss of mains does, and starts them again.
    ///
    /// # Errors
    /// They cannot be started again.
    pub async fn power_cut(&mut self) -> anyhow::Result<()> {
        self.daemons.clear();
        self.bus = None;
        // The dropped children die when their tasks are next looked at.
        tokio::task::yield_now().await;
        self.power_on().await
    }

    /// Kills one daemon, as if it had crashed.
    ///
    /// # Errors
    /// There is none of that name; the error names those there are.
    pub fn kill(&self, name: &str) -> anyhow::Result<()> {
        let all = || self.bus.iter().chain(&self.daemons);
        match all().find(|daemon| daemon.name == name) {
            Some(daemon) => {
                daemon.kill();
                Ok(())
            }
            None => {
                let names: Vec<&str> = all().map(|daemon| daemon.name.as_str()).collect();
                bail!("no daemon {name:?}; there are {}", names.join(", "))
            }
        }
    }

    /// Returns when an update wants the machine started anew; whoever waits then cuts the power.
    pub async fn restart_wanted(&self) {
        self.installed.restart.notified().await;
    }

    async fn power_on(&mut self) -> anyhow::Result<()> {
        self.installed.power_on();
        bus::remove_stale_socket(&self.state)?;
        let bus = Supervised::start(bus::unit(&self.state, self.topology.broker_first)?, &self.places)
            .context("starting the bus (package dbus-daemon)")?;
        bus.settled().await;
        self.bus = Some(bus);
        for unit in units::daemons(&self.topology, &self.state)? {
            self.daemons.push(Supervised::start(unit, &self.places)?);
        }
        Ok(())
    }

    fn log(&self, daemon: &str) -> PathBuf {
        self.places.logs.join(format!("{daemon}.log"))
    }
}

/// Makes the state folder's folders; returns its absolute path.
fn prepare(state: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(state).with_context(|| format!("making {}", state.display()))?;
    let state = state.canonicalize().with_context(|| format!("resolving {}", state.display()))?;
    // A socket's address holds 107 characters.
    let longest = state.join("run/evse-10.notify");
    if longest.as_os_str().len() > 107 {
        bail!("{} is too long a path for sockets; choose a shorter --state", state.display());
    }
    for folder in ["log", "run", "dev", "lib", "meters", "voltry.d"] {
        std::fs::create_dir_all(state.join(folder)).context("making the state folder")?;
    }
    Ok(state)
}

async fn build_world(
    topology: &Topology,
    state: &Path,
    world: &mut JoinSet<()>,
    connection: watch::Receiver<Option<zbus::Connection>>,
) -> anyhow::Result<Control> {
    let dev = state.join("dev");
    let mut places = BTreeMap::new();
    let mut circuits = Vec::new();
    let mut buses: BTreeMap<u32, (Vec<SharedCircuit>, Option<topology::Controllers>)> = BTreeMap::new();
    let shares = !topology.groups.is_empty();
    for (evse, parts) in topology.evses() {
        let config = if shares { EvseParts::bare_circuit() } else { parts.circuit(topology.family) };
        let mut circuit = Circuit::new(config);
        let kept = topology.registers.as_deref().map(|folder| {
            let file = folder.join(wiring::dc_line(evse));
            KeptRegisters::restore(&file, &mut circuit)
                .with_context(|| format!("the meters' registers in {}", file.display()))
        });
        let kept = kept.transpose()?;
        let circuit = SharedCircuit::new(circuit);
        world.spawn(circuit.clone().run(kept));
        wiring::attach(evse, &circuit, topology, &parts, &dev, world)?;
        let reader =
            if topology.readers { Some(wiring::attach_reader(evse, &circuit, &dev, world)?) } else { None };
        let (first, _) = topology.bus_of(evse);
        let (on_bus, _) = buses.entry(first).or_insert_with(|| (Vec::new(), parts.can.clone()));
        on_bus.push(circuit.clone());
        circuits.push(circuit.clone());
        let (doing_in, doing) = watch::channel(Doing::Away);
        let medium = connect(evse, topology.powerline, parts.vehicle.matches, &circuit, world).await?;
        let link = Link { interface: network::vehicle_end(evse), evcc_id: topology.evcc_id(evse), medium };
        world.spawn(vehicle::drive(circuit.clone(), parts.vehicle.clone(), link, doing_in));
        let bus = SharedLoad::default();
        let place = Place { circuit, vehicle: parts.vehicle.clone(), doing, reader, bus };
        places.insert(evse, place);
    }
    for (first, (on_bus, can)) in buses.into_iter().filter(|_| !shares) {
        let bus = wiring::attach_modules(first, &on_bus, topology, can.as_ref(), &dev, world)?;
        let places = places.iter_mut().filter(|(evse, _)| topology.bus_of(**evse).0 == first);
        places.for_each(|(_, place): (_, &mut Place)| place.bus = bus.clone());
    }
    let matrix = shares.then(|| {
        let matrix = Matrix::new(&topology.groups, topology.family.rating(), circuits.clone());
        SharedMatrix::new(matrix)
    });
    if let Some(matrix) = &matrix {
        let homes: Vec<SharedCircuit> = matrix.with(|matrix| matrix.homes().cloned().collect());
        for home in &homes {
            world.spawn(home.clone().run(None));
        }
        circuits.extend(homes);
        world.spawn(matrix.clone().run());
        let bus = wiring::attach_matrix(matrix, topology, &dev, world)?;
        places.values_mut().for_each(|place: &mut Place| place.bus = bus.clone());
    }
    wiring::attach_grid(circuits, &dev, world)?;
    Ok(Control::new(places, matrix, connection))
}

/// Says, at most once a second, that the machine kept the simulation from running: what failed just then may have
/// failed for that alone.
async fn tell_when_held_up() {
    let (mut told, mut longest) = (Instant::now(), Duration::ZERO);
    loop {
        let before = Instant::now();
        tokio::time::sleep(LOOK).await;
        longest = longest.max(before.elapsed().saturating_sub(LOOK));
        if told.elapsed() < Duration::from_secs(1) {
            continue;
        }
        if longest >= HELD_UP {
            tracing::warn!(
                ms = longest.as_millis(),
                "the simulated hardware was held up: this machine is too busy"
            );
        }
        (told, longest) = (Instant::now(), Duration::ZERO);
    }
}

/// Lays the cable between an EVSE and its vehicle.
async fn connect(
    evse: u32,
    powerline: bool,
    vehicle_matches: bool,
    circuit: &SharedCircuit,
    world: &mut JoinSet<()>,
) -> anyhow::Result<Medium> {
    let stopped = move |result: std::io::Result<()>| {
        if let Err(error) = result {
            tracing::error!(evse, %error, "the simulated powerline stopped");
        }
    };
    if !powerline {
        network::make_link(evse).await?;
        Ok(Medium::Ethernet)
    } else if vehicle_matches {
        network::make_modems(evse).await?;
        let (station, vehicle) = (network::stations_modem(evse), network::vehicles_modem(evse));
        let (line, cable) = ForeignCable::build(&station, &vehicle, circuit.clone())
            .with_context(|| format!("opening {station} and {vehicle} for raw frames"))?;
        world.spawn(async move { stopped(cable.run().await) });
        Ok(Medium::OwnMatching(line))
    } else {
        network::make_link(evse).await?;
        let interface = network::vehicle_end(evse);
        let (powerline, cable) = Powerline::build(&interface, circuit.clone())
            .with_context(|| format!("opening {interface} for raw frames"))?;
        world.spawn(async move { stopped(cable.run().await) });
        Ok(Medium::Powerline(powerline))
    }
}
