//! The pages of the screen.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, html};
use voltry_bus::CsmsState;
use voltry_service::fault_guide::FaultGuide;

use super::advice;
use super::master_pass::which;
use super::messages::messages;
use super::picture::picture;
use super::without_card::identification;
use crate::assets;
use crate::bus::{Refusal, Refused, Seen};
use crate::config::{Settings, StopBy};
use crate::face::{Ending, Face, Flow, Pause, Receipt, Step, faces};
use crate::words::{Languages, Words};

/// EVSEs that one screen has room for.
const EVSES_MAX: usize = 8;

/// Who looks at which part of the station.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) settings: &'a Settings,
    pub(super) languages: &'a Languages,
    pub(super) guide: &'a FaultGuide,
    pub(super) words: Words<'a>,
    /// The only EVSE that is shown; `None`: all of them.
    pub(super) only: Option<u32>,
    /// Whether it is looked at from the page of all, to which it goes back.
    pub(super) from_all: bool,
    /// Whose turn it is of the messages for which there is no place at once.
    pub(super) turn: usize,
}

impl View<'_> {
    /// The query that keeps to the EVSE.
    pub(super) fn query(self) -> String {
        match self.only {
            None => String::new(),
            Some(evse) if self.from_all => from_all(evse),
            Some(evse) => format!("?evse={evse}"),
        }
    }

    pub(super) fn home(self) -> String {
        format!("/{}{}", self.words.tag(), self.query())
    }

    /// Where a page goes back to that nobody touches.
    fn start(self) -> String {
        if self.from_all { "/".to_owned() } else { format!("/{}", self.query()) }
    }
}

fn from_all(evse: u32) -> String {
    format!("?evse={evse}&from_all=true")
}

/// A page with this in its middle. `live`: it follows what happens.
pub(super) fn document(view: View<'_>, title: &str, middle: &Markup, live: bool) -> Markup {
    let words = view.words;
    let events = format!("/events?language={}{}", words.tag(), view.query().replace('?', "&"));
    html! {
        (DOCTYPE)
        html lang=(words.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" href=(assets::icon());
                (assets::style_within())
                script src=(assets::script()) defer {}
                @if live { noscript { meta http-equiv="refresh" content="5"; } }
            }
            body data-version=(assets::version()) data-home=(view.start())
                data-events=[live.then_some(events)] {
                div #offline.banner role="alert" hidden { (words.say("offline-page")) }
                main { (middle) }
                (foot(view))
            }
        }
    }
}

fn foot(view: View<'_>) -> Markup {
    let words = view.words;
    html! {
        footer {
            @if !view.settings.help_line.is_empty() {
                p.help { span { (words.say("help-line")) } " " strong { (view.settings.help_line) } }
            }
            button #contrast type="button" hidden aria-label=(words.say("contrast")) {
                svg viewBox="0 0 120 120" aria-hidden="true" focusable="false" {
                    circle cx="60" cy="60" r="44" {}
                    path.solid d="M60 16a44 44 0 0 1 0 88z" {}
                }
            }
            nav aria-label=(words.say("language")) {
                @for (tag, name) in view.languages.offered() {
                    a href=(format!("/{tag}{}", view.query())) lang=(tag) hreflang=(tag)
                        aria-current=[(tag == words.tag()).then_some("true")] { (name) }
                }
            }
        }
    }
}

/// The middle of the page that follows what happens.
pub(super) fn board(view: View<'_>, seen: &Seen) -> Markup {
    let words = view.words;
    let mut shown = faces(seen);
    shown.retain(|(evse, _)| view.only.is_none_or(|only| only == *evse));
    let others: Vec<u32> = shown.iter().skip(EVSES_MAX).map(|(evse, _)| *evse).collect();
    shown.truncate(EVSES_MAX);
    let name = seen.station.as_ref().map(|station| station.name.clone()).filter(|name| !name.is_empty());
    html! {
        h1 { (name.unwrap_or_else(|| words.say("title"))) }
        @if seen.has_uplink && seen.csms.is_none_or(|state| !matches!(state, CsmsState::Accepted | CsmsState::Disabled)) {
            p.banner.offline role="status" { (words.say("offline-uplink")) }
        }
        @if let Some(refused) = seen.refused.get(&0) { (card_refused(words, refused)) }
        (which(view, seen))
        @for message in messages(seen, words, &shown, view.turn) {
            p.message lang=[Some(message.language.as_str()).filter(|tag| !tag.is_empty())] {
                strong.hidden { (words.say("message")) } " " (message.content)
            }
        }
        @if shown.is_empty() {
            div.evses { (card(view, seen, view.only, &Face::Away)) }
        } @else {
            div.evses data-count=(shown.len()) {
                @for (evse, face) in &shown { (card(view, seen, Some(*evse), face)) }
            }
        }
        (elsewhere(view, &others))
    }
}

