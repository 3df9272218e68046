//! A vehicle that gives energy back: one session of ISO 15118-20, DC_BPT under scheduled control, external payment.
//!
//! It wants the same current all the time, from its battery, until that is down to where its driver wants it or the
//! station asks to stop.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use iso15118::Protocol;
use iso15118::iso20::common::{EvseNotification, MessageHeader, Processing, RationalNumber};
use iso15118::iso20::dc::{self, Document as Dc};
use iso15118::iso20::messages::{self, ChannelSelection, ChargeProgress, ChargingSession, Document as Main};
use iso15118::message::Message;
use tokio::time::{Instant, sleep};

use super::inlet::Inlet;
use super::session::{
    BrokenOff, CABLE_CHECK_LIMIT, End, LOOP_PAUSE, NO_CURRENT_A, ONGOING_LIMIT, PRE_CHARGE_LIMIT,
    PRE_CHARGE_TOLERANCE_V, SAFE_V, STEP_PAUSE, WELDING_LIMIT, current_gone, leave,
};
use super::wire::Wire;
use super::{Link, VehicleConfig};

/// DC_BPT, and the value of the parameter `ControlMode` for scheduled control.
const SERVICE: u16 = 6;
const SCHEDULED: i32 = 1;
/// Share of its highest voltage below which it is not to be discharged.
const LEAST_SHARE: f64 = 0.7;

/// Gives energy once. Whatever happens, S2 and the vehicle's contactors are open when it returns.
pub(super) async fn give(inlet: &Inlet, config: &VehicleConfig, link: &Link) -> Result<End, BrokenOff> {
    let wire = Wire::connect(&link.interface, Protocol::Iso20).await?;
    let outcome = Session { wire, inlet, config }.run().await;
    leave(inlet, outcome.is_err()).await;
    outcome
}

struct Session<'a> {
    wire: Wire,
    inlet: &'a Inlet,
    config: &'a VehicleConfig,
}

macro_rules! answer {
    ($session:expr, $ask:ident, $document:ident :: $variant:ident, $request:expr) => {
        match $session.$ask($request).await? {
            $document::$variant(answer) => answer,
            other => return Err(BrokenOff::Nonsense { got: other.name() }),
        }
    };
}

