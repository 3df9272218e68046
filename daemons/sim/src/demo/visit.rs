//! One car's visit to an EVSE: plug in, authorize if asked, charge, unplug, read the record.
//!
//! ```text
//! Charging ──car done──▶ Leaving ──unplugged──▶ Paying ──record closed──▶ Over
//! ```

use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use tokio::time::Instant;
use voltry_bus::{EvseState, EvseStatus, Fault as SeenFault, SimTruth, Station1Proxy, Transaction};

use super::bill;
use crate::faults::Fault;
use crate::station::control::Control;
use crate::vehicle::Doing;

/// The token of the car, where the station is not free.
const TOKEN: &str = "04A1B2C3D4";
/// A fault breaks after this time under load.
const CHARGE_BEFORE_FAULT: Duration = Duration::from_secs(3);
/// What was energised must be below 60 V by then.
const SAFE_LIMIT: Duration = Duration::from_secs(15);
/// The record must be closed by then.
const RECORD_LIMIT: Duration = Duration::from_secs(20);
const SAFE_V: f64 = 60.0;
const LOAD_A: f64 = 10.0;

/// A visit.
pub(super) struct Visit<'a> {
    evse: u32,
    control: Arc<Control>,
    station: &'a Station1Proxy<'a>,
    step: Step,
    fault: Option<Fault>,
    injected: bool,
    loaded_since: Option<Instant>,
    register_before: f64,
    last_transaction: u64,
    /// Whether the car got what it came for.
    charged: bool,
    /// Every fault that the station showed during the visit.
    seen: Vec<SeenFault>,
    last_state: String,
}

enum Step {
    Charging,
    Leaving { since: Instant },
    Paying { since: Instant },
    Over { record: Option<Box<Transaction>>, truth: SimTruth },
}

impl<'a> Visit<'a> {
    /// Notes the meter and plugs in.
    pub(super) async fn begin(
        control: &Arc<Control>,
        station: &'a Station1Proxy<'a>,
        evse: u32,
        fault: Option<Fault>,
    ) -> anyhow::Result<Self> {
        let last_transaction = station.transactions(1).await?.first().map_or(0, |transaction| transaction.id);
        let truth = control.truth(evse)?;
        let mut visit = Self {
            evse,
            control: control.clone(),
            station,
            step: Step::Charging,
            fault,
            injected: false,
            loaded_since: None,
            register_before: truth.register,
            last_transaction,
            charged: false,
            seen: Vec::new(),
            last_state: String::new(),
        };
        if fault.is_some_and(strikes_before_charging) {
            visit.inject()?;
        }
        control.plug(evse)?;
        Ok(visit)
    }

    pub(super) fn evse(&self) -> u32 {
        self.evse
    }

    pub(super) fn over(&self) -> bool {
        matches!(self.step, Step::Over { .. })
    }

    pub(super) fn truth(&self) -> Option<SimTruth> {
        self.control.truth(self.evse).ok()
    }

    /// The fault that was injected, once it was.
    pub(super) fn injected(&self) -> Option<Fault> {
        self.fault.filter(|_| self.injected)
    }

    pub(super) fn describe(&self) -> String {
        let step = match &self.step {
            Step::Charging => "the car has not finished",
            Step::Leaving { .. } => "the cable is not safe yet",
            Step::Paying { .. } => "the record is not closed",
            Step::Over { .. } => "over",
        };
        format!("EVSE {} ({}): {step}", self.evse, self.last_state)
    }

    /// One look at everything; does what a driver would do next.
    pub(super) async fn proceed(&mut self, status: Option<&EvseStatus>) -> anyhow::Result<()> {
        if let Some(status) = status {
            self.note(status);
            if status.state == EvseState::Authorizing.as_str() && !status.authorized {
                self.swipe().await?;
            }
        }
        let truth = self.control.truth(self.evse)?;
        match &self.step {
            Step::Charging => {
                self.strike(&truth)?;
                if self.car_is_done() {
                    self.step = Step::Leaving { since: Instant::now() };
                }
            }
            Step::Leaving { since } => {
                if truth.cable_voltage < SAFE_V || since.elapsed() > SAFE_LIMIT {
                    // It may be out already: that is one of the faults.
                    if truth.soc >= 0.0 {
                        self.charged = truth.soc >= self.control.place(self.evse)?.vehicle.target_soc;
                        self.control.unplug(self.evse)?;
                    }
                    self.step = Step::Paying { since: Instant::now() };
                }
            }
            Step::Paying { since } => {
                let waited = since.elapsed();
                let record = self.record().await?;
                let closed = record.as_ref().is_some_and(|record| record.state == "closed");
                let none_expected = self.fault.is_some() && record.is_none() && waited > SAFE_LIMIT / 3;
                if closed || none_expected || waited > RECORD_LIMIT {
                    self.step = Step::Over { record: record.map(Box::new), truth };
                }
            }
            Step::Over { .. } => {}
        }
        Ok(())
    }

