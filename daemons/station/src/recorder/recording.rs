//! One session as it is recorded: what is kept of it, how thin, and when it is written. Pure.
//!
//! A sample a second, while it differs from the one before; the interval doubles with each 64 KiB that
//! samples have taken. What is written waits for up to five minutes, since each write costs the flash a
//! whole page however little it is; a fault and the end are written at once.

use std::time::Duration;

use voltry_bus::RecordedSample;
use voltry_units::Timestamp;

use super::format::{self, Head, Steps};

/// At most so much of samples, and of entries, bytes.
pub(super) const SAMPLES_MAX: u64 = 256 * 1024;
pub(super) const ENTRIES_MAX: u64 = 32 * 1024;
/// After so many bytes of samples the interval doubles.
const DOUBLES_EVERY: u64 = 64 * 1024;
const INTERVAL: Duration = Duration::from_secs(1);
/// A sample that came this much early counts as in time: they come twice a second.
const EARLY: Duration = Duration::from_millis(250);
/// Where nothing changes, one so often.
const UNCHANGED: Duration = Duration::from_secs(60);
/// What waits is written after this time.
pub(super) const WRITTEN_EVERY: Duration = Duration::from_secs(300);
/// What is urgent is written no more often.
const URGENT_EVERY: Duration = Duration::from_secs(2);
/// The longest text of an entry, bytes; the rest is cut off.
const TEXT_MAX: usize = 1024;

/// A session that goes on.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) head: Head,
    /// When it was plugged in.
    plugged_at: Timestamp,
    /// What is not written yet.
    waiting: String,
    last: Option<(Timestamp, Steps)>,
    samples: u64,
    entries: u64,
    pub(super) left_out: u32,
    /// Since when something waits.
    since: Option<Timestamp>,
    written_at: Option<Timestamp>,
    urgent: bool,
}

/// How an entry is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// With what is written next.
    Waits,
    /// At once.
    AtOnce,
}

impl Recording {
    /// A session that begins.
    pub(super) fn new(head: Head, plugged_at: Timestamp, now: Timestamp) -> Self {
        let waiting = format::head_line(&head);
        Self { waiting, since: Some(now), ..Self::resumed(head, plugged_at, 0) }
    }

    /// One that an earlier life of this daemon began, of so many bytes.
    pub(super) fn resumed(head: Head, plugged_at: Timestamp, bytes: u64) -> Self {
        Self {
            head,
            plugged_at,
            // Ends a line that was cut off.
            waiting: "\n".to_owned(),
            last: None,
            samples: bytes,
            entries: 0,
            left_out: 0,
            since: None,
            written_at: None,
            urgent: false,
        }
    }

    /// Microseconds since plugging in.
    fn since_plugged(&self, at: Timestamp) -> i64 {
        i64::try_from(at.since(self.plugged_at).as_micros()).unwrap_or(i64::MAX)
    }

    /// The time of day of a moment, microseconds of Unix time: to the millisecond, as an entry has it.
    pub(super) fn unix(&self, at: Timestamp) -> i64 {
        self.head.plugged.saturating_add(self.since_plugged(at) / 1_000 * 1_000)
    }

    /// Notes what happened. What is said of the session itself finds room always.
    pub(super) fn entry(&mut self, at: Timestamp, kind: &str, source: &str, text: &str, urgency: Urgency) {
        let text = &text[..text.floor_char_boundary(TEXT_MAX)];
        let of_session = format::is_of_session(kind);
        let line = format::entry_line(self.since_plugged(at), kind, source, text);
        if self.entries + line.len() as u64 > ENTRIES_MAX && !of_session {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.entries += line.len() as u64;
        self.waiting += &line;
        self.since.get_or_insert(at);
        self.urgent |= urgency == Urgency::AtOnce;
    }

    /// Notes what flows, if it is due.
    pub(super) fn sample(&mut self, at: Timestamp, sample: &RecordedSample) {
        let steps = format::steps(self.since_plugged(at), sample);
        if let Some((before_at, before)) = &self.last {
            let apart = at.since(*before_at) + EARLY;
            let unchanged = steps[1..] == before[1..];
            if apart < self.interval() || (unchanged && apart < UNCHANGED) {
                return;
            }
        }
        let line = format::sample_line(self.last.as_ref().map(|(_, steps)| steps), &steps);
        if self.samples + line.len() as u64 > SAMPLES_MAX {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.samples += line.len() as u64;
        self.waiting += &line;
        self.last = Some((at, steps));
        self.since.get_or_insert(at);
    }

    fn interval(&self) -> Duration {
        let doubled = u32::try_from(self.samples / DOUBLES_EVERY).unwrap_or(u32::MAX);
        INTERVAL * 2_u32.saturating_pow(doubled.min(6))
    }

    /// When what waits is to be written; `None`: nothing does.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let since = self.since?;
        let soonest = self.written_at.map_or(since, |written| (written + URGENT_EVERY).max(since));
        Some(if self.urgent { soonest } else { since + WRITTEN_EVERY })
    }

    /// What is to be written now.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<String> {
        self.due().filter(|due| *due <= now)?;
        Some(self.take_all(now))
    }

    /// All that waits.
    pub(super) fn take_all(&mut self, now: Timestamp) -> String {
        (self.since, self.urgent, self.written_at) = (None, false, Some(now));
        std::mem::take(&mut self.waiting)
    }

