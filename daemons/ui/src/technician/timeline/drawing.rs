//! The drawing: a window of a time line as SVG, phases above, what happened in lanes, what flowed below. Pure.

use std::ops::RangeInclusive;

use maud::{Markup, html};
use voltry_bus::RecordedSample;
use voltry_recording::{Moment, Phase, Timeline, seconds};

use super::super::page::number;

/// Of the drawing, in its own units; the names of the lanes stand at the left.
const WIDTH: f64 = 1000.0;
const LEFT: f64 = 90.0;
const PHASE: f64 = 26.0;
const LANE: f64 = 20.0;
const CHART: f64 = 84.0;
const AXIS: f64 = 22.0;
/// A letter's width in a band of a phase.
const LETTER: f64 = 8.0;
/// Points of one line, and marks of one lane: more cannot be told apart.
const POINTS_MAX: usize = 600;
const MARKS_MAX: usize = 400;

/// Which moments a lane has.
const LANES: [(&str, &[&str]); 4] = [
    ("station", &["event", "told"]),
    ("faults", &["fault", "cleared"]),
    ("vehicle", &["v2g"]),
    ("back end", &["ocpp"]),
];

/// What a line of a chart shows.
type Value = fn(&RecordedSample) -> f64;

/// The charts: unit, the least that its top is, what was, and what was asked or allowed.
const CHARTS: [(&str, f64, Value, Option<Value>); 4] = [
    ("V", 100.0, |it| it.voltage, Some(|it| it.target_voltage)),
    ("A", 10.0, |it| it.current, Some(|it| it.target_current)),
    ("kW", 1.0, |it| it.voltage * it.current / 1000.0, Some(|it| it.power_offered / 1000.0)),
    ("%", 100.0, |it| it.soc, None),
];

pub(super) fn svg(timeline: &Timeline, window: &RangeInclusive<i64>) -> Markup {
    let scale = Scale { from: *window.start(), to: *window.end() };
    let lanes_end = PHASE + LANE * many(LANES.len());
    let height = lanes_end + CHART * many(CHARTS.len()) + AXIS;
    html! {
        div.timeline {
            svg viewBox=(format!("0 0 {WIDTH} {height}")) role="group" aria-label="Phases, what happened, and what flowed, over time; the same is in the tables below" {
                (axis(&scale, timeline.session.plugged, height))
                (band(timeline, &scale))
                @for (number, (name, kinds)) in LANES.iter().enumerate() {
                    (lane(&timeline.moments, &scale, PHASE + LANE * many(number), name, kinds))
                }
                @for (number, chart) in CHARTS.iter().enumerate() {
                    (self::chart(&timeline.samples, &scale, lanes_end + CHART * many(number), chart))
                }
            }
        }
    }
}

/// Microseconds of Unix time to places.
struct Scale {
    from: i64,
    to: i64,
}

impl Scale {
    fn shows(&self, time: i64) -> bool {
        (self.from..=self.to).contains(&time)
    }

    /// Held to the drawing.
    fn x(&self, time: i64) -> f64 {
        let share = seconds(time - self.from) / seconds((self.to - self.from).max(1));
        LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT)
    }
}

#[expect(clippy::cast_precision_loss, reason = "some lanes, some letters")]
const fn many(number: usize) -> f64 {
    number as f64
}

fn place(value: f64) -> String {
    format!("{value:.1}")
}

fn label(y: f64, text: &str) -> Markup {
    html! { text.name x="0" y=(place(y)) { (text) } }
}

/// A step of 1, 2 or 5 and noughts, of which at most ten are in the window; seconds.
fn step(length: f64) -> f64 {
    let least = (length / 10.0).max(0.001);
    let unit = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|times| times * unit).into_iter().find(|step| *step >= least).unwrap_or(length)
}

/// Seconds since the plug went in.
fn axis(scale: &Scale, plugged: i64, height: f64) -> Markup {
    let (from, to) = (seconds(scale.from - plugged), seconds(scale.to - plugged));
    let step = step(to - from);
    let places = if step < 0.01 {
        3
    } else if step < 1.0 {
        2
    } else {
        0
    };
    let first = (from / step).ceil() * step;
    let ticks = (0..=10).map(|number| first + f64::from(number) * step).filter(|at| *at <= to);
    html! {
        @for at in ticks {
            @let x = LEFT + (at - from) / (to - from) * (WIDTH - LEFT);
            line.grid x1=(place(x)) x2=(place(x)) y1="0" y2=(place(height - AXIS)) {}
            text.tick x=(place(x)) y=(place(height - 6.0)) text-anchor=(if x > WIDTH - 40.0 { "end" } else { "middle" }) { (number(at, places)) " s" }
        }
    }
}

/// The phases; each leads to itself alone.
fn band(timeline: &Timeline, scale: &Scale) -> Markup {
    let plugged = timeline.session.plugged;
    html! {
        (label(PHASE - 8.0, "phase"))
        @for phase in &timeline.phases {
            @let (began, ended) = (phase.began, end(phase));
            @if ended > scale.from && began < scale.to {
                @let (from, to) = (scale.x(began), scale.x(ended));
                a href=(zoom(plugged, began, ended)) aria-label=(format!("Only {}", phase.phase)) {
                    rect.phase.(tone(&phase.phase)) x=(place(from)) y="1" width=(place((to - from).max(0.5))) height=(place(PHASE - 4.0)) {
                        title { (phase.phase) ", " (number(phase.seconds, 1)) " s" }
                    }
                    @if many(phase.phase.len()) * LETTER < to - from {
                        text.within x=(place(from + 4.0)) y=(place(PHASE - 9.0)) { (phase.phase) }
                    }
                }
            }
        }
    }
}

