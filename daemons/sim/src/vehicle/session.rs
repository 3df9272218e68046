//! One DC charging session from the vehicle's side, in the order of ISO 15118-2.

use std::fmt;
use std::time::Duration;

use iso15118::Protocol;
use iso15118::iso2::{
    BodyChoice, ChargeParameterDiscoveryResChoice3, ChargeProgress, DCEVSEStatus, DCEVSEStatusCode,
    EVSENotification, EVSEProcessing,
};
use tokio::time::{Instant, sleep, timeout};

use super::inlet::Inlet;
use super::requests::{self, Status, number};
use super::wire::{Wire, WireError};
use super::{Link, VehicleConfig, until};
use crate::faults::Fault;

/// The vehicle's patience in the loops that a station keeps open with "ongoing"
/// (ISO 15118-2 table 111).
pub(super) const ONGOING_LIMIT: Duration = Duration::from_secs(60);
pub(super) const CABLE_CHECK_LIMIT: Duration = Duration::from_secs(40);
pub(super) const PRE_CHARGE_LIMIT: Duration = Duration::from_secs(7);
pub(super) const WELDING_LIMIT: Duration = Duration::from_secs(2);
/// Between two requests of such a loop.
pub(super) const LOOP_PAUSE: Duration = Duration::from_millis(200);
/// Between two requests while nothing hurries, as real vehicles take.
pub(super) const STEP_PAUSE: Duration = Duration::from_millis(40);

/// The vehicle closes its contactors within this difference to its battery (IEC 61851-23).
pub(super) const PRE_CHARGE_TOLERANCE_V: f64 = 20.0;
const PRE_CHARGE_CURRENT_A: f64 = 1.0;
/// Below this the vehicle opens its contactors.
pub(super) const NO_CURRENT_A: f64 = 1.0;
pub(super) const SAFE_V: f64 = 60.0;
/// A vehicle that opened S2 stays so at least so long,
const OPEN_FOR: Duration = Duration::from_secs(1);
/// and waits at most so long for a cable without voltage.
const DEAD_LIMIT: Duration = Duration::from_secs(10);
/// How long the vehicle waits for the current to be gone before it opens its contactors anyway.
const CURRENT_GONE_LIMIT: Duration = Duration::from_millis(1500);

/// How a session ended that the vehicle itself did not have to break off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Charged to its target.
    Charged,
    /// Gave energy back, down to its target.
    Discharged,
    /// The station asked to stop.
    StationStopped,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Charged => "charged to its target",
            Self::Discharged => "gave energy back, down to its target",
            Self::StationStopped => "stopped on the station's request",
        })
    }
}

/// What the station wants of a vehicle that charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Nothing,
    Stop,
    Renegotiate,
}

/// Why the vehicle broke a session off.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokenOff {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the station did not finish {0} in time")]
    Impatient(&'static str),
    #[error("the station reported {0:?}")]
    StationFailure(DCEVSEStatusCode),
    #[error("the pilot no longer offers digital communication")]
    PilotLost,
    #[error("the station offers no DC charging")]
    NoDc,
    #[error("{got} does not answer what was asked")]
    Nonsense { got: &'static str },
}

/// Charges once. Whatever happens, S2 and the vehicle's contactors are open when it returns.
pub(super) async fn charge(inlet: &Inlet, config: &VehicleConfig, link: &Link) -> Result<End, BrokenOff> {
    let wire = Wire::connect(&link.interface, Protocol::Iso2).await?;
    let mut session = Session {
        wire,
        inlet,
        config,
        evcc_id: link.evcc_id,
        schedule: 1,
        current_max: 0.0,
        power_max: f64::INFINITY,
        renegotiated: config.renegotiates_at <= 0.0,
    };
    let outcome = session.run().await;
    leave(inlet, outcome.is_err()).await;
    outcome
}

/// Opens S2 and the vehicle's contactors.
pub(super) async fn leave(inlet: &Inlet, broken_off: bool) {
    if broken_off {
        // Opening S2 is the vehicle's own emergency signal; the station must take the current away.
        inlet.set_s2(false);
        current_gone(inlet).await;
    }
    inlet.set_contactors(false);
    inlet.set_s2(false);
}

struct Session<'a> {
    wire: Wire,
    inlet: &'a Inlet,
    config: &'a VehicleConfig,
    evcc_id: [u8; 6],
    schedule: u8,
    /// Amperes and watts that the station named last.
    current_max: f64,
    power_max: f64,
    /// It will not agree anew by itself any more.
    renegotiated: bool,
}