/// The ways to the EVSEs for which there is no room, or back from one.
fn elsewhere(view: View<'_>, others: &[u32]) -> Markup {
    let (words, tag) = (view.words, view.words.tag());
    html! {
        @if view.from_all || !others.is_empty() {
            div.elsewhere {
                @for evse in others {
                    a.button href=(format!("/{tag}{}", from_all(*evse))) { (words.with("evse", &[("number", &evse.to_string())])) }
                }
                @if view.from_all { a.button href=(format!("/{tag}")) { (words.say("back")) } }
            }
        }
    }
}

pub(super) fn card(view: View<'_>, seen: &Seen, evse: Option<u32>, face: &Face) -> Markup {
    let words = view.words;
    let number = evse.map(|evse| evse.to_string()).unwrap_or_default();
    let told = evse.filter(|_| has_driver(face)).and_then(|evse| {
        let told = seen.drivers.iter().find(|driver| driver.evse == evse)?;
        Some(&told.text).filter(|text| !text.is_empty())
    });
    html! {
        section class=(format!("evse {}", tone(face))) data-evse=[evse] data-state=(key(face)) {
            @if evse.is_some() { h2 { (words.with("evse", &[("number", &number)])) } }
            @if let Some(refused) = evse.and_then(|evse| seen.refused.get(&evse)) { (card_refused(words, refused)) }
            div.hero {
                (picture(face))
                div {
                    p.state role="status" { (words.say(key(face))) }
                    p.hint { (words.say(hint_here(view, face))) }
                }
            }
            (body(view, face))
            @if let Some(evse) = evse { (identification(view, evse, face)) }
            @if let Some(told) = told { p.told { (told) } }
            @if matches!(face, Face::Free | Face::PlugIn | Face::Authorize | Face::Preparing { card: true, .. } | Face::Reserved) {
                (price(view, told.is_some()))
            }
            @if let (Some(evse), true) = (evse, may_stop(face)) { (stop(view, evse)) }
        }
    }
}

