//! The story of each session as it goes on: for the recorder, and for the sentence of why it ended.

use voltry_bus::{EventKind, EvseEnding, EvseState, Fault, Live, RecordedSample};
use voltry_service::clock::now;
use voltry_units::Timestamp;

use super::Control;
use crate::clock::unix_now;
use crate::evse::view;
use crate::recorder::{Happening, Plugged};
use crate::session::{Action, Ending};
use crate::story::Turn;
use crate::why;

impl Control {
    /// What an EVSE tells, before anything is done about it: how the session that it has left ended, if
    /// nothing ended it before.
    pub(super) fn before_step(&mut self, number: u32, state: EvseState, ending: &EvseEnding) {
        let Some(evse) = self.evses.get_mut(&number) else { return };
        let view = view(state, &evse.session);
        if evse.story.is_of(view.session) {
            // An end that is told with the next session is the last one's.
            evse.story.hear(view.session, state, ending.clone());
            return;
        }
        let left = evse.control.ending_of(&view, evse.story.session());
        self.explain(number, &left, false);
    }

    /// What an EVSE tells, after what is done about it.
    pub(super) fn after_step(&mut self, number: u32, state: EvseState, ending: EvseEnding) {
        let Some(evse) = self.evses.get_mut(&number) else { return };
        let session = evse.session.id;
        if session == 0 {
            if evse.story.is_told_over() {
                self.recorder.note(number, Happening::Unplugged);
            }
            return;
        }
        evse.story.hear(session, state, ending);
        if evse.story.begins() {
            let at = Timestamp::from_micros(evse.session.plugged_at);
            let ago = i64::try_from(now().since(at).as_micros()).unwrap_or(0);
            let (boot, unix) = (self.clock.boot().to_string(), unix_now() - ago);
            self.recorder.note(number, Happening::Plugged(Plugged { plug: session, boot, at, unix }));
            for fault in evse.story.present() {
                let text = format!("{}: {}, since before the plug", fault.code, fault.cause);
                self.recorder.note(number, Happening::Fault(fault.device, text));
            }
        }
        if evse.story.is_another_phase(Some(state)) {
            self.recorder.note(number, Happening::Phase(state.to_string()));
        }
    }

    /// The EVSE's daemon left the bus.
    pub(super) fn note_absence(&mut self, number: u32) {
        if let Some(evse) = self.evses.get_mut(&number)
            && evse.story.is_another_phase(None)
        {
            self.recorder.note(number, Happening::Phase("absent".to_owned()));
        }
    }

    /// What is wrong with a device of an EVSE now.
    pub(super) fn hear_device(&mut self, number: u32, device: String, faults: Vec<Fault>) {
        let Some(evse) = self.evses.get_mut(&number) else { return };
        for Turn { came, fault } in evse.story.report(device, faults) {
            let happening = if came {
                Happening::Fault(fault.device, format!("{}: {}", fault.code, fault.cause))
            } else {
                Happening::Cleared(fault.device, fault.code)
            };
            self.recorder.note(number, happening);
        }
    }

    /// What flows at an EVSE.
    pub(super) fn record_flow(&self, number: u32, live: &Live) {
        let Some(evse) = self.evses.get(&number).filter(|evse| evse.session.id != 0) else { return };
        let &Live { voltage, current, target_voltage, target_current, soc, energy, .. } = live;
        let power_offered = evse.share.as_si();
        let sample = RecordedSample {
            time: 0,
            voltage,
            current,
            target_voltage,
            target_current,
            power_offered,
            soc,
            energy,
        };
        self.recorder.note(number, Happening::Sample(sample));
    }

    /// What is about to be done about a session. Returns why it ended, if its transaction is to be closed.
    pub(super) fn record_action(&mut self, number: u32, action: &Action) -> String {
        let happening = match action {
            Action::Note { kind, why, .. } if why.words.is_empty() => Happening::Event(kind.to_string()),
            Action::Note { kind, why, .. } => Happening::Event(format!("{kind}: {}", why.words)),
            Action::Open { .. } => Happening::Event("a transaction is to begin".to_owned()),
            Action::Grant { .. } => Happening::Told("it may charge".to_owned()),
            Action::Refuse { reason, .. } => Happening::Told(format!("it may not charge: {reason}")),
            Action::Stop { words } => Happening::Told(format!("end the session: {words}")),
            Action::Close { transaction, why } => {
                Happening::Event(format!("transaction {transaction} is to be closed: {}", why.words))
            }
        };
        self.recorder.note(number, happening);
        match action {
            Action::Close { why, .. } => self.explain(number, why, true),
            Action::Note { .. }
            | Action::Open { .. }
            | Action::Grant { .. }
            | Action::Stop { .. }
            | Action::Refuse { .. } => String::new(),
        }
    }

    /// Why the session of an EVSE ended, in a sentence; the first one counts. `billed`: a transaction has it.
    pub(super) fn explain(&mut self, number: u32, why: &Ending, billed: bool) -> String {
        let Some(evse) = self.evses.get_mut(&number) else { return String::new() };
        if let Some(told) = evse.story.explained() {
            return told.to_owned();
        }
        let sentence = why::sentence(&self.guide, &evse.story.known(number, why));
        evse.story.explain(sentence.clone(), billed);
        self.recorder.note(number, Happening::Why(sentence.clone()));
        sentence
    }

    /// The words of an event in the book: an end that no transaction has is explained there.
    pub(super) fn detail(&self, number: u32, kind: EventKind, why: &Ending) -> String {
        let explained = self.evses.get(&number).and_then(|evse| evse.story.explained_alone());
        match explained {
            Some(sentence) if kind == EventKind::Unplugged && why.words.is_empty() => sentence.to_owned(),
            Some(_) | None => why.words.clone(),
        }
    }
}
