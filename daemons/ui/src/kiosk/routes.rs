//! What the screen's browser may ask for.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Form, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, Sse};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use futures_util::Stream;
use maud::Markup;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};
use voltry_bus::{EndReason, StartOutcome};
use voltry_service::Refusals;
use voltry_service::clock::now;
use voltry_service::fault_guide::FaultGuide;
use zbus::Connection;

use super::messages::turn;
use super::page::{self, View};
use super::without_card::key_pad;
use crate::assets;
use crate::bus::{self, Seen};
use crate::config::{Settings, StopBy};
use crate::http;
use crate::words::{Languages, Words};

/// A page that hears nothing for longer believes its connection dead.
const ALIVE: Duration = Duration::from_secs(5);
/// How long an EVSE may take to accept a stop, or the station a start.
const STOP: Duration = Duration::from_secs(5);
/// How long whoever typed a code waits on its page.
const JUDGED: Duration = Duration::from_secs(10);

/// Characters of a path that the log shows.
const PATH_LOGGED: usize = 100;

/// What the pages are made of.
#[derive(Debug)]
pub(crate) struct Kiosk {
    pub(crate) settings: Settings,
    pub(crate) languages: Languages,
    pub(crate) guide: FaultGuide,
    pub(crate) seen: watch::Receiver<Seen>,
    pub(crate) connection: Connection,
    pub(crate) foreign: Refusals,
}

impl Kiosk {
    fn view<'a>(&'a self, words: Words<'a>, place: Place) -> View<'a> {
        View {
            settings: &self.settings,
            languages: &self.languages,
            guide: &self.guide,
            words,
            only: place.evse,
            from_all: place.from_all,
            turn: turn(now()),
        }
    }

    fn speak(&self, language: &str) -> Option<Words<'_>> {
        self.languages.speak(language)
    }
}

/// Which EVSE a page keeps to.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct Place {
    evse: Option<u32>,
    #[serde(default)]
    from_all: bool,
}

#[derive(Debug, Deserialize)]
struct Listener {
    language: String,
    evse: Option<u32>,
    #[serde(default)]
    from_all: bool,
}

/// All pages of the screen.
pub(crate) fn router(kiosk: Kiosk) -> Router {
    let kiosk = Arc::new(kiosk);
    Router::new()
        .route("/", get(first))
        .route("/events", get(events))
        .route("/{language}", get(board))
        .route("/{language}/stop/{evse}", get(ask_stop).post(stop))
        .route("/{language}/code/{evse}", get(ask_code).post(enter_code))
        .route("/{language}/start/{evse}", post(start))
        .route("/{language}/master-pass/{evse}", post(end_by_master_pass))
        .route("/assets/{version}/{name}", get(asset))
        .fallback(nothing)
        .layer(middleware::from_fn_with_state(kiosk.clone(), guard))
        .layer(middleware::from_fn(http::harden))
        .with_state(kiosk)
}

/// Lets in what comes from the screen's own page. Another page in the same browser, or one whose name was
/// made to lead here, is neither shown anything nor obeyed.
async fn guard(State(kiosk): State<Arc<Kiosk>>, request: Request, next: Next) -> Response {
    if !http::names_loopback(request.headers()) || !http::is_same_origin(&request, "http") {
        let _ = kiosk.foreign.note("request", Err::<(), _>(logged(request.uri().path())));
        let view = kiosk.view(kiosk.languages.first(), Place::default());
        return (StatusCode::FORBIDDEN, whole(view, &page::dead_end(view, "refused"), false)).into_response();
    }
    next.run(request).await
}

/// A path for the log: who asks may send as much of it as a head holds.
fn logged(path: &str) -> String {
    path.chars().take(PATH_LOGGED).collect()
}

async fn first(State(kiosk): State<Arc<Kiosk>>, Query(place): Query<Place>) -> Response {
    show_board(&kiosk, kiosk.view(kiosk.languages.first(), place))
}

async fn board(
    State(kiosk): State<Arc<Kiosk>>,
    Path(language): Path<String>,
    Query(place): Query<Place>,
) -> Response {
    match kiosk.speak(&language) {
        Some(words) => show_board(&kiosk, kiosk.view(words, place)),
        None => not_found(&kiosk),
    }
}

