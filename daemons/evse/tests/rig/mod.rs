//! The daemon on a private bus, with its players.

#[path = "../../../../tests/private_bus.rs"]
mod private_bus;

use std::future::Future;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use private_bus::{Bus, Process};
use voltry_bus::{Device1Proxy, Evse1Proxy, EvseState, Fault};
use voltry_evse::energy_path::Role;
use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::proxy::CacheProperties;

use crate::plant::player::{Player, configuration};

pub(crate) const NAME: &str = "org.voltry.Evse.N1";
pub(crate) const PATH: &str = "/org/voltry/evse/1";

/// By how much a deadline may be missed on a machine that does other things as well.
pub(crate) const SLACK: u32 = 3;

/// The bus name of who plays a role.
pub(crate) fn name(role: Role) -> String {
    format!("org.voltry.Player.{role:?}")
}

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("it comes within 20 s")
}

pub(crate) struct Rig {
    daemon: Process,
    bus: Bus,
    log: PathBuf,
    pub(crate) player: Player,
    pub(crate) connection: Connection,
    pub(crate) station: Evse1Proxy<'static>,
    _folder: tempfile::TempDir,
}

impl Rig {
    /// A free EVSE.
    pub(crate) async fn start() -> Self {
        first_in_line();
        let bus = Bus::start();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("voltry.toml");
        std::fs::write(&file, configuration(name)).unwrap();
        let log = folder.path().join("log");
        let connection = bus.connect().await;
        let names = DBusProxy::new(&connection).await.unwrap();
        let mut changes = names.receive_name_owner_changed_with_args(&[(0, NAME)]).await.unwrap();
        let daemon = Command::new(env!("CARGO_BIN_EXE_voltry-evse"))
            .arg("--config")
            .arg(&file)
            .args(["--bus", &bus.address, "1"])
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        soon(changes.next()).await.unwrap();
        let station = Evse1Proxy::builder(&connection)
            .destination(NAME)
            .path(PATH)
            .cache_properties(CacheProperties::No)
            .build()
            .await
            .unwrap();
        let daemon = Process(daemon);
        let player = Player::new();
        let mut rig = Self { daemon, bus, log, player, connection, station, _folder: folder };
        for role in Role::ALL {
            rig.play_role(role).await;
        }
        rig.reach(EvseState::Available).await;
        rig
    }

    /// An EVSE that delivers.
    pub(crate) async fn charging() -> Self {
        let mut rig = Self::start().await;
        rig.player.vehicle.plug();
        rig.until(EvseState::Charging).await;
        let delivers = |rig: &Self| rig.player.devices.current > 50.0;
        rig.until_true(Duration::from_secs(10), "50 A", delivers).await;
        rig
    }

    pub(crate) async fn connect(&self) -> Connection {
        self.bus.connect().await
    }

    /// Somebody new plays this role, under its name.
    pub(crate) async fn play_role(&mut self, role: Role) {
        let connection = self.connect().await;
        self.player.join(&[role], &connection);
        connection.request_name(name(role)).await.unwrap();
    }

    /// One hundredth of a second.
    pub(crate) async fn step(&mut self) {
        self.player.play(&self.station).await.unwrap();
    }

    pub(crate) async fn steps(&mut self, steps: u32) {
        for _ in 0..steps {
            self.step().await;
        }
    }

    /// Plays until the state is reached; whoever asks is authorized.
    pub(crate) async fn until(&mut self, state: EvseState) {
        if let Err(error) = self.player.until(&self.station, state).await {
            panic!("{error}\n{}", self.log());
        }
    }

    /// Plays until the state is reached, and authorizes nobody.
    pub(crate) async fn reach(&mut self, state: EvseState) {
        let begin = Instant::now();
        while self.station.state().await.unwrap() != state {
            assert!(begin.elapsed() < Duration::from_secs(20), "never {state}\n{}", self.log());
            self.steps(5).await;
        }
    }

    pub(crate) async fn until_true(&mut self, within: Duration, what: &str, done: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !done(self) {
            self.step().await;
            self.not_later(begin, within, what);
        }
        println!("{what}: {:?} of {within:?}, slack {SLACK}", begin.elapsed());
    }

