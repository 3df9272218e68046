//! Which charge a master pass means that was shown at a reader for several EVSEs (OCPP 2.0.1, C16).

use maud::{Markup, html};

use super::page::View;
use crate::bus::Seen;

/// The question, as long as it waits for its answer: each EVSE where somebody was let in, and all of them.
pub(super) fn which(view: View<'_>, seen: &Seen) -> Markup {
    let words = view.words;
    let Some(station) = seen.station.as_ref().filter(|station| station.master_pass_asked) else {
        return html! {};
    };
    let running = station.evses.iter().filter(|status| status.authorized).map(|status| status.evse);
    let answer = |evse: u32| format!("/{}/master-pass/{evse}{}", words.tag(), view.query());
    html! {
        section.question role="alert" {
            h2 { (words.say("master-pass-question")) }
            @for evse in running {
                form method="post" action=(answer(evse)) {
                    button.button.stop type="submit" { (words.with("evse", &[("number", &evse.to_string())])) }
                }
            }
            form method="post" action=(answer(0)) {
                button.button.stop type="submit" { (words.say("master-pass-all")) }
            }
        }
    }
}
