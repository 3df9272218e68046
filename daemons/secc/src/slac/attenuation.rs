//! From the modem's reports, one a sound, to what the vehicle is told.

use super::wire::Groups;

/// The reports of one burst.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Profiles {
    /// For each group, the sum of what was reported.
    sums: Vec<u32>,
    count: u8,
}

impl Profiles {
    /// One report. A burst has at most 255; one of another number of groups is no report of it.
    pub(super) fn add(&mut self, groups: &Groups) {
        let values = groups.values();
        if self.count == 0 {
            self.sums = vec![0; values.len()];
        }
        if values.is_empty() || values.len() != self.sums.len() || self.count == u8::MAX {
            return;
        }
        for (sum, value) in self.sums.iter_mut().zip(values) {
            *sum += u32::from(*value);
        }
        self.count += 1;
    }

    /// How many reports there are.
    #[must_use]
    pub(super) const fn count(&self) -> u8 {
        self.count
    }

    /// The mean of each group, less `offset_db`; `None`: nothing was reported.
    #[must_use]
    pub(super) fn mean(&self, offset_db: i8) -> Option<Groups> {
        if self.count == 0 {
            return None;
        }
        let values: Vec<u8> = self
            .sums
            .iter()
            .map(|sum| {
                let mean = i64::from(sum / u32::from(self.count)) - i64::from(offset_db);
                u8::try_from(mean.clamp(0, i64::from(u8::MAX))).unwrap_or(u8::MAX)
            })
            .collect();
        Some(Groups::new(&values))
    }
}

/// One figure for a whole profile, by which vehicles are compared: the mean in tenths of a dB.
#[must_use]
pub(super) fn overall_tenths(groups: &Groups) -> u16 {
    let values = groups.values();
    let sum: usize = values.iter().map(|value| usize::from(*value)).sum();
    u16::try_from(10 * sum / values.len().max(1)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_rounded_down_and_the_offset_taken_off() {
        let mut profiles = Profiles::default();
        assert_eq!(profiles.mean(0), None, "silence is no attenuation of 0 dB");
        profiles.add(&Groups::new(&[20, 30, 4]));
        profiles.add(&Groups::new(&[21, 33, 4]));
        assert_eq!(profiles.mean(0).unwrap().values(), [20, 31, 4]);
        assert_eq!(profiles.mean(10).unwrap().values(), [10, 21, 0]);
        assert_eq!(profiles.mean(-10).unwrap().values(), [30, 41, 14]);
    }

    #[test]
    fn a_report_of_other_groups_does_not_count() {
        let mut profiles = Profiles::default();
        profiles.add(&Groups::new(&[]));
        profiles.add(&Groups::new(&[20, 30]));
        profiles.add(&Groups::new(&[20, 30, 40]));
        assert_eq!((profiles.count(), profiles.mean(0).unwrap().values()), (1, &[20, 30][..]));
    }

    #[test]
    fn a_profile_is_one_figure_of_tenths() {
        assert_eq!(overall_tenths(&Groups::new(&[20, 31])), 255);
        assert_eq!(overall_tenths(&Groups::new(&[])), 0);
    }
}