fn show_board(kiosk: &Kiosk, view: View<'_>) -> Response {
    let middle = page::board(view, &kiosk.seen.borrow());
    whole(view, &middle, true).into_response()
}

fn whole(view: View<'_>, middle: &Markup, live: bool) -> Html<String> {
    Html(page::document(view, &view.words.say("title"), middle, live).into_string())
}

fn not_found(kiosk: &Kiosk) -> Response {
    let view = kiosk.view(kiosk.languages.first(), Place::default());
    (StatusCode::NOT_FOUND, whole(view, &page::dead_end(view, "not-found"), false)).into_response()
}

async fn nothing(State(kiosk): State<Arc<Kiosk>>) -> Response {
    not_found(&kiosk)
}

async fn asset(State(kiosk): State<Arc<Kiosk>>, Path((_, name)): Path<(String, String)>) -> Response {
    assets::answer(&name).unwrap_or_else(|| not_found(&kiosk))
}

/// The middle of the page, at once and whenever it changes.
async fn events(State(kiosk): State<Arc<Kiosk>>, Query(listener): Query<Listener>) -> Response {
    if kiosk.speak(&listener.language).is_none() {
        return not_found(&kiosk);
    }
    let told =
        Told { seen: kiosk.seen.clone(), kiosk, listener, shown: http::Shown::default(), greeted: false };
    Sse::new(told.stream()).into_response()
}

/// What one page was told.
struct Told {
    kiosk: Arc<Kiosk>,
    seen: watch::Receiver<Seen>,
    listener: Listener,
    shown: http::Shown,
    greeted: bool,
}

impl Told {
    fn stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        futures_util::stream::unfold(self, |mut told| async {
            let event = told.next().await?;
            Some((Ok(event), told))
        })
    }

    /// `None`: the daemon ends.
    async fn next(&mut self) -> Option<Event> {
        if !self.greeted {
            self.greeted = true;
            return Some(Event::default().event("version").data(assets::version()));
        }
        let alive = Instant::now() + ALIVE;
        loop {
            let now = self.render();
            if self.shown.is_new(&now) {
                return Some(Event::default().event("board").data(&now));
            }
            tokio::select! {
                changed = self.seen.changed() => changed.ok()?,
                () = sleep_until(alive) => return Some(Event::default().event("alive").data("")),
            }
        }
    }

    fn render(&mut self) -> String {
        let words = self.kiosk.speak(&self.listener.language);
        let words = words.unwrap_or_else(|| self.kiosk.languages.first());
        let Listener { evse, from_all, .. } = self.listener;
        let view = self.kiosk.view(words, Place { evse, from_all });
        http::event(&page::board(view, &self.seen.borrow_and_update()))
    }
}

async fn ask_stop(
    State(kiosk): State<Arc<Kiosk>>,
    Path((language, evse)): Path<(String, u32)>,
    Query(place): Query<Place>,
) -> Response {
    match kiosk.speak(&language) {
        Some(words) if kiosk.settings.stop == StopBy::Anybody => {
            let view = kiosk.view(words, place);
            whole(view, &page::stop_question(view, evse, false), false).into_response()
        }
        Some(_) | None => not_found(&kiosk),
    }
}

async fn stop(
    State(kiosk): State<Arc<Kiosk>>,
    Path((language, evse)): Path<(String, u32)>,
    Query(place): Query<Place>,
    headers: HeaderMap,
) -> Response {
    let Some(words) = kiosk.speak(&language) else { return not_found(&kiosk) };
    if kiosk.settings.stop != StopBy::Anybody {
        return not_found(&kiosk);
    }
    debug_assert!(headers.contains_key(header::ORIGIN), "the guard lets nothing else through");
    let view = kiosk.view(words, place);
    match timeout(STOP, end(&kiosk, evse)).await {
        Ok(Ok(())) => {
            info!(evse, "somebody at the screen ends the charge");
            Redirect::to(&view.home()).into_response()
        }
        failed => {
            let error = match failed {
                Ok(Err(error)) => error.to_string(),
                _ => "no answer in time".to_owned(),
            };
            warn!(evse, error, "the charge was not ended from the screen");
            let page = whole(view, &page::stop_question(view, evse, true), false);
            (StatusCode::BAD_GATEWAY, page).into_response()
        }
    }
}

/// Somebody types a code; never in a log.
#[derive(Deserialize)]
struct Typed {
    code: String,
}

