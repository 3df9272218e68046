//! Sources of limits of the whole station that may fall silent, each with what holds then.

use std::time::Duration;

use voltry_units::{Celsius, Timestamp, Watts};

/// What holds when a source has said nothing for its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// So long it may say nothing.
    pub after: Duration,
    /// Then the station may take this.
    pub floor: Watts,
}

/// An origin of `SetLimit` that is to repeat what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speaker {
    /// Its name.
    pub origin: String,
    /// What holds when it is silent.
    pub silence: Silence,
    spoke: Timestamp,
}

impl Speaker {
    /// One that is given its time from now on.
    #[must_use]
    pub const fn new(now: Timestamp, origin: String, silence: Silence) -> Self {
        Self { origin, silence, spoke: now }
    }

    /// It set its limit, or took it away.
    pub const fn hear(&mut self, now: Timestamp) {
        self.spoke = now;
    }

    /// When it is silent, unless it speaks.
    #[must_use]
    pub fn silent_at(&self) -> Timestamp {
        self.spoke + self.silence.after
    }
}

/// The power modules' temperature, measured at their inlets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Temperature {
    /// From here on the station may take less.
    pub warm: Celsius,
    /// From here on it may take `silence.floor`.
    pub hot: Celsius,
    /// What holds when no module tells its temperature.
    pub silence: Silence,
    hottest: Celsius,
    told: Timestamp,
}

impl Temperature {
    /// Nothing is told yet; the modules are given their time from now on.
    #[must_use]
    pub const fn new(now: Timestamp, warm: Celsius, hot: Celsius, silence: Silence) -> Self {
        Self { warm, hot, silence, hottest: warm, told: now }
    }

    /// The hottest module told this.
    pub const fn hear(&mut self, now: Timestamp, hottest: Celsius) {
        (self.hottest, self.told) = (hottest, now);
    }

    /// The limit of the station, of at most `full`; and whether it is the silence's.
    #[must_use]
    pub fn limit(&self, now: Timestamp, full: Watts) -> (Watts, bool) {
        let floor = self.silence.floor.min(full);
        if now >= self.silent_at() {
            return (floor, true);
        }
        if self.hottest <= self.warm {
            return (full, false);
        }
        if self.hottest >= self.hot {
            return (floor, false);
        }
        let (above, range) = ((self.hot - self.hottest).as_milli(), (self.hot - self.warm).as_milli());
        (floor + (full - floor).scaled(above, range), false)
    }

    /// When it is silent, unless a module tells its temperature.
    #[must_use]
    pub fn silent_at(&self) -> Timestamp {
        self.told + self.silence.after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hot_rack_takes_less_in_a_straight_line_and_a_silent_one_its_floor() {
        let silence = Silence { after: Duration::from_secs(10), floor: Watts::new(20_000) };
        let at = |seconds: u64| Timestamp::from_micros(seconds * 1_000_000);
        let full = Watts::new(100_000);
        let mut rack = Temperature::new(at(0), Celsius::new(45), Celsius::new(65), silence);
        assert_eq!(rack.limit(at(1), full), (full, false), "its time has begun");
        for (celsius, watts) in [(30, 100_000), (45, 100_000), (55, 60_000), (65, 20_000), (90, 20_000)] {
            rack.hear(at(5), Celsius::new(celsius));
            assert_eq!(rack.limit(at(5), full), (Watts::new(watts), false), "{celsius} °C");
        }
        assert_eq!(rack.limit(at(15), full), (Watts::new(20_000), true));
    }
}
