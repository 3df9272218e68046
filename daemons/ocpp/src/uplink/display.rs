//! What a person at the station is to read: messages of the CSMS, what a transaction costs, what the
//! CSMS says to a driver. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Messages at the most.
const MESSAGES_MAX: usize = 32;

/// How much a message presses (2.0.1, MessagePriorityEnumType).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Priority {
    /// Whenever there is one, and nothing else.
    AlwaysFront,
    /// Before what is shown by turns.
    InFront,
    /// By turns with the others.
    NormalCycle,
}

impl Priority {
    /// 2.0.1's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::AlwaysFront => "AlwaysFront",
            Self::InFront => "InFront",
            Self::NormalCycle => "NormalCycle",
        }
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// How much it presses.
    pub priority: Priority,
    /// Only while the station is in this state, 2.0.1's word; `None`: always.
    pub state: Option<String>,
    /// From then on, microseconds of Unix time.
    pub start: Option<i64>,
    /// Until then; then it is gone.
    pub end: Option<i64>,
    /// Only as long as this transaction runs, by its id at the CSMS; then it is gone.
    pub transaction: Option<String>,
    /// `ASCII` or `UTF8`.
    pub format: String,
    /// As RFC 5646 writes it.
    pub language: Option<String>,
    /// The text.
    pub content: String,
}

impl Message {
    fn has_begun(&self, now: i64) -> bool {
        self.start.is_none_or(|start| start <= now)
    }

    fn is_in_front(&self, now: i64) -> bool {
        self.priority == Priority::AlwaysFront && self.has_begun(now)
    }
}

/// Messages by their ids.
pub type Messages = BTreeMap<i64, Message>;

/// What a driver is to read at an EVSE.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ForDriver {
    /// What the transaction costs so far, or did; `None`: nobody said.
    pub cost: Option<f64>,
    /// What the CSMS says to the driver; empty: nothing.
    pub text: String,
    /// He was let in and has not left yet: whoever comes there now is he.
    ahead: bool,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Display {
    messages: Messages,
    drivers: BTreeMap<u32, ForDriver>,
    /// When somebody left last, microseconds of Unix time, by EVSE.
    left: BTreeMap<u32, Left>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Left {
    unix: i64,
    /// Somebody else has come since.
    replaced: bool,
}

impl Display {
    /// As the store has kept it.
    #[must_use]
    pub const fn new(messages: Messages) -> Self {
        Self { messages, drivers: BTreeMap::new(), left: BTreeMap::new() }
    }

    /// What must outlive the machine.
    #[must_use]
    pub const fn kept(&self) -> &Messages {
        &self.messages
    }

    /// By EVSE.
    #[must_use]
    pub const fn drivers(&self) -> &BTreeMap<u32, ForDriver> {
        &self.drivers
    }

    /// Takes a message, instead of the one with its id; when its time begins also instead of one that is
    /// always in front, if it is that too.
    ///
    /// # Errors
    /// There are too many, or it is over already: OCPP's reason code, and in words.
    pub fn set(&mut self, id: i64, message: Message, now: i64) -> Result<(), (&'static str, &'static str)> {
        if message.end.is_some_and(|end| end <= now) {
            return Err(("InvalidValue", "its time is over"));
        }
        let replaces = message.is_in_front(now);
        let stays = |other: i64, there: &Message| other != id && !(replaces && there.is_in_front(now));
        if self.messages.iter().filter(|(other, there)| stays(**other, there)).count() >= MESSAGES_MAX {
            return Err(("TooManyElements", "there are too many messages"));
        }
        self.messages.retain(|other, there| stays(*other, there));
        self.messages.insert(id, message);
        Ok(())
    }

    /// Takes a message away. Whether there was one.
    pub fn clear(&mut self, id: i64) -> bool {
        self.messages.remove(&id).is_some()
    }

    /// What a transaction costs.
    pub fn cost(&mut self, evse: u32, cost: f64) {
        self.drivers.entry(evse).or_default().cost = Some(cost);
    }

    /// What the CSMS says to a driver.
    pub fn say(&mut self, evse: u32, text: String) {
        self.drivers.entry(evse).or_default().text = text;
    }

    /// What is said to a driver who is being let in; EVSE 0: nobody knows yet where.
    pub fn say_ahead(&mut self, evse: u32, text: String) {
        self.drivers.insert(evse, ForDriver { cost: None, text, ahead: true });
    }

    /// The transaction is over, and nobody has said what it costs: this is read instead.
    pub fn say_instead_of_cost(&mut self, evse: u32, text: &str) {
        let driver = self.drivers.entry(evse).or_default();
        if driver.cost.is_none() && !text.is_empty() {
            text.clone_into(&mut driver.text);
        }
    }

    /// A driver was let in there, wherever he was let in before a place was known.
    pub fn let_in(&mut self, evse: u32) {
        if let Some(driver) = self.drivers.remove(&0) {
            self.drivers.insert(evse, driver);
        }
    }

    /// Somebody comes, by the station's word: the book may be read hours later. What the last one read is
    /// gone.
    pub fn come(&mut self, evse: u32) {
        if let Some(left) = self.left.get_mut(&evse) {
            left.replaced = true;
        }
        if self.drivers.get(&evse).is_some_and(|driver| !driver.ahead) {
            self.drivers.remove(&evse);
        }
    }

    /// Whether what happened then was with somebody who is gone, and another stands there: the CSMS may answer hours
    /// later, and the next driver must not take it for his.
    #[must_use]
    pub fn is_of_who_left(&self, evse: u32, unix: i64) -> bool {
        self.left.get(&evse).is_some_and(|left| left.replaced && unix < left.unix)
    }

    /// He leaves at this time, microseconds of Unix time, and may still read what it cost.
    pub fn leave(&mut self, evse: u32, unix: i64) {
        self.left.insert(evse, Left { unix, replaced: false });
        if let Some(driver) = self.drivers.get_mut(&evse) {
            driver.ahead = false;
        }
    }

    /// Takes away what is over at this time; `running`: the ids of the transactions that run. Whether
    /// anything went.
    pub fn tidy(&mut self, now: i64, running: &[&str]) -> bool {
        let before = self.messages.len();
        self.messages.retain(|_, message| {
            let over = message.end.is_some_and(|end| end <= now);
            let ended = message.transaction.as_deref().is_some_and(|id| !running.contains(&id));
            !over && !ended
        });
        // Of those that are always in front the one that began last.
        let fronts = self.messages.iter().filter(|(_, message)| message.is_in_front(now));
        let front = fronts.max_by_key(|(id, message)| (message.start, **id)).map(|(id, _)| *id);
        self.messages.retain(|id, message| !message.is_in_front(now) || Some(*id) == front);
        self.messages.len() != before
    }

    /// When the next message begins or ends, microseconds of Unix time.
    #[must_use]
    pub fn next_change(&self, now: i64) -> Option<i64> {
        let times = self.messages.values().flat_map(|message| [message.start, message.end]);
        times.flatten().filter(|time| *time > now).min()
    }

    /// The messages whose time it is, the most pressing first.
    #[must_use]
    pub fn shown(&self, now: i64) -> Vec<(i64, &Message)> {
        let begun = self.messages.iter().filter(|(_, message)| message.has_begun(now));
        let mut shown: Vec<(i64, &Message)> = begun.map(|(id, message)| (*id, message)).collect();
        shown.sort_by_key(|(id, message)| (message.priority, *id));
        shown
    }
}