async fn ask_code(
    State(kiosk): State<Arc<Kiosk>>,
    Path((language, evse)): Path<(String, u32)>,
    Query(place): Query<Place>,
) -> Response {
    match kiosk.speak(&language) {
        Some(words) if kiosk.settings.sources.key_pad => {
            let view = kiosk.view(words, place);
            whole(view, &key_pad(view, evse, false), false).into_response()
        }
        Some(_) | None => not_found(&kiosk),
    }
}

/// A code that lets nobody in is told by the station, to whoever looks at the EVSE.
async fn enter_code(
    State(kiosk): State<Arc<Kiosk>>,
    Path((language, evse)): Path<(String, u32)>,
    Query(place): Query<Place>,
    Form(typed): Form<Typed>,
) -> Response {
    let Some(words) = kiosk.speak(&language) else { return not_found(&kiosk) };
    if !kiosk.settings.sources.key_pad {
        return not_found(&kiosk);
    }
    let view = kiosk.view(words, place);
    let judged = async { bus::station(&kiosk.connection).await?.enter_code(&typed.code, evse).await };
    match timeout(JUDGED, judged).await {
        // A back end that takes longer is not waited for here: what comes of it stands on the board.
        Ok(Ok(StartOutcome { .. })) | Err(_) => Redirect::to(&view.home()).into_response(),
        Ok(Err(error)) => {
            warn!(evse, %error, "a code was not judged");
            let page = whole(view, &key_pad(view, evse, true), false);
            (StatusCode::BAD_GATEWAY, page).into_response()
        }
    }
}

async fn start(
    State(kiosk): State<Arc<Kiosk>>,
    Path((language, evse)): Path<(String, u32)>,
    Query(place): Query<Place>,
) -> Response {
    let Some(words) = kiosk.speak(&language) else { return not_found(&kiosk) };
    if !kiosk.settings.sources.start_button {
        return not_found(&kiosk);
    }
    let view = kiosk.view(words, place);
    let pressed = async { bus::station(&kiosk.connection).await?.press_start(evse).await };
    let why = match timeout(STOP, pressed).await {
        Ok(Ok(StartOutcome { outcome, .. })) if outcome != "refused" => {
            info!(evse, "somebody at the screen starts a charge");
            return Redirect::to(&view.home()).into_response();
        }
        Ok(Ok(StartOutcome { detail, .. })) => detail,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    warn!(evse, why, "no charge was started from the screen");
    (StatusCode::BAD_GATEWAY, whole(view, &page::dead_end(view, "start-failed"), false)).into_response()
}

/// The station takes it from whoever has shown a master pass, and from nobody else.
async fn end_by_master_pass(
    State(kiosk): State<Arc<Kiosk>>,
    Path((language, evse)): Path<(String, u32)>,
    Query(place): Query<Place>,
) -> Response {
    let Some(words) = kiosk.speak(&language) else { return not_found(&kiosk) };
    let view = kiosk.view(words, place);
    let answered = async { bus::station(&kiosk.connection).await?.end_by_master_pass(evse).await };
    let why = match timeout(STOP, answered).await {
        Ok(Ok(())) => {
            info!(evse, "whoever has a master pass ends a charge at the screen; 0: all");
            return Redirect::to(&view.home()).into_response();
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    warn!(evse, why, "a master pass ended nothing");
    (StatusCode::BAD_GATEWAY, whole(view, &page::dead_end(view, "master-pass-failed"), false)).into_response()
}

/// Ends what runs on an EVSE as its driver's wish.
async fn end(kiosk: &Kiosk, evse: u32) -> zbus::Result<()> {
    let transaction = {
        let seen = kiosk.seen.borrow();
        let station = seen.station.as_ref();
        let status = station.and_then(|it| it.evses.iter().find(|status| status.evse == evse));
        status.map_or(0, |status| status.transaction)
    };
    let station = bus::station(&kiosk.connection).await?;
    let answer = match transaction {
        0 => station.stop(evse).await,
        id => station.stop_transaction(id, EndReason::Local).await,
    };
    answer.map_err(|error| zbus::Error::Failure(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_fills_no_log() {
        assert_eq!(logged("/en/stop/1"), "/en/stop/1");
        assert_eq!(logged(&"/\u{e9}".repeat(8_000)).chars().count(), PATH_LOGGED);
    }
}
