//! The installed profiles and the transactions they are for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::convert::Supply;
use super::profile::{ChargingProfile, ChargingSchedule, Kind, LimitSource, Period, Purpose, UnixSeconds};
use super::rate::Rate;
use super::timeline::{Anchor, Installed};
use super::validate::{Edition, Rejection, Rules, anchor, duplicate};

/// A transaction that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// The book's number of it.
    pub number: u64,
    /// What the protocol calls it; in 1.6 unknown until the CSMS has answered StartTransaction.
    pub protocol_id: Option<String>,
    /// When it started; relative schedules count from here.
    pub started: UnixSeconds,
}

/// Everything of the profiles that outlasts a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub(super) installed: Vec<Installed>,
    pub(super) transactions: BTreeMap<u32, Transaction>,
    pub(super) waiting: BTreeMap<u32, Waiting>,
}

/// A profile that came with a request to start, until the transaction starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) remote_start: Option<i64>,
    pub(super) profile: ChargingProfile,
}

/// All charging profiles of a station.
#[derive(Debug, Clone)]
pub struct ChargingProfiles {
    pub(super) rules: Rules,
    pub(super) supply: Supply,
    /// What the hardware can give: the whole station, then each EVSE from 1.
    pub(super) capability: Vec<Rate>,
    pub(super) stored: Stored,
}

impl ChargingProfiles {
    /// The profiles as a restart finds them. `capability`: watts that the whole station can give,
    /// then each EVSE from 1; what an EVSE lacks in the list counts as the station's.
    ///
    /// Nothing stored is judged again: a limit that was accepted holds, also where the rules have
    /// become stricter since.
    #[must_use]
    pub fn new(rules: Rules, supply: Supply, capability: &[Rate], stored: Stored) -> Self {
        let whole = capability.first().copied().unwrap_or(Rate::ZERO);
        let count = usize::try_from(rules.evses).unwrap_or(usize::MAX).saturating_add(1);
        let mut capability = capability.to_vec();
        capability.resize(count, whole);
        Self { rules, supply, capability, stored }
    }

    /// The EVSEs that there are, and what they can give; as in [`Self::new`].
    pub fn fit(&mut self, evses: u32, capability: &[Rate]) {
        let rules = Rules { evses, ..self.rules.clone() };
        *self = Self::new(rules, self.supply, capability, std::mem::take(&mut self.stored));
    }

    /// What to keep on the disk, after every change.
    #[must_use]
    pub fn stored(&self) -> &Stored {
        &self.stored
    }

