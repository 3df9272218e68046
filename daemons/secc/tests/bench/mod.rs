//! A vehicle and an evse around a [`Session`], under a virtual clock.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test's bench, of which each uses a part"
)]

pub(crate) mod din;

use std::time::Duration;

use iso15118::app_protocol::SupportedAppProtocolReq;
use iso15118::iso2::{self, BodyChoice as B, ResponseCode};
use iso15118::message::Message;
use iso15118::session::Connection;
use iso15118::{Protocol, Protocols};
use voltry_bus::{Authorization, EvseStatusCode, Isolation, LinkPhase, PhaseAnswer};
use voltry_secc::config::Timing;
use voltry_secc::message::{self, Limited, Limits};
use voltry_secc::pushed::{Present, Pushed};
use voltry_secc::session::{Event, Session};
use voltry_secc::v2g::Identity;
use voltry_units::{Amps, Measured, Timestamp, Volts, Watts};

pub(crate) const ID: [u8; 8] = *b"voltry01";
const COMBO_PLUG: &[message::Service] = &[message::Service::Dc, message::Service::DcBpt];
const EXTENDED: [message::DcMode; 1] = [message::DcMode::Extended];
pub(crate) const UNIX_SECONDS: u64 = 1_800_000_000;

pub(crate) struct Bench {
    pub(crate) session: Session,
    pub(crate) pushed: Pushed,
    pub(crate) now: Timestamp,
    pub(crate) vehicle: Connection,
    pub(crate) id: Vec<u8>,
    pub(crate) events: Vec<Event>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::resuming(None)
    }

    pub(crate) fn resuming(paused: Option<[u8; 8]>) -> Self {
        Self::with(paused, &message::Protocol::ALL, COMBO_PLUG, &EXTENDED, Timing::default())
    }

    /// A station that speaks these alone.
    pub(crate) fn speaking(protocols: &[message::Protocol]) -> Self {
        Self::with(None, protocols, COMBO_PLUG, &EXTENDED, Timing::default())
    }

    /// A station that offers these energy transfers of ISO 15118-20.
    pub(crate) fn offering(services: &[message::Service]) -> Self {
        Self::with(None, &message::Protocol::ALL, services, &EXTENDED, Timing::default())
    }

    /// A station with these times.
    pub(crate) fn timed(timing: Timing) -> Self {
        Self::with(None, &message::Protocol::ALL, COMBO_PLUG, &EXTENDED, timing)
    }

    /// A station whose plugs have these contacts.
    pub(crate) fn by_contacts(dc_modes: &[message::DcMode]) -> Self {
        Self::with(None, &message::Protocol::ALL, COMBO_PLUG, dc_modes, Timing::default())
    }

    fn with(
        paused: Option<[u8; 8]>,
        protocols: &[message::Protocol],
        services: &[message::Service],
        dc_modes: &[message::DcMode],
        timing: Timing,
    ) -> Self {
        let now = Timestamp::from_micros(1_000_000_000);
        let identity = Identity {
            evse_id: "DE*VOL*E1".to_owned(),
            peak_current_ripple: Amps::new(1),
            metering: None,
            protocols: protocols.to_vec(),
            control_modes: message::ControlMode::ALL.to_vec(),
            dc_modes: dc_modes.to_vec(),
            services: services.to_vec(),
        };
        let mut bench = Self {
            session: Session::open(now, UNIX_SECONDS, identity, timing, ID, paused, 100),
            pushed: Pushed {
                attached: Some(1),
                limits: Some(Limits {
                    voltage_min: Volts::new(150),
                    voltage_max: Volts::new(1000),
                    current_min: Amps::ZERO,
                    current_max: Amps::new(200),
                    power_max: Watts::new(60_000),
                    ..Limits::default()
                }),
                ..Pushed::default()
            },
            now,
            vehicle: Connection::with_limits(4096, 1000),
            id: vec![0],
            events: Vec::new(),
        };
        bench.present(400, 0);
        bench
    }

    /// evse pushes present values measured now.
    pub(crate) fn present(&mut self, volts: i32, amps: i32) {
        self.pushed.present = Some(Measured::new(
            Present {
                phase: self.session.counter() + 1,
                voltage: Volts::new(volts),
                current: Amps::new(amps),
                isolation: Isolation::Valid,
                status: EvseStatusCode::Ready,
                limited: Limited::default(),
            },
            self.now,
        ));
    }

    pub(crate) fn answer(&mut self, answer: PhaseAnswer) {
        self.pushed.answer = Some((self.session.counter(), answer));
        self.session.update(self.now, &self.pushed);
        self.collect();
    }

    pub(crate) fn push(&mut self, change: impl FnOnce(&mut Pushed)) {
        change(&mut self.pushed);
        self.session.update(self.now, &self.pushed);
        self.collect();
    }

    /// Lets time pass, deadline by deadline; evse keeps its present values fresh or not.
    pub(crate) fn pass(&mut self, time: Duration, fresh: bool) {
        let end = self.now + time;
        while self.now < end {
            let step = self.now + Duration::from_millis(50);
            self.now =
                self.session.deadline().filter(|at| *at > self.now).map_or(step, |at| at.min(step)).min(end);
            if fresh && let Some(present) = &mut self.pushed.present {
                present.at = self.now;
            }
            if self.session.deadline().is_some_and(|at| at <= self.now) {
                self.session.timeout(self.now, &self.pushed);
            }
            self.collect();
        }
    }

    /// Sends one request; the answer, if it came at once.
    pub(crate) fn ask(&mut self, body: B) -> Option<B> {
        self.send(body);
        self.heard()
    }

    pub(crate) fn send(&mut self, body: B) {
        self.send_signed(body, None);
    }

    pub(crate) fn send_signed(&mut self, body: B, signature: Option<iso2::Signature>) {
        self.queue(body, signature);
        self.flush();
    }

    /// The vehicle has a request to send.
    pub(crate) fn queue(&mut self, body: B, signature: Option<iso2::Signature>) {
        let header = iso2::MessageHeader { session_id: self.id.clone(), notification: None, signature };
        let message = Message::Iso2(Box::new(iso2::Document::V2GMessage(iso2::V2GMessage {
            header,
            body: iso2::Body { choice: Some(body) },
        })));
        self.vehicle.send(&message).unwrap();
    }

    pub(crate) fn flush(&mut self) {
        let bytes = self.vehicle.take_transmit();
        self.session.receive(self.now, &bytes, &self.pushed);
        self.collect();
    }

    fn collect(&mut self) {
        let bytes = self.session.take_transmit();
        self.vehicle.receive(&bytes).unwrap();
        while let Some(event) = self.session.poll_event() {
            self.events.push(event);
        }
    }

    /// The next answer that arrived.
    pub(crate) fn heard(&mut self) -> Option<B> {
        match self.vehicle.next_message().unwrap()? {
            Message::Iso2(document) => {
                let iso2::Document::V2GMessage(whole) = *document else { panic!("no message") };
                self.id.clone_from(&whole.header.session_id);
                whole.body.choice
            }
            other => panic!("{}", other.name()),
        }
    }

    /// Asks until the answer comes, letting evse keep its values fresh.
    pub(crate) fn ask_through(&mut self, body: B) -> B {
        self.send(body);
        for _ in 0..200 {
            if let Some(answer) = self.heard() {
                return answer;
            }
            self.pass(Duration::from_millis(50), true);
        }
        panic!("no answer within 10 s");
    }

    pub(crate) fn handshake(&mut self) {
        let offer = SupportedAppProtocolReq::advertising(Protocols::only(Protocol::Iso2));
        self.vehicle.send(&Message::AppProtocolReq(Box::new(offer))).unwrap();
        self.flush();
        assert!(matches!(self.vehicle.next_message().unwrap(), Some(Message::AppProtocolRes(_))));
        self.vehicle.set_protocol(Protocol::Iso2);
    }

    /// What the vehicle can take, as was told last.
    pub(crate) fn limits(&self) -> message::EvLimits {
        let told = self.events.iter().rev().find_map(|event| match event {
            Event::Limits(limits) => Some(*limits),
            _ => None,
        });
        told.unwrap()
    }

    pub(crate) fn phase(&self) -> Option<LinkPhase> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Phase { phase, .. } => Some(*phase),
            Event::Protocol(_)
            | Event::Target(_)
            | Event::Limits(_)
            | Event::Status(_)
            | Event::Needs(_)
            | Event::VehicleId(_)
            | Event::Contract(_)
            | Event::ContractDoubted { .. }
            | Event::CertificateRequest { .. }
            | Event::SchedulesWanted(_)
            | Event::ScheduleChosen { .. }
            | Event::Ended(..) => None,
        })
    }

    pub(crate) fn reach_services(&mut self) {
        self.handshake();
        assert_eq!(code(&self.ask(session_setup()).unwrap()), ResponseCode::OKNewSessionEstablished);
    }

    pub(crate) fn reach_parameters(&mut self) {
        self.reach_services();
        self.ok(service_discovery());
        self.ok(payment());
        self.pushed.authorization = Authorization::Granted;
        self.ok(authorization());
    }

    pub(crate) fn reach_cable_check(&mut self) {
        self.reach_parameters();
        self.send(parameters());
        self.answer(PhaseAnswer::Finished);
        assert_eq!(code(&self.heard().unwrap()), ResponseCode::OK);
    }

    pub(crate) fn reach_pre_charge(&mut self) {
        self.reach_cable_check();
        self.send(cable_check());
        self.answer(PhaseAnswer::Finished);
        assert_eq!(code(&self.heard().unwrap()), ResponseCode::OK);
    }

    pub(crate) fn reach_charging(&mut self) {
        self.reach_pre_charge();
        self.ok(pre_charge());
        self.send(power_delivery(iso2::ChargeProgress::Start));
        assert_eq!(self.phase(), Some(LinkPhase::PowerOn));
        self.answer(PhaseAnswer::Finished);
        assert_eq!(code(&self.heard().unwrap()), ResponseCode::OK);
        assert_eq!(self.phase(), Some(LinkPhase::Charging));
    }

    /// From the parameters, for one that is authorized by whatever means.
    pub(crate) fn charge_from_parameters(&mut self) {
        for (body, waits) in [
            (parameters(), true),
            (cable_check(), true),
            (pre_charge(), false),
            (power_delivery(iso2::ChargeProgress::Start), true),
        ] {
            self.present(400, 0);
            self.send(body);
            if waits {
                self.answer(PhaseAnswer::Finished);
            }
            assert_eq!(code(&self.heard().unwrap()), ResponseCode::OK);
        }
    }

    pub(crate) fn ok(&mut self, body: B) -> B {
        let name = body.name();
        let answer = self.ask(body).unwrap_or_else(|| panic!("{name} was not answered"));
        assert_eq!(code(&answer), ResponseCode::OK, "{name}");
        answer
    }
}

