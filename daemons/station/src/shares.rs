//! How the station's power is shared between its EVSEs. Pure.

use voltry_units::Watts;

/// What an EVSE can make of power now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// Whether a vehicle may draw: a session runs, or is about to.
    pub active: bool,
    /// The most that it can deliver at this moment.
    pub capability: Watts,
}

/// Shares `limit` equally between the active EVSEs; what one cannot use goes to the others.
/// An EVSE that is not active is given nothing to hold back.
///
/// The shares of the active EVSEs never sum to more than `limit`.
#[must_use]
pub fn equal(limit: Watts, demands: &[Demand]) -> Vec<Watts> {
    let mut shares = vec![Watts::ZERO; demands.len()];
    let mut left = limit.max(Watts::ZERO);
    let mut open: Vec<usize> = (0..demands.len()).filter(|&index| demands[index].active).collect();
    open.sort_by_key(|&index| demands[index].capability);
    // Smallest capability first: each takes its equal part of what is left, or less.
    while let Some(&index) = open.first() {
        let part = left.scaled(1, i64::try_from(open.len()).expect("a handful of EVSEs"));
        shares[index] = part.min(demands[index].capability.max(Watts::ZERO));
        left -= shares[index];
        open.remove(0);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn active(kilowatts: i32) -> Demand {
        Demand { active: true, capability: Watts::new(kilowatts * 1000) }
    }

    #[test]
    fn what_one_cannot_use_goes_to_the_others() {
        let shares = equal(Watts::new(300_000), &[active(50), active(200), active(200)]);
        assert_eq!(shares, [Watts::new(50_000), Watts::new(125_000), Watts::new(125_000)]);
    }

    #[test]
    fn an_idle_evse_holds_nothing_back() {
        let idle = Demand { active: false, capability: Watts::new(200_000) };
        assert_eq!(equal(Watts::new(100_000), &[idle, active(200)]), [Watts::ZERO, Watts::new(100_000)]);
    }

    proptest! {
        #[test]
        fn never_above_the_limit_and_nothing_wasted(
            limit in 0..1_000_000_i32,
            demands in prop::collection::vec((any::<bool>(), 0..500_000_i32), 0..12),
        ) {
            let demands: Vec<_> = demands
                .into_iter()
                .map(|(active, watts)| Demand { active, capability: Watts::new(watts) })
                .collect();
            let shares = equal(Watts::new(limit), &demands);
            let total: Watts = shares.iter().copied().sum();
            let usable: Watts = demands.iter().filter(|demand| demand.active).map(|demand| demand.capability).sum();
            prop_assert!(total <= Watts::new(limit));
            // Rounding may leave a thousandth of a watt an EVSE.
            let wasted = usable.min(Watts::new(limit)) - total;
            prop_assert!(wasted.as_milli() <= 12, "{} wasted", wasted);
            for (share, demand) in shares.iter().zip(&demands) {
                prop_assert!(*share <= demand.capability);
                prop_assert!(demand.active || *share == Watts::ZERO);
            }
        }
    }
}
