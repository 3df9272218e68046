//! Which of the back end's messages are shown, and in which order.

use voltry_bus::DisplayMessage;

use crate::bus::Seen;
use crate::face::Face;
use crate::words::Words;

/// Messages that are shown at once.
const AT_ONCE: usize = 3;

/// How pressing a message is, the most pressing first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Priority {
    /// Nothing else is shown.
    AlwaysFront,
    /// Before those that take turns.
    InFront,
    /// By turns.
    NormalCycle,
}

impl Priority {
    /// Of the bus's word; one that this screen does not know presses least.
    fn of(message: &DisplayMessage) -> Self {
        match message.priority.as_str() {
            "always-front" => Self::AlwaysFront,
            "in-front" => Self::InFront,
            _ => Self::NormalCycle,
        }
    }
}

/// What the back end wants read while the EVSEs are as they are.
pub(super) fn messages<'a>(
    seen: &'a Seen,
    words: Words<'_>,
    shown: &[(u32, Face)],
) -> Vec<&'a DisplayMessage> {
    let mut all: Vec<_> = seen.messages.iter().filter(|message| fits(message, shown)).collect();
    // Those of other languages follow: nobody knows that they say the same.
    all.sort_by_key(|message| (Priority::of(message), !is_read(message, words)));
    let front = all.first().is_some_and(|first| Priority::of(first) == Priority::AlwaysFront);
    all.truncate(if front { 1 } else { AT_ONCE });
    all
}

fn fits(message: &DisplayMessage, shown: &[(u32, Face)]) -> bool {
    let place = |(evse, _): &&(u32, Face)| message.evse == 0 || message.evse == *evse;
    let state = |(_, face): &(u32, Face)| match message.state.as_str() {
        "charging" => matches!(face, Face::Charging(_) | Face::Paused { .. }),
        "faulted" => matches!(face, Face::Fault { .. }),
        "idle" => matches!(face, Face::Free | Face::Reserved),
        "unavailable" => matches!(face, Face::OutOfService | Face::Away | Face::Absent(_)),
        _ => true,
    };
    shown.iter().filter(place).any(state)
}

/// Whether it is in the language that is spoken, or in one that it does not name.
fn is_read(message: &DisplayMessage, words: Words<'_>) -> bool {
    let primary = |tag: &str| tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
    message.language.is_empty() || primary(&message.language) == primary(words.tag())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Languages;

    fn message(id: i64, priority: &str, language: &str) -> DisplayMessage {
        DisplayMessage {
            id,
            priority: priority.to_owned(),
            state: String::new(),
            format: "UTF8".to_owned(),
            language: language.to_owned(),
            content: id.to_string(),
            evse: 0,
        }
    }

    /// The numbers of those that are shown where German is spoken.
    fn shown(messages: Vec<DisplayMessage>) -> Vec<i64> {
        let languages = Languages::load(std::path::Path::new("/nowhere"), &[]);
        let seen = Seen { messages, ..Seen::default() };
        let words = languages.speak("de").unwrap();
        messages_of(&seen, words).iter().map(|message| message.id).collect()
    }

    fn messages_of<'a>(seen: &'a Seen, words: Words<'_>) -> Vec<&'a DisplayMessage> {
        messages(seen, words, &[(1, Face::Free)])
    }

    #[test]
    fn those_of_the_language_that_is_spoken_come_first_and_the_others_are_not_lost() {
        let (english, german) = (message(1, "normal-cycle", "en"), message(2, "normal-cycle", "de-AT"));
        let unsaid = message(3, "normal-cycle", "");
        assert_eq!(shown(vec![english.clone(), german.clone()]), [2, 1]);
        assert_eq!(shown(vec![english.clone(), german.clone(), unsaid]), [2, 3, 1]);
        let pressing = message(4, "in-front", "en");
        assert_eq!(shown(vec![pressing, english.clone(), german.clone()]), [4, 2, 1]);
        let front = [message(5, "always-front", "en"), message(6, "always-front", "de")];
        assert_eq!(shown([&front[..], &[english, german]].concat()), [6]);
    }

    #[test]
    fn one_is_shown_only_where_and_while_it_is_meant() {
        let idle = DisplayMessage { state: "idle".to_owned(), ..message(1, "normal-cycle", "") };
        let charging = DisplayMessage { state: "charging".to_owned(), ..idle.clone() };
        let elsewhere = DisplayMessage { evse: 2, ..idle.clone() };
        assert_eq!(shown(vec![idle]), [1]);
        assert!(shown(vec![charging, elsewhere]).is_empty());
    }
}
