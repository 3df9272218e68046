//! What a module reports of itself, as a set.

use std::fmt;

macro_rules! conditions {
    ($($(#[$doc:meta])* $name:ident = $kind:ident, $text:literal;)+) => {
        /// One thing that a module can report of itself.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Condition {
            $($(#[$doc])* $name,)+
        }

        impl Condition {
            /// Every condition, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// What sort of thing it is.
            #[must_use]
            pub const fn kind(self) -> Kind {
                match self {
                    $(Self::$name => Kind::$kind,)+
                }
            }

            /// In words.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

/// What sort of thing a condition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It says what the module does; nothing is wrong.
    State,
    /// The module gives less than it is rated for.
    Derating,
    /// Someone should look, but the module delivers.
    Warning,
    /// The module cannot be relied on.
    Alarm,
}

conditions! {
    /// The direct-current side is off.
    DcOff = State, "output off";
    /// The power factor correction is off.
    PfcOff = State, "input stage off";
    /// The module sleeps.
    Asleep = State, "asleep";
    /// Walk-in is enabled.
    WalkIn = State, "walk-in enabled";
    /// Power flows from the vehicle to the mains.
    Inverting = State, "discharging the vehicle";
    /// The module limits its power.
    PowerLimited = Derating, "power limited";
    /// The mains do not allow more.
    DeratedByInput = Derating, "derated by the mains";
    /// It would become too hot.
    DeratedByTemperature = Derating, "derated by temperature";
    /// The module hears nobody: normal right after a silence.
    CommunicationInterrupted = Warning, "communication interrupted";
    /// The phases differ too much.
    PhaseUnbalance = Warning, "phases unbalanced";
    /// It shares current badly with the others.
    LoadSharing = Warning, "load sharing bad";
    /// Air does not get through.
    AirDuctBlocked = Warning, "air duct blocked";
    /// The output is lower than it shall be.
    OutputUnderVoltage = Warning, "output voltage low";
    /// The output is higher than it shall be.
    OutputVoltageHigh = Warning, "output voltage high";
    /// The circuit that discharges the output.
    BleederFailed = Alarm, "discharge circuit abnormal";
    /// The output is shorted.
    ShortCircuit = Alarm, "output short circuit";
    /// The input, or the bus inside.
    InputAbnormal = Alarm, "input or inner bus abnormal";
    /// A fault of the module, not told which.
    Fault = Alarm, "module fault";
    /// The module protects itself, not told why.
    Protection = Alarm, "module protection";
    /// A fan.
    FanFault = Alarm, "fan fault";
    /// Too cold.
    UnderTemperature = Alarm, "too cold";
    /// The relay at its output, or those that choose the range.
    RelayFailed = Alarm, "relay failed";
    /// Its parts do not hear one another.
    InnerCommunication = Alarm, "inner communication lost";
    /// The output gives more than its limit.
    OutputOverCurrent = Alarm, "output over-current";
    /// The halves of the output differ.
    OutputUnbalanced = Alarm, "output halves unbalanced";
    /// Too hot.
    OverTemperature = Alarm, "over-temperature";
    /// The output is above its limit.
    OutputOverVoltage = Alarm, "output over-voltage";
    /// Two modules have one address: neither can be commanded for certain.
    DuplicateId = Alarm, "duplicate address";
    /// A phase is missing.
    PhaseLoss = Alarm, "phase lost";
    /// The mains are too low.
    InputUnderVoltage = Alarm, "input under-voltage";
    /// The mains are too high.
    InputOverVoltage = Alarm, "input over-voltage";
}

/// A set of [`Condition`]s.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Conditions(u64);

impl Conditions {
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// The set with `condition` in it.
    #[must_use]
    pub const fn with(self, condition: Condition) -> Self {
        Self(self.0 | 1 << condition as u32)
    }

    /// Whether `condition` holds.
    #[must_use]
    pub const fn has(self, condition: Condition) -> bool {
        self.0 & 1 << condition as u32 != 0
    }

    /// What holds in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What the bits of a number mean, by a table of bit and condition; bits not listed mean nothing.
    #[must_use]
    pub fn of_bits(bits: u32, meanings: &[(u8, Condition)]) -> Self {
        meanings.iter().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, condition)| *condition).collect()
    }

    /// Those that hold, in the order of declaration.
    pub fn iter(self) -> impl Iterator<Item = Condition> {
        Condition::ALL.iter().copied().filter(move |condition| self.has(*condition))
    }

    /// Those of a kind that hold.
    pub fn of(self, kind: Kind) -> impl Iterator<Item = Condition> {
        self.iter().filter(move |condition| condition.kind() == kind)
    }
}

impl FromIterator<Condition> for Conditions {
    fn from_iter<I: IntoIterator<Item = Condition>>(conditions: I) -> Self {
        conditions.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

const _: () = assert!(Condition::ALL.len() <= 64, "a set holds 64 conditions");
