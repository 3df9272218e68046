//! A machine of two slots in virtual time, whose power can be cut between any two things that happen.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

mod known_good;
mod power_cut;

use std::collections::VecDeque;

use super::*;

const RULES: Rules =
    Rules { trial: Duration::from_secs(600), steady: Duration::from_secs(30), allow_downgrade: false };
const COMPATIBLE: &str = "Voltry Test";
/// How often the boot loader tries a slot that nobody marks good.
const ATTEMPTS: u32 = 3;

#[derive(Debug, Clone)]
struct Slot {
    version: String,
    /// Of the boot loader; 0: bad.
    attempts: u32,
}

/// What a bundle turns out to be.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Good,
    /// Its version does not come up.
    Dead,
    /// It comes up, and EVSE 1 does not work.
    Lame,
    /// RAUC finds out while it writes.
    Damaged,
}

struct Machine {
    now: Timestamp,
    slots: [Slot; 2],
    primary: usize,
    booted: usize,
    boots: u32,
    /// On a partition of its own.
    memory: Memory,
    course: Course,
    inputs: VecDeque<Input>,
    /// Seconds until RAUC is done, and with what.
    writing: Option<(u32, Bundle)>,
    kind: Kind,
    /// What the file says of itself.
    bundle: Option<Bundle>,
    /// What RAUC installs, where somebody exchanged the file.
    exchanged: Option<Bundle>,
    charging: bool,
    silent: bool,
    /// A rescue system runs, from neither slot.
    rescue: bool,
    /// The boot loader cannot be told anything.
    unmarkable: bool,
    /// The power goes before the action of this number.
    cut_at: Option<usize>,
    performed: usize,
    replies: Vec<Result<(), Error>>,
    ended: Vec<(UpdateOutcome, String)>,
    boots_asked: u32,
}

fn bundle(version: &str) -> Bundle {
    Bundle { compatible: COMPATIBLE.to_owned(), version: version.to_owned() }
}

impl Machine {
    /// Version 1.0 runs and is known to charge.
    fn new() -> Self {
        let slot = |version: &str| Slot { version: version.to_owned(), attempts: ATTEMPTS };
        let (good, good_version) = ("rootfs.0".to_owned(), "1.0".to_owned());
        let memory = Memory { good, good_version, ..Memory::default() };
        let mut machine = Self {
            now: Timestamp::from_micros(1_000_000_000),
            slots: [slot("1.0"), slot("0.9")],
            primary: 0,
            booted: 0,
            boots: 1,
            course: Course::new(
                RULES,
                "1.0".to_owned(),
                "1".to_owned(),
                memory.clone(),
                Timestamp::from_micros(0),
            ),
            memory,
            inputs: VecDeque::new(),
            writing: None,
            kind: Kind::Good,
            bundle: Some(bundle("2.0")),
            exchanged: None,
            charging: false,
            silent: false,
            rescue: false,
            unmarkable: false,
            cut_at: None,
            performed: 0,
            replies: Vec::new(),
            ended: Vec::new(),
            boots_asked: 0,
        };
        machine.inputs.push_back(Input::Facts(machine.facts()));
        machine.seconds(3);
        assert_eq!(machine.course.standing, Standing::Settled);
        machine.performed = 0;
        machine
    }

    fn facts(&self) -> Facts {
        let slot = |number: usize| UpdateSlot {
            name: format!("rootfs.{number}"),
            booted: number == self.booted && !self.rescue,
            good: self.slots[number].attempts > 0,
            version: self.slots[number].version.clone(),
        };
        Facts {
            look: 0,
            slots: vec![slot(0), slot(1)],
            primary: format!("rootfs.{}", self.primary),
            installing: self.writing.is_some(),
            compatible: COMPATIBLE.to_owned(),
        }
    }

    /// The version that runs comes up, or the boot loader tries the other one.
    fn boot(&mut self) {
        (self.writing, self.charging, self.rescue) = (None, false, false);
        self.inputs.clear();
        loop {
            let slot = if self.slots[self.primary].attempts > 0 { self.primary } else { 1 - self.primary };
            assert!(self.slots[slot].attempts > 0, "nothing is left to start: {:?}", self.slots);
            self.slots[slot].attempts -= 1;
            if !(self.kind == Kind::Dead && self.slots[slot].version == "2.0") {
                self.booted = slot;
                break;
            }
        }
        self.boots += 1;
        let (version, boot) = (self.slots[self.booted].version.clone(), self.boots.to_string());
        self.course = Course::new(RULES, version, boot, self.memory.clone(), self.now);
        self.inputs.push_back(Input::Facts(self.facts()));
    }

