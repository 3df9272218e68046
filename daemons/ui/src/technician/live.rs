//! What goes on by itself: the pages that follow the station, and the points of the charts.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, interval, sleep};
use voltry_service::clock::now;

use super::history::History;
use super::page;
use super::routes::{LoggedIn, Shared};
use crate::assets;
use crate::bus::Seen;
use crate::http;

/// Between two points of the charts.
const POINT: Duration = Duration::from_secs(2);
/// Between two events at the most, and a sign of life at the least.
const PACE: Duration = Duration::from_millis(500);
const ALIVE: Duration = Duration::from_secs(5);

/// Notes the points of the charts for as long as anybody is there who sees.
pub(super) async fn remember(seen: watch::Receiver<Seen>, history: Arc<Mutex<History>>) {
    let mut points = interval(POINT);
    while seen.has_changed().is_ok() {
        points.tick().await;
        history.lock().expect("nobody panics with it").note(seen.borrow().station.as_ref());
    }
}

#[derive(Deserialize)]
pub(super) struct Listener {
    page: String,
}

/// The middle of a page, at once and when it changes, for as long as the session is open.
pub(super) async fn events(
    who: LoggedIn,
    State(it): State<Shared>,
    Query(Listener { page }): Query<Listener>,
) -> Response {
    let devices = page == "devices";
    Sse::new(follow(Told { it, who, devices, greeted: false, shown: None, over: false })).into_response()
}

struct Told {
    it: Shared,
    who: LoggedIn,
    devices: bool,
    greeted: bool,
    shown: Option<String>,
    over: bool,
}

fn follow(told: Told) -> impl Stream<Item = Result<Event, Infallible>> {
    futures_util::stream::unfold(told, |mut told| async {
        let event = told.next().await?;
        Some((Ok(event), told))
    })
}

impl Told {
    async fn next(&mut self) -> Option<Event> {
        if self.over {
            return None;
        }
        if !self.greeted {
            self.greeted = true;
            return Some(Event::default().event("version").data(assets::version()));
        }
        let alive = Instant::now() + ALIVE;
        loop {
            if self.it.sessions().look(now(), &self.who.secret).is_none() {
                self.over = true;
                return Some(Event::default().event("over").data(""));
            }
            let middle = if self.devices {
                page::devices(&self.it.devices.look().borrow(), &self.it.guide)
            } else {
                self.it.station_page(&self.who.session)
            };
            let now = http::event(&middle);
            if self.shown.as_ref() != Some(&now) {
                let event = Event::default().event("board").data(&now);
                self.shown = Some(now);
                return Some(event);
            }
            if Instant::now() >= alive {
                return Some(Event::default().event("alive").data(""));
            }
            sleep(PACE).await;
        }
    }
}
