//! What else than a card lets a driver in at the screen: a start button, and a pad for codes.

use maud::{Markup, html};

use super::page::{View, may_stop};
use crate::config::StopBy;
use crate::face::Face;

/// What else than a card lets a driver in here.
pub(super) fn identification(view: View<'_>, evse: u32, face: &Face) -> Markup {
    let (words, sources) = (view.words, &view.settings.sources);
    let waits = matches!(face, Face::Authorize | Face::Preparing { card: true, .. });
    let may_come = waits || matches!(face, Face::Free | Face::Reserved);
    let by_code = view.settings.stop == StopBy::Card && may_stop(face);
    html! {
        @if sources.start_button && waits {
            form method="post" action=(format!("/{}/start/{evse}{}", words.tag(), view.query())) {
                button.button type="submit" { (words.say("start")) }
            }
        }
        @if sources.key_pad && (may_come || by_code) {
            a.button href=(format!("/{}/code/{evse}{}", words.tag(), view.query())) { (words.say("enter-code")) }
        }
    }
}

/// Where a code is typed in; after one that could not be judged, that it was not. The keys work by the script; who
/// has a keyboard needs none.
pub(super) fn key_pad(view: View<'_>, evse: u32, failed: bool) -> Markup {
    let words = view.words;
    let number = evse.to_string();
    html! {
        section.question {
            h1 { (words.with("code-question", &[("number", &number)])) }
            @if failed { p.banner role="alert" { (words.say("code-failed")) } }
            form.typed method="post" action=(format!("/{}/code/{evse}{}", words.tag(), view.query())) autocomplete="off" {
                label for="code" { (words.say("code")) }
                input #code type="password" name="code" inputmode="numeric" autocomplete="off" autofocus required
                    minlength="4" maxlength="12" pattern="[0-9]{4,12}";
                div #keys hidden {
                    @for digit in ["1", "2", "3", "4", "5", "6", "7", "8", "9"] {
                        button.button type="button" data-key=(digit) { (digit) }
                    }
                    button.button type="button" data-key="" aria-label=(words.say("code-delete")) { "⌫" }
                    button.button type="button" data-key="0" { "0" }
                }
                button.button.send type="submit" { (words.say("code-send")) }
            }
            a.button href=(view.home()) { (words.say("back")) }
        }
    }
}