    fn station(&self) -> Option<Station> {
        let works = !(self.kind == Kind::Lame && self.slots[self.booted].version == "2.0");
        let charging = if self.charging { vec![2] } else { Vec::new() };
        (!self.silent).then(|| Station { evses: vec![(1, works), (2, true)], charging })
    }

    fn give(&mut self, input: Input) {
        self.inputs.push_back(input);
        while let Some(input) = self.inputs.pop_front() {
            for action in self.course.step(self.now, input) {
                if self.cut_at == Some(self.performed) {
                    self.cut_at = None;
                    self.boot();
                    break;
                }
                self.performed += 1;
                self.perform(action);
            }
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Reply(_, result) => self.replies.push(result),
            Action::Look => self.inputs.push_back(Input::Facts(self.facts())),
            Action::Inspect(_) => self.inputs.push_back(Input::Inspected(self.bundle.clone())),
            Action::InstallBundle(_) => {
                let real = self.exchanged.clone().or_else(|| self.bundle.clone()).unwrap();
                self.slots[1 - self.booted] = Slot { version: String::new(), attempts: 0 };
                self.primary = self.booted;
                self.writing = Some((5, real));
                self.inputs.push_back(Input::Begun(Ok(())));
            }
            Action::Remember(memory) => self.memory = memory,
            Action::MarkGood if self.unmarkable => {
                self.inputs.push_back(Input::Marked(Err("read-only".to_owned())));
            }
            Action::MarkGood => {
                assert!(
                    self.kind != Kind::Lame || self.slots[self.booted].version != "2.0",
                    "it does not charge"
                );
                self.slots[self.booted].attempts = ATTEMPTS;
                self.inputs.push_back(Input::Marked(Ok(())));
            }
            Action::MarkBad(slot) => {
                let slot = usize::from(slot == "rootfs.1");
                self.slots[slot].attempts = 0;
                assert!(self.slots[1 - slot].attempts > 0, "nothing is left to start");
                self.primary = 1 - slot;
                self.inputs.push_back(Input::Marked(Ok(())));
            }
            Action::Reboot => {
                assert!(!self.charging, "somebody is interrupted");
                self.boots_asked += 1;
                self.boot();
            }
            Action::Ended(outcome, detail) => self.ended.push((outcome, detail)),
        }
    }

    fn seconds(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.now = self.now + Duration::from_secs(1);
            match self.writing.take() {
                Some((0, real)) => self.write(real),
                Some((left, real)) => self.writing = Some((left - 1, real)),
                None => {}
            }
            self.give(Input::Station(self.station()));
        }
    }

    /// RAUC is done.
    fn write(&mut self, real: Bundle) {
        if self.kind == Kind::Damaged {
            return self.give(Input::Completed(Err("Failed to verify hash".to_owned())));
        }
        let target = 1 - self.booted;
        self.slots[target] = Slot { version: real.version, attempts: ATTEMPTS };
        self.primary = target;
        self.give(Input::Completed(Ok(())));
    }

    fn install(&mut self) -> Result<(), Error> {
        self.give(Input::Install { request: 0, bundle: "/bundle".to_owned() });
        self.replies.pop().unwrap()
    }

    fn restart(&mut self) -> Result<(), Error> {
        self.give(Input::Restart { request: 1 });
        self.replies.pop().unwrap()
    }

    fn runs(&self) -> &str {
        &self.slots[self.booted].version
    }

    fn verdict(&self) -> (UpdateVerdict, &str) {
        (self.memory.verdict, &self.memory.detail)
    }
}

#[test]
fn a_version_with_which_every_evse_works_for_a_while_is_good() {
    let mut machine = Machine::new();
    machine.install().unwrap();
    assert!(machine.course.shown().installing);
    machine.seconds(10);
    assert_eq!(machine.ended, [(UpdateOutcome::RestartNeeded, String::new())]);
    assert!(machine.course.shown().restart_needed && machine.runs() == "1.0");
    machine.restart().unwrap();
    machine.seconds(20);
    assert_eq!(
        (machine.runs(), machine.verdict()),
        ("2.0", (UpdateVerdict::OnTrial, "the station does not answer"))
    );
    assert_eq!(machine.slots[1].attempts, ATTEMPTS - 1, "not marked yet");
    assert!(matches!(machine.install(), Err(Error::Refused(_))), "not while one is on trial");
    machine.seconds(20);
    assert_eq!(machine.verdict(), (UpdateVerdict::Good, ""));
    assert_eq!((machine.memory.good.as_str(), machine.slots[1].attempts), ("rootfs.1", ATTEMPTS));
    assert!(!machine.course.shown().restart_needed);
}

