//! `voltry-ui`: what people see and touch. The screen at the charger ([`kiosk`]), and behind a login the
//! technician's page ([`technician`]). For monitoring systems it counts what it sees ([`metrics`]).
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
mod metrics;
mod technician;
pub mod words;

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use voltry_service::fault_guide::FaultGuide;
use voltry_service::{Daemon, Refusals};

pub use config::{MetricsSettings, Price, Settings, StopBy, TechnicianSettings, configure};

/// The bus name of this daemon: who holds it has the screen.
const NAME: &str = "org.voltry.Ui1";

/// Serves the pages until it is asked to stop, or the bus is lost.
///
/// # Errors
/// An address or the bus name is taken.
pub async fn run(settings: Settings, daemon: Daemon) -> anyhow::Result<()> {
    let kiosk = settings.kiosk;
    let listener = bind(kiosk).await?;
    let (told, seen) = watch::channel(bus::Seen::default());
    let latencies = bus::Latencies::default();
    let mirror = bus::Mirror::new(daemon.connection(), &settings.sources, latencies.clone());
    let metrics = match &settings.metrics {
        Some(MetricsSettings { address }) => {
            let evses = settings.sources.evses.iter().copied();
            Some((bind(*address).await?, metrics::Metrics::new(evses, seen.clone(), latencies)))
        }
        None => None,
    };
    let technician = match &settings.technician {
        Some(own) => Some(technicians(own, &daemon, &settings.sources, seen.clone()).await?),
        None => None,
    };
    let languages = words::Languages::load(&settings.language_files, &settings.languages);
    let connection = daemon.connection().clone();
    let foreign = Refusals::told_as("refused what no page of this screen asks for");
    let pages = kiosk::Kiosk { settings, languages, guide: guide(), seen, connection, foreign };
    daemon.claim(NAME).await?;
    daemon.ready();
    tokio::select! {
        _ = daemon.stop() => Ok(()),
        ended = mirror.follow(told) => ended,
        () = http::serve(listener, kiosk::router(pages), None) => Ok(()),
        () = async {
            match technician {
                Some((listener, router, tls)) => http::serve(listener, router, Some(tls)).await,
                None => std::future::pending().await,
            }
        } => Ok(()),
        () = async {
            match metrics {
                Some((listener, metrics)) => tokio::select! {
                    () = metrics.clone().count() => {}
                    () = http::serve(listener, metrics::router(metrics.clone()), None) => {}
                },
                None => std::future::pending().await,
            }
        } => Ok(()),
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listening at {address}"))
}

/// The technician's page, ready to be served.
async fn technicians(
    settings: &TechnicianSettings,
    daemon: &Daemon,
    sources: &config::Sources,
    seen: watch::Receiver<bus::Seen>,
) -> anyhow::Result<(TcpListener, Router, TlsAcceptor)> {
    let (address, file) = (settings.address, &settings.accounts);
    let accounts = technician::Accounts::read(file).with_context(|| file.display().to_string())?;
    let tls = technician::acceptor(&settings.certificate, &settings.key)?;
    let listener = bind(address).await?;
    let audit = settings.audit.clone();
    let page = technician::Technician::new(accounts, audit, guide(), daemon.connection(), sources, seen);
    Ok((listener, technician::router(page), tls))
}

fn guide() -> FaultGuide {
    FaultGuide::of_machine(|why| tracing::warn!(why, "a file of fault codes is left out"))
}
