//! The pages around the drawing.

use std::ops::RangeInclusive;

use maud::{Markup, html};
use voltry_bus::RecordedSession;
use voltry_recording::{Moment, Timeline, seconds};

use super::super::page::{clock_time, number, time};
use super::drawing::{svg, zoom};

/// Of the moments of a window the first and the newest are in the table.
const FIRST: usize = 150;
const NEWEST: usize = 150;

pub(super) fn all(sessions: &[RecordedSession]) -> Markup {
    html! {
        h1 { "Time lines" }
        p { "Of each of the newest sessions, from plugging in to unplugging, those too in which nobody was let in." }
        @if sessions.is_empty() { p { "Nothing is recorded." } }
        table {
            tr { @for name in ["Record", "EVSE", "Plugged in", "Unplugged", "Session", "Why it ended"] { th scope="col" { (name) } } }
            @for it in sessions {
                tr {
                    td { a href=(format!("/timeline/{}", it.number)) { (it.number) } } td { (it.evse) }
                    td { (time(it.plugged)) } td { (time(it.unplugged)) }
                    td { @if it.transaction == 0 { "–" } @else { a href=(format!("/sessions/{}", it.transaction)) { (it.transaction) } } }
                    td { (it.why) }
                }
            }
        }
    }
}

pub(super) fn one(timeline: &Timeline, window: RangeInclusive<i64>) -> Markup {
    let session = &timeline.session;
    let after = |time: i64| number(seconds(time - session.plugged), 1);
    html! {
        h1 { "Record " (session.number) ", EVSE " (session.evse) }
        @if !session.why.is_empty() { p.why { (session.why) } }
        p {
            "Plugged in " (time(session.plugged)) ", "
            @if session.unplugged == 0 { "still plugged in" } @else { "unplugged " (time(session.unplugged)) }
            @if session.transaction != 0 { ", " a href=(format!("/sessions/{}", session.transaction)) { "session " (session.transaction) } }
            @if session.left_out > 0 { "; " (session.left_out) " entries and samples found no room" }
        }
        (buttons(timeline, &window))
        p { "Shown: " (after(*window.start())) " s to " (after(*window.end())) " s after plugging in. Dashed: what the vehicle asks, and what the station offers. A phase leads to itself alone." }
        (svg(timeline, &window))
        (phases(timeline))
        (moments(timeline, &window))
        p {
            "All of it as a file: "
            @for (form, name) in [("json", "JSON"), ("csv", "CSV")] {
                a href=(format!("/timeline/{}/{form}", session.number)) download { (name) } " "
            }
            @if timeline.moments.iter().any(|moment| moment.kind == "v2g") {
                "; what vehicle and station said, for Wireshark: "
                a href=(format!("/timeline/{}/pcap", session.number)) download { "capture" }
            }
        }
    }
}

/// Links to other windows: nearer, farther, and to either side.
fn buttons(timeline: &Timeline, window: &RangeInclusive<i64>) -> Markup {
    let (begin, end) = (timeline.session.plugged, timeline.end());
    let (from, to) = (*window.start(), *window.end());
    let quarter = (to - from) / 4;
    let half = quarter * 2;
    let ways = [
        ("All", begin, end, from > begin || to < end),
        ("Nearer", from + quarter, to - quarter, quarter > 2_000),
        ("Farther", from.saturating_sub(half), to.saturating_add(half), from > begin || to < end),
        ("Earlier", from.saturating_sub(half), to - half, from > begin),
        ("Later", from + half, to.saturating_add(half), to < end),
    ];
    html! {
        nav.zoom aria-label="Part of the time line" {
            @for (name, from, to, leads) in ways {
                @if leads { a href=(zoom(begin, from.max(begin), to.min(end))) { (name) } } @else { span { (name) } }
            }
        }
    }
}

fn phases(timeline: &Timeline) -> Markup {
    let plugged = timeline.session.plugged;
    html! {
        h2 { "Phases" }
        table {
            tr { @for name in ["Phase", "Began", "After", "Lasted"] { th scope="col" { (name) } } }
            @for phase in &timeline.phases {
                tr {
                    td { (phase.phase) } td { (clock_time(phase.began)) }
                    td { (number(seconds(phase.began - plugged), 1)) " s" } td { (number(phase.seconds, 1)) " s" }
                }
            }
        }
    }
}

fn moments(timeline: &Timeline, window: &RangeInclusive<i64>) -> Markup {
    let within: Vec<&Moment> =
        timeline.moments.iter().filter(|moment| window.contains(&moment.time)).collect();
    let newest = within.len().saturating_sub(NEWEST).max(FIRST.min(within.len()));
    let first = &within[..newest.min(FIRST)];
    let left_out = newest - first.len();
    let row = |it: &Moment| {
        html! {
            tr {
                td { (clock_time(it.time)) }
                td { (number(seconds(it.time - timeline.session.plugged), 3)) " s" }
                td { (it.source) } td { (it.kind) } td { (it.text) }
            }
        }
    };
    html! {
        h2 { "What happened" }
        table {
            tr { @for name in ["Time", "After", "Who", "Kind", "What"] { th scope="col" { (name) } } }
            @for moment in first { (row(moment)) }
            @if left_out > 0 { tr { td colspan="5" { (left_out) " more are not listed: look nearer" } } }
            @for moment in &within[newest..] { (row(moment)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{START, timeline};
    use super::*;

    #[test]
    fn one_looks_nearer_farther_and_to_either_side_within_the_session() {
        let shown = |from: i64, to: i64| {
            one(&timeline(), START + from * 1_000_000..=START + to * 1_000_000).into_string()
        };
        let whole = shown(0, 30);
        assert!(whole.contains("?from=7500&amp;to=22500") && !whole.contains(">Earlier</a>"), "{whole}");
        let part = shown(10, 18);
        for link in [
            "?from=0&amp;to=30000",
            "?from=12000&amp;to=16000",
            "?from=6000&amp;to=22000",
            "?from=6000&amp;to=14000",
            "?from=14000&amp;to=22000",
        ] {
            assert!(part.contains(link), "no {link} in {part}");
        }
    }

    #[test]
    fn of_many_moments_the_first_and_the_newest_are_listed_and_the_rest_counted() {
        let mut timeline = timeline();
        timeline.moments = vec![timeline.moments[0].clone(); FIRST + NEWEST + 7];
        let shown = moments(&timeline, &(START..=START + 1)).into_string();
        assert!(shown.contains(">7 more are not listed"), "{shown}");
    }
}
