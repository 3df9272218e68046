//! What a monitoring system reads: OpenMetrics at `/metrics`, on a loopback address, where it is configured.
//!
//! [`ledger`] counts what is seen, [`cause`] says whose it is that an EVSE is down, [`text`] writes it; all three
//! are pure. Counts begin with this process, as such counters do. Whatever stands in a label is of a set that is
//! bounded, and nobody's id is in one.

mod cause;
mod ledger;
mod text;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use voltry_service::clock::now;

use crate::bus::{Latencies, Seen};
use crate::http;
use ledger::Ledger;

/// How often what is seen is counted, whatever happens.
const ROUND: Duration = Duration::from_secs(1);
/// OpenMetrics 1.0, 4.2.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is counted, and where it comes from.
#[derive(Debug)]
pub(crate) struct Metrics {
    ledger: Mutex<Ledger>,
    seen: watch::Receiver<Seen>,
    latencies: Latencies,
}

impl Metrics {
    /// Nothing is counted yet.
    pub(crate) fn new(
        evses: impl IntoIterator<Item = u32>,
        seen: watch::Receiver<Seen>,
        latencies: Latencies,
    ) -> Arc<Self> {
        Arc::new(Self { ledger: Mutex::new(Ledger::of(evses)), seen, latencies })
    }

    /// Counts what is seen, for as long as anything is.
    pub(crate) async fn count(self: Arc<Self>) {
        let mut seen = self.seen.clone();
        let mut round = tokio::time::interval(ROUND);
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = seen.changed() => if changed.is_err() { return },
                _ = round.tick() => {}
            }
            self.note();
        }
    }

    fn note(&self) {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.note(now(), &self.seen.borrow());
    }

    fn text(&self) -> String {
        self.note();
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        text::write(&ledger, &self.seen.borrow(), &self.latencies.read())
    }
}

/// The one page.
pub(crate) fn router(metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/metrics", get(page))
        .layer(middleware::from_fn(guard))
        .layer(middleware::from_fn(http::harden))
        .with_state(metrics)
}

/// A page in a browser of this machine, whose name was made to lead here, is shown nothing.
async fn guard(request: Request, next: Next) -> Response {
    if http::names_loopback(request.headers()) {
        next.run(request).await
    } else {
        StatusCode::FORBIDDEN.into_response()
    }
}

async fn page(State(metrics): State<Arc<Metrics>>) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], metrics.text()).into_response()
}
