//! Which vehicle is ours: from what was heard of each to the key for one.

use std::time::Duration;

use voltry_units::Timestamp;

use super::attenuation::overall_tenths;
use super::key::Key;
use super::run::{self, Run, Stage};
use super::wire::{self, Mac, MatchReq, RunId, SESSION, StationId};
use super::{Event, Phase, Slac};

/// How long a vehicle that chose us waits while others are measured; it waits 200 ms for an answer.
const DECISION: Duration = Duration::from_millis(180);
/// Tenths of a dB within which two vehicles may be one. Between cables of one station it is more.
const AS_NEAR: u16 = 60;

impl Slac {
    pub(super) fn measured(&mut self, now: Timestamp, vehicle: Mac, groups: &wire::Groups) {
        if let Some(Run { stage: Stage::Sounding { profiles, .. }, .. }) = self.runs.of(vehicle) {
            profiles.add(groups);
            self.report_if_complete(now, vehicle);
        }
    }

    pub(super) fn report_if_complete(&mut self, now: Timestamp, vehicle: Mac) {
        if let Some(Run { stage: Stage::Sounding { expected, sounds, profiles, .. }, .. }) =
            self.runs.of(vehicle)
            && *sounds >= *expected
            && profiles.count() >= *expected
        {
            self.report(now, vehicle);
        }
    }

    /// Tells a vehicle how well it was heard, by what there is.
    fn report(&mut self, now: Timestamp, vehicle: Mac) {
        let writer = self.writer;
        let offset = self.matching.attenuation_offset_db;
        let Some(run) = self.runs.of(vehicle) else { return };
        let Stage::Sounding { sounds, sender, profiles, .. } = &run.stage else { return };
        let Some(groups) = profiles.mean(offset) else {
            let heard = *sounds > 0;
            self.runs.remove(vehicle);
            if heard {
                self.tell(Event::NotMeasured(vehicle));
            }
            return;
        };
        let (id, sender, sounds): (RunId, StationId, u8) = (run.id, *sender, profiles.count());
        let report = writer.atten_char_ind(vehicle, id, sender, sounds, &groups);
        let attenuation = overall_tenths(&groups);
        run.stage = Run::reported(now, attenuation, report.clone());
        self.send([report]);
        self.tell(Event::Measured { vehicle, run: id, attenuation, sounds });
        self.decide(now);
    }

    pub(super) fn run_due(&mut self, now: Timestamp, vehicle: Mac) {
        let Some(run) = self.runs.of(vehicle) else { return };
        match &mut run.stage {
            Stage::Sounding { .. } => self.report(now, vehicle),
            Stage::Reported { until, .. } if now >= *until => self.runs.remove(vehicle),
            Stage::Reported { repeat, report, .. } => {
                *repeat = match *repeat {
                    Some((_, left)) if left > 1 => Some((now + run::REPORT_AGAIN, left - 1)),
                    Some(_) | None => None,
                };
                let report = report.clone();
                self.send([report]);
            }
            // Decided by `decide`, which the timeout calls next.
            Stage::Chosen { .. } | Stage::Matched { .. } => {}
        }
    }

    pub(super) fn asked_for_key(&mut self, now: Timestamp, vehicle: Mac, request: MatchReq) {
        let Some(run) = self.runs.named(vehicle, request.run()) else { return };
        match &run.stage {
            // Who was not measured gets no key.
            Stage::Sounding { .. } => {}
            Stage::Reported { attenuation, .. } | Stage::Chosen { attenuation, .. } => {
                let attenuation = *attenuation;
                run.stage = Stage::Chosen { attenuation, request, decide_by: now + DECISION };
                self.decide(now);
            }
            Stage::Matched { confirmation, .. } => {
                let confirmation = confirmation.clone();
                if self.requests.pass(now) {
                    self.send([confirmation]);
                }
            }
        }
    }

    /// Answers who asked for the key, as soon as it is known whether it is theirs.
    pub(super) fn decide(&mut self, now: Timestamp) {
        let chosen: Vec<_> = self
            .runs
            .iter()
            .filter_map(|run| match run.stage {
                Stage::Chosen { attenuation, request, decide_by } => {
                    Some((run.vehicle, attenuation, request, now >= decide_by))
                }
                Stage::Sounding { .. } | Stage::Reported { .. } | Stage::Matched { .. } => None,
            })
            .collect();
        for (vehicle, attenuation, request, at_last) in chosen {
            let key = self.modem.key();
            if let Some(nearer) = self.runs.nearer(vehicle, attenuation) {
                self.not_matched(now, vehicle, attenuation);
                self.tell(Event::Farther { vehicle, attenuation, nearer });
            } else if key.is_none() || (self.runs.is_another_sounding(vehicle) && !at_last) {
                if at_last {
                    self.not_matched(now, vehicle, attenuation);
                }
            } else if let Some(key) = key {
                self.hand_over(now, vehicle, attenuation, request, key);
            }
        }
    }

    fn hand_over(&mut self, now: Timestamp, vehicle: Mac, attenuation: u16, request: MatchReq, key: Key) {
        if let Phase::Joining { vehicle: holder, since } | Phase::Linked { vehicle: holder, since, .. } =
            self.phase
            && holder != vehicle
        {
            let held_at = self.runs.of(holder).and_then(|run| run.attenuation()).unwrap_or(0);
            let silent = now >= since + SESSION;
            let takes = attenuation < held_at || (silent && attenuation <= held_at + AS_NEAR);
            if self.engaged || !takes {
                self.not_matched(now, vehicle, attenuation);
                self.tell(Event::Busy(vehicle));
            } else {
                // The key changes hands only anew: this vehicle waits for the next one.
                if silent {
                    self.runs.remove(holder);
                } else {
                    self.not_matched(now, holder, held_at);
                }
                self.tell(Event::LinkLost(holder));
                self.begin(now);
                self.modem.want_key();
            }
            return;
        }
        let confirmation = self.writer.match_cnf(vehicle, &request, key.nmk, key.nid);
        if let Some(run) = self.runs.of(vehicle) {
            run.stage = Stage::Matched { attenuation, confirmation: confirmation.clone() };
        }
        self.send([confirmation]);
        self.tell(Event::Matched { vehicle, attenuation });
        self.phase = Phase::Joining { vehicle, since: now };
        let news = self.modem.watch_link(now);
        self.heed(now, news);
    }

    /// A vehicle that has no key stays measured.
    fn not_matched(&mut self, now: Timestamp, vehicle: Mac, attenuation: u16) {
        if let Some(run) = self.runs.of(vehicle) {
            run.stage =
                Stage::Reported { until: now + SESSION, attenuation, report: Vec::new(), repeat: None };
        }
    }
}