#[test]
fn a_version_with_which_an_evse_does_not_work_is_left_again_when_its_time_is_up() {
    let mut machine = Machine::new();
    machine.kind = Kind::Lame;
    machine.install().unwrap();
    machine.seconds(10);
    machine.restart().unwrap();
    machine.seconds(599);
    assert_eq!(machine.runs(), "2.0");
    // Somebody charges at the other EVSE: he is not interrupted.
    machine.charging = true;
    machine.seconds(300);
    assert_eq!((machine.runs(), machine.boots_asked), ("2.0", 1));
    machine.charging = false;
    machine.seconds(5);
    assert_eq!((machine.runs(), machine.boots_asked), ("1.0", 2));
    assert_eq!(machine.verdict(), (UpdateVerdict::FellBack, "EVSE 1 does not work"));
    machine.seconds(700);
    assert_eq!((machine.boots_asked, machine.slots[0].attempts), (2, ATTEMPTS), "and there it stays");
    assert!(!machine.course.shown().restart_needed && matches!(machine.restart(), Err(Error::Refused(_))));
}

#[test]
fn what_was_thought_of_the_update_before_is_not_told_of_the_new_one() {
    let mut machine = Machine::new();
    machine.install().unwrap();
    machine.seconds(10);
    let memory = Memory { verdict: UpdateVerdict::Good, ..machine.memory.clone() };
    let course = Course::new(RULES, "2.0".to_owned(), "2".to_owned(), memory, machine.now);
    assert_eq!(course.shown().verdict, UpdateVerdict::OnTrial, "RAUC has not answered yet");
}

#[test]
fn an_evse_that_did_not_work_before_need_not_work_afterwards() {
    let mut machine = Machine::new();
    machine.kind = Kind::Lame;
    machine.slots[0].version = "2.0".to_owned(); // so that EVSE 1 does not work before either
    machine.give(Input::Station(machine.station()));
    machine.install().unwrap();
    assert_eq!(machine.memory.pending.as_ref().unwrap().working, Some(vec![2]));
}

#[test]
fn a_version_that_does_not_come_up_is_left_by_the_boot_loader_and_that_is_told() {
    let mut machine = Machine::new();
    machine.kind = Kind::Dead;
    machine.install().unwrap();
    machine.seconds(10);
    machine.restart().unwrap();
    machine.seconds(5);
    assert_eq!((machine.runs(), machine.verdict()), ("1.0", (UpdateVerdict::FellBack, "2.0 did not start")));
}

#[test]
fn a_machine_from_the_factory_puts_its_first_update_on_trial_however_soon_it_comes() {
    let mut machine = Machine::new();
    machine.memory = Memory::default();
    let version = "1.0".to_owned();
    machine.course = Course::new(RULES, version, "1".to_owned(), Memory::default(), machine.now);
    machine.give(Input::Facts(machine.facts()));
    machine.give(Input::Station(machine.station()));
    machine.install().unwrap();
    machine.seconds(10);
    machine.restart().unwrap();
    machine.seconds(5);
    assert_eq!((machine.runs(), machine.verdict().0), ("2.0", UpdateVerdict::OnTrial));
}

#[test]
fn nothing_is_installed_or_started_while_somebody_charges() {
    let mut machine = Machine::new();
    machine.charging = true;
    machine.seconds(1);
    assert_eq!(machine.install(), Err(Error::Refused("somebody charges at EVSE 2".to_owned())));
    machine.charging = false;
    machine.seconds(1);
    machine.install().unwrap();
    machine.charging = true;
    machine.seconds(10);
    assert_eq!(machine.ended.len(), 1, "what has begun is finished");
    assert_eq!(machine.restart(), Err(Error::Refused("somebody charges at EVSE 2".to_owned())));
    machine.charging = false;
    machine.seconds(1);
    machine.restart().unwrap();
}

#[test]
fn a_station_that_is_silent_may_be_charging_until_its_permits_have_run_out() {
    let mut machine = Machine::new();
    machine.silent = true;
    machine.seconds(59);
    assert!(matches!(machine.install(), Err(Error::Refused(_))));
    machine.seconds(2);
    machine.install().unwrap();
    assert_eq!(machine.memory.pending.as_ref().unwrap().working, None);
}