impl Session<'_> {
    async fn run(&mut self) -> Result<End, BrokenOff> {
        self.set_up().await?;
        self.agree().await?;
        self.inlet.set_s2(true);
        self.cable_check().await?;
        self.pre_charge().await?;
        self.inlet.set_contactors(true);
        // Contactors take this long to close.
        sleep(Duration::from_millis(50)).await;
        self.power(ChargeProgress::Start).await?;
        let end = self.give_loop().await?;
        self.finish().await?;
        Ok(end)
    }

    async fn set_up(&mut self) -> Result<(), BrokenOff> {
        let evcc_id = "WMIV1234567890ABCDEX".to_owned();
        answer!(
            self,
            main,
            Main::SessionSetupRes,
            Main::SessionSetupReq(messages::SessionSetupReq { header: header(), evcc_id })
        );
        let request = Main::AuthorizationSetupReq(messages::AuthorizationSetupReq { header: header() });
        answer!(self, main, Main::AuthorizationSetupRes, request);
        let deadline = Instant::now() + Duration::from_secs(self.config.authorization_patience_s);
        while answer!(self, main, Main::AuthorizationRes, authorization()).evse_processing
            != Processing::Finished
        {
            patient(deadline, "authorization").await?;
        }
        let request = Main::ServiceDiscoveryReq(messages::ServiceDiscoveryReq {
            header: header(),
            supported_service_i_ds: None,
        });
        answer!(self, main, Main::ServiceDiscoveryRes, request);
        let request =
            Main::ServiceDetailReq(messages::ServiceDetailReq { header: header(), service_id: SERVICE });
        let detail = answer!(self, main, Main::ServiceDetailRes, request);
        let sets = detail.service_parameter_list.parameter_set;
        let set = sets.iter().find(|set| is_scheduled(set)).ok_or(BrokenOff::NoDc)?;
        answer!(self, main, Main::ServiceSelectionRes, selection(set.parameter_set_id));
        Ok(())
    }

    /// On limits and on a schedule.
    async fn agree(&mut self) -> Result<(), BrokenOff> {
        answer!(self, dc, Dc::DCChargeParameterDiscoveryRes, self.parameters());
        let deadline = Instant::now() + ONGOING_LIMIT;
        while answer!(self, main, Main::ScheduleExchangeRes, schedule_exchange()).evse_processing
            != Processing::Finished
        {
            patient(deadline, "ScheduleExchange").await?;
        }
        Ok(())
    }

    async fn cable_check(&mut self) -> Result<(), BrokenOff> {
        let deadline = Instant::now() + CABLE_CHECK_LIMIT;
        let request = || Dc::DCCableCheckReq(dc::DCCableCheckReq { header: header() });
        while answer!(self, dc, Dc::DCCableCheckRes, request()).evse_processing != Processing::Finished {
            patient(deadline, "CableCheck").await?;
        }
        Ok(())
    }

    async fn pre_charge(&mut self) -> Result<(), BrokenOff> {
        let deadline = Instant::now() + PRE_CHARGE_LIMIT;
        loop {
            let battery = self.inlet.battery_voltage();
            let request = Dc::DCPreChargeReq(dc::DCPreChargeReq {
                header: header(),
                ev_processing: Processing::Ongoing,
                ev_present_voltage: tenths(battery),
                ev_target_voltage: tenths(battery),
            });
            let told = value(&answer!(self, dc, Dc::DCPreChargeRes, request).evse_present_voltage);
            let near = |voltage: f64| (voltage - battery).abs() < PRE_CHARGE_TOLERANCE_V;
            if near(told) && near(self.inlet.voltage()) {
                return Ok(());
            }
            patient(deadline, "PreCharge").await?;
        }
    }

    async fn power(&mut self, charge_progress: ChargeProgress) -> Result<(), BrokenOff> {
        let request = Main::PowerDeliveryReq(messages::PowerDeliveryReq {
            header: header(),
            ev_processing: Processing::Finished,
            charge_progress,
            ev_power_profile: None,
            bpt_channel_selection: Some(ChannelSelection::Discharge),
        });
        answer!(self, main, Main::PowerDeliveryRes, request);
        Ok(())
    }

    async fn give_loop(&mut self) -> Result<End, BrokenOff> {
        while self.inlet.soc() > self.config.target_soc {
            if self.demand(-self.config.gives).await? {
                return Ok(End::StationStopped);
            }
        }
        Ok(End::Discharged)
    }

    /// One round of the charge loop; true: the station wants it over.
    async fn demand(&mut self, current: f64) -> Result<bool, BrokenOff> {
        let mode = dc::BPTScheduledDCCLReqControlMode {
            ev_target_current: tenths(current),
            ev_target_voltage: tenths(self.config.voltage_max),
            ..dc::BPTScheduledDCCLReqControlMode::minimal()
        };
        let request = Dc::DCChargeLoopReq(dc::DCChargeLoopReq {
            header: header(),
            display_parameters: None,
            meter_info_requested: false,
            ev_present_voltage: tenths(self.inlet.voltage()),
            choice: dc::DCChargeLoopReqChoice::BPTScheduledDCCLReqControlMode(mode),
        });
        let answer = answer!(self, dc, Dc::DCChargeLoopRes, request);
        sleep(Duration::from_millis(self.config.turnaround_ms)).await;
        let wish = answer.evse_status.map(|status| status.evse_notification);
        Ok(wish == Some(EvseNotification::Terminate))
    }

    /// Current down, PowerDelivery(Stop), contactors open, welding detection, SessionStop.
    async fn finish(&mut self) -> Result<(), BrokenOff> {
        let deadline = Instant::now() + Duration::from_secs(2);
        while self.inlet.current().abs() > NO_CURRENT_A && Instant::now() < deadline {
            self.demand(0.0).await?;
        }
        self.power(ChargeProgress::Stop).await?;
        current_gone(self.inlet).await;
        self.inlet.set_s2(false);
        self.inlet.set_contactors(false);
        let deadline = Instant::now() + WELDING_LIMIT;
        while Instant::now() < deadline {
            let request = Dc::DCWeldingDetectionReq(dc::DCWeldingDetectionReq {
                header: header(),
                ev_processing: Processing::Ongoing,
            });
            if value(&answer!(self, dc, Dc::DCWeldingDetectionRes, request).evse_present_voltage) < SAFE_V {
                break;
            }
            sleep(LOOP_PAUSE / 2).await;
        }
        let request = Main::SessionStopReq(messages::SessionStopReq {
            header: header(),
            charging_session: ChargingSession::Terminate,
            ev_termination_code: None,
            ev_termination_explanation: None,
        });
        answer!(self, main, Main::SessionStopRes, request);
        Ok(())
    }

    fn parameters(&self) -> Dc {
        let VehicleConfig { voltage_max, current_max, power_max, gives, .. } = *self.config;
        let mode = dc::BPTDCCPDReqEnergyTransferMode {
            ev_maximum_charge_power: kilowatts(power_max),
            ev_maximum_charge_current: tenths(current_max),
            ev_maximum_voltage: tenths(voltage_max),
            ev_minimum_voltage: tenths(voltage_max * LEAST_SHARE),
            ev_maximum_discharge_power: kilowatts(power_max),
            ev_maximum_discharge_current: tenths(gives),
            ..dc::BPTDCCPDReqEnergyTransferMode::minimal()
        };
        Dc::DCChargeParameterDiscoveryReq(dc::DCChargeParameterDiscoveryReq {
            header: header(),
            choice: dc::DCChargeParameterDiscoveryReqChoice::BPTDCCPDReqEnergyTransferMode(mode),
        })
    }

    async fn main(&mut self, request: Main) -> Result<Main, BrokenOff> {
        let answer = self.ask(Message::Iso20(Box::new(request))).await?;
        let got = answer.name();
        let Message::Iso20(document) = answer else { return Err(BrokenOff::Nonsense { got }) };
        Ok(*document)
    }

    async fn dc(&mut self, request: Dc) -> Result<Dc, BrokenOff> {
        let answer = self.ask(Message::Iso20Dc(Box::new(request))).await?;
        let got = answer.name();
        let Message::Iso20Dc(document) = answer else { return Err(BrokenOff::Nonsense { got }) };
        Ok(*document)
    }

    /// Asks, unless the pilot is gone: without it a vehicle must not go on.
    async fn ask(&mut self, request: Message) -> Result<Message, BrokenOff> {
        if !self.inlet.digital() {
            return Err(BrokenOff::PilotLost);
        }
        let loops =
            matches!(&request, Message::Iso20Dc(document) if matches!(**document, Dc::DCChargeLoopReq(_)));
        if !loops {
            sleep(STEP_PAUSE).await;
        }
        Ok(self.wire.exchange(request).await?)
    }
}