macro_rules! answer {
    ($session:expr, $request:expr, $variant:ident) => {
        match $session.ask($request).await? {
            BodyChoice::$variant(answer) => answer,
            other => return Err(BrokenOff::Nonsense { got: other.name() }),
        }
    };
}

impl Session<'_> {
    async fn run(&mut self) -> Result<End, BrokenOff> {
        self.set_up().await?;
        self.authorize().await?;
        self.parameters(false).await?;
        self.inlet.set_s2(true);
        if self.inlet.has(Fault::VehicleWrongOrder) {
            let status = self.status(true);
            self.ask(requests::current_demand(self.config, status, self.inlet.battery_voltage(), 10.0))
                .await?;
        }
        self.power_on().await?;
        let end = self.charge_loop().await?;
        self.finish().await?;
        Ok(end)
    }

    /// From CableCheck to the energy.
    async fn power_on(&mut self) -> Result<(), BrokenOff> {
        self.cable_check().await?;
        self.pre_charge().await?;
        self.inlet.set_contactors(true);
        // Contactors take this long to close.
        sleep(Duration::from_millis(50)).await;
        let start = requests::power_delivery(ChargeProgress::Start, self.status(true), self.schedule);
        answer!(self, start, PowerDeliveryRes);
        Ok(())
    }

    /// Agrees on schedules anew: ISO 15118-2 has a DC vehicle go through CableCheck again. `pauses`: it opens S2
    /// until the cable is dead.
    async fn renegotiate(&mut self, pauses: bool) -> Result<(), BrokenOff> {
        self.ramp_down().await?;
        let ask = requests::power_delivery(ChargeProgress::Renegotiate, self.status(true), self.schedule);
        answer!(self, ask, PowerDeliveryRes);
        current_gone(self.inlet).await;
        self.inlet.set_s2(!pauses);
        self.inlet.set_contactors(false);
        if pauses {
            sleep(OPEN_FOR).await;
            if timeout(DEAD_LIMIT, until(|| self.inlet.voltage() < SAFE_V)).await.is_err() {
                return Err(BrokenOff::Impatient("taking the voltage away"));
            }
            self.inlet.set_s2(true);
        }
        self.parameters(true).await?;
        self.power_on().await
    }

    async fn set_up(&mut self) -> Result<(), BrokenOff> {
        answer!(self, requests::session_setup(self.evcc_id), SessionSetupRes);
        let services = answer!(self, requests::service_discovery(), ServiceDiscoveryRes);
        let select = requests::external_payment(services.charge_service.service_id);
        answer!(self, select, PaymentServiceSelectionRes);
        Ok(())
    }

    async fn authorize(&mut self) -> Result<(), BrokenOff> {
        let patience = Duration::from_secs(self.config.authorization_patience_s);
        let deadline = Instant::now() + patience.max(ONGOING_LIMIT);
        while Instant::now() < deadline {
            let answer = answer!(self, requests::authorization(), AuthorizationRes);
            if answer.evse_processing == EVSEProcessing::Finished {
                return Ok(());
            }
            sleep(LOOP_PAUSE).await;
        }
        Err(BrokenOff::Impatient("authorization"))
    }

    async fn parameters(&mut self, ready: bool) -> Result<(), BrokenOff> {
        let deadline = Instant::now() + ONGOING_LIMIT;
        while Instant::now() < deadline {
            let request = requests::charge_parameters(self.config, self.status(ready));
            let answer = answer!(self, request, ChargeParameterDiscoveryRes);
            if answer.evse_processing != EVSEProcessing::Finished {
                sleep(LOOP_PAUSE).await;
                continue;
            }
            if let Some(iso15118::iso2::ChargeParameterDiscoveryResChoice2::SAScheduleList(list)) =
                answer.choice_2
                && let Some(first) = list.sa_schedule_tuple.first()
            {
                self.schedule = first.sa_schedule_tuple_id;
            }
            let ChargeParameterDiscoveryResChoice3::DCEVSEChargeParameter(limits) = answer.choice_3 else {
                return Err(BrokenOff::NoDc);
            };
            self.current_max = number(&limits.evse_maximum_current_limit);
            self.power_max = number(&limits.evse_maximum_power_limit);
            return Ok(());
        }
        Err(BrokenOff::Impatient("ChargeParameterDiscovery"))
    }

    async fn cable_check(&mut self) -> Result<(), BrokenOff> {
        let deadline = Instant::now() + CABLE_CHECK_LIMIT;
        while Instant::now() < deadline {
            let answer = answer!(self, requests::cable_check(self.status(true)), CableCheckRes);
            heed(&answer.dc_evse_status)?;
            if answer.evse_processing == EVSEProcessing::Finished {
                return Ok(());
            }
            sleep(LOOP_PAUSE).await;
        }
        Err(BrokenOff::Impatient("CableCheck"))
    }

    async fn pre_charge(&mut self) -> Result<(), BrokenOff> {
        let never = self.inlet.has(Fault::VehicleNoPrechargeEnd);
        let deadline = Instant::now() + if never { ONGOING_LIMIT } else { PRE_CHARGE_LIMIT };
        while Instant::now() < deadline {
            let battery = self.inlet.battery_voltage();
            let request = requests::pre_charge(self.status(true), battery, PRE_CHARGE_CURRENT_A);
            let answer = answer!(self, request, PreChargeRes);
            heed(&answer.dc_evse_status)?;
            // A vehicle believes its own measurement of the inlet, not only the station's word.
            let told = number(&answer.evse_present_voltage);
            let near = |voltage: f64| (voltage - battery).abs() < PRE_CHARGE_TOLERANCE_V;
            if near(told) && near(self.inlet.voltage()) && !never {
                return Ok(());
            }
            sleep(LOOP_PAUSE / 2).await;
        }
        Err(BrokenOff::Impatient("PreCharge"))
    }

    async fn charge_loop(&mut self) -> Result<End, BrokenOff> {
        loop {
            if self.inlet.soc() >= self.config.target_soc {
                return Ok(End::Charged);
            }
            if !self.renegotiated && self.inlet.soc() >= self.config.renegotiates_at {
                self.renegotiated = true;
                self.renegotiate(true).await?;
            }
            self.misbehave().await?;
            let (voltage, current) = self.wanted();
            match self.demand(voltage, current).await? {
                Wish::Stop => return Ok(End::StationStopped),
                Wish::Renegotiate => self.renegotiate(false).await?,
                Wish::Nothing => {}
            }
            sleep(Duration::from_millis(self.config.turnaround_ms)).await;
        }
    }

    /// Constant current up to the battery's highest voltage, then constant voltage.
    fn wanted(&self) -> (f64, f64) {
        let voltage = self.inlet.voltage().max(self.inlet.battery_voltage()).max(1.0);
        if self.inlet.has(Fault::VehicleOverasks) {
            return (self.config.voltage_max, 2.0 * self.current_max.max(self.config.current_max));
        }
        let power = self.config.power_max.min(self.power_max);
        let headroom = ((self.config.voltage_max - 2.0 - voltage) / 10.0).clamp(0.0, 1.0);
        let current = self.config.current_max.min(self.current_max).min(power / voltage) * headroom;
        (self.config.voltage_max, current)
    }

    /// One round of the charge loop.
    async fn demand(&mut self, voltage: f64, current: f64) -> Result<Wish, BrokenOff> {
        let request = requests::current_demand(self.config, self.status(true), voltage, current);
        let answer = answer!(self, request, CurrentDemandRes);
        heed(&answer.dc_evse_status)?;
        if let Some(limit) = &answer.evse_maximum_current_limit {
            self.current_max = number(limit);
        }
        if let Some(limit) = &answer.evse_maximum_power_limit {
            self.power_max = number(limit);
        }
        Ok(match answer.dc_evse_status.evse_notification {
            _ if answer.dc_evse_status.evse_status_code == DCEVSEStatusCode::EVSEShutdown => Wish::Stop,
            EVSENotification::StopCharging => Wish::Stop,
            EVSENotification::ReNegotiation => Wish::Renegotiate,
            EVSENotification::None => Wish::Nothing,
        })
    }

    /// The faults that show in the charge loop.
    async fn misbehave(&self) -> Result<(), BrokenOff> {
        if self.inlet.has(Fault::VehicleUnplugsUnderLoad) && self.inlet.current() > 10.0 {
            tracing::info!("the plug is pulled under load");
            self.inlet.mend(Fault::VehicleUnplugsUnderLoad);
            self.inlet.unplug();
            // The caller notices the missing plug and drops this session.
            std::future::pending::<()>().await;
        }
        if self.inlet.has(Fault::VehicleSilent) {
            until(|| !self.inlet.has(Fault::VehicleSilent) || !self.inlet.digital()).await;
        }
        if self.inlet.has(Fault::VehicleSlow) {
            sleep(Duration::from_millis(1500)).await;
        }
        Ok(())
    }

    /// Current down, PowerDelivery(Stop), contactors open, welding detection, SessionStop.
    async fn finish(&mut self) -> Result<(), BrokenOff> {
        self.ramp_down().await?;
        let stop = requests::power_delivery(ChargeProgress::Stop, self.status(false), self.schedule);
        answer!(self, stop, PowerDeliveryRes);
        current_gone(self.inlet).await;
        self.inlet.set_s2(false);
        self.inlet.set_contactors(false);
        let deadline = Instant::now() + WELDING_LIMIT;
        while Instant::now() < deadline {
            let answer = answer!(self, requests::welding_detection(self.status(false)), WeldingDetectionRes);
            if number(&answer.evse_present_voltage) < SAFE_V {
                break;
            }
            sleep(LOOP_PAUSE / 2).await;
        }
        answer!(self, requests::session_stop(), SessionStopRes);
        Ok(())
    }

    async fn ramp_down(&mut self) -> Result<(), BrokenOff> {
        let deadline = Instant::now() + Duration::from_secs(2);
        while self.inlet.current() > NO_CURRENT_A && Instant::now() < deadline {
            self.demand(self.config.voltage_max, 0.0).await?;
            sleep(Duration::from_millis(self.config.turnaround_ms)).await;
        }
        Ok(())
    }

    fn status(&self, ready: bool) -> Status {
        Status { soc: self.inlet.soc(), ready }
    }

    /// Asks, unless the pilot is gone: without it a vehicle must not go on.
    async fn ask(&mut self, request: BodyChoice) -> Result<BodyChoice, BrokenOff> {
        if !self.inlet.digital() {
            return Err(BrokenOff::PilotLost);
        }
        if !matches!(request, BodyChoice::CurrentDemandReq(_)) {
            sleep(STEP_PAUSE).await;
        }
        Ok(self.wire.ask(request).await?)
    }
}