pub(crate) fn code(answer: &B) -> ResponseCode {
    answer.response_code().unwrap()
}

pub(crate) fn session_setup() -> B {
    B::SessionSetupReq(iso2::SessionSetupReq { evcc_id: vec![2, 0, 0, 0, 0, 1] })
}

pub(crate) fn service_discovery() -> B {
    B::ServiceDiscoveryReq(iso2::ServiceDiscoveryReq { service_scope: None, service_category: None })
}

pub(crate) fn payment() -> B {
    B::PaymentServiceSelectionReq(iso2::PaymentServiceSelectionReq {
        selected_payment_option: iso2::PaymentOption::ExternalPayment,
        selected_service_list: iso2::SelectedServiceList {
            selected_service: vec![iso2::SelectedService { service_id: 1, parameter_set_id: None }],
        },
    })
}

pub(crate) fn authorization() -> B {
    B::AuthorizationReq(iso2::AuthorizationReq { id: None, gen_challenge: None })
}

pub(crate) fn ev_status() -> iso2::DCEVStatus {
    iso2::DCEVStatus { ev_ready: false, ev_error_code: iso2::DCEVErrorCode::NOERROR, ev_ress_soc: 20 }
}

pub(crate) fn value(multiplier: i8, unit: iso2::UnitSymbol, value: i16) -> iso2::PhysicalValue {
    iso2::PhysicalValue { multiplier, unit, value }
}

