//! What a technician's browser may ask for, and who of them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{ConnectInfo, DefaultBodyLimit, Form, FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use maud::Markup;
use serde::Deserialize;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use voltry_bus::{Settings1Proxy, names};
use voltry_service::Binding;
use voltry_service::clock::now;
use voltry_service::fault_guide::FaultGuide;
use zbus::Connection;
use zbus::proxy::CacheProperties;

use super::accounts::{Accounts, Role};
use super::audit::Audit;
use super::devices::Devices;
use super::door::{Door, Verdict};
use super::history::History;
use super::selftest::{self, SelfTest};
use super::sessions::{LONGEST, Session, Sessions};
use super::{charges, configuration, conversations, live, logs, notes, page, timeline};
use crate::assets;
use crate::bus::{self, Seen};
use crate::config::Sources;
use crate::http;

/// What the cookie is called: browsers keep such a one to this host, over TLS.
const COOKIE: &str = "__Host-session";
/// What the station may take to answer.
pub(super) const ANSWER: Duration = Duration::from_secs(6);

/// What the pages are made of.
pub(crate) struct Technician {
    door: Arc<Door>,
    pub(super) audit: Arc<Audit>,
    pub(super) guide: FaultGuide,
    pub(super) connection: Connection,
    /// Who speaks with the vehicles, by EVSE.
    pub(super) links: BTreeMap<u32, Binding>,
    /// Where the configuration is read from.
    pub(super) configuration: Option<PathBuf>,
    /// One is checked at a time: every daemon is run for it.
    pub(super) checking: Semaphore,
    pub(super) self_test: SelfTest,
    pub(super) seen: watch::Receiver<Seen>,
    pub(super) devices: Devices,
    history: Arc<Mutex<History>>,
    sessions: Mutex<Sessions>,
}

impl Technician {
    pub(crate) fn new(
        accounts: Accounts,
        audit: PathBuf,
        guide: FaultGuide,
        connection: &Connection,
        sources: &Sources,
        seen: watch::Receiver<Seen>,
    ) -> Self {
        let history = Arc::new(Mutex::new(History::default()));
        let devices = Devices::follow(connection, sources.elsewhere.clone());
        let warm = sources.warm.clone();
        tokio::spawn(live::remember(seen.clone(), history.clone(), devices.clone(), warm));
        let audit = Arc::new(Audit::new(audit));
        let notes = notes::post(connection, sources.csms.clone());
        Self {
            door: Arc::new(Door::new(accounts, audit.clone(), notes)),
            audit,
            guide,
            connection: connection.clone(),
            links: sources.links.clone(),
            configuration: sources.configuration.clone(),
            checking: Semaphore::new(1),
            self_test: SelfTest::default(),
            devices,
            seen,
            history,
            sessions: Mutex::default(),
        }
    }

    pub(super) fn sessions(&self) -> std::sync::MutexGuard<'_, Sessions> {
        self.sessions.lock().expect("nobody panics with it")
    }

    pub(super) fn station_page(&self, session: &Session) -> Markup {
        // For their temperatures.
        let _ = self.devices.look();
        let history = self.history.lock().expect("nobody panics with it");
        page::station(session, &self.seen.borrow(), &history, &self.guide)
    }
}

pub(super) type Shared = Arc<Technician>;

/// All pages.
pub(crate) fn router(technician: Technician) -> Router {
    let technician = Arc::new(technician);
    let large = DefaultBodyLimit::max(configuration::FORM_MAX);
    let inside = Router::new()
        .route("/", get(station))
        .route("/devices", get(devices))
        .route("/sessions", get(charges::list))
        .route("/sessions/{id}", get(charges::show))
        .route("/timeline", get(timeline::list))
        .route("/timeline/{number}", get(timeline::show))
        .route("/timeline/{number}/{form}", get(timeline::file))
        .route("/v2g", get(conversations::list))
        .route("/v2g/{evse}/{began}", get(conversations::show))
        .route("/v2g/{evse}/{began}/pcap", get(conversations::file))
        .route("/logs", get(logs::show))
        .route("/selftest", get(selftest::show))
        .route("/selftest/{evse}", post(selftest::start))
        .route("/configuration", get(configuration::show).post(configuration::attempt).layer(large))
        .route("/settings", get(settings))
        .route("/settings/{name}", post(write_setting))
        .route("/audit", get(audit))
        .route("/evse/{evse}/{action}", post(act))
        .route("/events", get(live::events))
        .route("/logout", post(logout))
        .fallback(nothing)
        .layer(middleware::from_fn_with_state(technician.clone(), only_with_a_session));
    Router::new()
        .route("/login", get(ask_login).post(login))
        .route("/assets/{version}/{name}", get(asset))
        .merge(inside)
        .layer(middleware::from_fn(own_pages))
        .layer(middleware::from_fn(http::harden))
        .with_state(technician)
}

/// A command comes from a page of ours, whatever else the browser has open.
async fn own_pages(request: Request, next: Next) -> Response {
    if !http::is_same_origin(&request, "https") {
        return StatusCode::FORBIDDEN.into_response();
    }
    next.run(request).await
}