/// A phase's colour, as the screen at the charger has it.
fn tone(phase: &str) -> &'static str {
    match phase {
        "charging" => "busy",
        "available" | "finished" => "good",
        "paused" => "wait",
        "faulted" | "emergency" | "error-shutdown" => "bad",
        "absent" | "unavailable" | "starting" => "off",
        _ => "act",
    }
}

fn end(phase: &Phase) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "it was made of microseconds")]
    let micros = (phase.seconds * 1e6).round() as i64;
    phase.began.saturating_add(micros)
}

/// The query of a window.
pub(super) fn zoom(plugged: i64, from: i64, to: i64) -> String {
    // The last millisecond that is begun belongs to it.
    format!("?from={}&to={}", (from - plugged).div_euclid(1000), (to - plugged + 999).div_euclid(1000))
}

fn lane(moments: &[Moment], scale: &Scale, y: f64, name: &str, kinds: &[&str]) -> Markup {
    let shown = moments.iter().filter(|it| kinds.contains(&it.kind.as_str()) && scale.shows(it.time));
    let shown: Vec<&Moment> = shown.collect();
    let every = shown.len().div_ceil(MARKS_MAX).max(1);
    html! {
        (label(y + LANE - 6.0, name))
        @for moment in shown.into_iter().step_by(every) {
            @let x = place(scale.x(moment.time));
            line.mark.(moment.kind) x1=(x) x2=(x) y1=(place(y + 2.0)) y2=(place(y + LANE - 2.0)) {
                title { (moment.source) ": " (moment.text) }
            }
        }
    }
}

fn chart(
    samples: &[RecordedSample],
    scale: &Scale,
    y: f64,
    (unit, floor, was, asked): &(&str, f64, Value, Option<Value>),
) -> Markup {
    // One beyond each edge, so that a line crosses it.
    let first = samples.partition_point(|it| it.time < scale.from).saturating_sub(1);
    let last = samples.partition_point(|it| it.time <= scale.to).saturating_add(1).min(samples.len());
    let within = samples.get(first..last).unwrap_or_default();
    let lines = [Some((*was, "given")), asked.map(|asked| (asked, "asked"))];
    let values = lines.iter().flatten().flat_map(|(value, _)| within.iter().map(value));
    let top = values.filter(|value| value.is_finite()).fold(*floor, f64::max);
    let every = within.len().div_ceil(POINTS_MAX).max(1);
    let points = |value: Value| {
        let points = within.iter().step_by(every).filter(|it| value(it).is_finite() && value(it) >= 0.0);
        let point = |it: &RecordedSample| {
            let height = (value(it) / top).min(1.0) * (CHART - 10.0);
            format!("{:.1},{:.1}", scale.x(it.time), y + CHART - height)
        };
        points.map(point).collect::<Vec<_>>().join(" ")
    };
    html! {
        line.base x1=(place(LEFT)) x2=(place(WIDTH)) y1=(place(y + CHART)) y2=(place(y + CHART)) {}
        (label(y + 22.0, &format!("{} {unit}", number(top, 0))))
        (label(y + CHART - 2.0, &format!("0 {unit}")))
        @for (value, class) in lines.into_iter().flatten().rev() { polyline.(class) points=(points(value)) {} }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{START, timeline};
    use super::*;

    #[test]
    fn a_window_shows_what_is_in_it_and_lines_cross_its_edges() {
        let timeline = timeline();
        let whole = svg(&timeline, &(START..=START + 30_000_000)).into_string();
        assert!(whole.contains("stands &lt;still&gt;") && whole.contains("SessionSetupReq"), "{whole}");
        // Charging from 5 to 21 of 30 s.
        assert!(whole.contains("x=\"241.7\" y=\"1\" width=\"485.3\""), "{whole}");
        assert!(!whole.contains(" style="), "{whole}");
        let zoomed = svg(&timeline, &(START + 6_500_000..=START + 8_500_000)).into_string();
        assert!(!zoomed.contains("MeterStuck") && !zoomed.contains("connected,"), "{zoomed}");
        let line = zoomed.split("class=\"given\" points=\"").nth(2).unwrap().split('"').next().unwrap();
        assert_eq!(line.split(' ').count(), 4, "6 to 9 s: {line}");
        assert!(line.starts_with("90.0,") && line.contains(" 1000.0,"), "{line}");
    }

    #[test]
    fn the_time_is_told_in_round_steps() {
        for (length, wanted) in [(30.0, 5.0), (3.0, 0.5), (0.02, 0.002), (3600.0, 500.0), (10.0, 1.0)] {
            assert!((step(length) - wanted).abs() < 1e-9, "{length}: {}", step(length));
        }
    }

    #[test]
    fn as_much_is_drawn_of_a_day_as_can_be_told_apart() {
        let mut timeline = timeline();
        timeline.moments = vec![timeline.moments[4].clone(); 10_000];
        timeline.samples = vec![timeline.samples[0]; 10_000];
        let drawn = svg(&timeline, &(START..=START + 30_000_000)).into_string();
        assert!(drawn.matches("class=\"mark fault\"").count() <= MARKS_MAX, "marks");
        assert!(drawn.len() < 300_000, "{} bytes", drawn.len());
    }
}