/// What to do, where there may be another way than a card.
fn hint_here(view: View<'_>, face: &Face) -> &'static str {
    if view.settings.sources.start_button && matches!(face, Face::Authorize) {
        "hint-authorize-start"
    } else {
        hint(face, view.guide)
    }
}

/// Whether what the back end says to a driver is to whoever stands there now.
const fn has_driver(face: &Face) -> bool {
    match face {
        Face::PlugIn
        | Face::Authorize
        | Face::Preparing { .. }
        | Face::Charging(_)
        | Face::Paused { .. }
        | Face::Stopping(_)
        | Face::Finished(_) => true,
        Face::Away
        | Face::Absent(_)
        | Face::Starting
        | Face::OutOfService
        | Face::Free
        | Face::Reserved
        | Face::Fault { .. } => false,
    }
}

/// Not whether it is unknown, blocked or expired: whoever stands behind its holder reads along.
fn card_refused(words: Words<'_>, refused: &Refused) -> Markup {
    let (what, why) = match refused.why {
        Refusal::NotAccepted => ("card-refused", "card-not-accepted"),
        Refusal::NotJudged => ("card-refused", "card-not-judged"),
        Refusal::NoPlace => ("card-refused", "card-no-place"),
        Refusal::WrongCode => ("code-refused", "code-wrong"),
        Refusal::TooManyCodes => ("code-refused", "code-too-many"),
    };
    html! { p.banner.refused role="alert" { strong { (words.say(what)) } " " (words.say(why)) } }
}

fn body(view: View<'_>, face: &Face) -> Markup {
    let words = view.words;
    match face {
        Face::Preparing { step, card } => html! {
            @if *card { p.hint { (words.say("hint-card-early")) } }
            (steps(words, *step))
        },
        Face::Charging(flow) | Face::Paused { flow, .. } | Face::Stopping(flow) => facts(view, flow),
        Face::Finished(Some(receipt)) | Face::Absent(Some(receipt)) => self::receipt(view, receipt),
        Face::Fault { codes, receipt } => html! {
            @if let Some(code) = advice::worst(codes, view.guide) { p.code { (words.with("fault-code", &[("code", code)])) } }
            @if let Some(receipt) = receipt { (self::receipt(view, receipt)) }
        },
        Face::Away
        | Face::Absent(None)
        | Face::Starting
        | Face::OutOfService
        | Face::Free
        | Face::Reserved
        | Face::PlugIn
        | Face::Authorize
        | Face::Finished(None) => html! {},
    }
}

fn steps(words: Words<'_>, now: Step) -> Markup {
    html! {
        ol.steps {
            @for step in Step::ALL {
                @let (class, said) = match step.cmp(&now) {
                    std::cmp::Ordering::Less => ("done", "step-done"),
                    std::cmp::Ordering::Equal => ("now", "step-now"),
                    std::cmp::Ordering::Greater => ("to-come", "step-to-come"),
                };
                li class=(class) aria-current=[(class == "now").then_some("step")] {
                    (words.say(step.key())) " " span.hidden { "(" (words.say(said)) ")" }
                }
            }
        }
    }
}

fn facts(view: View<'_>, flow: &Flow) -> Markup {
    let words = view.words;
    html! {
        dl.facts {
            (fact(&words.say("power"), &words.number(flow.power / 1000.0, 1), "kW"))
            (fact(&words.say("energy"), &words.number(flow.energy / 1000.0, 2), "kWh"))
            @if let Some(soc) = flow.soc { (fact(&words.say("battery"), &words.number(soc, 0), "%")) }
            @if let Some((minutes, percent)) = flow.left {
                @let put_in = [("minutes", minutes.to_string()), ("percent", words.number(percent, 0))];
                @let put_in = put_in.each_ref().map(|(name, value)| (*name, value.as_str()));
                div.wide { dt { (words.say("time-left")) } dd.text { (words.with("time-left-value", &put_in)) } }
            }
            @if let Some(cost) = flow.cost {
                (fact(&words.say("cost-so-far"), &words.cost(cost, currency(view)), ""))
            }
        }
    }
}

fn fact(name: &str, value: &str, unit: &str) -> Markup {
    html! { div { dt { (name) } dd { (value) @if !unit.is_empty() { " " span.unit { (unit) } } } } }
}

fn currency(view: View<'_>) -> &str {
    view.settings.price.as_ref().map_or("", |price| &price.currency)
}

fn receipt(view: View<'_>, receipt: &Receipt) -> Markup {
    let words = view.words;
    html! {
        div.receipt {
            h3 { (words.say("receipt")) }
            dl.facts {
                (fact(&words.say("energy"), &words.number(receipt.energy / 1000.0, 2), "kWh"))
                (fact(&words.say("from"), &clock(receipt.started), ""))
                (fact(&words.say("to"), &clock(receipt.ended), ""))
                @if let Some(cost) = receipt.cost {
                    (fact(&words.say("cost"), &words.cost(cost, currency(view)), ""))
                }
            }
            p { (ended(words, &receipt.end)) }
        }
    }
}

fn ended(words: Words<'_>, end: &Ending) -> String {
    match end {
        Ending::Vehicle => words.say("ended-by-vehicle"),
        Ending::Driver => words.say("ended-by-driver"),
        Ending::Operator => words.say("ended-by-operator"),
        Ending::NotAllowed => words.say("ended-not-allowed"),
        Ending::Timeout => words.say("ended-timeout"),
        Ending::Incompatible => words.say("ended-incompatible"),
        Ending::Fault(code) => words.with("ended-by-fault", &[("code", code)]),
        Ending::Otherwise => words.say("ended-otherwise"),
    }
}

/// A time of the day, in the station's time zone.
fn clock(micros: i64) -> String {
    let Ok(time) = Timestamp::from_microsecond(micros) else { return "–".to_owned() };
    time.to_zoned_datetime(TimeZone::system()).strftime("%H:%M").to_string()
}

/// What charging costs, before it begins: per kilowatt-hour first, then what is paid for the place.
fn price(view: View<'_>, told: bool) -> Markup {
    let words = view.words;
    let Some(price) = &view.settings.price else {
        return html! { @if !told { p.price { (words.say("price-unknown")) } } };
    };
    let money = |amount| words.unit_price(amount, &price.currency);
    let per_minute = price.per_minute.filter(|amount| *amount > 0.0);
    // What costs only later is free until then.
    let free = price.per_kwh <= 0.0 && (per_minute.is_none() || price.per_minute_after > 0);
    html! {
        div.price {
            h3 { (words.say("price")) }
            @if price.per_kwh > 0.0 {
                p.amount { (words.with("price-per-kwh", &[("amount", &money(price.per_kwh))])) }
            } @else if free {
                p.amount { (words.say("price-free")) }
            }
            @if let Some(per_minute) = per_minute {
                @let (amount, minute) = (money(per_minute), price.per_minute_after.to_string());
                @let key = if price.per_minute_after == 0 { "price-per-minute" } else { "price-per-minute-after" };
                p class=[(!free && price.per_kwh <= 0.0).then_some("amount")] { (words.with(key, &[("amount", &amount), ("minute", &minute)])) }
            }
            @if !free { p.small { (words.say("price-contract")) } }
        }
    }
}

pub(super) const fn may_stop(face: &Face) -> bool {
    matches!(face, Face::Charging(_) | Face::Paused { .. } | Face::Preparing { card: false, .. })
}

fn stop(view: View<'_>, evse: u32) -> Markup {
    let words = view.words;
    match view.settings.stop {
        StopBy::Anybody => html! {
            a.button.stop href=(format!("/{}/stop/{evse}{}", words.tag(), view.query())) { (words.say("stop")) }
        },
        StopBy::Card => html! { p.hint { (words.say("stop-by-card")) } },
    }
}

/// The question before a charge is ended; after one that failed, that it did.
pub(super) fn stop_question(view: View<'_>, evse: u32, failed: bool) -> Markup {
    let words = view.words;
    let number = evse.to_string();
    html! {
        section.question {
            h1 { (words.with("stop-question", &[("number", &number)])) }
            @if failed { p.banner role="alert" { (words.say("stop-failed")) } }
            form method="post" action=(format!("/{}/stop/{evse}{}", words.tag(), view.query())) {
                button.button.stop type="submit" { (words.say("stop-yes")) }
            }
            a.button href=(view.home()) { (words.say("stop-no")) }
        }
    }
}

/// A page that says why there is no other.
pub(super) fn dead_end(view: View<'_>, key: &str) -> Markup {
    let words = view.words;
    html! {
        section.question {
            h1 { (words.say(key)) }
            a.button href=(view.home()) { (words.say("back")) }
        }
    }
}

/// The key of a state's name; also what tests and style sheets know it by.
const fn key(face: &Face) -> &'static str {
    match face {
        Face::Away => "state-away",
        Face::Absent(_) => "state-absent",
        Face::Starting => "state-starting",
        Face::OutOfService => "state-out-of-service",
        Face::Free => "state-free",
        Face::Reserved => "state-reserved",
        Face::PlugIn => "state-plug-in",
        Face::Authorize => "state-authorize",
        Face::Preparing { .. } => "state-preparing",
        Face::Charging(_) => "state-charging",
        Face::Paused { .. } => "state-paused",
        Face::Stopping(_) => "state-stopping",
        Face::Finished(_) => "state-finished",
        Face::Fault { .. } => "state-fault",
    }
}

