use super::*;

const EVSE: &str = ":1.7";

/// Milliseconds after an arbitrary instant well after boot.
fn ms(ms: u64) -> Timestamp {
    Timestamp::from_micros(1_000_000_000 + ms * 1_000)
}

fn stamp(epoch: u64, sequence: u64, sent_at: Timestamp) -> Stamp {
    Stamp { epoch, sequence, sent_at }
}

/// A lease held by `EVSE` since `ms(0)`, and its epoch.
fn live(times: LeaseTimes) -> (Lease, u64) {
    let mut lease = Lease::new(times);
    let epoch = ms(0).as_micros();
    lease.enable(EVSE, epoch, ms(0)).unwrap();
    (lease, epoch)
}

#[test]
fn nothing_is_energised_before_the_first_epoch() {
    let mut lease = Lease::new(LeaseTimes::POWER_SUPPLY);
    assert_eq!(lease.poll(ms(0)), LeaseState::None);
    assert!(!lease.poll(ms(0)).may_energise());
    assert_eq!(lease.command(EVSE, stamp(1, 1, ms(0)), ms(0)), Err(Refusal::Lapsed));
    assert_eq!(lease.deadline(), None);
}

#[test]
fn a_lease_that_is_not_renewed_runs_out_after_500_ms() {
    let (mut lease, epoch) = live(LeaseTimes::POWER_SUPPLY);
    assert_eq!(lease.deadline(), Some(ms(500)));
    assert_eq!(lease.poll(ms(499)), LeaseState::Live { epoch });
    assert_eq!(lease.poll(ms(500)), LeaseState::Lapsed);
}

#[test]
fn a_lease_renewed_every_100_ms_goes_on() {
    let (mut lease, epoch) = live(LeaseTimes::POWER_SUPPLY);
    for n in 1..=100 {
        lease.renew(EVSE, stamp(epoch, n, ms(n * 100)), ms(n * 100 + 3)).unwrap();
    }
    assert_eq!(lease.deadline(), Some(ms(10_500)), "it runs from when the last renewal was sent");
}

#[test]
fn a_command_does_not_renew_the_lease() {
    let (mut lease, epoch) = live(LeaseTimes::POWER_SUPPLY);
    lease.command(EVSE, stamp(epoch, 1, ms(400)), ms(400)).unwrap();
    assert_eq!(lease.poll(ms(500)), LeaseState::Lapsed);
}

#[test]
fn after_a_lapse_only_a_new_epoch_energises() {
    let (mut lease, epoch) = live(LeaseTimes::POWER_SUPPLY);
    let late = stamp(epoch, 1, ms(500));
    assert_eq!(lease.renew(EVSE, late, ms(500)), Err(Refusal::Lapsed), "also where nobody polled");
    assert_eq!(
        lease.enable(EVSE, epoch, ms(600)),
        Err(Refusal::StaleEpoch { epoch, newest: epoch }),
        "the old epoch does not come back"
    );
    let next = ms(600).as_micros();
    lease.enable(EVSE, next, ms(600)).unwrap();
    lease.command(EVSE, stamp(next, 1, ms(600)), ms(600)).unwrap();
}

#[test]
fn a_stranger_can_neither_command_nor_renew_nor_take_over_a_live_lease() {
    let (mut lease, epoch) = live(LeaseTimes::POWER_SUPPLY);
    let message = stamp(epoch, 1, ms(10));
    assert_eq!(lease.command(":1.8", message, ms(10)), Err(Refusal::NotHolder));
    assert_eq!(lease.renew(":1.8", message, ms(10)), Err(Refusal::NotHolder));
    assert_eq!(lease.enable(":1.8", ms(10).as_micros(), ms(10)), Err(Refusal::NotHolder));
    lease.command(EVSE, message, ms(10)).unwrap();
}

#[test]
fn an_older_epoch_is_refused_and_so_is_one_never_opened() {
    let (mut lease, epoch) = live(LeaseTimes::POWER_SUPPLY);
    for wrong in [epoch - 1, epoch + 1] {
        assert_eq!(
            lease.command(EVSE, stamp(wrong, 1, ms(1)), ms(1)),
            Err(Refusal::StaleEpoch { epoch: wrong, newest: epoch })
        );
    }
}

#[test]
fn a_sequence_number_that_does_not_rise_is_refused() {
    let (mut lease, epoch) = live(LeaseTimes::POWER_SUPPLY);
    lease.command(EVSE, stamp(epoch, 5, ms(1)), ms(1)).unwrap();
    for sequence in [0, 4, 5] {
        assert_eq!(
            lease.renew(EVSE, stamp(epoch, sequence, ms(2)), ms(2)),
            Err(Refusal::StaleSequence { sequence, last: 5 })
        );
    }
    lease.renew(EVSE, stamp(epoch, 6, ms(2)), ms(2)).unwrap();
}

