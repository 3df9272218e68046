//! Divides a limit between EVSEs.

use std::cmp::Reverse;

use serde::Deserialize;
use voltry_units::Watts;

/// Who goes first where there is not enough for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Nobody: all get the same, and what one cannot use goes to the others.
    #[default]
    Equal,
    /// Whoever was plugged in first.
    FirstCome,
    /// Whose EVSE has the higher priority; equals get the same.
    Priority,
}

impl Strategy {
    /// Its name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::FirstCome => "first-come",
            Self::Priority => "priority",
        }
    }
}

/// What an EVSE can make of power now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// Whether a vehicle may draw: a session runs, or is about to.
    pub active: bool,
    /// What its vehicle would use, with room to want more.
    pub wants: Watts,
    /// The most that it may have: what it can deliver, and the limits that are its own.
    pub most: Watts,
    /// When its vehicle came: the smaller, the earlier.
    pub came: u64,
    /// The higher, the sooner.
    pub priority: u8,
}

/// The shares of the EVSEs, in three rounds: each active one's floor, then what each wants, then what
/// is left, up to the most that each may have. A round begins when nobody lacks anything of the one
/// before it, and within a round the strategy says who goes first.
///
/// The shares never sum to more than `limit`; at most a thousandth of a watt for each EVSE is left
/// while somebody could take it. A higher limit lowers nobody's share.
#[must_use]
pub fn divide(limit: Watts, floor: Watts, strategy: Strategy, demands: &[Demand]) -> Vec<Watts> {
    let rank = |demand: &Demand| match strategy {
        Strategy::Equal => (0, Reverse(0)),
        Strategy::FirstCome => (demand.came, Reverse(0)),
        Strategy::Priority => (0, Reverse(demand.priority)),
    };
    let mut order: Vec<usize> = (0..demands.len()).filter(|&index| demands[index].active).collect();
    order.sort_by_key(|&index| rank(&demands[index]));
    let groups = || order.chunk_by(|&a, &b| rank(&demands[a]) == rank(&demands[b]));

    let mut shares = vec![Watts::ZERO; demands.len()];
    let mut left = limit.max(Watts::ZERO);
    let rounds: [fn(&Demand, Watts) -> Watts; 3] =
        [|_, floor| floor, |demand, floor| demand.wants.max(floor), |_, _| Watts::MAX];
    for round in rounds {
        let cap = |index: usize| {
            let demand: &Demand = &demands[index];
            round(demand, floor).min(demand.most).max(Watts::ZERO)
        };
        for group in groups() {
            left = level(left, group, &cap, &mut shares);
        }
    }
    shares
}

/// Raises the lowest shares of a group to one level, each up to its cap; returns what is left.
fn level(left: Watts, group: &[usize], cap: &impl Fn(usize) -> Watts, shares: &mut [Watts]) -> Watts {
    let at = |level: Watts, index: usize, shares: &[Watts]| level.min(cap(index)).max(shares[index]);
    let costs = |level: Watts, shares: &[Watts]| -> Watts {
        group.iter().map(|&index| at(level, index, shares) - shares[index]).sum()
    };
    let (mut low, mut high) = (0, group.iter().map(|&index| cap(index).as_milli()).max().unwrap_or(0));
    if costs(Watts::from_milli(high), shares) > left {
        // The highest level that can be paid: it costs no more than `left` at `low`, more at `high`.
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if costs(Watts::from_milli(middle), shares) <= left {
                low = middle;
            } else {
                high = middle;
            }
        }
        high = low;
    }
    let paid = costs(Watts::from_milli(high), shares);
    for &index in group {
        shares[index] = at(Watts::from_milli(high), index, shares);
    }
    left - paid
}

#[cfg(test)]
mod tests {
    use super::{Demand, Strategy, Watts, divide};
    use proptest::prelude::{Just, any, prop};
    use proptest::strategy::Strategy as Generator;
    use proptest::{prop_assert, prop_oneof, proptest};

    fn wants(kilowatts: i32) -> Demand {
        let most = Watts::new(200_000);
        Demand { active: true, wants: Watts::new(kilowatts * 1000), most, came: 0, priority: 0 }
    }

    fn kilowatts(limit: i32, floor: i32, strategy: Strategy, demands: &[Demand]) -> Vec<i64> {
        let shares = divide(Watts::new(limit * 1000), Watts::new(floor * 1000), strategy, demands);
        shares.iter().map(|share| share.as_milli() / 1_000_000).collect()
    }

    #[test]
    fn what_one_does_not_want_goes_to_the_others() {
        let three = [wants(50), wants(200), wants(200)];
        assert_eq!(kilowatts(300, 0, Strategy::Equal, &three), [50, 125, 125]);
    }

