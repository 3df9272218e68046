//! What concerns security: the events that the CSMS must hear, and the station's own log of them
//! (2.0.1 part 2, A04 and appendix 1; 1.6's security white paper, 6). Pure.
//!
//! Everything is written into the log, which the store bounds; what the specification calls critical
//! is told to the CSMS too, and waits for it through outages and reboots. Whoever can make an event
//! happen at will (a CSMS, a dial that fails again and again, a guesser of passwords) makes one entry in
//! [`SAME_AFTER`], which counts the others.

mod memory;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use voltry_units::Timestamp;

use crate::config::Version;
use crate::time::{Now, rfc3339};

pub(crate) use memory::watch as watch_memory;

/// Entries that the log keeps; beyond, the oldest goes.
pub const LOG_MAX: u32 = 2000;
/// Events that wait for the CSMS, at the most; beyond, the oldest is left to the log.
const WAITING_MAX: usize = 100;
/// An event that happens again before is counted and not written.
const SAME_AFTER: Duration = Duration::from_mins(5);
/// The longest `techInfo`, characters.
const INFO_MAX: usize = 255;

macro_rules! events {
    ($($(#[$doc:meta])* $event:ident $critical:literal $v16:literal $v201:literal,)*) => {
        /// An event of the specification's list.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum SecurityEvent {
            $($(#[$doc])* $event,)*
        }

        impl SecurityEvent {
            /// Its name in a version; the log has 2.0.1's.
            #[must_use]
            pub const fn name(self, version: Version) -> &'static str {
                match (version, self) {
                    $((Version::V16, Self::$event) => $v16, (Version::V201, Self::$event) => $v201,)*
                }
            }

            /// Whether the CSMS is told.
            #[must_use]
            pub const fn is_critical(self) -> bool {
                match self {
                    $(Self::$event => $critical,)*
                }
            }

            /// From 2.0.1's name.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                match name {
                    $($v201 => Some(Self::$event),)*
                    _ => None,
                }
            }
        }
    };
}

events! {
    /// Another version of the software runs.
    FirmwareUpdated true "FirmwareUpdated" "FirmwareUpdated",
    /// The CSMS refuses this station's identity or password.
    FailedToAuthenticateAtCsms false "FailedToAuthenticateAtCentralSystem" "FailedToAuthenticateAtCsms",
    /// The certificate that the CSMS shows is good, but another's.
    CsmsFailedToAuthenticate false "CentralSystemFailedToAuthenticate" "CsmsFailedToAuthenticate",
    /// A clock that was set was set again.
    SettingSystemTime true "SettingSystemTime" "SettingSystemTime",
    /// The machine has booted.
    StartupOfTheDevice true "StartupOfTheDevice" "StartupOfTheDevice",
    /// The CSMS has the station start anew.
    ResetOrReboot true "ResetOrReboot" "ResetOrReboot",
    /// This log is gone.
    SecurityLogWasCleared true "SecurityLogWasCleared" "SecurityLogWasCleared",
    /// Passwords, certificates, security profiles are others now.
    ReconfigurationOfSecurityParameters false
        "ReconfigurationOfSecurityParameters" "ReconfigurationOfSecurityParameters",
    /// There is no memory or disk left.
    MemoryExhaustion true "MemoryExhaustion" "MemoryExhaustion",
    /// The CSMS sends what is no message of OCPP.
    InvalidMessages false "InvalidMessages" "InvalidMessages",
    /// A message came again that came before.
    AttemptedReplayAttacks false "AttemptedReplayAttacks" "AttemptedReplayAttacks",
    /// Somebody has opened the station.
    TamperDetectionActivated true "TamperDetectionActivated" "TamperDetectionActivated",
    /// A firmware is not signed by who should have.
    InvalidFirmwareSignature false "InvalidFirmwareSignature" "InvalidFirmwareSignature",
    /// The certificate that is to prove a firmware's signature is not believed.
    InvalidFirmwareSigningCertificate false
        "InvalidFirmwareSigningCertificate" "InvalidFirmwareSigningCertificate",
    /// The certificate that the CSMS shows is not believed.
    InvalidCsmsCertificate false "InvalidCentralSystemCertificate" "InvalidCsmsCertificate",
    /// A certificate for this station is not believed, by it or by the CSMS.
    InvalidChargingStationCertificate false
        "InvalidChargePointCertificate" "InvalidChargingStationCertificate",
    /// The CSMS has no version of TLS that is believed.
    InvalidTlsVersion false "InvalidTLSVersion" "InvalidTLSVersion",
    /// It has no cipher suite that is believed.
    InvalidTlsCipherSuite false "InvalidTLSCipherSuite" "InvalidTLSCipherSuite",
    /// A technician was let in where the station is serviced.
    MaintenanceLoginAccepted true "MaintenanceLoginAccepted" "MaintenanceLoginAccepted",
    /// Somebody was not.
    MaintenanceLoginFailed true "MaintenanceLoginFailed" "MaintenanceLoginFailed",
}

impl SecurityEvent {
    /// Whether it is nobody's to act on.
    const fn is_ordinary(self) -> bool {
        matches!(
            self,
            Self::FirmwareUpdated
                | Self::SettingSystemTime
                | Self::StartupOfTheDevice
                | Self::ResetOrReboot
                | Self::ReconfigurationOfSecurityParameters
                | Self::MaintenanceLoginAccepted
        )
    }

