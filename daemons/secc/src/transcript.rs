//! What was said in the newest conversations: bounded, decoded only when asked for.

use std::collections::VecDeque;

use voltry_units::Timestamp;

use crate::message::Protocol;

/// Conversations that are kept.
pub const CONVERSATIONS: usize = 16;
/// Bytes of a conversation's beginning, and of its newest part, that are kept.
pub const FIRST_BYTES: usize = 64 * 1024;
const NEWEST_BYTES: usize = 128 * 1024;
/// What a message costs beside its payload.
const OVERHEAD: usize = 64;

/// One V2GTP payload, heard or said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The vehicle said it.
    pub by_vehicle: bool,
    /// What had been agreed when it came: without it the payload means nothing.
    pub protocol: Option<Protocol>,
    /// The V2GTP payload type.
    pub payload_type: u16,
    /// The payload.
    pub payload: Vec<u8>,
}

impl Said {
    /// What it takes to keep it, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.payload.len() + OVERHEAD
    }
}

/// One conversation.
#[derive(Debug, Clone)]
pub struct Transcript {
    /// When it began: microseconds of Unix time.
    pub began: i64,
    opened: Timestamp,
    /// The title of the protocol; empty before one is agreed.
    pub protocol: &'static str,
    /// How it ended; empty while it goes on.
    pub ended: String,
    first: Vec<(i64, Said)>,
    first_bytes: usize,
    newest: VecDeque<(i64, Said)>,
    newest_bytes: usize,
    /// Messages between the first and the newest that were dropped.
    pub left_out: u64,
}

impl Transcript {
    /// A vehicle connected at `opened`, which is `began` microseconds of Unix time.
    #[must_use]
    pub fn new(opened: Timestamp, began: i64) -> Self {
        Self {
            began,
            opened,
            protocol: "",
            ended: String::new(),
            first: Vec::new(),
            first_bytes: 0,
            newest: VecDeque::new(),
            newest_bytes: 0,
            left_out: 0,
        }
    }

    /// Notes one message; returns its time, microseconds of Unix time.
    pub fn note(&mut self, now: Timestamp, said: Said) -> i64 {
        let time = self.began + i64::try_from(now.since(self.opened).as_micros()).unwrap_or(i64::MAX / 2);
        self.keep(time, said);
        time
    }

    /// Keeps one message of this time, microseconds of Unix time.
    pub fn keep(&mut self, time: i64, said: Said) {
        let bytes = said.bytes();
        if self.newest.is_empty() && self.first_bytes + bytes <= FIRST_BYTES {
            self.first_bytes += bytes;
            self.first.push((time, said));
            return;
        }
        self.newest_bytes += bytes;
        self.newest.push_back((time, said));
        while self.newest_bytes > NEWEST_BYTES {
            let Some((_, dropped)) = self.newest.pop_front() else { break };
            self.newest_bytes -= dropped.bytes();
            self.left_out += 1;
        }
    }

    /// Whether what comes next is of its beginning, which is kept whole.
    #[must_use]
    pub fn is_beginning(&self) -> bool {
        self.newest.is_empty()
    }

    /// What is kept, in order.
    pub fn messages(&self) -> impl Iterator<Item = &(i64, Said)> {
        self.first.iter().chain(&self.newest)
    }
}

/// The newest conversations, oldest first.
#[derive(Debug, Default)]
pub struct Transcripts(VecDeque<Transcript>);

impl Transcripts {
    /// A vehicle connected. Two never have the same name.
    pub fn begin(&mut self, now: Timestamp, unix_micros: i64) {
        let began = self.0.back().map_or(unix_micros, |last| unix_micros.max(last.began + 1));
        if self.0.len() >= CONVERSATIONS {
            self.0.pop_front();
        }
        self.0.push_back(Transcript::new(now, began));
    }

    /// One of an earlier life of this daemon, older than all that begin from now on.
    pub fn remember(&mut self, transcript: Transcript) {
        if self.0.len() >= CONVERSATIONS {
            self.0.pop_front();
        }
        self.0.push_back(transcript);
    }

    /// The newest conversation.
    pub fn current(&mut self) -> Option<&mut Transcript> {
        self.0.back_mut()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Transcript> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(length: usize) -> Said {
        Said { by_vehicle: true, protocol: None, payload_type: 0x8001, payload: vec![0; length] }
    }

    #[test]
    fn a_conversation_keeps_its_beginning_and_its_end_within_a_bound() {
        let start = Timestamp::from_micros(5_000_000);
        let mut transcript = Transcript::new(start, 1_000);
        for number in 0..100_000_u64 {
            transcript.note(Timestamp::from_micros(5_000_000 + number), said(50));
        }
        let times: Vec<i64> = transcript.messages().map(|(time, _)| *time).collect();
        assert_eq!(times[0], 1_000);
        assert_eq!(*times.last().unwrap(), 1_000 + 99_999);
        assert!(times.is_sorted());
        assert_eq!(times.len() as u64 + transcript.left_out, 100_000);
        let bytes: usize = transcript.messages().map(|(_, said)| said.bytes()).sum();
        assert!(bytes <= FIRST_BYTES + NEWEST_BYTES, "{bytes}");
    }

    #[test]
    fn one_payload_larger_than_the_bound_is_not_kept() {
        let mut transcript = Transcript::new(Timestamp::BOOT, 0);
        transcript.note(Timestamp::BOOT, said(NEWEST_BYTES + 1));
        assert_eq!((transcript.messages().count(), transcript.left_out), (0, 1));
    }

    #[test]
    fn only_the_newest_conversations_are_kept_and_each_has_a_name_of_its_own() {
        let mut transcripts = Transcripts::default();
        for _ in 0..CONVERSATIONS + 3 {
            transcripts.begin(Timestamp::BOOT, 77);
        }
        let names: Vec<i64> = transcripts.iter().map(|transcript| transcript.began).collect();
        assert_eq!(names.len(), CONVERSATIONS);
        assert_eq!(names[0], 80);
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
