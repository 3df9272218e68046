//! How much of a CAN bus its modules take, by calculation.
//!
//! A frame of 8 bytes with a 29-bit identifier has at most 160 bits with all its stuff bits and
//! the gap behind it: 1.28 ms at 125 kbit/s. A question is one, and so is its answer.

use std::time::Duration;

use voltry_power_module::{Family, SetPoint};

/// Bits of a frame at most: 131, and 29 stuffed into the 118 that can be.
const FRAME_BITS: u32 = 160;
/// Without any stuff bit.
pub(crate) const FRAME_BITS_LEAST: u64 = 131;
/// All families' modules.
pub(crate) const BIT_RATE: u32 = 125_000;
/// A bus that is fuller than half makes rounds longer, and readings older, and adapters lose frames.
const HALF_PER_MILLE: u32 = 500;

/// As often as consumers can use it, who miss a reading after 300 ms.
const OUTPUT_EVERY: Duration = Duration::from_millis(50);
/// With many modules on a bus each is asked less often, so that these questions take five of eight
/// of its slots at most.
const QUESTION_OF_EACH: Duration = Duration::from_millis(8);
/// Longer than this no module may go without being asked what it delivers.
const OUTPUT_EVERY_AT_MOST: Duration = Duration::from_millis(130);
const STATUS_EVERY: Duration = Duration::from_millis(250);
const STATUS_OF_EACH: Duration = Duration::from_micros(62_500);
/// Details, of each module.
pub(crate) const DETAILS_EVERY: Duration = Duration::from_secs(1);
/// A set-point is said again so often a second; with two frames, each every second.
const REFRESHES: u32 = 2;

/// How many of `modules` are spoken to by themselves: of a group its master is, for all.
fn spoken_to(family: &Family, modules: u32) -> u32 {
    if family.grouped { 1 } else { modules }
}

/// How often each of `modules` on a bus is asked what it delivers.
pub(crate) fn output_every(family: &Family, modules: u32) -> Duration {
    let questions = u32::try_from(family.questions.output.len()).unwrap_or(u32::MAX);
    OUTPUT_EVERY.max(QUESTION_OF_EACH * spoken_to(family, modules).saturating_mul(questions))
}

/// How often each of `modules` on a bus is asked its conditions.
pub(crate) fn status_every(modules: u32) -> Duration {
    STATUS_EVERY.max(STATUS_OF_EACH * modules).min(DETAILS_EVERY)
}

/// How often each frame of a set-point is said again.
pub(crate) fn refresh_every(family: &Family) -> Duration {
    let frames = match family.set_point {
        SetPoint::Together | SetPoint::WithSwitch => 1,
        SetPoint::Apart => 2,
    };
    Duration::from_secs(1) * frames / REFRESHES
}

/// Thousandths of the time at which the bus is busy while all of `modules` deliver.
pub(crate) fn per_mille(family: &Family, modules: u32) -> u32 {
    let count = |questions: &[_]| u32::try_from(questions.len()).unwrap_or(u32::MAX);
    let a_second = |every: Duration| 1.0 / every.as_secs_f64();
    let questions = family.questions;
    let asked = f64::from(count(questions.output)) * a_second(output_every(family, modules))
        + f64::from(count(questions.details)) * a_second(DETAILS_EVERY)
        + f64::from(REFRESHES);
    // Each module of a group tells its own conditions.
    let conditions = f64::from(count(questions.status)) * a_second(status_every(modules));
    let units = f64::from(spoken_to(family, modules));
    let reported = family.reports.map_or(0.0, |reports| f64::from(reports.frames) * a_second(reports.every));
    let kept_alive = family.reports.map_or(0.0, |reports| a_second(reports.keep_alive));
    let frames =
        units * (2.0 * asked + conditions) + f64::from(modules) * (conditions + reported) + kept_alive;
    // Far below what a u32 holds, and never negative.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let per_mille = (frames * f64::from(FRAME_BITS) / f64::from(BIT_RATE) * 1000.0).ceil() as u32;
    per_mille
}

/// How many modules one bus takes: it stays under half loaded, and each is asked in time.
pub(crate) fn modules_max(family: &Family) -> u32 {
    let fits = |modules: &u32| {
        per_mille(family, *modules) < HALF_PER_MILLE && output_every(family, *modules) <= OUTPUT_EVERY_AT_MOST
    };
    (1..=u32::from(*family.addresses.end()) + 1).take_while(fits).last().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use voltry_power_module::FAMILIES;

    /// The table of `docs/integration.md`: modules that are read at 10 Hz, and how full the bus is
    /// then; modules at most, how full it is then, and how often each is read.
    #[test]
    fn a_bus_is_under_half_full_with_as_many_modules_as_are_allowed() {
        let table: Vec<_> = FAMILIES
            .iter()
            .map(|family| {
                let most = modules_max(family);
                let at_10_hz = (1..=most)
                    .take_while(|n| output_every(family, *n) <= Duration::from_millis(100))
                    .last()
                    .unwrap();
                let every = output_every(family, most).as_millis();
                assert!(per_mille(family, most) < HALF_PER_MILLE);
                (family.name, at_10_hz, per_mille(family, at_10_hz), most, per_mille(family, most), every)
            })
            .collect();
        assert_eq!(
            table,
            [
                ("infypower", 12, 454, 16, 484, 128),
                ("infypower-beg", 60, 191, 60, 191, 50),
                ("uugreenpower", 6, 423, 8, 443, 128),
                ("maxwell-mxr", 6, 408, 8, 423, 128),
                ("tonhe", 38, 488, 38, 488, 50),
                ("huawei-r100040gx", 12, 454, 16, 484, 128),
            ]
        );
    }

    #[test]
    fn details_are_asked_each_second_and_conditions_as_often() {
        for family in FAMILIES.iter().filter(|family| family.reports.is_none()) {
            assert!(status_every(modules_max(family)) <= DETAILS_EVERY, "{}", family.name);
        }
    }
}