pub(crate) fn parameters() -> B {
    B::ChargeParameterDiscoveryReq(iso2::ChargeParameterDiscoveryReq {
        max_entries_sa_schedule_tuple: None,
        requested_energy_transfer_mode: iso2::EnergyTransferMode::DCExtended,
        choice: iso2::ChargeParameterDiscoveryReqChoice::DCEVChargeParameter(iso2::DCEVChargeParameter {
            departure_time: None,
            dc_ev_status: ev_status(),
            ev_maximum_current_limit: value(0, iso2::UnitSymbol::A, 150),
            ev_maximum_power_limit: None,
            ev_maximum_voltage_limit: value(-1, iso2::UnitSymbol::V, 4100),
            ev_energy_capacity: Some(value(0, iso2::UnitSymbol::Wh, 2000)),
            ev_energy_request: None,
            full_soc: None,
            bulk_soc: None,
        }),
    })
}

pub(crate) fn cable_check() -> B {
    B::CableCheckReq(iso2::CableCheckReq { dc_ev_status: ev_status() })
}

pub(crate) fn pre_charge() -> B {
    B::PreChargeReq(iso2::PreChargeReq {
        dc_ev_status: ev_status(),
        ev_target_voltage: value(-1, iso2::UnitSymbol::V, 3805),
        ev_target_current: value(0, iso2::UnitSymbol::A, 2),
    })
}

pub(crate) fn power_delivery(progress: iso2::ChargeProgress) -> B {
    B::PowerDeliveryReq(iso2::PowerDeliveryReq {
        charge_progress: progress,
        sa_schedule_tuple_id: 1,
        charging_profile: None,
        choice: Some(iso2::PowerDeliveryReqChoice::DCEVPowerDeliveryParameter(
            iso2::DCEVPowerDeliveryParameter {
                dc_ev_status: ev_status(),
                bulk_charging_complete: None,
                charging_complete: false,
            },
        )),
    })
}

pub(crate) fn current_demand() -> B {
    B::CurrentDemandReq(iso2::CurrentDemandReq {
        dc_ev_status: ev_status(),
        ev_target_current: value(-1, iso2::UnitSymbol::A, 1255),
        ev_maximum_voltage_limit: None,
        ev_maximum_current_limit: None,
        ev_maximum_power_limit: None,
        bulk_charging_complete: None,
        charging_complete: false,
        remaining_time_to_full_soc: None,
        remaining_time_to_bulk_soc: None,
        ev_target_voltage: value(-1, iso2::UnitSymbol::V, 4000),
    })
}

pub(crate) fn welding_detection() -> B {
    B::WeldingDetectionReq(iso2::WeldingDetectionReq { dc_ev_status: ev_status() })
}

pub(crate) fn session_stop(charging_session: iso2::ChargingSession) -> B {
    B::SessionStopReq(iso2::SessionStopReq { charging_session })
}