fn hint(face: &Face, guide: &FaultGuide) -> &'static str {
    match face {
        Face::Away => "hint-away",
        Face::Absent(_) => "hint-absent",
        Face::Starting => "hint-starting",
        Face::OutOfService => "hint-out-of-service",
        Face::Free => "hint-free",
        Face::Reserved => "hint-reserved",
        Face::PlugIn => "hint-plug-in",
        Face::Authorize => "hint-authorize",
        Face::Preparing { .. } => "hint-preparing",
        Face::Charging(_) => "hint-charging",
        Face::Paused { why: Pause::Vehicle, .. } => "hint-paused-vehicle",
        Face::Paused { why: Pause::Station, .. } => "hint-paused-station",
        Face::Paused { why: Pause::Limit, .. } => "hint-paused-limit",
        Face::Stopping(_) => "hint-stopping",
        Face::Finished(_) => "hint-finished",
        Face::Fault { codes, .. } => advice::hint(codes, guide),
    }
}

/// The colour: words and picture say the same.
const fn tone(face: &Face) -> &'static str {
    match face {
        Face::Free | Face::Finished(_) => "good",
        Face::PlugIn | Face::Authorize => "act",
        Face::Preparing { .. } | Face::Charging(_) | Face::Stopping(_) => "busy",
        Face::Paused { .. } | Face::Reserved => "wait",
        Face::Fault { .. } => "bad",
        Face::Away | Face::Absent(_) | Face::Starting | Face::OutOfService => "off",
    }
}
