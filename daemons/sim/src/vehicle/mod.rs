//! The simulated vehicle: an EVCC for ISO 15118-2 DC with external payment, or for ISO 15118-20 where it gives
//! energy back, and the little that is behind it (S2, contactors, a charge strategy). Its battery is in the electrical model.
//!
//! ```text
//! plugged ─▶ wait for 5 % duty ─▶ SLAC ─▶ SDP, TCP, session (session.rs) ─▶ wait for replug, or
//!                  ▲                                                 for the pilot to start anew ──┐
//!                  └──────────────────────────────────────────────────────────────────────────────┘
//! ```
//! Pulling the plug at any time drops the conversation where it stands.

mod bidirectional;
mod external;
mod inlet;
mod requests;
mod session;
mod wire;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::electrical::{Battery, SharedCircuit, Vehicle};
use crate::powerline::{Line, Powerline};
use inlet::Inlet;

/// How often the vehicle looks at its pilot and plug.
const LOOK: Duration = Duration::from_millis(20);

/// What kind of vehicle it is. The defaults charge from 20 to 80 % in about a minute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VehicleConfig {
    /// Watt-hours of the battery.
    pub capacity_wh: f64,
    /// Percent at which it is plugged in.
    pub soc: f64,
    /// Percent at which it has enough.
    pub target_soc: f64,
    /// Volts that the vehicle bears; above 500 it has a battery of the 800 V class.
    pub voltage_max: f64,
    /// Amperes that the vehicle bears.
    pub current_max: f64,
    /// Watts that the vehicle bears.
    pub power_max: f64,
    /// Milliseconds from an answer to the next request in the charge loop. Measured vehicles
    /// take 17 to 351 ms.
    pub turnaround_ms: u64,
    /// Seconds that it waits for the driver to be authorized.
    pub authorization_patience_s: u64,
    /// Amperes that it gives back, down to `target_soc`; then it speaks ISO 15118-20. 0: it charges.
    pub gives: f64,
    /// Percent at which it opens S2 and agrees on its schedule anew, once; 0: it does not by itself.
    pub renegotiates_at: f64,
    /// Its EVCCID, instead of a locally administered address.
    pub evcc_id: Option<[u8; 6]>,
    /// A program and its arguments that hold the conversation instead of ours; see `external.rs`.
    pub program: Vec<String>,
    /// Whether that program does the matching (SLAC) too.
    pub matches: bool,
}

impl VehicleConfig {
    /// This vehicle as it stands before the station, unplugged until now.
    #[must_use]
    pub fn electrical(&self) -> Vehicle {
        let soc = self.soc / 100.0;
        Vehicle::new(if self.voltage_max > 500.0 {
            Battery::of_800_v(self.capacity_wh, soc)
        } else {
            Battery::of_400_v(self.capacity_wh, soc)
        })
    }
}

impl Default for VehicleConfig {
    fn default() -> Self {
        Self {
            capacity_wh: 2000.0,
            soc: 20.0,
            target_soc: 80.0,
            voltage_max: 450.0,
            current_max: 200.0,
            power_max: 72_000.0,
            turnaround_ms: 80,
            authorization_patience_s: 180,
            gives: 0.0,
            renegotiates_at: 0.0,
            evcc_id: None,
            program: Vec::new(),
            matches: false,
        }
    }
}

/// The vehicle's modem.
#[derive(Debug, Clone)]
pub struct Link {
    /// The network interface that is the vehicle's end of the cable's data link.
    pub interface: String,
    /// Its EVCCID, the modem's MAC address.
    pub evcc_id: [u8; 6],
    /// What is between the two ends.
    pub medium: Medium,
}

/// What is between a station's interface and the vehicle's.
#[derive(Debug, Clone)]
pub enum Medium {
    /// Plain Ethernet.
    Ethernet,
    /// A powerline, over which the simulator matches the vehicle.
    Powerline(Powerline),
    /// A powerline with a modem at each end, over which the vehicle's program matches itself.
    OwnMatching(Line),
}

/// What the vehicle is doing, in words, for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doing {
    /// Not plugged in.
    Away,
    /// Plugged in; no digital communication offered.
    Waiting,
    /// In a session.
    Talking,
    /// Plugged in; its session is over.
    Done(String),
}

/// Drives one vehicle for ever.
pub async fn drive(circuit: SharedCircuit, config: VehicleConfig, link: Link, doing: watch::Sender<Doing>) {
    let inlet = Inlet(circuit);
    loop {
        until(|| inlet.plugged()).await;
        doing.send_replace(Doing::Waiting);
        tokio::select! {
            () = charge_again_and_again(&inlet, &config, &link, &doing) => {}
            () = until(|| !inlet.plugged()) => tracing::info!(vehicle = link.interface, "unplugged"),
        }
        doing.send_replace(Doing::Away);
    }
}

/// One session each time that the pilot starts to offer digital communication.
async fn charge_again_and_again(
    inlet: &Inlet,
    config: &VehicleConfig,
    link: &Link,
    doing: &watch::Sender<Doing>,
) {
    loop {
        until(|| inlet.digital()).await;
        doing.send_replace(Doing::Talking);
        // The vehicle's modem stays in the station's network until the pilot no longer offers it.
        let joined = match &link.medium {
            Medium::Ethernet | Medium::OwnMatching(_) => None,
            Medium::Powerline(powerline) => tokio::select! {
                joined = powerline.join(link.evcc_id) => Some(joined),
                () = until(|| !inlet.digital()) => {
                    tracing::info!(vehicle = link.interface, "the vehicle was not matched");
                    doing.send_replace(Doing::Waiting);
                    continue;
                }
            },
        };
        let words = if config.program.is_empty() {
            let session = if config.gives > 0.0 {
                bidirectional::give(inlet, config, link).await
            } else {
                session::charge(inlet, config, link).await
            };
            match session {
                Ok(end) => end.to_string(),
                Err(error) => error.to_string(),
            }
        } else {
            external::charge(inlet, &config.program, link, joined.as_ref()).await
        };
        tracing::info!(vehicle = link.interface, "the vehicle's session ended: {words}");
        doing.send_replace(Doing::Done(words));
        until(|| !inlet.digital()).await;
    }
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(LOOK).await;
    }
}