    #[test]
    fn what_nobody_wants_is_still_offered() {
        assert_eq!(kilowatts(300, 0, Strategy::Equal, &[wants(20), wants(30)]), [150, 150]);
        assert_eq!(kilowatts(500, 0, Strategy::Equal, &[wants(20), wants(30)]), [200, 200]);
    }

    #[test]
    fn an_idle_evse_holds_nothing_back() {
        let idle = Demand { active: false, ..wants(200) };
        assert_eq!(kilowatts(100, 10, Strategy::Equal, &[idle, wants(200)]), [0, 100]);
    }

    #[test]
    fn the_first_goes_before_the_second_but_not_below_its_floor() {
        let second = Demand { came: 2, ..wants(100) };
        let first = Demand { came: 1, ..wants(100) };
        assert_eq!(kilowatts(120, 0, Strategy::FirstCome, &[second, first]), [20, 100]);
        assert_eq!(kilowatts(120, 30, Strategy::FirstCome, &[second, first]), [30, 90]);
    }

    #[test]
    fn the_higher_priority_goes_first_and_equals_share() {
        let high = Demand { priority: 9, ..wants(100) };
        assert_eq!(kilowatts(150, 10, Strategy::Priority, &[wants(80), high, wants(80)]), [25, 100, 25]);
    }

    fn any_strategy() -> impl Generator<Value = Strategy> {
        prop_oneof![Just(Strategy::Equal), Just(Strategy::FirstCome), Just(Strategy::Priority)]
    }
    fn any_demand() -> impl Generator<Value = Demand> {
        (any::<bool>(), 0..400_000_i32, 0..400_000_i32, 0..4_u64, 0..3_u8).prop_map(
            |(active, wants, most, came, priority)| Demand {
                active,
                wants: Watts::new(wants),
                most: Watts::new(most),
                came,
                priority,
            },
        )
    }

    proptest! {
        #[test]
        fn never_above_a_limit_nothing_wasted_and_floors_first(
            limit in -10_000..1_500_000_i32,
            floor in 0..50_000_i32,
            strategy in any_strategy(),
            demands in prop::collection::vec(any_demand(), 0..12),
        ) {
            let (limit, floor) = (Watts::new(limit), Watts::new(floor));
            let shares = divide(limit, floor, strategy, &demands);
            let total: Watts = shares.iter().copied().sum();
            prop_assert!(total <= limit.max(Watts::ZERO));
            let usable: Watts = demands.iter().filter(|demand| demand.active).map(|demand| demand.most).sum();
            let wasted = usable.min(limit.max(Watts::ZERO)) - total;
            prop_assert!(wasted.as_milli() <= 12, "{} wasted", wasted);
            let slack = Watts::from_milli(12);
            let lacks = |share: Watts, due: Watts, demand: &Demand| demand.active && share + slack < due.min(demand.most);
            let pairs = || shares.iter().zip(&demands);
            for (share, demand) in pairs() {
                prop_assert!(*share <= demand.most && (demand.active || *share == Watts::ZERO));
            }
            if pairs().any(|(share, demand)| lacks(*share, floor, demand)) {
                prop_assert!(shares.iter().all(|share| *share <= floor + slack), "above a floor while one is not met");
            }
            if pairs().any(|(share, demand)| lacks(*share, demand.wants.max(floor), demand)) {
                let fed = pairs().all(|(share, demand)| *share <= demand.wants.max(floor) + slack);
                prop_assert!(fed, "more than it wants while another wants more");
            }
        }

        #[test]
        fn more_to_divide_lowers_nobody_and_who_wants_more_gets_no_less(
            limit in 0..1_500_000_i32,
            more in 0..500_000_i32,
            floor in 0..50_000_i32,
            strategy in any_strategy(),
            demands in prop::collection::vec(any_demand(), 1..12),
        ) {
            let floor = Watts::new(floor);
            let before = divide(Watts::new(limit), floor, strategy, &demands);
            let after = divide(Watts::new(limit + more), floor, strategy, &demands);
            // What rounding left in one round pays for the next.
            let slack = Watts::from_milli(24);
            for (before, after) in before.iter().zip(&after) {
                prop_assert!(*after + slack >= *before, "{} became {}", before, after);
            }
            let mut hungrier = demands;
            hungrier[0].wants += Watts::new(more);
            let fed = divide(Watts::new(limit), floor, strategy, &hungrier);
            prop_assert!(fed[0] + slack >= before[0], "{} became {}", before[0], fed[0]);
        }
    }
}
