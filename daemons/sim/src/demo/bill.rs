//! The session's record, and whether it says what the meter says.

use voltry_bus::Transaction;

/// What the simulated meter counted during the visit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Delivered {
    /// Watt-hours, the register before.
    pub(super) before: f64,
    /// Watt-hours, the register after.
    pub(super) after: f64,
    /// Watt-hours of one count.
    pub(super) resolution: f64,
}

impl Delivered {
    fn energy(&self) -> f64 {
        self.after - self.before
    }

    /// Equal to one count of the meter; the small rest is the doubles'.
    fn equals(&self, energy: f64) -> bool {
        (energy - self.energy()).abs() <= self.resolution * 1.000_001
    }
}

/// The record as a person reads it.
pub(super) fn text(record: &Transaction) -> String {
    let seconds = record.ended.saturating_sub(record.started) / 1_000_000;
    let note = if record.note.is_empty() { String::new() } else { format!("\nnote      {}", record.note) };
    format!(
        "record    transaction {} on EVSE {}, {}, {seconds} s, for {}\n\
         register  {:.3} kWh → {:.3} kWh\n\
         energy    {:.3} kWh\n\
         ended     {}{note}",
        record.id,
        record.evse,
        record.state,
        if record.identity.is_empty() { "anybody" } else { &record.identity },
        record.register_start / 1000.0,
        record.register_end / 1000.0,
        record.energy / 1000.0,
        record.end_reason,
    )
}

/// Prints and returns whether the bill equals the meter.
pub(super) fn equals_meter(record: &Transaction, delivered: &Delivered) -> bool {
    let (bill, meter) = (record.energy, delivered.energy());
    if record.state != "closed" {
        println!("verdict   the record is still {}", record.state);
        return false;
    }
    if meter <= 0.0 {
        println!("verdict   no energy flowed");
        return false;
    }
    if delivered.equals(bill) {
        println!(
            "verdict   the bill ({:.3} kWh) equals the meter ({:.3} kWh) to one count of {} Wh",
            bill / 1000.0,
            meter / 1000.0,
            delivered.resolution
        );
        return true;
    }
    println!(
        "verdict   THE BILL SAYS {bill:.1} Wh, THE METER {meter:.1} Wh (one count is {} Wh)",
        delivered.resolution
    );
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const METER: Delivered = Delivered { before: 1_230_000.0, after: 1_231_250.0, resolution: 10.0 };

    fn record(energy: f64, state: &str) -> Transaction {
        Transaction {
            id: 1,
            evse: 1,
            identity: String::new(),
            state: state.to_owned(),
            started: 0,
            ended: 60_000_000,
            register_start: 1_230_000.0,
            register_end: 1_230_000.0 + energy,
            energy,
            end_reason: "the vehicle stopped".to_owned(),
            note: String::new(),
            why: String::new(),
        }
    }

    #[test]
    fn a_bill_may_be_one_count_off_and_no_more() {
        for (energy, good) in
            [(1250.0, true), (1240.0, true), (1260.0, true), (1239.0, false), (1270.0, false)]
        {
            assert_eq!(equals_meter(&record(energy, "closed"), &METER), good, "{energy}");
        }
    }

    #[test]
    fn an_open_record_and_a_visit_without_energy_are_no_success() {
        assert!(!equals_meter(&record(1250.0, "open"), &METER));
        let nothing = Delivered { after: METER.before, ..METER };
        assert!(!equals_meter(&record(0.0, "closed"), &nothing));
    }
}