async fn only_with_a_session(State(it): State<Shared>, mut request: Request, next: Next) -> Response {
    let found = cookie(request.headers()).and_then(|secret| {
        // What goes on by itself keeps nobody logged in.
        let by_itself = request.uri().path() == "/events";
        let mut sessions = it.sessions();
        let session = if by_itself { sessions.look(now(), secret) } else { sessions.find(now(), secret) };
        session.map(|session| (session, secret.to_owned()))
    });
    match found {
        Some((session, secret)) => {
            request.extensions_mut().insert(LoggedIn { session, secret });
            next.run(request).await
        }
        None if request.uri().path() == "/events" => live::over(),
        None => Redirect::to("/login").into_response(),
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct LoggedIn {
    pub(super) session: Session,
    pub(super) secret: String,
}

impl LoggedIn {
    /// What it is told that may not do this. Whatever is shown or done beyond looking asks it.
    pub(super) fn lacks(&self, role: Role) -> Option<Response> {
        if self.session.role >= role {
            return None;
        }
        let page = page::message("Not allowed", "Your account may not do this.");
        let whole = page::document(&self.session, "", "Not allowed", &page, false);
        Some((StatusCode::FORBIDDEN, Html(whole.into_string())).into_response())
    }

    /// The same for a command: its form has to be from a page of this session.
    pub(super) fn may_not(&self, role: Role, key: &str) -> Option<Response> {
        let foreign = key != self.session.form_key;
        self.lacks(role).or_else(|| foreign.then(|| StatusCode::FORBIDDEN.into_response()))
    }

    pub(super) fn page(&self, path: &str, title: &str, middle: &Markup, live: bool) -> Response {
        Html(page::document(&self.session, path, title, middle, live).into_string()).into_response()
    }
}

impl<S: Sync> FromRequestParts<S> for LoggedIn {
    type Rejection = StatusCode;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts.extensions.get::<Self>().cloned().ok_or(StatusCode::UNAUTHORIZED)
    }
}

type Peer = Extension<ConnectInfo<SocketAddr>>;

async fn ask_login() -> Response {
    Html(page::login(false, None).into_string()).into_response()
}

#[derive(Deserialize)]
struct Login {
    name: String,
    password: String,
}

async fn login(
    State(it): State<Shared>,
    Extension(ConnectInfo(peer)): Peer,
    Form(form): Form<Login>,
) -> Response {
    let name: String = form.name.chars().take(64).collect();
    match it.door.judge(peer.ip(), name.clone(), form.password).await {
        Verdict::Right(role) => {
            let (Ok(secret), Ok(key)) = (random(), random()) else {
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            };
            it.sessions().begin(now(), &secret, key, &name, role);
            let cookie = format!(
                "{COOKIE}={secret}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={}",
                LONGEST.as_secs()
            );
            ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
        }
        Verdict::Wrong => {
            (StatusCode::UNAUTHORIZED, Html(page::login(true, None).into_string())).into_response()
        }
        Verdict::Wait(wait) => {
            let page = page::login(false, Some(wait));
            (StatusCode::TOO_MANY_REQUESTS, Html(page.into_string())).into_response()
        }
    }
}

/// 256 random bits, in hexadecimal.
fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[derive(Deserialize)]
struct Key {
    key: String,
}

async fn logout(
    who: LoggedIn,
    State(it): State<Shared>,
    Extension(ConnectInfo(peer)): Peer,
    Form(form): Form<Key>,
) -> Response {
    if let Some(refused) = who.may_not(Role::View, &form.key) {
        return refused;
    }
    it.sessions().end(&who.secret);
    it.audit.noted(&who.session.name, peer.ip(), "logs out".to_owned()).await;
    let gone = format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    ([(header::SET_COOKIE, gone)], Redirect::to("/login")).into_response()
}

async fn station(who: LoggedIn, State(it): State<Shared>) -> Response {
    who.page("/", "Station", &it.station_page(&who.session), true)
}

async fn devices(who: LoggedIn, State(it): State<Shared>) -> Response {
    let found = it.devices.look();
    let page = page::devices(&found.borrow(), &it.guide);
    who.page("/devices", "Devices", &page, true)
}

/// Whoever has to say it does not answer.
pub(super) fn silent(who: &LoggedIn, path: &str, daemon: &str) -> Response {
    let page = page::message("No answer", &format!("{daemon} does not answer."));
    let whole = page::document(&who.session, path, "No answer", &page, false);
    (StatusCode::BAD_GATEWAY, Html(whole.into_string())).into_response()
}

pub(super) async fn nothing(who: LoggedIn) -> Response {
    let page = page::message("There is no such page", "");
    let whole = page::document(&who.session, "", "No such page", &page, false);
    (StatusCode::NOT_FOUND, Html(whole.into_string())).into_response()
}

/// A file to keep.
pub(super) fn attachment(name: &str, kind: &'static str, content: Vec<u8>) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    let headers = [(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    (headers, content).into_response()
}

async fn act(
    who: LoggedIn,
    State(it): State<Shared>,
    Extension(ConnectInfo(peer)): Peer,
    Path((evse, action)): Path<(u32, String)>,
    Form(form): Form<Key>,
) -> Response {
    if let Some(refused) = who.may_not(Role::Operate, &form.key) {
        return refused;
    }
    let what = format!("{action} EVSE {evse}");
    let asked = command(it.connection.clone(), evse, action);
    let outcome = do_and_note(&it, &who.session.name, peer.ip(), what, asked).await;
    match outcome {
        Ok(_) => Redirect::to("/").into_response(),
        Err(why) => {
            let page = page::message("It was not done", &why);
            let whole = page::document(&who.session, "/", "Not done", &page, false);
            (StatusCode::CONFLICT, Html(whole.into_string())).into_response()
        }
    }
}

async fn command(connection: Connection, evse: u32, action: String) -> Result<&'static str, String> {
    let station = bus::station(&connection).await.map_err(|error| error.to_string())?;
    let done = match action.as_str() {
        "stop" => station.stop(evse).await,
        "clear-faults" => match station.clear_faults(evse).await {
            Ok(stay) if stay.is_empty() => Ok(()),
            Ok(stay) => {
                let codes: Vec<_> = stay.into_iter().map(|fault| fault.code).collect();
                return Err(format!("their cause is still there: {}", codes.join(", ")));
            }
            Err(error) => Err(error),
        },
        "in-service" => station.set_available(evse, true).await,
        "out-of-service" => station.set_available(evse, false).await,
        "unlock" => station.unlock(evse).await,
        _ => return Err("there is no such command".to_owned()),
    };
    done.map(|()| "done").map_err(|error| error.to_string())
}

