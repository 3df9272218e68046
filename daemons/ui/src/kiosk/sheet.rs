//! The picture of all states in the documentation, drawn by the screen's own templates and style sheet.

use maud::{Markup, PreEscaped, html};

use super::page::card;
use super::tests::in_view;
use crate::bus::Seen;
use crate::face::{Ending, Face, Flow, Pause, Receipt, Step};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ui-states.svg");
const STYLE: &str = include_str!("../../assets/style.css");

/// Whatever a driver may meet, in the order of a charge.
fn faces() -> Vec<Face> {
    let flow =
        Flow { power: 49_870.0, energy: 12_350.0, soc: Some(54.0), left: Some((24, 80.0)), cost: None };
    let fault = |code: &str| Face::Fault { codes: vec![code.to_owned()], receipt: None };
    vec![
        Face::Free,
        Face::PlugIn,
        Face::Authorize,
        Face::Preparing { step: Step::CableCheck, card: false },
        Face::Charging(flow),
        Face::Paused { why: Pause::Station, flow: Flow { power: 0.0, left: None, ..flow } },
        Face::Stopping(Flow { left: None, ..flow }),
        Face::Finished(Some(Receipt {
            energy: 31_200.0,
            started: clock(10, 15),
            ended: clock(10, 52),
            cost: None,
            end: Ending::Vehicle,
        })),
        fault("MREC8EmergencyStop"),
        fault("MREC24ConnectorVoltageHigh"),
        fault("MREC14PilotFault"),
        Face::Reserved,
        Face::OutOfService,
        Face::Starting,
        Face::Away,
        Face::Absent(None),
    ]
}

/// So late on some day, wherever this is run.
fn clock(hour: i8, minute: i8) -> i64 {
    let time = jiff::civil::date(2026, 11, 26).at(hour, minute, 0, 0);
    jiff::tz::TimeZone::system().to_timestamp(time).unwrap().as_microsecond()
}

const PRICE: &str =
    "[ui.price]\ncurrency = \"EUR\"\nper_kwh = 0.59\nper_minute = 0.1\nper_minute_after = 240\n";

fn sheet() -> String {
    let cards: Vec<Markup> = in_view(PRICE, |view| {
        let cards = (1..).zip(faces());
        cards.map(|(evse, face)| card(view, &Seen::default(), Some(evse), &face)).collect()
    });
    // Smaller than on a screen, where a driver reads it from a metre.
    let style = format!(
        "<![CDATA[{STYLE}\n.sheet {{ font: 16px/1.35 system-ui, sans-serif; padding: 16px; background: var(--ground); \
         color: var(--ink); }}\n.sheet .state {{ font-size: 1.5rem; overflow-wrap: normal; }}\n\
         .sheet .picture {{ width: 5rem; }}\n.sheet dd {{ font-size: 1.3rem; }}]]>"
    );
    let drawn = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1500 1600" {
            title { "What a driver sees of a charge point in each state" }
            style { (PreEscaped(style)) }
            foreignObject width="1500" height="1600" {
                div.sheet xmlns="http://www.w3.org/1999/xhtml" { div.evses { @for card in &cards { (card) } } }
            }
        }
    };
    // Inside XHTML a drawing says that it is one. A line for each card, so that a change of one is seen as such.
    let drawn = drawn.into_string().replace("<svg class", "<svg xmlns=\"http://www.w3.org/2000/svg\" class");
    drawn.replace("<section", "\n<section") + "\n"
}

#[test]
fn the_states_in_the_documentation_are_the_screens_own() {
    let drawn = sheet();
    if std::env::var_os("VOLTRY_DRAW").is_some() {
        std::fs::write(FILE, &drawn).unwrap();
    }
    let kept = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(
        kept == drawn,
        "draw it anew: VOLTRY_DRAW=1 cargo test -p voltry-ui the_states_in_the_documentation"
    );
}

#[test]
fn every_face_has_its_place_in_the_picture() {
    let drawn = sheet();
    for key in [
        "free",
        "reserved",
        "plug-in",
        "authorize",
        "preparing",
        "charging",
        "paused",
        "stopping",
        "finished",
        "fault",
        "out-of-service",
        "starting",
        "away",
        "absent",
    ] {
        assert!(drawn.contains(&format!("data-state=\"state-{key}\"")), "{key}");
    }
}
