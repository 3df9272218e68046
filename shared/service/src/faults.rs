//! The faults of a device or an EVSE: they latch, and clearing is explicit.

use voltry_bus::Fault;
use voltry_units::Timestamp;

/// Latched faults, oldest first, at most [`FaultLog::MAX`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FaultLog {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    fault: Fault,
    present: bool,
}

impl FaultLog {
    /// No more faults than this are kept; the oldest tell how it began.
    pub const MAX: usize = 32;

    /// No faults.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// Latches a fault; `cause` names what was measured, and against which limit. Of a fault
    /// that is already latched the first cause and time stay. Whether it is new.
    pub fn raise(&mut self, code: &str, cause: impl Into<String>, now: Timestamp) -> bool {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.fault.code == code) {
            entry.present = true;
            return false;
        }
        if self.entries.len() == Self::MAX {
            return false;
        }
        let fault = Fault { code: code.to_owned(), cause: cause.into(), at: now.as_micros() };
        self.entries.push(Entry { fault, present: true });
        true
    }

    /// The cause of a fault is gone; it stays latched until [`Self::clear`].
    pub fn gone(&mut self, code: &str) {
        for entry in self.entries.iter_mut().filter(|entry| entry.fault.code == code) {
            entry.present = false;
        }
    }

    /// Forgets a fault that need not latch, because it only tells a present state. Whether it
    /// was there.
    pub fn remove(&mut self, code: &str) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.fault.code != code);
        self.entries.len() != before
    }

    /// Clears every fault whose cause is gone, and returns their codes.
    pub fn clear(&mut self) -> Vec<String> {
        let cleared = self.entries.iter().filter(|entry| !entry.present);
        let codes = cleared.map(|entry| entry.fault.code.clone()).collect();
        self.entries.retain(|entry| entry.present);
        codes
    }

    /// Whether a fault is latched or present.
    #[must_use]
    pub fn contains(&self, code: &str) -> bool {
        self.entries.iter().any(|entry| entry.fault.code == code)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The faults as they stand on the bus, oldest first.
    #[must_use]
    pub fn to_wire(&self) -> Vec<Fault> {
        self.entries.iter().map(|entry| entry.fault.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn a_fault_stays_until_it_is_gone_and_cleared() {
        let mut faults = FaultLog::new();
        assert!(faults.raise("MREC8EmergencyStop", "input 1", at(1)));
        assert_eq!(faults.clear(), Vec::<String>::new(), "its cause is still there");
        faults.gone("MREC8EmergencyStop");
        assert!(faults.contains("MREC8EmergencyStop"), "it latches");
        assert_eq!(faults.clear(), ["MREC8EmergencyStop"]);
        assert!(faults.is_empty());
    }

    #[test]
    fn the_first_cause_and_time_are_kept() {
        let mut faults = FaultLog::new();
        faults.raise("MREC3HighTemperature", "91 °C", at(1));
        faults.gone("MREC3HighTemperature");
        assert!(!faults.raise("MREC3HighTemperature", "95 °C", at(2)));
        let wire = faults.to_wire();
        assert_eq!((wire[0].cause.as_str(), wire[0].at), ("91 °C", 1));
        assert_eq!(faults.clear(), Vec::<String>::new(), "it came back");
    }

    #[test]
    fn the_list_is_bounded_and_keeps_the_oldest() {
        let mut faults = FaultLog::new();
        for n in 0..100 {
            faults.raise(&format!("fault {n}"), "", at(n));
        }
        assert_eq!(faults.to_wire().len(), FaultLog::MAX);
        assert_eq!(faults.to_wire()[0].code, "fault 0");
    }
}