#[test]
fn an_older_one_a_foreign_one_and_a_damaged_one_are_not_installed() {
    let mut machine = Machine::new();
    machine.bundle = Some(bundle("0.9.9"));
    assert!(matches!(machine.install(), Err(Error::Refused(why)) if why.contains("older")));
    machine.bundle = Some(Bundle { compatible: "Other".to_owned(), version: "2.0".to_owned() });
    assert!(matches!(machine.install(), Err(Error::Refused(why)) if why.contains("Other")));
    assert_eq!(machine.ended, []);
    machine.bundle = None;
    machine.install().unwrap();
    assert_eq!(machine.ended.pop().unwrap().0, UpdateOutcome::Invalid);
    machine.bundle = Some(bundle("2.0"));
    machine.kind = Kind::Damaged;
    machine.install().unwrap();
    machine.seconds(10);
    assert_eq!(machine.ended.pop().unwrap().0, UpdateOutcome::Invalid);
    assert!(!machine.course.shown().restart_needed && machine.memory.pending.is_none());
    assert!(machine.give_path("bundle").is_err());
}

impl Machine {
    fn give_path(&mut self, path: &str) -> Result<(), Error> {
        self.give(Input::Install { request: 2, bundle: path.to_owned() });
        self.replies.pop().unwrap()
    }
}

#[test]
fn a_file_that_was_exchanged_after_it_had_been_inspected_is_not_started() {
    let mut machine = Machine::new();
    machine.exchanged = Some(bundle("0.9"));
    machine.install().unwrap();
    machine.seconds(10);
    assert_eq!(machine.ended[0].0, UpdateOutcome::Invalid);
    assert_eq!(machine.slots[1].attempts, 0);
    assert!(matches!(machine.restart(), Err(Error::Refused(_))));
}

#[test]
fn one_at_a_time() {
    let mut machine = Machine::new();
    machine.install().unwrap();
    assert!(matches!(machine.install(), Err(Error::Busy(_))));
    assert!(matches!(machine.restart(), Err(Error::Refused(_))));
}

#[test]
fn a_rauc_that_ends_takes_its_installation_along() {
    let mut machine = Machine::new();
    machine.install().unwrap();
    machine.seconds(2);
    machine.writing = None;
    machine.give(Input::InstallerLost);
    assert_eq!(machine.ended[0].0, UpdateOutcome::Failed);
    assert!(machine.memory.pending.is_none());
    machine.install().unwrap();
}

#[test]
fn a_daemon_that_was_away_takes_up_what_goes_on() {
    let mut machine = Machine::new();
    machine.install().unwrap();
    machine.seconds(2);
    let away = |machine: &mut Machine| {
        let (memory, boot) = (machine.memory.clone(), machine.boots.to_string());
        machine.course = Course::new(RULES, "1.0".to_owned(), boot, memory, machine.now);
        machine.give(Input::Facts(machine.facts()));
    };
    away(&mut machine);
    assert!(machine.course.shown().installing);
    machine.seconds(10);
    assert_eq!(machine.ended, [(UpdateOutcome::RestartNeeded, String::new())]);
    away(&mut machine);
    assert!(machine.course.shown().restart_needed);
    machine.seconds(1); // until it knows that nobody charges
    machine.restart().unwrap();
    machine.seconds(5);
    assert_eq!(machine.verdict().0, UpdateVerdict::OnTrial);
}

#[test]
fn what_somebody_installed_by_hand_is_put_on_trial_too() {
    let mut machine = Machine::new();
    machine.slots[1] = Slot { version: "2.0".to_owned(), attempts: ATTEMPTS };
    machine.primary = 1;
    machine.give(Input::Completed(Ok(())));
    assert!(machine.course.shown().restart_needed);
    machine.boot();
    machine.seconds(5);
    assert_eq!(machine.verdict().0, UpdateVerdict::OnTrial);
    machine.seconds(60);
    assert_eq!(machine.verdict().0, UpdateVerdict::Good);
}

#[test]
fn a_version_that_fails_is_kept_where_there_is_no_other() {
    let mut machine = Machine::new();
    machine.kind = Kind::Lame;
    machine.install().unwrap();
    machine.seconds(10);
    machine.restart().unwrap();
    machine.slots[0].attempts = 0;
    let facts = machine.facts();
    machine.give(Input::Facts(facts));
    machine.seconds(700);
    assert_eq!((machine.runs(), machine.boots_asked), ("2.0", 1));
    assert!(machine.course.shown().detail.contains("no other version"));
}
