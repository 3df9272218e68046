//! What goes on by itself: the pages that follow the station, and the points of the charts.

use std::collections::BTreeMap;
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

use super::accounts::Role;
use super::devices::Devices;
use super::history::{History, Warmth};
use super::routes::{LoggedIn, Shared};
use super::{page, selftest};
use crate::assets;
use crate::bus::Seen;
use crate::config::Warm;
use crate::http;

/// Between two points of the charts.
const POINT: Duration = Duration::from_secs(2);
/// Between two events at the most, and a sign of life at the least.
const PACE: Duration = Duration::from_millis(500);
const ALIVE: Duration = Duration::from_secs(5);

/// Notes the points of the charts for as long as anybody is there who sees. Devices are asked for their temperatures
/// while somebody looks alone: those who look later find that line begin with them.
pub(super) async fn remember(
    seen: watch::Receiver<Seen>,
    history: Arc<Mutex<History>>,
    devices: Devices,
    warm: BTreeMap<u32, Warm>,
) {
    let mut points = interval(POINT);
    while seen.has_changed().is_ok() {
        points.tick().await;
        let hottest = hottest(&devices);
        let of = |path: &str| hottest.get(path).copied().unwrap_or(f64::NAN);
        let warmth = |evse| {
            warm.get(&evse).map_or_else(Warmth::default, |warm| Warmth {
                connector: of(&warm.connector),
                modules: of(&warm.modules),
            })
        };
        history.lock().expect("nobody panics with it").note(seen.borrow().station.as_ref(), warmth);
    }
}

/// By the paths of the devices.
fn hottest(devices: &Devices) -> BTreeMap<String, f64> {
    let answering = devices.known().into_iter().filter(|device| device.online);
    answering.map(|device| (device.object(), device.hottest())).collect()
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
    let followed = match page.as_str() {
        "devices" => Followed::Devices,
        "selftest" => Followed::SelfTest,
        _ => Followed::Station,
    };
    let wanted = if followed == Followed::SelfTest { Role::Operate } else { Role::View };
    if let Some(refused) = who.lacks(wanted) {
        return refused;
    }
    Sse::new(follow(Told { it, who, followed, greeted: false, shown: http::Shown::default(), over: false }))
        .into_response()
}

/// What a page that follows hears when its session is over: it takes any other answer for lost contact.
pub(super) fn over() -> Response {
    let told = futures_util::stream::once(async { Ok::<_, Infallible>(session_over()) });
    Sse::new(told).into_response()
}

fn session_over() -> Event {
    Event::default().event("over").data("")
}

/// Which page is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Followed {
    Station,
    Devices,
    SelfTest,
}

struct Told {
    it: Shared,
    who: LoggedIn,
    followed: Followed,
    greeted: bool,
    shown: http::Shown,
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
                return Some(session_over());
            }
            let middle = match self.followed {
                Followed::Station => self.it.station_page(&self.who.session),
                Followed::Devices => page::devices(&self.it.devices.look().borrow(), &self.it.guide),
                Followed::SelfTest => selftest::middle(&self.it, &self.who.session),
            };
            let now = http::event(&middle);
            if self.shown.is_new(&now) {
                return Some(Event::default().event("board").data(&now));
            }
            if Instant::now() >= alive {
                return Some(Event::default().event("alive").data(""));
            }
            sleep(PACE).await;
        }
    }
}
