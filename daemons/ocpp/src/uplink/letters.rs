//! Makers' own messages to the CSMS (P02), and what people at the station are shown.

use voltry_bus::{DisplayMessage, DriverText, TransferStatus};

use super::{Action, Out, Priority, Record, Registration, Uplink};
use crate::dialect;
use crate::display::Shown;
use crate::model::name;
use crate::time::Now;

/// Messages that may wait.
const LETTERS_MAX: usize = 16;

/// A message that waits.
#[derive(Debug)]
pub(super) struct Letter {
    ticket: u64,
    vendor: String,
    message: String,
    data: String,
}

impl Uplink {
    pub(super) fn take_letter(
        &mut self,
        ticket: u64,
        (vendor, message, data): (String, String, String),
        actions: &mut Vec<Action>,
    ) {
        if self.registration != Registration::Accepted || self.letters.len() >= LETTERS_MAX {
            actions.push(Action::LetterAnswered { ticket, answer: None });
        } else {
            self.letters.push_back(Letter { ticket, vendor, message, data });
        }
    }

    pub(super) fn send_letter(&mut self, actions: &mut Vec<Action>) -> bool {
        let Some(letter) = self.letters.pop_front() else { return false };
        let payload = dialect::letter(self.core.version, &letter.vendor, &letter.message, &letter.data);
        self.call("DataTransfer", &payload, Out::Letter(letter.ticket), actions);
        true
    }

    pub(super) fn has_letters(&self) -> bool {
        !self.letters.is_empty()
    }

    pub(super) fn letter_answered(&self, ticket: u64, payload: Option<&str>, actions: &mut Vec<Action>) {
        let answer: Option<(TransferStatus, String)> = payload.and_then(dialect::letter_answer);
        actions.push(Action::LetterAnswered { ticket, answer });
    }

    /// The CSMS is away: nobody waits longer.
    pub(super) fn return_letters(&mut self, actions: &mut Vec<Action>) {
        let waiting = self.letters.drain(..).map(|letter| letter.ticket);
        actions.extend(waiting.map(|ticket| Action::LetterAnswered { ticket, answer: None }));
    }

    /// I05: a transaction is over, and the CSMS is away or does not say what it costs.
    pub(super) fn cost_unknown(&mut self, evse: u32) {
        let text = self.core.variables.get(name::COST_FALLBACK);
        self.core.display.say_instead_of_cost(evse, text);
    }

    /// Shows what is to be seen now, if it is not what was.
    pub(super) fn show(&mut self, now: Now, actions: &mut Vec<Action>) {
        let unix = self.core.clock.now(now);
        let plugs = &self.core.delivery.known().plugged;
        let running = plugs.values().filter_map(|plug| Some(plug.running.as_ref()?.id.as_str()));
        let running: Vec<&str> = running.collect();
        if self.core.display.tidy(unix, &running) {
            actions.push(Action::Store(Record::Display(self.core.display.kept().clone())));
        }
        let at = |id: &str| {
            let found = plugs.iter().find(|(_, plug)| plug.running.as_ref().is_some_and(|it| it.id == id));
            found.map_or(0, |(evse, _)| *evse)
        };
        let message = |(id, message): (i64, &super::Message)| DisplayMessage {
            id,
            priority: match message.priority {
                Priority::AlwaysFront => "always-front",
                Priority::InFront => "in-front",
                Priority::NormalCycle => "normal-cycle",
            }
            .to_owned(),
            state: message.state.as_deref().unwrap_or_default().to_ascii_lowercase(),
            format: message.format.clone(),
            language: message.language.clone().unwrap_or_default(),
            content: message.content.clone(),
            evse: message.transaction.as_deref().map_or(0, at),
        };
        let drivers = self.core.display.drivers().iter().map(|(evse, driver)| DriverText {
            evse: *evse,
            cost: driver.cost.unwrap_or(-1.0),
            text: driver.text.clone(),
        });
        let shown = Shown {
            messages: self.core.display.shown(unix).into_iter().map(message).collect(),
            drivers: drivers.collect(),
        };
        if shown != self.shown {
            self.shown = shown.clone();
            actions.push(Action::Show(shown));
        }
    }

    pub(super) fn show_due(
        &self,
        now: Option<(voltry_units::Timestamp, i64)>,
    ) -> Option<voltry_units::Timestamp> {
        let (at, unix) = now?;
        let wait = self.core.display.next_change(unix)?.saturating_sub(unix);
        Some(at + std::time::Duration::from_micros(u64::try_from(wait).unwrap_or(0)))
    }
}
