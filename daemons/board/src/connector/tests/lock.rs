//! The lock of the plug.

use super::*;

#[test]
fn the_lock_is_moved_at_once_and_the_plug_let_go_only_with_open_contactors() {
    let fitted = |contactor, lock| ChargeState { lock, ..state(Pilot::C, contactor) };
    let mut bench = Bench::new();
    bench.hears(fitted(Contactor::Open, Lock::Unlocked));
    assert_eq!((bench.set_lock(true), bench.lock), (Ok(()), Some(true)));
    for contactor in [Contactor::Closed, Contactor::Unused] {
        bench.hears(fitted(contactor, Lock::Locked));
        assert!(matches!(bench.set_lock(false), Err(Error::Refused(_))));
    }
    bench.hears(fitted(Contactor::Open, Lock::Locked));
    assert_eq!((bench.set_lock(false), bench.lock), (Ok(()), Some(false)));
}

#[test]
fn an_order_to_the_lock_is_not_accepted_while_the_controller_is_silent() {
    let mut bench = Bench::new();
    let fitted = ChargeState { lock: Lock::Locked, ..state(Pilot::B, Contactor::Open) };
    for locked in [true, false] {
        assert!(matches!(bench.set_lock(locked), Err(Error::Unavailable(_))), "{locked}: not heard yet");
    }
    bench.hears(fitted);
    bench.pass(299);
    assert_eq!(bench.set_lock(true), Ok(()));
    // Late, but nobody has noticed; and a second later.
    for noticed in [false, true] {
        if noticed {
            bench.pass(1_000);
        } else {
            bench.now += 1;
        }
        for locked in [true, false] {
            assert!(matches!(bench.set_lock(locked), Err(Error::Unavailable(_))), "{locked}");
        }
        assert_eq!(bench.lock, Some(true), "what was wanted stays");
    }
    bench.hears(fitted);
    assert_eq!((bench.set_lock(false), bench.lock), (Ok(()), Some(false)), "who asks again is heard");
}

#[test]
fn where_there_is_no_lock_none_is_claimed_and_nothing_is_to_be_unlocked() {
    let mut bench = Bench::new();
    bench.hears(state(Pilot::B, Contactor::Open));
    assert!(matches!(bench.set_lock(true), Err(Error::Refused(_))));
    assert_eq!((bench.set_lock(false), bench.lock), (Ok(()), None));
}