    /// What this station accepts.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// How many profiles the CSMS has installed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stored.installed.iter().filter(|installed| installed.source == LimitSource::Cso).count()
    }

    /// Whether the CSMS has installed none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// SetChargingProfile: installs a profile, in the place of what it replaces.
    ///
    /// # Errors
    /// Why it is rejected; nothing has changed then.
    pub fn install(
        &mut self,
        edition: Edition,
        evse: u32,
        profile: ChargingProfile,
        now: UnixSeconds,
    ) -> Result<(), Rejection> {
        self.rules.check(edition, evse, &profile)?;
        let transaction = match profile.purpose {
            Purpose::Tx => Some(self.transaction_of(edition, evse, &profile)?),
            Purpose::TxDefault | Purpose::StationMax | Purpose::StationExternalConstraints => None,
        };
        self.admit(edition, evse, profile, transaction, now)
    }

    /// The running transaction that a TxProfile is for.
    fn transaction_of(
        &self,
        edition: Edition,
        evse: u32,
        profile: &ChargingProfile,
    ) -> Result<u64, Rejection> {
        // K01.FR.03. In 1.6 the id is optional: the transaction on the connector is meant.
        if edition == Edition::V201 && profile.transaction_id.is_none() {
            return Err(Rejection::NoTransactionId);
        }
        let running = self.stored.transactions.get(&evse).ok_or(Rejection::NoTransaction(evse))?;
        if profile.transaction_id.is_some() && profile.transaction_id != running.protocol_id {
            return Err(Rejection::OtherTransaction(evse)); // K01.FR.33
        }
        Ok(running.number)
    }

    fn admit(
        &mut self,
        edition: Edition,
        evse: u32,
        profile: ChargingProfile,
        transaction: Option<u64>,
        now: UnixSeconds,
    ) -> Result<(), Rejection> {
        let new =
            Installed { evse, source: LimitSource::Cso, anchor: anchor(&profile, now), transaction, profile };
        let external = |old: &Installed| old.source != LimitSource::Cso;
        let installed = &mut self.stored.installed;
        if installed.iter().any(|old| external(old) && old.profile.id == new.profile.id) {
            return Err(Rejection::IdOfExternalConstraint(new.profile.id)); // K01.FR.05
        }
        if edition == Edition::V201
            && let Some(other) = duplicate(installed, &new)
        {
            return Err(Rejection::Duplicate(other));
        }
        let replaced = |old: &Installed| {
            // 1.6, 5.16: the same id, or the same purpose and level on the same connector.
            let same_place = edition == Edition::V16
                && old.evse == new.evse
                && old.profile.purpose == new.profile.purpose
                && old.profile.stack_level == new.profile.stack_level;
            !external(old) && (old.profile.id == new.profile.id || same_place)
        };
        let staying = |all: &[Installed]| all.iter().filter(|old| !external(old) && !replaced(old)).count();
        if staying(installed) >= self.rules.max_profiles {
            installed.retain(|old| external(old) || replaced(old) || !old.expired(now));
        }
        if staying(installed) >= self.rules.max_profiles {
            return Err(Rejection::Full(self.rules.max_profiles));
        }
        installed.retain(|old| !replaced(old));
        installed.push(new);
        Ok(())
    }

    /// Keeps a TxProfile for a transaction on `evse` that is about to start: by this request to start,
    /// or, if there is none, one that the CSMS already knows by the id that the profile names. A newer
    /// one for that EVSE replaces it.
    ///
    /// # Errors
    /// Why it is rejected (K05; 1.6, 5.11), and with it the request to start.
    pub fn prepare(
        &mut self,
        edition: Edition,
        evse: u32,
        remote_start: Option<i64>,
        profile: ChargingProfile,
    ) -> Result<(), Rejection> {
        if profile.purpose != Purpose::Tx {
            return Err(Rejection::NotForStart);
        }
        self.rules.check(edition, evse, &profile)?;
        self.stored.waiting.insert(evse, Waiting { remote_start, profile });
        Ok(())
    }

    /// Whether a profile waits for a transaction that it names by the CSMS's id.
    #[must_use]
    pub fn waits_by_id(&self, evse: u32) -> bool {
        self.stored.waiting.get(&evse).is_some_and(|waiting| waiting.remote_start.is_none())
    }

    /// The transaction on an EVSE.
    #[must_use]
    pub fn transaction(&self, evse: u32) -> Option<&Transaction> {
        self.stored.transactions.get(&evse)
    }

    /// A transaction runs on `evse`. TxProfiles of an earlier one there are gone.
    pub fn transaction_started(&mut self, evse: u32, transaction: Transaction) {
        if let Some(earlier) = self.stored.transactions.get(&evse) {
            let earlier = earlier.number;
            if earlier == transaction.number {
                return;
            }
            self.transaction_ended(earlier);
        }
        self.stored.transactions.insert(evse, transaction);
    }

    /// What the running transaction on `evse` was started by: a profile that waits for this request to
    /// start is for it from now on, one that waits for another request waits no longer. True: it got one.
    ///
    /// # Errors
    /// The profile finds no place any more; the transaction goes on without it.
    pub fn transaction_started_by(
        &mut self,
        edition: Edition,
        evse: u32,
        remote_start: Option<i64>,
        now: UnixSeconds,
    ) -> Result<bool, Rejection> {
        let Some(transaction) = self.stored.transactions.get(&evse) else { return Ok(false) };
        let (number, id) = (transaction.number, transaction.protocol_id.clone());
        let Some(waiting) = self.stored.waiting.remove(&evse) else { return Ok(false) };
        let meant = match waiting.remote_start {
            Some(request) => remote_start == Some(request),
            None => id.is_some() && waiting.profile.transaction_id == id,
        };
        if !meant {
            return Ok(false);
        }
        let profile = ChargingProfile { transaction_id: id, ..waiting.profile };
        self.admit(edition, evse, profile, Some(number), now).map(|()| true)
    }

    /// The CSMS gave a transaction its id (1.6: StartTransaction.conf).
    pub fn transaction_named(&mut self, number: u64, id: &str) {
        for transaction in
            self.stored.transactions.values_mut().filter(|transaction| transaction.number == number)
        {
            transaction.protocol_id = Some(id.to_owned());
        }
        for installed in self.stored.installed.iter_mut().filter(|one| one.transaction == Some(number)) {
            installed.profile.transaction_id = Some(id.to_owned());
        }
    }

    /// A transaction ended: its TxProfiles are gone.
    pub fn transaction_ended(&mut self, number: u64) {
        self.stored.transactions.retain(|_, transaction| transaction.number != number);
        self.stored.installed.retain(|installed| installed.transaction != Some(number));
    }

    /// After a restart: every transaction but these (the book's open ones) has ended meanwhile.
    pub fn keep_transactions(&mut self, open: &[u64]) {
        self.stored.transactions.retain(|_, transaction| open.contains(&transaction.number));
        self.stored.installed.retain(|one| one.transaction.is_none_or(|number| open.contains(&number)));
    }

    /// The time of day was set by this many seconds while transactions ran: what counts from their
    /// start goes on as it was, what counts from the time of day follows the new one.
    pub fn clock_moved(&mut self, by: i64) {
        for transaction in self.stored.transactions.values_mut() {
            transaction.started = transaction.started.plus(by);
        }
        for installed in &mut self.stored.installed {
            if let Anchor::Received(at) = installed.anchor {
                installed.anchor = Anchor::Received(at.plus(by));
            }
        }
    }

    /// Somebody but the CSMS limits an EVSE, or the station (0), or does so no more (`None`): K11 to
    /// K13. Each source has one limit at a place. True: something changed.
    ///
    /// # Errors
    /// There is no such EVSE.
    pub fn constrain(
        &mut self,
        evse: u32,
        source: LimitSource,
        limit: Option<Rate>,
        now: UnixSeconds,
    ) -> Result<bool, Rejection> {
        if evse > self.rules.evses {
            return Err(Rejection::UnknownEvse(evse));
        }
        let here = |one: &Installed| {
            one.evse == evse
                && one.source == source
                && one.profile.purpose == Purpose::StationExternalConstraints
        };
        let before = self.stored.installed.iter().find(|one| here(one)).and_then(|one| one.limits().next());
        if before == limit {
            return Ok(false);
        }
        self.stored.installed.retain(|one| !here(one));
        if let Some(limit) = limit {
            self.stored.installed.push(external_constraint(evse, source, limit, now));
        }
        Ok(true)
    }
}

/// A limit from elsewhere in the form in which it is reported. Its id is negative: those of CSMSs
/// are not.
fn external_constraint(evse: u32, source: LimitSource, limit: Rate, now: UnixSeconds) -> Installed {
    let of_source = match source {
        LimitSource::Ems => 1,
        LimitSource::Other => 2,
        LimitSource::So => 3,
        LimitSource::Cso => 4,
    };
    let id = -(i32::try_from(evse).unwrap_or(i32::MAX / 8).saturating_mul(4).saturating_add(of_source));
    let schedule = ChargingSchedule {
        id,
        start: Some(now),
        duration_s: None,
        unit: limit.unit,
        min_charging_rate: None,
        tariff: None,
        periods: vec![Period { start_s: 0, limit, phase_to_use: None }],
    };
    let profile = ChargingProfile {
        id,
        stack_level: 0,
        purpose: Purpose::StationExternalConstraints,
        kind: Kind::Absolute,
        recurrence: None,
        valid_from: None,
        valid_to: None,
        transaction_id: None,
        schedules: vec![schedule],
    };
    Installed { evse, source, anchor: Anchor::Received(now), transaction: None, profile }
}
