//! Which version is known to charge, and from when on.

use super::*;

impl Machine {
    /// This version has just been started from the other slot.
    fn with_on_trial(version: &str) -> Self {
        let mut machine = Self::new();
        machine.bundle = Some(bundle(version));
        machine.install().unwrap();
        machine.seconds(10);
        machine.restart().unwrap();
        machine.seconds(5);
        assert_eq!((machine.runs(), machine.verdict().0), (version, UpdateVerdict::OnTrial));
        machine
    }

    /// `rauc install`, by root.
    fn install_by_hand(&mut self, version: &str) {
        self.write(bundle(version));
    }

    /// It runs from a stick, and RAUC writes the first slot.
    fn boot_rescue_system(&mut self) {
        (self.rescue, self.booted) = (true, 1);
        self.boots += 1;
        let (version, boot) = ("rescue".to_owned(), self.boots.to_string());
        self.course = Course::new(RULES, version, boot, self.memory.clone(), self.now);
        self.inputs.push_back(Input::Facts(self.facts()));
        self.seconds(1);
    }

    fn is_on_trial_and_passes(&mut self, version: &str) {
        self.seconds(5);
        assert_eq!((self.runs(), self.verdict().0), (version, UpdateVerdict::OnTrial));
        assert_eq!(self.slots[0].attempts, ATTEMPTS - 1, "not marked yet");
        self.seconds(30);
        assert_eq!((self.runs(), self.verdict()), (version, (UpdateVerdict::Good, "")));
        assert_eq!((self.memory.good.as_str(), self.memory.good_version.as_str()), ("rootfs.0", version));
        assert_eq!((self.slots[0].attempts, &self.memory.pending), (ATTEMPTS, &None));
    }
}

#[test]
fn another_version_in_the_slot_that_was_good_is_put_on_trial() {
    let mut machine = Machine::with_on_trial("2.0");
    machine.install_by_hand("3.0");
    machine.boot();
    machine.is_on_trial_and_passes("3.0");
}

#[test]
fn the_version_that_was_good_needs_no_trial_when_it_is_installed_again() {
    let mut machine = Machine::with_on_trial("2.0");
    machine.install_by_hand("1.0");
    machine.boot();
    machine.seconds(5);
    assert_eq!((machine.runs(), machine.verdict().0), ("1.0", UpdateVerdict::FellBack));
    assert_eq!(machine.course.standing, Standing::Settled);
}

#[test]
fn what_a_rescue_system_installed_into_the_slot_that_was_good_is_put_on_trial() {
    // The same version too: the slot was written anew.
    for version in ["3.0", "1.0"] {
        let mut machine = Machine::new();
        machine.boot_rescue_system();
        machine.bundle = Some(bundle(version));
        machine.install().unwrap();
        machine.seconds(10);
        machine.restart().unwrap();
        machine.is_on_trial_and_passes(version);
    }
}

#[test]
fn the_version_that_runs_installed_again_has_fallen_back_if_it_does_not_start_from_the_other_slot() {
    let mut machine = Machine::new();
    machine.bundle = Some(bundle("1.0"));
    machine.install().unwrap();
    machine.seconds(10);
    machine.slots[1].attempts = 0;
    machine.boot();
    machine.seconds(5);
    assert_eq!(machine.verdict(), (UpdateVerdict::FellBack, "1.0 did not start"));
}

#[test]
fn a_good_slot_whose_version_nobody_remembered_is_good_and_its_version_is_remembered() {
    let mut machine = Machine::new();
    machine.memory.good_version.clear();
    machine.boot();
    machine.seconds(5);
    assert_eq!(machine.course.standing, Standing::Settled);
    assert_eq!((machine.memory.good_version.as_str(), machine.verdict().0), ("1.0", UpdateVerdict::None));
}

#[test]
fn nothing_is_installed_until_the_boot_loader_knows_that_a_trial_was_passed() {
    let mut machine = Machine::with_on_trial("2.0");
    machine.unmarkable = true;
    machine.seconds(60);
    assert_eq!(machine.verdict().0, UpdateVerdict::OnTrial);
    machine.bundle = Some(bundle("3.0"));
    assert!(matches!(machine.install(), Err(Error::Refused(why)) if why.contains("boot loader")));
    machine.unmarkable = false;
    machine.seconds(2);
    assert_eq!(machine.verdict().0, UpdateVerdict::Good);
    machine.install().unwrap();
    machine.seconds(10);
    assert_eq!(machine.memory.pending.as_ref().unwrap().version, "3.0");
}

#[test]
fn what_was_installed_by_hand_and_fails_its_trial_has_fallen_back() {
    let mut machine = Machine::new();
    machine.kind = Kind::Lame;
    machine.install_by_hand("2.0");
    machine.boot();
    machine.seconds(610);
    assert_eq!(machine.runs(), "1.0");
    assert_eq!(machine.verdict(), (UpdateVerdict::FellBack, "EVSE 1 does not work"));
}

#[test]
fn where_the_version_that_was_good_is_written_over_and_the_new_one_fails_the_other_slot_is_what_there_is() {
    let mut machine = Machine::new();
    machine.kind = Kind::Lame;
    machine.boot_rescue_system();
    machine.install().unwrap();
    machine.seconds(10);
    machine.restart().unwrap();
    machine.seconds(610);
    assert_eq!((machine.runs(), machine.slots[1].attempts), ("0.9", ATTEMPTS));
    assert_eq!(machine.verdict(), (UpdateVerdict::FellBack, "EVSE 1 does not work"));
    assert_eq!((machine.memory.good.as_str(), machine.memory.good_version.as_str()), ("rootfs.1", "0.9"));
}

#[test]
fn an_update_that_was_on_trial_is_so_again_after_one_by_hand_failed() {
    let mut machine = Machine::with_on_trial("1.5");
    machine.install_by_hand("2.0");
    machine.kind = Kind::Lame;
    machine.boot();
    machine.seconds(599);
    // The power goes after it is remembered that this one failed, before the boot loader is told.
    machine.cut_at = Some(machine.performed + 1);
    machine.seconds(10);
    assert_eq!((machine.runs(), machine.verdict().0), ("2.0", UpdateVerdict::OnTrial));
    machine.seconds(610);
    assert_eq!((machine.runs(), machine.verdict().0), ("1.5", UpdateVerdict::OnTrial));
}