#[test]
fn a_stopped_process_that_wakes_cannot_energise_with_its_backlog() {
    let (mut lease, epoch) = live(LeaseTimes::POWER_SUPPLY);
    lease.renew(EVSE, stamp(epoch, 1, ms(100)), ms(200)).unwrap();
    let refused = lease.renew(EVSE, stamp(epoch, 2, ms(100)), ms(201));
    let expected = Refusal::TooOld { age: Duration::from_millis(101), max: Duration::from_millis(100) };
    assert_eq!(refused, Err(expected));
    lease.renew(EVSE, stamp(epoch, 2, ms(201)), ms(201)).expect("a refused message uses up no number");
}

#[test]
fn a_message_from_the_future_is_refused() {
    let (mut lease, epoch) = live(LeaseTimes::POWER_SUPPLY);
    let early = lease.command(EVSE, stamp(epoch, 1, ms(11)), ms(10));
    assert_eq!(early, Err(Refusal::FromTheFuture { by: Duration::from_millis(1) }));
}

#[test]
fn an_epoch_from_the_future_is_refused_lest_it_lock_out_all_others() {
    let mut lease = Lease::new(LeaseTimes::POWER_SUPPLY);
    assert!(matches!(lease.enable(EVSE, u64::MAX, ms(0)), Err(Refusal::FromTheFuture { .. })));
    lease.enable(EVSE, ms(0).as_micros(), ms(0)).unwrap();
}

#[test]
fn a_power_supply_goes_off_at_once_when_its_holder_leaves() {
    let (mut lease, _) = live(LeaseTimes::POWER_SUPPLY);
    lease.holder_lost(EVSE, ms(100));
    assert_eq!(lease.poll(ms(100)), LeaseState::Lapsed);
}

#[test]
fn contactors_open_300_ms_after_their_holder_left() {
    let (mut lease, _) = live(LeaseTimes::CONTACTORS);
    lease.holder_lost(EVSE, ms(100));
    assert_eq!(lease.deadline(), Some(ms(400)));
    assert_eq!(lease.poll(ms(399)), LeaseState::HolderLost { since: ms(100) });
    assert_eq!(lease.poll(ms(400)), LeaseState::Lapsed);
}

#[test]
fn contactors_never_stay_closed_past_the_lease() {
    let (mut lease, _) = live(LeaseTimes::CONTACTORS);
    lease.holder_lost(EVSE, ms(350));
    assert_eq!(lease.poll(ms(499)), LeaseState::HolderLost { since: ms(350) });
    assert_eq!(lease.poll(ms(500)), LeaseState::Lapsed);
}

#[test]
fn a_holder_that_left_commands_no_more_and_nobody_takes_over_before_the_output_is_safe() {
    let (mut lease, epoch) = live(LeaseTimes::CONTACTORS);
    lease.holder_lost(EVSE, ms(100));
    assert_eq!(lease.renew(EVSE, stamp(epoch, 1, ms(101)), ms(101)), Err(Refusal::Lapsed));
    assert_eq!(lease.enable(":1.9", ms(200).as_micros(), ms(200)), Err(Refusal::NotHolder));
    lease.enable(":1.9", ms(400).as_micros(), ms(400)).unwrap();
}

#[test]
fn the_loss_of_somebody_else_changes_nothing() {
    let (mut lease, epoch) = live(LeaseTimes::POWER_SUPPLY);
    lease.holder_lost(":1.8", ms(100));
    assert_eq!(lease.poll(ms(100)), LeaseState::Live { epoch });
}

#[test]
fn a_released_lease_takes_no_command_until_a_newer_epoch() {
    let (mut lease, epoch) = live(LeaseTimes::CONTACTORS);
    lease.release();
    assert_eq!(lease.poll(ms(1)), LeaseState::None);
    assert_eq!(lease.command(EVSE, stamp(epoch, 1, ms(1)), ms(1)), Err(Refusal::Lapsed));
    assert!(matches!(lease.enable(EVSE, epoch, ms(1)), Err(Refusal::StaleEpoch { .. })));
    lease.enable(EVSE, epoch + 1, ms(1)).unwrap();
}

#[test]
fn what_a_holder_sends_is_accepted_in_order_and_its_epochs_rise_within_a_microsecond() {
    let mut lease = Lease::new(LeaseTimes::POWER_SUPPLY);
    let mut holder = LeaseHolder::new();
    let first = holder.open(ms(0));
    let second = holder.open(ms(0));
    assert!(second > first);
    lease.enable(EVSE, first, ms(0)).unwrap();
    lease.enable(EVSE, second, ms(1)).unwrap();
    for n in 1..5 {
        lease.renew(EVSE, holder.stamp(ms(n)), ms(n)).unwrap();
    }
    assert_eq!(holder.stamp(ms(5)), Stamp { epoch: second, sequence: 5, sent_at: ms(5) });
}

#[test]
fn each_refusal_has_its_own_error_on_the_bus() {
    let error: voltry_bus::Error = Refusal::StaleSequence { sequence: 3, last: 4 }.into();
    assert_eq!(error, voltry_bus::Error::StaleSequence("sequence 3 is not above 4".into()));
    assert!(matches!(Refusal::Lapsed.into(), voltry_bus::Error::Lapsed(_)));
}
