//! One circuit, several users.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Circuit, KeptRegisters, STEP};

/// A circuit that several devices, the vehicle and the control interface share.
///
/// All of them run on one thread; the lock is there because a D-Bus object must be `Send`. Nobody
/// holds it across an await, which [`Self::with`] makes impossible.
#[derive(Debug, Clone)]
pub struct SharedCircuit(Arc<Mutex<Circuit>>);

impl SharedCircuit {
    /// Shares `circuit`.
    #[must_use]
    pub fn new(circuit: Circuit) -> Self {
        Self(Arc::new(Mutex::new(circuit)))
    }

    /// Looks at or changes the circuit.
    pub fn with<R>(&self, f: impl FnOnce(&mut Circuit) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Steps the circuit in real time, for ever. A process that was stopped catches up by at most
    /// half a second of steps; the rest of the time is lost, as if the world had stood still.
    ///
    /// What the meters have counted is kept before any of their users can read it.
    pub async fn run(self, mut kept: Option<KeptRegisters>) {
        let mut ticks = tokio::time::interval(STEP);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last = tokio::time::Instant::now();
        loop {
            ticks.tick().await;
            let now = tokio::time::Instant::now();
            let steps = (now - last).as_micros() / STEP.as_micros();
            if steps > 100 {
                last = now;
            }
            for _ in 0..steps.min(100) {
                self.with(|circuit| circuit.step(STEP));
                last = (last + STEP).min(now);
            }
            if let Some(Err(error)) = kept.as_mut().map(|kept| self.with(|circuit| kept.keep(circuit))) {
                tracing::error!(%error, "the meters' registers can no longer be kept");
                kept = None;
            }
        }
    }
}
