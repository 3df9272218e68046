//! The local modem: that it is there, that it has the key, and whether its link is up.

use std::time::Duration;

use voltry_units::Timestamp;

use super::key::{Key, Keyed};
use super::wire::{Mac, ModemKind, Writer};

/// Key requests without an answer after which the modem is silent.
const KEY_TRIES: u32 = 3;
/// Questions for the link without an answer after which the modem is silent, or does not know
/// the question.
const LINK_TRIES: u32 = 3;
/// … and while a vehicle joins, when a modem has other things to do.
const LINK_TRIES_JOINING: u32 = 20;
/// "No link" is believed when it was said so often in a row.
const DOWNS: u32 = 2;
/// How often the link is asked for while a vehicle joins.
const JOINING: Duration = Duration::from_millis(100);
/// … while a vehicle is linked, or while it is unknown whether the modem knows the question.
const LINKED: Duration = Duration::from_secs(1);
/// … else: only to see that the modem is there.
const AT_REST: Duration = Duration::from_secs(2);

/// What a modem's message, or its silence, came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// It has the key; its address.
    Ready(Mac),
    /// It no longer answers.
    Silent,
    /// It never answers for its link.
    LinkNotTold,
    /// A vehicle is in the network.
    LinkUp,
    /// No vehicle is in the network.
    LinkDown,
}

/// Whether the modem answers for its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Telling {
    Unknown,
    Yes,
    No,
}

/// The local modem.
#[derive(Debug)]
pub(super) struct Modem {
    kind: ModemKind,
    address: Option<Mac>,
    keyed: Keyed,
    silent: bool,
    telling: Telling,
    ask_at: Option<Timestamp>,
    interval: Duration,
    unanswered: u32,
    downs: u32,
}

impl Modem {
    /// Without a key.
    pub(super) fn new(kind: ModemKind) -> Self {
        Self {
            kind,
            address: None,
            keyed: Keyed::Wanted,
            silent: false,
            telling: if kind.tells_link() { Telling::Unknown } else { Telling::No },
            ask_at: None,
            interval: AT_REST,
            unanswered: 0,
            downs: 0,
        }
    }

    /// Whether a frame with this source is from the modem, as far as a source can be believed.
    pub(super) fn is(&self, source: Mac) -> bool {
        self.address == Some(source)
    }

    /// Whether it does not answer.
    pub(super) fn is_silent(&self) -> bool {
        self.silent
    }

    /// The key, if the modem has it.
    pub(super) fn key(&self) -> Option<Key> {
        match self.keyed {
            Keyed::Set(key) => Some(key),
            Keyed::Wanted | Keyed::Asked { .. } => None,
        }
    }

    /// The key has served: another one is to be set. One that was never confirmed will do.
    pub(super) fn want_key(&mut self) {
        if let Keyed::Set(_) = self.keyed {
            self.keyed = Keyed::Wanted;
        }
        self.ask_at = None;
        self.interval = AT_REST;
    }

    pub(super) fn wants_key(&self) -> bool {
        self.keyed == Keyed::Wanted
    }

    pub(super) fn set_key(&mut self, now: Timestamp, key: Key, writer: &Writer) -> [Vec<u8>; 1] {
        self.keyed = Keyed::ask(key, now, 1);
        [writer.set_key(key.nmk, key.nid, key.nonce)]
    }

    /// Any result is a confirmation: the standard's 0, and the 1 that every QCA7000 says.
    pub(super) fn key_set(&mut self, now: Timestamp, source: Mac, nonce: u32, result: u8) -> Option<News> {
        let Keyed::Asked { key, .. } = self.keyed else { return None };
        if nonce != key.nonce {
            return None;
        }
        tracing::debug!(result, "the modem confirms the key");
        self.keyed = Keyed::Set(key);
        self.address = Some(source);
        self.silent = false;
        self.unanswered = 0;
        self.ask_at = (self.telling != Telling::No).then_some(now);
        Some(News::Ready(source))
    }

    /// Its interface lost its carrier: it starts anew, and forgets its key.
    pub(super) fn lost(&mut self) -> Option<News> {
        let news = (!self.silent).then_some(News::Silent);
        self.silent = true;
        self.forget();
        news
    }

    /// Its carrier is back: it takes a key now, and what was asked meanwhile it did not hear.
    pub(super) fn forget(&mut self) {
        self.keyed = Keyed::Wanted;
        self.ask_at = None;
        self.interval = AT_REST;
        self.unanswered = 0;
        self.downs = 0;
    }

    /// A vehicle was given the key: the link is asked for until it is up.
    pub(super) fn watch_link(&mut self, now: Timestamp) -> Option<News> {
        self.downs = 0;
        self.unanswered = 0;
        if self.telling == Telling::No {
            return Some(News::LinkUp);
        }
        self.interval = JOINING;
        self.ask_at = Some(now + JOINING);
        None
    }

    /// The link is up: it is asked for now and then.
    pub(super) fn keep_link(&mut self, now: Timestamp) {
        self.interval = LINKED;
        self.unanswered = 0;
        if self.telling != Telling::No {
            self.ask_at = Some(now + LINKED);
        }
    }

    pub(super) fn link_status(&mut self, source: Mac, up: bool) -> Option<News> {
        if !self.is(source) {
            return None;
        }
        self.telling = Telling::Yes;
        self.unanswered = 0;
        if up {
            self.downs = 0;
            return Some(News::LinkUp);
        }
        self.downs += 1;
        (self.downs >= DOWNS).then_some(News::LinkDown)
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.keyed.deadline().or(self.ask_at)
    }

    /// What is to be sent, and what silence came to.
    pub(super) fn timeout(&mut self, now: Timestamp, writer: &Writer) -> (Vec<Vec<u8>>, Option<News>) {
        if let Keyed::Asked { key, again_at, times } = self.keyed {
            if now < again_at {
                return (Vec::new(), None);
            }
            self.keyed = Keyed::ask(key, now, times.saturating_add(1));
            let news = (times >= KEY_TRIES && !self.silent).then_some(News::Silent);
            self.silent |= news.is_some();
            return (vec![writer.set_key(key.nmk, key.nid, key.nonce)], news);
        }
        if self.ask_at.is_none_or(|at| now < at) {
            return (Vec::new(), None);
        }
        let tries = if self.interval == JOINING { LINK_TRIES_JOINING } else { LINK_TRIES };
        if self.unanswered >= tries {
            return (Vec::new(), Some(self.unanswered_too_often()));
        }
        self.unanswered += 1;
        let interval =
            if self.telling == Telling::Unknown { self.interval.min(LINKED) } else { self.interval };
        self.ask_at = Some(now + interval);
        (writer.ask_link(self.kind).into_iter().collect(), None)
    }

    fn unanswered_too_often(&mut self) -> News {
        self.unanswered = 0;
        self.ask_at = None;
        match self.telling {
            Telling::Unknown | Telling::No => {
                self.telling = Telling::No;
                News::LinkNotTold
            }
            // It may have started anew, and have forgotten its key.
            Telling::Yes => {
                self.silent = true;
                self.keyed = Keyed::Wanted;
                News::Silent
            }
        }
    }
}