/// Waits until no current flows, and not long.
pub(super) async fn current_gone(inlet: &Inlet) {
    let gone = until(|| inlet.current().abs() < NO_CURRENT_A);
    if timeout(CURRENT_GONE_LIMIT, gone).await.is_err() {
        tracing::warn!(current = inlet.current(), "the vehicle opens its contactors under load");
    }
}

/// A vehicle ends the session when the station reports a failure.
fn heed(status: &DCEVSEStatus) -> Result<(), BrokenOff> {
    let code = status.evse_status_code;
    match code {
        DCEVSEStatusCode::EVSEMalfunction
        | DCEVSEStatusCode::EVSEEmergencyShutdown
        | DCEVSEStatusCode::EVSEUtilityInterruptEvent => Err(BrokenOff::StationFailure(code)),
        DCEVSEStatusCode::EVSENotReady
        | DCEVSEStatusCode::EVSEReady
        | DCEVSEStatusCode::EVSEShutdown
        | DCEVSEStatusCode::EVSEIsolationMonitoringActive
        | DCEVSEStatusCode::Reserved8
        | DCEVSEStatusCode::Reserved9
        | DCEVSEStatusCode::ReservedA
        | DCEVSEStatusCode::ReservedB
        | DCEVSEStatusCode::ReservedC => Ok(()),
    }
}
