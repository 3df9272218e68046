//! `voltry-ui`: what people see and touch. The screen at the charger ([`kiosk`]).
//!
//! It keeps nothing and decides nothing: it mirrors a few objects of the bus ([`bus`]), makes of them what
//! a driver is to see ([`face`], pure), says it in the driver's language ([`words`]), and asks the station
//! for what is pressed. Charging goes on without it.

// A test looks for one face or message among many.
#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm))]

mod assets;
pub mod bus;
mod config;
pub mod face;
mod http;
mod kiosk;
pub mod words;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use voltry_service::Daemon;
use voltry_service::fault_guide::FaultGuide;

pub use config::{Price, Settings, StopBy, configure};

/// The bus name of this daemon: who holds it has the screen.
const NAME: &str = "org.voltry.Ui1";

/// Serves the pages until it is asked to stop, or the bus is lost.
///
/// # Errors
/// An address or the bus name is taken.
pub async fn run(settings: Settings, daemon: Daemon) -> anyhow::Result<()> {
    let kiosk = settings.kiosk;
    let listener = TcpListener::bind(kiosk).await.with_context(|| format!("listening at {kiosk}"))?;
    let (told, seen) = watch::channel(bus::Seen::default());
    let mirror = bus::Mirror::new(daemon.connection(), &settings.sources);
    let languages = words::Languages::load(&settings.language_files, &settings.languages);
    let guide = FaultGuide::of_machine(|why| tracing::warn!(why, "a file of fault codes is left out"));
    let pages = kiosk::Kiosk { settings, languages, guide, seen, connection: daemon.connection().clone() };
    daemon.claim(NAME).await?;
    daemon.ready();
    tokio::select! {
        _ = daemon.stop() => Ok(()),
        ended = mirror.follow(told) => ended,
        () = http::serve(listener, kiosk::router(pages)) => Ok(()),
    }
}
