//! What holds in any order of events.

use proptest::prelude::*;

use super::*;

/// Anything that may happen to a connector.
#[derive(Debug, Clone)]
enum Event {
    Pass(u64),
    Frame(u8, [u8; 8]),
    Good(bool),
    Enable,
    Close,
    Renew,
    Open,
    Left,
    Pilot(PilotOutput),
    Reset,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (1_u64..400).prop_map(Event::Pass),
        (6_u8..9, any::<[u8; 8]>()).prop_map(|(id, data)| Event::Frame(id, data)),
        any::<bool>().prop_map(Event::Good),
        any::<bool>().prop_map(Event::Good),
        Just(Event::Enable),
        Just(Event::Close),
        Just(Event::Close),
        Just(Event::Renew),
        Just(Event::Open),
        Just(Event::Left),
        prop::sample::select(PilotOutput::ALL).prop_map(Event::Pilot),
        Just(Event::Reset),
    ]
}

proptest! {
    /// Whatever happens: contactors are requested closed only in the time of a lease, while the
    /// controller was heard within 300 ms, its last word was good, and the pilot was in C or D.
    #[test]
    fn contactors_are_never_requested_closed_without_a_lease_and_a_good_state(
        events in prop::collection::vec(event(), 1..80),
    ) {
        let mut bench = Bench::new();
        let mut leased_until = 0;
        let mut good_until = 0;
        for event in events {
            let now = bench.now;
            match event {
                Event::Pass(time) => bench.pass(time),
                Event::Frame(id, data) => {
                    let message = Message::from_frame(Frame { id, data }, ContactorCodes::default());
                    // What it says is judged by the other tests; here it may only make it worse.
                    bench.connector.heard(ms(now), message);
                    bench.poll();
                    if id == 0x07 && !bench.requests_open() {
                        good_until = now + 300;
                    }
                }
                Event::Good(closed) => {
                    let contactor = if closed { Contactor::Closed } else { Contactor::Open };
                    bench.hears(state(Pilot::C, contactor));
                    good_until = now + 300;
                }
                Event::Enable => if bench.enable().is_ok() { leased_until = now + 500 },
                Event::Close => { let _ = bench.close(); }
                Event::Renew => if bench.renew().is_ok() { leased_until = now + 500 },
                Event::Open => { bench.connector.open(ms(now)); leased_until = now; }
                Event::Left => {
                    bench.connector.left(ms(now), EVSE);
                    leased_until = leased_until.min(now + 300);
                }
                Event::Pilot(output) => { let _ = bench.connector.set_pilot(ms(now), EVSE, output); }
                Event::Reset => { let _ = bench.connector.reset(ms(now)); }
            }
            bench.poll();
            if !bench.requests_open() {
                prop_assert!(bench.now < leased_until, "at {} ms, leased until {leased_until}", bench.now);
                prop_assert!(bench.now < good_until, "at {} ms, good until {good_until}", bench.now);
            }
        }
    }
}
