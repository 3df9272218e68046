//! The last minutes of each EVSE, for the charts. Pure.

use std::collections::{BTreeMap, VecDeque};

use crate::bus::Station;

/// Points that are kept, one every two seconds: five minutes.
pub(super) const POINTS: usize = 150;
/// EVSEs that are followed.
const EVSES_MAX: usize = 16;

/// What flowed at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Point {
    pub(super) volts: f64,
    pub(super) amperes: f64,
    /// Watts that the vehicle would use.
    pub(super) asked: f64,
    pub(super) warmth: Warmth,
}

/// The hottest sensors, degrees Celsius; not a number: nobody said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Warmth {
    /// Of contacts and cable.
    pub(super) connector: f64,
    /// Of the power modules.
    pub(super) modules: f64,
}

impl Default for Warmth {
    fn default() -> Self {
        Self { connector: f64::NAN, modules: f64::NAN }
    }
}

/// What was seen, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct History(BTreeMap<u32, VecDeque<Point>>);

impl History {
    /// Takes what is seen now, and how warm each EVSE is; without a station nothing.
    pub(super) fn note(&mut self, station: Option<&Station>, warmth: impl Fn(u32) -> Warmth) {
        let Some(station) = station else { return };
        for status in station.evses.iter().take(EVSES_MAX) {
            let asked = station.shares.iter().find(|share| share.evse == status.evse);
            let number = |value: f64| if value.is_finite() { value.max(0.0) } else { 0.0 };
            let points = self.0.entry(status.evse).or_default();
            if points.len() == POINTS {
                points.pop_front();
            }
            points.push_back(Point {
                volts: number(status.voltage),
                amperes: number(status.current),
                asked: number(asked.map_or(0.0, |share| share.wants)),
                warmth: warmth(status.evse),
            });
        }
        self.0.retain(|evse, _| station.evses.iter().any(|status| status.evse == *evse));
    }

    /// The points of an EVSE.
    pub(super) fn of(&self, evse: u32) -> impl ExactSizeIterator<Item = Point> + Clone + '_ {
        static NONE: VecDeque<Point> = VecDeque::new();
        self.0.get(&evse).unwrap_or(&NONE).iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use voltry_bus::EvseStatus;

    use super::*;

    #[test]
    fn the_newest_points_are_kept_and_nothing_that_is_no_number() {
        let status = |evse, current| EvseStatus {
            evse,
            state: "charging".to_owned(),
            available: true,
            authorized: true,
            voltage: 400.0,
            current,
            share: 0.0,
            energy: 0.0,
            soc: -1.0,
            transaction: 0,
            faults: Vec::new(),
        };
        let nobody = |_| Warmth::default();
        let mut history = History::default();
        for number in 0..POINTS + 3 {
            #[expect(clippy::cast_precision_loss, reason = "some hundred")]
            let evses = vec![status(1, number as f64)];
            history.note(Some(&Station { evses, ..Station::default() }), nobody);
        }
        assert_eq!(history.of(1).len(), POINTS);
        assert_eq!(history.of(1).next().unwrap().amperes, 3.0);
        history.note(Some(&Station { evses: vec![status(2, f64::NAN)], ..Station::default() }), nobody);
        assert_eq!((history.of(1).len(), history.of(2).next().unwrap().amperes), (0, 0.0));
        history.note(None, nobody);
        assert_eq!(history.of(2).len(), 1);
    }
}