/// Waits for what was asked of the station and notes what came of it, also when whoever asked goes away meanwhile.
async fn do_and_note(
    it: &Shared,
    name: &str,
    from: IpAddr,
    what: String,
    asked: impl Future<Output = Result<&'static str, String>> + Send + 'static,
) -> Result<&'static str, String> {
    let (it, name) = (it.clone(), name.to_owned());
    let task = tokio::spawn(async move {
        let outcome = timeout(ANSWER, asked).await.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        let told = match &outcome {
            Ok(told) => told,
            Err(why) => why.as_str(),
        };
        it.audit.noted(&name, from, format!("{what}: {told}")).await;
        outcome
    });
    task.await.unwrap_or_else(|_| Err("the daemon ends".to_owned()))
}

async fn settings1(connection: &Connection) -> zbus::Result<Settings1Proxy<'static>> {
    Settings1Proxy::builder(connection)
        .destination(names::STATION)
        .path(names::STATION_PATH)
        .cache_properties(CacheProperties::No)
        .build()
        .await
}

async fn settings(who: LoggedIn, State(it): State<Shared>) -> Response {
    show_settings(&who, &it, None).await
}

async fn show_settings(who: &LoggedIn, it: &Shared, told: Option<(bool, &str)>) -> Response {
    if let Some(refused) = who.lacks(Role::Configure) {
        return refused;
    }
    let asked = async { settings1(&it.connection).await?.list().await };
    match timeout(ANSWER, asked).await {
        Ok(Ok(found)) => {
            who.page("/settings", "Settings", &page::settings(&who.session, &found, told), false)
        }
        Ok(Err(_)) | Err(_) => silent(who, "/settings", "voltry-station"),
    }
}

#[derive(Deserialize)]
struct Written {
    key: String,
    value: String,
}

async fn write_setting(
    who: LoggedIn,
    State(it): State<Shared>,
    Extension(ConnectInfo(peer)): Peer,
    Path(name): Path<String>,
    Form(form): Form<Written>,
) -> Response {
    if let Some(refused) = who.may_not(Role::Configure, &form.key) {
        return refused;
    }
    let (connection, value) = (it.connection.clone(), form.value);
    let setting = name.clone();
    let asked = async move {
        let settings = settings1(&connection).await.map_err(|error| error.to_string())?;
        match settings.write(&setting, &value).await {
            Ok(true) => Ok("saved; it holds from the daemon's next start on"),
            Ok(false) => Ok("saved"),
            Err(error) => Err(error.to_string()),
        }
    };
    // The value may be a secret.
    let outcome = do_and_note(&it, &who.session.name, peer.ip(), format!("setting {name}"), asked).await;
    let told = match &outcome {
        Ok(told) => told,
        Err(why) => why.as_str(),
    };
    let told = format!("{name}: {told}");
    show_settings(&who, &it, Some((outcome.is_ok(), &told))).await
}

async fn audit(who: LoggedIn, State(it): State<Shared>) -> Response {
    if let Some(refused) = who.lacks(Role::Configure) {
        return refused;
    }
    who.page("/audit", "Audit trail", &page::audit(&it.audit.newest()), false)
}

async fn asset(Path((_, name)): Path<(String, String)>) -> Response {
    assets::answer(&name).unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
}