    /// As long as evse is stopped or ending, nobody can ask it anything.
    pub(crate) async fn plays_without_evse_until(
        &mut self,
        within: Duration,
        what: &str,
        done: impl Fn(&Self) -> bool,
    ) {
        let begin = Instant::now();
        while !done(self) {
            self.player.play_unattended().await.unwrap();
            self.not_later(begin, within, what);
        }
        println!("{what}: {:?} of {within:?}, slack {SLACK}", begin.elapsed());
    }

    fn not_later(&self, begin: Instant, within: Duration, what: &str) {
        let devices = &self.player.devices;
        assert!(
            begin.elapsed() < within * SLACK,
            "{what}: not within {within:?}: {:.0}/{:.0} V {:.1} A, contactors {}\n{}",
            devices.module,
            devices.cable,
            devices.current,
            devices.contactors,
            self.log()
        );
    }

    /// Nothing flows and the contactors are open.
    pub(crate) fn is_off(&self) -> bool {
        self.player.devices.current < 5.0 && !self.player.devices.contactors
    }

    pub(crate) async fn is_off_within(&mut self, within: Duration, why: &str) {
        self.until_true(within, why, Self::is_off).await;
    }

    /// Something else, while the players play.
    pub(crate) async fn playing<T>(&mut self, what: impl Future<Output = T>) -> T {
        let played = async {
            loop {
                self.player.play_unattended().await.unwrap();
            }
        };
        tokio::select! { done = soon(what) => done, () = played => unreachable!() }
    }

    /// Unplugs and clears; the EVSE is free and charges again.
    pub(crate) async fn recovers(&mut self) {
        self.player.vehicle.unplug();
        let begin = Instant::now();
        while self.station.state().await.unwrap() != EvseState::Available {
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "never available again: {:?}\n{}",
                self.faults().await,
                self.log()
            );
            self.steps(20).await;
            self.station.clear_faults().await.unwrap();
        }
        self.player.vehicle.repair();
        self.player.vehicle.unplug_when_done = false;
        self.player.vehicle.plug();
        self.until(EvseState::Charging).await;
    }

    /// The latched faults, oldest first.
    pub(crate) async fn faults(&self) -> Vec<Fault> {
        let device = Device1Proxy::builder(&self.connection)
            .destination(NAME)
            .path(PATH)
            .cache_properties(CacheProperties::No)
            .build()
            .await
            .unwrap();
        device.faults().await.unwrap()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn log_lines(&self, with: &str) -> usize {
        self.log().lines().filter(|line| line.contains(with)).count()
    }

    pub(crate) fn send(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.daemon.0.id()).unwrap()), signal).unwrap();
    }

    pub(crate) fn kill_bus(&mut self) {
        self.bus.kill();
    }

    /// The exit code of the daemon, and how long it took; the players go on meanwhile.
    pub(crate) async fn ends(&mut self) -> (Option<i32>, Duration) {
        let begin = Instant::now();
        let pid = Id::Pid(Pid::from_raw(i32::try_from(self.daemon.0.id()).unwrap()));
        let ended =
            tokio::task::spawn_blocking(move || waitid(pid, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT));
        let player = &mut self.player;
        let played = async {
            while player.play_unattended().await.is_ok() {}
            // Without a bus nobody can play any more.
            std::future::pending::<()>().await;
        };
        let ended = async {
            tokio::select! { ended = ended => ended, () = played => unreachable!() }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(20), ended).await;
        assert!(in_time.is_ok(), "it goes on\n{}", self.log());
        (self.daemon.0.wait().unwrap().code(), begin.elapsed())
    }
}

/// This process, and what it starts, before others, as the units have it for the daemons and as hardware that
/// waits for nobody: where root may say so. Else a busy machine makes values stale, and sessions end as they must.
fn first_in_line() {
    let own = std::process::id().to_string();
    let _ = Command::new("chrt")
        .args(["--all-tasks", "--rr", "--pid", "20", &own])
        .stderr(Stdio::null())
        .status();
}