/// Waits until it is time to ask again, and not for ever.
async fn patient(deadline: Instant, what: &'static str) -> Result<(), BrokenOff> {
    if Instant::now() >= deadline {
        return Err(BrokenOff::Impatient(what));
    }
    sleep(LOOP_PAUSE / 2).await;
    Ok(())
}

fn is_scheduled(set: &messages::ParameterSet) -> bool {
    set.parameter.iter().any(|parameter| {
        parameter.name == "ControlMode"
            && matches!(parameter.choice, messages::ParameterChoice::IntValue(SCHEDULED))
    })
}

fn authorization() -> Main {
    Main::AuthorizationReq(messages::AuthorizationReq {
        header: header(),
        selected_authorization_service: messages::Authorization::EIM,
        choice: messages::AuthorizationReqChoice::EIMAReqAuthorizationMode(
            messages::EIMAReqAuthorizationMode,
        ),
    })
}

fn selection(parameter_set_id: u16) -> Main {
    Main::ServiceSelectionReq(messages::ServiceSelectionReq {
        header: header(),
        selected_energy_transfer_service: messages::SelectedService { service_id: SERVICE, parameter_set_id },
        selected_vas_list: None,
    })
}

fn schedule_exchange() -> Main {
    Main::ScheduleExchangeReq(messages::ScheduleExchangeReq {
        header: header(),
        maximum_supporting_points: 1024,
        choice: messages::ScheduleExchangeReqChoice::ScheduledSEReqControlMode(
            messages::ScheduledSEReqControlMode::minimal(),
        ),
    })
}

/// The wire puts the session's id in.
fn header() -> MessageHeader {
    let time_stamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    MessageHeader { session_id: Vec::new(), time_stamp, signature: None }
}

fn tenths(value: f64) -> RationalNumber {
    rational(value, -1)
}

fn kilowatts(watts: f64) -> RationalNumber {
    rational(watts, 3)
}

// Clamped to the target's range first.
#[allow(clippy::cast_possible_truncation)]
fn rational(number: f64, exponent: i8) -> RationalNumber {
    let scaled = (number / 10f64.powi(exponent.into())).round();
    RationalNumber { exponent, value: scaled.clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16 }
}

fn value(number: &RationalNumber) -> f64 {
    f64::from(number.value) * 10f64.powi(number.exponent.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_current_from_the_vehicle_keeps_its_sign_and_its_tenths() {
        assert_eq!(tenths(-25.04), RationalNumber { exponent: -1, value: -250 });
        assert!((value(&tenths(-25.0)) + 25.0).abs() < 1e-9);
        assert_eq!(kilowatts(72_000.0), RationalNumber { exponent: 3, value: 72 });
    }
}
