//! The power goes while an update is under way.

use super::*;

/// The whole of an update, as an uplink goes through it, until nothing happens any more.
fn whole_update(machine: &mut Machine) {
    machine.give(Input::Install { request: 0, bundle: "/bundle".to_owned() });
    machine.seconds(20);
    machine.give(Input::Restart { request: 1 });
    machine.seconds(1500);
}

#[test]
fn a_power_cut_before_any_action_leaves_a_version_that_runs_is_marked_and_is_told_of() {
    for (kind, new) in [(Kind::Good, true), (Kind::Dead, false), (Kind::Lame, false), (Kind::Damaged, false)]
    {
        let mut uncut = Machine::new();
        uncut.kind = kind;
        whole_update(&mut uncut);
        assert_eq!(uncut.runs(), if new { "2.0" } else { "1.0" }, "{kind:?}");
        for cut in 0..uncut.performed {
            let mut machine = Machine::new();
            (machine.kind, machine.cut_at) = (kind, Some(cut));
            whole_update(&mut machine);
            assert_eq!(machine.cut_at, None, "{kind:?} {cut}");
            let runs = machine.runs();
            assert!(runs == "1.0" || new, "{kind:?} {cut}: {runs}");
            assert_eq!(machine.course.standing, Standing::Settled, "{kind:?} {cut}");
            assert_eq!(machine.slots[machine.booted].attempts, ATTEMPTS, "{kind:?} {cut}");
            assert_eq!(machine.memory.good, format!("rootfs.{}", machine.booted), "{kind:?} {cut}");
            assert_eq!(machine.memory.good_version, runs, "{kind:?} {cut}");
            assert!(machine.memory.pending.is_none(), "{kind:?} {cut}");
            let verdict = machine.memory.verdict;
            assert!(verdict != UpdateVerdict::OnTrial, "{kind:?} {cut}");
            assert!(runs == "1.0" || verdict == UpdateVerdict::Good, "{kind:?} {cut}: {verdict}");
        }
    }
}

#[test]
fn a_power_cut_while_it_is_being_written_is_told_as_one() {
    for second in 0..6 {
        let mut machine = Machine::new();
        machine.install().unwrap();
        machine.seconds(second);
        machine.boot();
        machine.seconds(5);
        assert_eq!(machine.runs(), "1.0");
        assert_eq!(
            machine.verdict(),
            (UpdateVerdict::Interrupted, "2.0 was not written to its end"),
            "{second}"
        );
        machine.install().unwrap();
        machine.seconds(20);
        assert!(machine.course.shown().restart_needed, "and it can be tried again");
    }
}