    /// Prints the end of it. True: the bill equals the meter, or the fault ended safe and explained.
    pub(super) fn judge(self) -> anyhow::Result<bool> {
        let Step::Over { record, truth } = self.step else { bail!("EVSE {} is not over", self.evse) };
        println!();
        let delivered = bill::Delivered {
            before: self.register_before,
            after: truth.register,
            resolution: truth.resolution,
        };
        if let Some(record) = &record {
            println!("{}", bill::text(record));
        }
        let Some(fault) = self.fault else {
            let record = record.ok_or_else(|| {
                anyhow!("EVSE {}: the station's book has no record of the visit", self.evse)
            })?;
            if !self.charged {
                println!("verdict   the car was not charged: {}", record.end_reason);
                return Ok(false);
            }
            return Ok(bill::equals_meter(&record, &delivered));
        };
        Ok(judge_fault(
            self.evse,
            fault,
            self.injected,
            &self.seen,
            &self.last_state,
            record.as_deref(),
            &truth,
        ))
    }

    fn car_is_done(&self) -> bool {
        self.control.place(self.evse).is_ok_and(|place| {
            let doing = place.doing.borrow();
            matches!(*doing, Doing::Done(_)) || (self.injected && *doing == Doing::Away)
        })
    }

    /// Breaks what shall break, once the car has charged for a while.
    fn strike(&mut self, truth: &SimTruth) -> anyhow::Result<()> {
        if truth.current < LOAD_A {
            self.loaded_since = None;
            return Ok(());
        }
        let since = *self.loaded_since.get_or_insert_with(Instant::now);
        if self.fault.is_some() && !self.injected && since.elapsed() > CHARGE_BEFORE_FAULT {
            self.inject()?;
        }
        Ok(())
    }

    fn inject(&mut self) -> anyhow::Result<()> {
        if let Some(fault) = self.fault {
            self.control.inject(fault.name(), self.evse)?;
            self.injected = true;
        }
        Ok(())
    }

    fn note(&mut self, status: &EvseStatus) {
        self.last_state.clone_from(&status.state);
        for fault in &status.faults {
            if !self.seen.iter().any(|seen| seen.code == fault.code) {
                self.seen.push(fault.clone());
            }
        }
    }

    async fn swipe(&self) -> anyhow::Result<()> {
        let outcome = self.control.swipe(TOKEN, self.evse).await?;
        if outcome == "refused" {
            bail!("the station refused the demo's token; put {TOKEN} into the topology's tokens");
        }
        Ok(())
    }

    async fn record(&self) -> anyhow::Result<Option<Transaction>> {
        let transactions = self.station.transactions(20).await?;
        Ok(transactions
            .into_iter()
            .find(|transaction| transaction.evse == self.evse && transaction.id > self.last_transaction))
    }
}

/// Faults that only show before energy flows.
fn strikes_before_charging(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::VehicleNoPrechargeEnd
            | Fault::VehicleWrongOrder
            | Fault::ContactorStuckOpen
            | Fault::ImdSelfTestFails
            | Fault::ContactorWelded
    )
}

/// Says what a technician sees and whether it ended safe and explained.
fn judge_fault(
    evse: u32,
    fault: Fault,
    injected: bool,
    seen: &[SeenFault],
    state: &str,
    record: Option<&Transaction>,
    truth: &SimTruth,
) -> bool {
    let row = fault.describe();
    println!("fault     {}: {}", row.name, row.breaks);
    println!("expected  {}", row.seen);
    println!("state     EVSE {evse} is {state}");
    for fault in seen {
        println!("shown     {}: {}", fault.code, fault.cause);
    }
    if !injected {
        println!("verdict   the car ended before the fault could strike");
        return false;
    }
    // Welded contacts and charged outputs are what these faults are; they must be explained.
    let opens = fault == Fault::ContactorWelded || !truth.contactors_closed;
    let discharged = matches!(fault, Fault::ModuleBleeder) || truth.cable_voltage < SAFE_V;
    let safe = truth.current < 1.0 && opens && discharged;
    let explained = !seen.is_empty() || record.is_some_and(|record| !record.end_reason.is_empty());
    println!(
        "truth     {:.0} V on the cable, {:.1} A, contactors {}",
        truth.cable_voltage,
        truth.current,
        if truth.contactors_closed { "closed" } else { "open" }
    );
    println!(
        "verdict   {} and {}",
        if safe { "safe" } else { "NOT SAFE" },
        if explained { "explained" } else { "NOT EXPLAINED" }
    );
    safe && explained
}
