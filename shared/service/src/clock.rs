//! The machine's clock. The only place that reads it.

use nix::time::{ClockId, clock_gettime};
use voltry_units::Timestamp;

/// This instant of `CLOCK_BOOTTIME`.
#[must_use]
pub fn now() -> Timestamp {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("Linux has had CLOCK_BOOTTIME since 2.6.39");
    let seconds = u64::try_from(time.tv_sec()).expect("time since boot is not negative");
    let micros = u64::try_from(time.tv_nsec() / 1_000).expect("nanoseconds are not negative");
    Timestamp::from_micros(seconds * 1_000_000 + micros)
}

#[cfg(test)]
mod tests {
    #[test]
    fn time_never_runs_backwards() {
        let first = super::now();
        let second = super::now();
        assert!(first.as_micros() > 0 && second >= first);
    }
}
