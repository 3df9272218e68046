//! What stands on the board.

use voltry_bus::{DriverText, EvseStatus};
use voltry_service::Config;
use voltry_service::fault_guide::FaultGuide;

use super::page::{View, board, card};
use crate::bus::{Seen, Station};
use crate::face::{Face, Flow, Pause, Step};
use crate::words::Languages;

/// What is drawn in English with this after `[ui]`.
pub(super) fn in_view<T>(more: &str, draw: impl FnOnce(View<'_>) -> T) -> T {
    let config = Config::parse([("voltry.toml", &*format!("[ui]\n{more}"))]).unwrap();
    let settings = crate::config::configure(&config, "").unwrap().settings;
    let languages = Languages::load(std::path::Path::new("/nowhere"), &[]);
    let guide = FaultGuide::of(&[], |why| panic!("{why}"));
    let words = languages.speak("en").unwrap();
    draw(View {
        settings: &settings,
        languages: &languages,
        guide: &guide,
        words,
        only: None,
        from_all: false,
        turn: 0,
    })
}

#[test]
fn charging_is_called_free_only_where_nothing_is_paid_from_its_start() {
    let free = |price: &str| {
        in_view(&format!("[ui.price]\ncurrency = \"EUR\"\n{price}"), |view| {
            drawn(view, &Seen::default(), &Face::Free).contains("Charging is free")
        })
    };
    assert!(free("per_kwh = 0"));
    assert!(free("per_kwh = 0\nper_minute = 0.1\nper_minute_after = 240"));
    assert!(!free("per_kwh = 0\nper_minute = 0.1"));
    assert!(!free("per_kwh = 0.59"));
}

#[test]
fn evses_for_which_there_is_no_room_are_a_touch_away_and_so_is_the_way_back() {
    let status = |evse| EvseStatus {
        evse,
        state: "available".to_owned(),
        available: true,
        authorized: false,
        voltage: 0.0,
        current: 0.0,
        share: 0.0,
        energy: 0.0,
        soc: -1.0,
        transaction: 0,
        faults: Vec::new(),
    };
    let station = |evses: u32| Station { evses: (1..=evses).map(status).collect(), ..Station::default() };
    let seen = |evses| Seen { station: Some(station(evses)), ..Seen::default() };
    let (way, back) = (|evse| format!("/en?evse={evse}&amp;from_all=true"), "href=\"/en\"");
    in_view("", |view| {
        let all = board(view, &seen(10)).into_string();
        for (evse, is_shown) in [(1, true), (8, true), (9, false), (10, false)] {
            assert_eq!(all.contains(&format!("data-evse=\"{evse}\"")), is_shown, "{evse}");
            assert_eq!(all.contains(&way(evse)), !is_shown, "{evse}");
        }
        assert!(!all.contains(back) && !board(view, &seen(8)).into_string().contains("elsewhere"));
        let ninth = View { only: Some(9), ..view };
        assert!(!board(ninth, &seen(10)).into_string().contains("elsewhere"), "a post for one EVSE alone");
        let looked_at = View { from_all: true, ..ninth };
        let shown = board(looked_at, &seen(10)).into_string();
        assert!(shown.contains("data-evse=\"9\"") && shown.contains(back), "{shown}");
    });
}

/// The card of EVSE 1 as text.
fn drawn(view: View<'_>, seen: &Seen, face: &Face) -> String {
    card(view, seen, Some(1), face).into_string()
}

#[test]
fn what_the_back_end_says_to_a_driver_is_read_by_nobody_who_comes_after() {
    let text = "Thanks, Ada: 3 euros from your account".to_owned();
    let told = DriverText { evse: 1, cost: -1.0, text: text.clone() };
    let seen = Seen { drivers: vec![told], ..Seen::default() };
    let flow = Flow::default();
    let theirs = [
        Face::PlugIn,
        Face::Authorize,
        Face::Preparing { step: Step::Connecting, card: false },
        Face::Charging(flow),
        Face::Paused { why: Pause::Vehicle, flow },
        Face::Stopping(flow),
        Face::Finished(None),
    ];
    let nobodys = [
        Face::Free,
        Face::Reserved,
        Face::OutOfService,
        Face::Starting,
        Face::Away,
        Face::Absent(None),
        Face::Fault { codes: Vec::new(), receipt: None },
    ];
    in_view("", |view| {
        for face in theirs {
            assert!(drawn(view, &seen, &face).contains(&text), "{face:?}");
        }
        for face in nobodys {
            assert!(!drawn(view, &seen, &face).contains("Ada"), "{face:?}");
        }
        let free = drawn(view, &seen, &Face::Free);
        assert!(free.contains("Your provider tells you the price"), "{free}");
    });
}