    /// What a write that failed would have written waits again.
    pub(super) fn give_back(&mut self, text: &str, now: Timestamp) {
        if text.len() as u64 > SAMPLES_MAX + 2 * ENTRIES_MAX {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.waiting.insert_str(0, text);
        self.since.get_or_insert(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_micros(1_000_000_000);

    fn recording() -> Recording {
        let head = Head { number: 1, evse: 1, boot: "b".to_owned(), plug: 1, plugged: 1_790_000_000_000_000 };
        Recording::new(head, START, START)
    }

    /// Noisy, as a vehicle at constant current is measured.
    fn flowing(tick: u64) -> RecordedSample {
        let noise = |scale: f64, seed: u64| ((tick.wrapping_mul(seed) >> 7) % 7) as f64 * scale;
        RecordedSample {
            time: 0,
            voltage: 400.0 + noise(0.1, 2_654_435_761) + (tick / 600) as f64 * 0.1,
            current: 180.0 + noise(0.2, 40_503),
            target_voltage: 450.0,
            target_current: 180.0 + (tick / 120 % 9) as f64,
            power_offered: 90_000.0,
            soc: 20.0 + (tick / 300) as f64 * 0.1,
            energy: tick as f64 * 10.0,
        }
    }

    fn at(tick: u64) -> Timestamp {
        START + Duration::from_millis(500 * tick)
    }

    /// What flash writes for so many bytes appended to a file of this size: each page that is touched.
    fn pages(size: u64, bytes: u64) -> u64 {
        const PAGE: u64 = 4096;
        if bytes == 0 { 0 } else { ((size + bytes).div_ceil(PAGE) - size / PAGE) * PAGE }
    }

    #[test]
    fn a_day_of_charging_around_the_clock_costs_the_flash_no_more_than_is_promised() {
        let (mut flash, mut bytes, mut writes) = (0, 0, 0);
        for session in 0..48_u64 {
            let (mut recording, mut size) = (recording(), 0);
            for (number, phase) in
                ["connected", "parameters", "cable-check", "pre-charge", "charging"].iter().enumerate()
            {
                recording.entry(at(number as u64 * 4), "phase", "evse", phase, Urgency::Waits);
            }
            let mut written = |recording: &mut Recording, text: Option<String>| {
                if let Some(text) = text {
                    flash += pages(size, text.len() as u64);
                    size += text.len() as u64;
                    (bytes, writes) = (bytes + text.len() as u64, writes + 1);
                }
                recording.left_out
            };
            for tick in 0..3_600 {
                recording.sample(at(tick), &flowing(tick + session * 3_600));
                let text = recording.take(at(tick));
                written(&mut recording, text);
            }
            recording.entry(at(3_600), format::WHY, "station", &"w".repeat(250), Urgency::Waits);
            recording.entry(at(3_600), format::UNPLUGGED, "station", "", Urgency::AtOnce);
            let text = recording.take(at(3_600));
            assert_eq!(written(&mut recording, text), 0, "nothing of half an hour is left out");
            assert_eq!(recording.waiting, "");
        }
        println!("a day: {bytes} bytes in {writes} writes, {flash} bytes of flash");
        assert!(flash <= 3_000_000, "{flash} bytes of flash in a day");
        assert!(bytes >= 800_000, "a sample a second, {bytes} bytes");
    }

    #[test]
    fn a_session_of_three_days_stays_within_its_bound_and_becomes_thinner() {
        let mut recording = recording();
        let mut bytes = 0;
        let mut text = String::new();
        for tick in 0..518_400 {
            recording.sample(at(tick), &flowing(tick));
            if tick % 50 == 0 {
                recording.entry(at(tick), "event", "station", "something happens", Urgency::Waits);
            }
            if let Some(written) = recording.take(at(tick)) {
                bytes += written.len() as u64;
                text += &written;
            }
        }
        assert!(bytes <= SAMPLES_MAX + ENTRIES_MAX + 200, "{bytes}");
        let parsed = format::parse(&text).unwrap();
        let apart = |place: usize| (parsed.samples[place + 1].time - parsed.samples[place].time) / 1_000_000;
        assert_eq!(apart(10), 1);
        assert_eq!(apart(parsed.samples.len() - 2), 8);
        assert!(recording.left_out > 0, "what found no room is counted");
    }

    #[test]
    fn where_nothing_flows_a_sample_a_minute_is_kept() {
        let mut recording = recording();
        for tick in 0..2_400 {
            recording.sample(at(tick), &flowing(0));
        }
        let parsed = format::parse(&recording.take_all(at(2_400))).unwrap();
        assert_eq!(parsed.samples.len(), 20);
    }

    #[test]
    fn a_fault_is_written_at_once_and_everything_else_waits() {
        let mut recording = recording();
        recording.entry(at(0), "phase", "evse", "charging", Urgency::Waits);
        assert_eq!(recording.take(at(2)), None);
        recording.entry(at(2), "fault", "evse/1", "MeterStuck", Urgency::AtOnce);
        assert!(recording.take(at(2)).unwrap().contains("MeterStuck"));
        recording.entry(at(3), "fault", "evse/1", "Again", Urgency::AtOnce);
        assert_eq!(recording.take(at(3)), None, "no more often than every two seconds");
        let late = recording.take(at(6)).unwrap();
        recording.give_back(&late, at(6));
        assert_eq!(recording.take_all(at(7)), late, "what the disk did not take waits");
    }
}
