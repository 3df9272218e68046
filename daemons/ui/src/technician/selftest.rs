//! An EVSE checks itself while a technician looks on.
//!
//! As `voltryctl selftest`: `voltry-station` keeps the EVSE out of service meanwhile, and each check is made after the
//! one before. One at a time. Modules are raised only for somebody who says that nobody is in the cabinet. If this
//! daemon ends meanwhile, the check under way ends by itself with everything off.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::extract::{ConnectInfo, Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tokio::time::timeout;
use voltry_bus::{CheckResult, SelfTestOutcome, SelfTestStep, Station1Proxy};
use voltry_service::self_test::does;

use super::accounts::Role;
use super::page;
use super::routes::{LoggedIn, Shared};
use super::sessions::Session;
use crate::bus;

/// The longest check, going out of service before it, and some more.
const PATIENCE: Duration = Duration::from_secs(100);

/// The self-test that runs, or ran last.
#[derive(Debug, Default)]
pub(super) struct SelfTest(Mutex<Shown>);

#[derive(Debug, Clone, Default, PartialEq)]
struct Shown {
    /// 0: none yet.
    evse: u32,
    /// What was checked; the last one is under way if it has no result.
    checks: Vec<(SelfTestStep, Option<CheckResult>)>,
    running: bool,
    /// How it ended, or why there was none.
    told: String,
}

impl SelfTest {
    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes it for an EVSE, if it is free.
    fn begin(&self, evse: u32) -> bool {
        let mut shown = self.shown();
        if shown.running {
            return false;
        }
        *shown = Shown { evse, running: true, ..Shown::default() };
        true
    }
}

pub(super) async fn show(who: LoggedIn, State(it): State<Shared>) -> Response {
    if let Some(refused) = who.lacks(Role::Operate) {
        return refused;
    }
    who.page("/selftest", "Self-test", &middle(&it, &who.session), true)
}

#[derive(Deserialize)]
pub(super) struct Asked {
    key: String,
    /// Whether the modules may be raised.
    modules: Option<String>,
}

pub(super) async fn start(
    who: LoggedIn,
    State(it): State<Shared>,
    Extension(ConnectInfo(peer)): Extension<ConnectInfo<SocketAddr>>,
    Path(evse): Path<u32>,
    Form(asked): Form<Asked>,
) -> Response {
    if let Some(refused) = who.may_not(Role::Operate, &asked.key) {
        return refused;
    }
    if !it.self_test.begin(evse) {
        return (StatusCode::CONFLICT, "a self-test is under way").into_response();
    }
    // It goes on when whoever asked goes away.
    tokio::spawn(run(it, who.session.name, peer.ip(), evse, asked.modules.is_some()));
    Redirect::to("/selftest").into_response()
}

async fn run(it: Shared, name: String, from: IpAddr, evse: u32, modules: bool) {
    let with = if modules { "with" } else { "without" };
    it.audit.noted(&name, from, format!("self-test of EVSE {evse}, {with} its modules: begun")).await;
    let told = match test(&it, evse, modules).await {
        Ok(()) => {
            let bad =
                it.self_test.shown().checks.iter().filter(|(_, result)| is_bad(result.as_ref())).count();
            if bad == 0 { "no check failed".to_owned() } else { format!("{bad} did not pass") }
        }
        Err(why) => why,
    };
    it.audit.noted(&name, from, format!("self-test of EVSE {evse}: {told}")).await;
    let mut shown = it.self_test.shown();
    (shown.running, shown.told) = (false, told);
}

fn is_bad(result: Option<&CheckResult>) -> bool {
    match result.map(|result| result.outcome) {
        Some(SelfTestOutcome::Passed | SelfTestOutcome::Skipped) => false,
        Some(SelfTestOutcome::Failed | SelfTestOutcome::Refused | SelfTestOutcome::Aborted) | None => true,
    }
}

async fn test(it: &Shared, evse: u32, modules: bool) -> Result<(), String> {
    let station = bus::station(&it.connection).await.map_err(|error| error.to_string())?;
    let tested = checks(it, &station, evse, modules).await;
    let ended =
        station.end_self_test(evse).await.map_err(|error| format!("it is still out of service: {error}"));
    tested.and(ended)
}

async fn checks(it: &Shared, station: &Station1Proxy<'_>, evse: u32, modules: bool) -> Result<(), String> {
    for step in SelfTestStep::ALL.iter().copied().filter(|step| modules || *step != SelfTestStep::Modules) {
        it.self_test.shown().checks.push((step, None));
        let answer = timeout(PATIENCE, station.self_test(evse, step)).await;
        let result = match answer {
            Ok(answer) => answer.map_err(|error| error.to_string())?,
            Err(_) => return Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        let over = result.outcome == SelfTestOutcome::Refused || result.outcome == SelfTestOutcome::Aborted;
        if let Some(last) = it.self_test.shown().checks.last_mut() {
            last.1 = Some(result);
        }
        if over {
            break;
        }
    }
    Ok(())
}

/// The middle of the page, which follows the test.
pub(super) fn middle(it: &Shared, session: &Session) -> Markup {
    let shown = it.self_test.shown().clone();
    let seen = it.seen.borrow();
    let evses: Vec<u32> =
        seen.station.iter().flat_map(|station| &station.evses).map(|status| status.evse).collect();
    html! {
        h1 { "Self-test" }
        p { "An EVSE checks itself without a vehicle. It is out of service meanwhile. The cable stays dead." }
        @if evses.is_empty() { p.banner role="status" { "voltry-station does not answer." } }
        div.evses {
            @for evse in evses {
                section.evse {
                    h2 { "EVSE " (evse) }
                    form.selftest method="post" action=(format!("/selftest/{evse}")) {
                        (page::key(session))
                        label.tick {
                            input type="checkbox" name="modules" value="yes";
                            "Raise its power modules too, behind open contactors: I stand there, and nobody is in the cabinet"
                        }
                        button type="submit" disabled[shown.running] { "Begin with EVSE " (evse) }
                    }
                }
            }
        }
        @if shown.evse != 0 { (result(&shown)) }
    }
}

fn result(shown: &Shown) -> Markup {
    html! {
        h2 { "EVSE " (shown.evse) }
        table data-selftest=(if shown.running { "running" } else { "over" }) {
            tr { @for name in ["Check", "What it does", "Outcome", "What was seen"] { th scope="col" { (name) } } }
            @for (step, result) in &shown.checks {
                tr {
                    th scope="row" { (step) } td { (does(*step)) }
                    @match result {
                        Some(result) => { td { (result.outcome) } td { (result.seen) } }
                        None if shown.running => { td { "under way" } td {} }
                        None => { td { "broken off" } td {} }
                    }
                }
            }
        }
        p role="status" { @if shown.running { "It is under way." } @else { (shown.told) } }
    }
}