    /// Whether somebody without any right can have it happen again and again.
    const fn is_at_will(self) -> bool {
        !self.is_critical() || matches!(self, Self::MaintenanceLoginFailed | Self::TamperDetectionActivated)
    }
}

/// An event that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the log.
    pub number: u64,
    /// What.
    pub event: SecurityEvent,
    /// Microseconds of Unix time as the machine had it.
    pub unix: i64,
    /// It was set.
    pub set: bool,
    /// `CLOCK_BOOTTIME`, of an event since the uplink started.
    pub at: Option<Timestamp>,
    /// In words; empty: there is nothing to add.
    pub info: String,
}

impl Entry {
    /// A line of the log.
    #[must_use]
    pub fn line(&self) -> String {
        let doubt = if self.set { "" } else { " (the clock was not set)" };
        let event = self.event.name(Version::V201);
        format!("{}{doubt} {event} {}", rfc3339(self.unix), self.info).trim_end().to_owned()
    }
}

/// What the log's new entries are, and which the CSMS has to hear.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    next: u64,
    waiting: VecDeque<Entry>,
    /// Not stored yet, the oldest first.
    fresh: Vec<Entry>,
    /// When it was last written, and how often it happened since.
    last: BTreeMap<SecurityEvent, (Timestamp, u32)>,
    attempts: u64,
}

impl Journal {
    /// With the number of the next entry, and the entries that the CSMS has not heard.
    #[must_use]
    pub fn new(next: u64, waiting: impl IntoIterator<Item = Entry>) -> Self {
        Self { next, waiting: waiting.into_iter().collect(), ..Self::default() }
    }

    /// Something happened. `info`: in words, nothing secret.
    pub fn note(&mut self, now: Now, event: SecurityEvent, info: &str) {
        let mut more = 0;
        if event.is_at_will() {
            if let Some((at, count)) = self.last.get_mut(&event)
                && now.at.since(*at) < SAME_AFTER
            {
                *count = count.saturating_add(1);
                return;
            }
            more = self.last.insert(event, (now.at, 0)).map_or(0, |(_, count)| count);
        }
        let info = if more > 0 { format!("{info} (and {more} more before)") } else { info.to_owned() };
        let name = event.name(Version::V201);
        if event.is_ordinary() {
            tracing::info!(event = name, info, "security event");
        } else {
            tracing::warn!(event = name, info, "security event");
        }
        let info = info.chars().take(INFO_MAX).collect();
        let entry = Entry { number: self.next, event, unix: now.unix, set: now.set, at: Some(now.at), info };
        self.next += 1;
        if event.is_critical() {
            if self.waiting.len() >= WAITING_MAX {
                self.waiting.pop_front();
            }
            self.waiting.push_back(entry.clone());
        }
        self.fresh.push(entry);
    }

    /// What must be stored now.
    pub(crate) fn take_fresh(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.fresh)
    }

    /// The next one that the CSMS has to hear.
    #[must_use]
    pub fn untold(&self) -> Option<&Entry> {
        self.waiting.front()
    }

    /// The CSMS has heard it, or will never.
    pub(crate) fn told(&mut self, number: u64) {
        self.attempts = 0;
        self.waiting.retain(|entry| entry.number != number);
    }

    /// The CSMS answered with an error, or not at all; whether it had its chances.
    pub(crate) fn failed(&mut self, most: u64) -> bool {
        self.attempts += 1;
        self.attempts >= most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        let micros = seconds * 1_000_000;
        let unix = 1_780_000_000_000_000 + i64::try_from(micros).unwrap();
        Now { at: Timestamp::from_micros(micros), unix, set: true }
    }

    #[test]
    fn what_can_be_made_to_happen_at_will_does_not_fill_the_log() {
        let mut journal = Journal::default();
        for second in 0..=600 {
            journal.note(at(second), SecurityEvent::InvalidMessages, "no JSON");
        }
        let written: Vec<String> = journal.take_fresh().into_iter().map(|entry| entry.info).collect();
        assert_eq!(written, ["no JSON", "no JSON (and 299 more before)", "no JSON (and 299 more before)"]);
        assert_eq!(journal.untold(), None, "it is not critical");
    }

    #[test]
    fn who_guesses_passwords_is_told_and_leaves_room_for_others() {
        let mut journal = Journal::default();
        for second in 0..=300 {
            journal.note(at(second), SecurityEvent::MaintenanceLoginFailed, "at the technician's page");
        }
        let told: Vec<&str> = journal.waiting.iter().map(|entry| entry.info.as_str()).collect();
        assert_eq!(told, ["at the technician's page", "at the technician's page (and 299 more before)"]);
    }

    #[test]
    fn critical_ones_wait_each_and_the_oldest_goes() {
        let mut journal = Journal::new(7, []);
        for second in 0..200 {
            journal.note(at(second), SecurityEvent::ResetOrReboot, "");
        }
        assert_eq!(journal.take_fresh().len(), 200);
        assert_eq!(journal.untold().unwrap().number, 107);
        journal.told(107);
        assert_eq!(journal.untold().unwrap().number, 108);
    }

    #[test]
    fn a_name_of_the_log_is_read_back() {
        for event in [SecurityEvent::InvalidTlsVersion, SecurityEvent::CsmsFailedToAuthenticate] {
            assert_eq!(SecurityEvent::parse(event.name(Version::V201)), Some(event));
        }
    }
}
