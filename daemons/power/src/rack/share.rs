//! How modules share a current.

use voltry_units::Amps;

/// Divides `pool` evenly, but nobody gets more than its limit; what one cannot take goes to the
/// others. The sum never exceeds `pool`: what does not divide by whole milliamperes is left.
pub(super) fn shares(pool: Amps, limits: &[Amps]) -> Vec<Amps> {
    let mut by_limit: Vec<usize> = (0..limits.len()).collect();
    by_limit.sort_by_key(|index| limits[*index]);
    let mut shares = vec![Amps::ZERO; limits.len()];
    let mut left = pool.max(Amps::ZERO);
    for (taken, index) in by_limit.iter().enumerate() {
        let takers = i64::try_from(limits.len() - taken).unwrap_or(i64::MAX);
        let share = left.scaled(1, takers).min(limits[*index].max(Amps::ZERO));
        shares[*index] = share;
        left -= share;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn amps<const N: usize>(amps: [i32; N]) -> Vec<Amps> {
        amps.map(Amps::new).to_vec()
    }

    #[test]
    fn what_one_cannot_take_goes_to_the_others() {
        assert_eq!(shares(Amps::new(90), &amps([100, 100, 100])), amps([30, 30, 30]));
        assert_eq!(shares(Amps::new(90), &amps([100, 10, 100])), amps([40, 10, 40]));
        assert_eq!(shares(Amps::new(90), &amps([20, 10, 0])), amps([20, 10, 0]));
        assert_eq!(shares(Amps::new(90), &[]), []);
    }

    proptest! {
        #[test]
        fn shares_stay_within_the_pool_and_the_limits(
            pool in -100_i64..10_000_000,
            limits in proptest::collection::vec(-10_i64..200_000, 0..20),
        ) {
            let limits: Vec<Amps> = limits.into_iter().map(Amps::from_milli).collect();
            let pool = Amps::from_milli(pool);
            let shares = shares(pool, &limits);
            prop_assert!(shares.iter().copied().sum::<Amps>() <= pool.max(Amps::ZERO));
            for (share, limit) in shares.iter().zip(&limits) {
                prop_assert!(*share >= Amps::ZERO && *share <= (*limit).max(Amps::ZERO));
            }
        }
    }
}
