//! The control pilot of IEC 61851-1 (Annex A) as a board generates and reads it that has no controller of
//! its own: how long it is high, and what its levels say.

use voltry_bus::{Pilot, PilotFault, PilotOutput};

/// 1 kHz.
pub const PERIOD_NS: u64 = 1_000_000;

/// For how long of each period the pilot is at +12 V; at −12 V for the rest.
#[must_use]
pub const fn high_ns(output: PilotOutput) -> u64 {
    match output {
        PilotOutput::X1 => PERIOD_NS,
        PilotOutput::Digital => PERIOD_NS / 100 * 5,
        PilotOutput::F => 0,
    }
}

/// The pilot's upper and lower level, each a peak of at least one period, in millivolts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// The upper.
    pub high: i32,
    /// The lower.
    pub low: i32,
}

/// What the levels say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The vehicle's state.
    pub pilot: Pilot,
    /// What is wrong with the wire, or behind it.
    pub fault: PilotFault,
}

impl Reading {
    /// Before the first sample.
    pub const UNKNOWN: Self = Self { pilot: Pilot::Unknown, fault: PilotFault::None };

    /// Reads levels that were sampled while the board drove `driven`, and the state was `before`.
    #[must_use]
    pub fn of(driven: PilotOutput, levels: Levels, before: Pilot) -> Self {
        let upper = upper(levels.high, before);
        let low_is_whole = (-13_000..=-11_000).contains(&levels.low);
        let (pilot, fault) = match driven {
            // A diode in a vehicle leaves −12 V alone; whatever else is there holds the wire.
            PilotOutput::F if low_is_whole && levels.high <= 1_000 => (Pilot::F, PilotFault::None),
            PilotOutput::F if near_zero(levels.high) && near_zero(levels.low) => {
                (Pilot::E, PilotFault::Short)
            }
            PilotOutput::F => (Pilot::Invalid, PilotFault::None),
            PilotOutput::X1 | PilotOutput::Digital if upper == Pilot::E => (Pilot::E, PilotFault::Short),
            PilotOutput::X1 => (upper, PilotFault::None),
            PilotOutput::Digital if low_is_whole => (upper, PilotFault::None),
            PilotOutput::Digital => match upper {
                Pilot::B | Pilot::C | Pilot::D => (upper, PilotFault::Diode),
                // Nothing is plugged that could hold it: the board's own −12 V is missing.
                Pilot::A | Pilot::E | Pilot::F | Pilot::Invalid | Pilot::Unknown => {
                    (Pilot::Invalid, PilotFault::None)
                }
            },
        };
        Self { pilot, fault }
    }
}

const fn near_zero(millivolts: i32) -> bool {
    millivolts >= -1_000 && millivolts <= 1_000
}

