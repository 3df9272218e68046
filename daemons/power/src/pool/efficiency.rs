//! How much of what modules take comes out, by how far they are loaded.

/// As many points as a curve has at most.
pub const POINTS_MAX: usize = 8;

/// A curve through points, level before the first and behind the last. Without points nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Efficiency {
    /// Percent of what can be given, and thousandths that come out.
    points: [(i64, i64); POINTS_MAX],
    count: usize,
}

impl Efficiency {
    /// Through these points: percent of what can be given, rising, and thousandths that come out. Those
    /// beyond [`POINTS_MAX`] do not count.
    #[must_use]
    pub fn through(points: &[(i64, i64)]) -> Self {
        let mut curve = Self::default();
        for (place, point) in curve.points.iter_mut().zip(points) {
            *place = *point;
            curve.count += 1;
        }
        curve
    }

    /// Thousandths that come out at a load in percent.
    #[must_use]
    pub fn at(&self, load: i64) -> Option<i64> {
        let points = &self.points[..self.count];
        let above = points.iter().position(|(at, _)| *at >= load);
        Some(match above {
            None => points.last()?.1,
            Some(0) => points[0].1,
            Some(place) => {
                let ((low, from), (high, to)) = (points[place - 1], points[place]);
                from + (to - from) * (load - low) / (high - low).max(1)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_its_points_a_curve_is_straight_and_level_outside() {
        let curve = Efficiency::through(&[(20, 900), (50, 960), (100, 940)]);
        let at = [0, 20, 35, 50, 75, 100, 200].map(|load| curve.at(load).unwrap());
        assert_eq!(at, [900, 900, 930, 960, 950, 940, 940]);
        assert_eq!(Efficiency::default().at(50), None);
    }
}
