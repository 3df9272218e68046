//! What the station knows when it starts: its EVSEs, and what the book kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};
use voltry_bus::{ConnectorUse, Csms1Proxy, EndReason, EvseSession, names};
use voltry_service::clock::now;
use voltry_service::fault_guide::FaultGuide;
use voltry_service::{Binding, RateLimit};
use voltry_units::{Timestamp, Watts};
use zbus::Connection;
use zbus::proxy::CacheProperties;

use crate::authorization::Authorizer;
use crate::billing;
use crate::book::{Book, OpenTransaction};
use crate::clock::Clock;
use crate::clock_marks::ClockMarks;
use crate::config::{CsmsAway, Settings};
use crate::control::{Answer, BackEnd, Control, LINES_A_MINUTE, News, Shown};
use crate::energy::Energy;
use crate::evse::Evse;
use crate::evse_watch::Proxies;
use crate::flow::FlowWatch;
use crate::guesses::Guesses;
use crate::limits::Limits;
use crate::master_pass::MasterPass;
use crate::recorder::Recorder;
use crate::register::Register;
use crate::reservations::Reservations;
use crate::session::{Left, SessionControl};
use crate::story::Story;
use crate::variables::Variables;

/// Where the control loop sends what it learns and decides.
pub(crate) struct Channels {
    pub(crate) answers: mpsc::Sender<Answer>,
    pub(crate) shown: watch::Sender<Shown>,
    pub(crate) news: mpsc::Sender<News>,
    pub(crate) recorder: Recorder,
}

/// The control loop, with what the book had open, held and limited.
///
/// # Errors
/// The book cannot be read, or the bus is lost.
pub(crate) async fn control(
    connection: &Connection,
    settings: &Settings,
    book: &Book,
    clock: &Clock,
    tell: Channels,
    variables: Variables,
) -> anyhow::Result<Control> {
    book.end_what_nobody_saw_end(clock.stamp(), "the station was down when the vehicle left").await?;
    let mut control = Control {
        evses: evses(connection, settings, book, clock).await?,
        authorizer: Authorizer::new(
            settings.free_vending,
            settings.token_list().ok().context("tokens were checked")?,
            variables.connection_timeout,
        ),
        back_end: back_end(connection, settings).await?,
        judging: Vec::new(),
        guesses: Guesses::default(),
        start_button: settings.start_button,
        master_pass_asks: settings.master_pass_asks,
        master_pass: MasterPass::default(),
        limits: Limits::of_the_book(book.limits(clock.stamp()).await?),
        reservations: Reservations::of_the_book(book.reservations().await?),
        book: book.clone(),
        clock: clock.clone(),
        power_limit: settings.power_limit,
        energy: Energy::new(now(), settings.rules(), settings.evse.len()),
        marks: ClockMarks::every(variables.clock_aligned_interval),
        variables,
        keep: settings.keep(),
        recorder: tell.recorder,
        guide: FaultGuide::of_machine(|why| warn!(why, "of the guide of faults")),
        pruned_at: Timestamp::BOOT,
        in_service: book.is_available(0).await?,
        answers: tell.answers,
        shown: tell.shown,
        news: tell.news,
        lines: RateLimit::allowing(LINES_A_MINUTE),
    };
    control.share();
    control.publish();
    Ok(control)
}

async fn evses(
    connection: &Connection,
    settings: &Settings,
    book: &Book,
    clock: &Clock,
) -> anyhow::Result<BTreeMap<u32, Evse>> {
    let stopped = book.take_stopped().await?;
    let plugged = book.open_plugs(Arc::clone(clock.boot())).await?;
    let mut open: Vec<OpenTransaction> = book.open_transactions().await?;
    let mut evses = BTreeMap::new();
    for (name, evse) in &settings.evse {
        let number: u32 = name.parse().context("EVSE numbers were checked")?;
        let binding = evse.evse.clone().map_or_else(
            || Binding::new(&names::evse(number), &names::path("evse", name)).map_err(anyhow::Error::msg),
            Ok,
        )?;
        let left =
            open.iter().position(|transaction| transaction.evse == number).map(|place| open.remove(place));
        let plug = plugged.iter().rfind(|(evse, _)| *evse == number).map(|(_, plug)| *plug);
        let mut control = SessionControl::plugged(plug);
        if let Some(left) = &left {
            info!(evse = number, transaction = left.id, "a transaction is still open in the book");
            control =
                control.recovering(now(), what_is_left(left, clock, &stopped), left.id, left.payer.clone());
        }
        let available_alone = book.is_available(number).await?;
        evses.insert(
            number,
            Evse {
                number,
                proxies: Proxies::new(connection, &binding, &evse.energy_meter).await?,
                control,
                session: EvseSession::default(),
                vehicle_id: None,
                contract: None,
                capability: None,
                faults: Vec::new(),
                story: Story::default(),
                live: None,
                asked: Vec::new(),
                available_alone,
                tested_until: None,
                load: Watts::ZERO,
                available: available_alone && book.is_available(0).await?,
                connector: (ConnectorUse::Unavailable, clock.stamp().unix),
                share: Watts::ZERO,
                priority: evse.priority,
                granting: None,
                flow: FlowWatch::default(),
                metered: None,
                register: left
                    .as_ref()
                    .map_or_else(Register::default, |left| Register::written(now(), left.register_last)),
                contradictions: RateLimit::default(),
                register_start: left.map(|left| left.register_start),
                // What the book has need not be written again.
                booked_at: now(),
                event_at: now(),
            },
        );
    }
    billing::close_left_behind(book, clock, open).await?;
    Ok(evses)
}

/// An open transaction as the start finds it. `stopped`: the boot in which the station last stopped in
/// order.
fn what_is_left(open: &OpenTransaction, clock: &Clock, stopped: &str) -> Left {
    if *open.boot_id == **clock.boot() {
        Left::OfThisBoot(open.session)
    } else if open.boot_id == stopped {
        Left::OfAnother(EndReason::Reboot)
    } else {
        Left::OfAnother(EndReason::PowerLoss)
    }
}

/// Whoever judges tokens that are in no list of the station, where that is configured.
async fn back_end(connection: &Connection, settings: &Settings) -> anyhow::Result<Option<BackEnd>> {
    let Some(binding) = settings.csms.clone() else { return Ok(None) };
    let csms = Csms1Proxy::builder(connection)
        .destination(binding.name)
        .path(binding.path)
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    let patience = settings.csms_patience();
    Ok(Some(BackEnd { csms, patience, allow_unjudged: settings.csms_away == CsmsAway::Allow }))
}