/// The state by the upper level, each ±1 V. Between two of them it stays what it was if it was one of the
/// two, and else is none: so nothing flutters at a border, and a vehicle must reach a state to be in it.
fn upper(millivolts: i32, before: Pilot) -> Pilot {
    let gap = |above: Pilot, below: Pilot| {
        if before == above || before == below { before } else { Pilot::Invalid }
    };
    match millivolts {
        11_000..=13_000 => Pilot::A,
        10_001..=10_999 => gap(Pilot::A, Pilot::B),
        8_000..=10_000 => Pilot::B,
        7_001..=7_999 => gap(Pilot::B, Pilot::C),
        5_000..=7_000 => Pilot::C,
        4_001..=4_999 => gap(Pilot::C, Pilot::D),
        2_000..=4_000 => Pilot::D,
        1_001..=1_999 => gap(Pilot::D, Pilot::E),
        -1_000..=1_000 => Pilot::E,
        _ => Pilot::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(driven: PilotOutput, high: i32, low: i32) -> (Pilot, PilotFault) {
        let reading = Reading::of(driven, Levels { high, low }, Pilot::Unknown);
        (reading.pilot, reading.fault)
    }

    #[test]
    fn duty_cycles_are_those_of_the_standard() {
        assert_eq!(PERIOD_NS, 1_000_000, "1 kHz");
        let outputs = [PilotOutput::X1, PilotOutput::Digital, PilotOutput::F];
        assert_eq!(outputs.map(high_ns), [1_000_000, 50_000, 0]);
    }

    #[test]
    fn each_state_is_read_by_its_level_with_a_volt_to_either_side() {
        for (volts, state) in [(12, Pilot::A), (9, Pilot::B), (6, Pilot::C), (3, Pilot::D)] {
            for off in [-1_000, 0, 1_000] {
                let high = volts * 1_000 + off;
                assert_eq!(read(PilotOutput::Digital, high, -12_000), (state, PilotFault::None));
                assert_eq!(read(PilotOutput::X1, high, high), (state, PilotFault::None));
            }
        }
    }

    #[test]
    fn between_two_states_the_old_one_stays_and_none_is_entered() {
        let at =
            |high, before| Reading::of(PilotOutput::Digital, Levels { high, low: -12_000 }, before).pilot;
        for (high, above, below) in
            [(10_500, Pilot::A, Pilot::B), (7_500, Pilot::B, Pilot::C), (4_500, Pilot::C, Pilot::D)]
        {
            assert_eq!((at(high, above), at(high, below)), (above, below));
            assert_eq!(at(high, Pilot::Unknown), Pilot::Invalid);
        }
        assert_eq!(at(7_500, Pilot::A), Pilot::Invalid);
        assert_eq!(at(13_500, Pilot::A), Pilot::Invalid);
    }

    #[test]
    fn a_diode_that_is_shorted_or_missing_is_seen_by_the_negative_half() {
        for low in [-9_000, -6_000, -10_999, -13_001, 0] {
            assert_eq!(read(PilotOutput::Digital, 9_000, low), (Pilot::B, PilotFault::Diode), "{low}");
        }
        assert_eq!(read(PilotOutput::Digital, 6_000, -6_000), (Pilot::C, PilotFault::Diode));
        let own = read(PilotOutput::Digital, 12_000, -5_000);
        assert_eq!(own, (Pilot::Invalid, PilotFault::None), "nothing is plugged: the board's own generator");
    }

    #[test]
    fn a_pilot_that_touches_earth_is_a_short_whatever_is_driven() {
        for driven in PilotOutput::ALL {
            assert_eq!(read(*driven, 0, 0), (Pilot::E, PilotFault::Short), "{driven}");
        }
        assert_eq!(read(PilotOutput::Digital, 200, -12_000), (Pilot::E, PilotFault::Short));
    }

    #[test]
    fn minus_12_volts_are_state_f_only_where_they_are_measured() {
        assert_eq!(read(PilotOutput::F, -12_000, -12_000), (Pilot::F, PilotFault::None));
        assert_eq!(
            read(PilotOutput::F, 0, -12_000),
            (Pilot::F, PilotFault::None),
            "a detector that stops at 0 V"
        );
        assert_eq!(read(PilotOutput::F, 12_000, 12_000), (Pilot::Invalid, PilotFault::None));
        assert_eq!(
            read(PilotOutput::F, 12_000, -12_000),
            (Pilot::Invalid, PilotFault::None),
            "a PWM that runs on"
        );
    }

    proptest! {
        /// C and D let contactors close: they need their own level, or to have been there before.
        #[test]
        fn no_level_is_taken_for_ready_that_is_not(high in -15_000..15_000, low in -15_000..15_000) {
            for driven in PilotOutput::ALL.iter().copied() {
                let reading = Reading::of(driven, Levels { high, low }, Pilot::B);
                if matches!(reading.pilot, Pilot::C | Pilot::D) {
                    prop_assert!((2_000..=7_000).contains(&high) && driven != PilotOutput::F);
                    prop_assert!(
                        driven == PilotOutput::X1
                            || reading.fault != PilotFault::None
                            || (-13_000..=-11_000).contains(&low)
                    );
                }
            }
        }
    }
}
