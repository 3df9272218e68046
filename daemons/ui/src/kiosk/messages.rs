//! Which of the back end's messages are shown, and in which order.

use std::time::Duration;

use voltry_bus::DisplayMessage;
use voltry_units::Timestamp;

use crate::bus::Seen;
use crate::face::Face;
use crate::words::Words;

/// Messages that are shown at once.
const AT_ONCE: usize = 3;
/// For so long, when they take turns: a few sentences are read.
const TURN: Duration = Duration::from_secs(15);

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

/// What the back end wants read while the EVSEs are as they are, in this turn.
pub(super) fn messages<'a>(
    seen: &'a Seen,
    words: Words<'_>,
    shown: &[(u32, Face)],
    turn: usize,
) -> Vec<&'a DisplayMessage> {
    let mut all: Vec<_> = seen.messages.iter().filter(|message| fits(message, shown)).collect();
    // Those of other languages follow: nobody knows that they say the same.
    all.sort_by_key(|message| (Priority::of(message), !is_read(message, words)));
    let front = all.first().is_some_and(|first| Priority::of(first) == Priority::AlwaysFront);
    if front {
        all.truncate(1);
        return all;
    }
    let stays = all.iter().take_while(|message| Priority::of(message) == Priority::InFront).count();
    let by_turns = all.get_mut(stays..).unwrap_or_default();
    let places = AT_ONCE.saturating_sub(stays);
    if by_turns.len() > places {
        by_turns.rotate_left(turn.wrapping_mul(places) % by_turns.len());
    }
    all.truncate(AT_ONCE);
    all
}

/// Which turn it is so long after the machine's start.
pub(super) fn turn(now: Timestamp) -> usize {
    let turns = now.as_micros() / u64::try_from(TURN.as_micros()).unwrap_or(u64::MAX);
    usize::try_from(turns).unwrap_or_default()
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
        shown_in(0, messages)
    }

    fn shown_in(turn: usize, messages: Vec<DisplayMessage>) -> Vec<i64> {
        let languages = Languages::load(std::path::Path::new("/nowhere"), &[]);
        let seen = Seen { messages, ..Seen::default() };
        let words = languages.speak("de").unwrap();
        super::messages(&seen, words, &[(1, Face::Free)], turn).iter().map(|message| message.id).collect()
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
    fn those_for_which_there_is_no_place_take_turns_and_pressing_ones_stay() {
        let mut all: Vec<_> = (1..=5).map(|id| message(id, "normal-cycle", "de")).collect();
        let turns: Vec<_> = (0..3).map(|turn| shown_in(turn, all.clone())).collect();
        assert_eq!(turns, [[1, 2, 3], [4, 5, 1], [2, 3, 4]]);
        all.push(message(6, "in-front", "de"));
        let turns: Vec<_> = (0..3).map(|turn| shown_in(turn, all.clone())).collect();
        assert_eq!(turns, [[6, 1, 2], [6, 3, 4], [6, 5, 1]]);
        let few = || all[..3].to_vec();
        assert_eq!(shown_in(1, few()), shown_in(2, few()), "there is a place for each");
        let pressing = |id| message(id, "in-front", "de");
        let crowd: Vec<_> = (7..=10).map(pressing).chain(all.iter().cloned()).collect();
        assert_eq!(shown_in(1, crowd), [7, 8, 9]);
        let turn = |seconds: u64| turn(Timestamp::from_micros(seconds * 1_000_000));
        assert_eq!((turn(0), turn(14), turn(15), turn(31)), (0, 0, 1, 2));
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
