//! `voltry-ocpp`: the uplink of a station to its CSMS.
//!
//! It decides nothing about power and keeps no record of energy: the station's book is the only
//! record. Charging never waits for it.
//!
//! [`rpc`] is the framing of OCPP-J, without I/O; [`connection`] dials the CSMS by its profiles.
//! [`uplink`] decides what is said, when, and what the CSMS may ask; [`transactions`] makes the
//! messages of transactions from the book; [`dialect`] is what differs between the versions;
//! [`messages`] holds everything against the schemas. All of them but [`connection`] are pure.
//! [`files`] has logs and firmware carried, `transfer` carries them. [`store`] keeps what must outlive the machine.

// A test looks for one event among many.
#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm))]

pub mod certificates;
mod config;
pub mod connection;
mod csms;
mod csms_log;
mod data_transfer;
mod devices;
pub mod dialect;
mod display;
pub mod files;
pub mod messages;
pub mod model;
pub mod networks;
pub mod plug_and_charge;
pub mod profiles;
pub mod rpc;
mod said;
mod secc;
pub mod security;
mod shell;
mod station;
pub mod store;
pub mod time;
pub mod transactions;
mod transfer;
pub mod uplink;
mod v16;
mod v201;
pub mod without_csms;

use std::path::Path;
use std::time::Duration;

use voltry_service::{Daemon, Watchdog};

pub use display::Shown;

pub use config::{AmpereSettings, AmperesOf, NetworkProfile, Settings, Version, audit, configure};

/// So many random bytes, in hexadecimal.
pub(crate) fn random(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    if getrandom::fill(&mut buffer).is_err() {
        // Still never the same twice on one machine.
        let micros = shell::instant().unix.to_be_bytes();
        buffer.iter_mut().zip(micros.iter().rev()).for_each(|(byte, other)| *byte = *other);
    }
    buffer.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs the uplink until it is asked to stop, or the bus is lost.
///
/// # Errors
/// The bus refuses the name, or the store cannot be used.
pub async fn run(settings: Settings, daemon: Daemon) -> anyhow::Result<()> {
    loop {
        match shell::run(&settings, &daemon).await? {
            shell::End::Stop => return Ok(()),
            shell::End::Reset => {
                if let Some(file) = &settings.reset_file
                    && machine_starts_anew(file, &daemon).await
                {
                    return Ok(());
                }
                tracing::info!("starting anew, as the CSMS wants it");
            }
        }
    }
}

/// How long the machine may take to end this daemon.
const MACHINE_PATIENCE: Duration = Duration::from_secs(5);
/// Between two beats of the watchdog meanwhile.
const BEAT: Duration = Duration::from_millis(500);

/// Asks for the machine to start anew. Whether it does.
async fn machine_starts_anew(file: &Path, daemon: &Daemon) -> bool {
    let name = file.display();
    if let Err(error) = std::fs::write(file, "") {
        tracing::error!(file = %name, %error, "the machine cannot be asked to start anew");
        return false;
    }
    tracing::info!(file = %name, "the machine is asked to start anew, as the CSMS wants it");
    let (mut watchdog, until) = (Watchdog::from_environment(), shell::instant().at + MACHINE_PATIENCE);
    while shell::instant().at < until {
        watchdog.beat(shell::instant().at);
        if tokio::time::timeout(BEAT, daemon.stop()).await.is_ok() {
            return true;
        }
    }
    tracing::error!(file = %name, "nobody starts the machine anew: is voltry-reset.path enabled?");
    // Who watches it later must not find it.
    let _ = std::fs::remove_file(file);
    false
}
