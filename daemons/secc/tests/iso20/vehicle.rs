//! A vehicle that speaks ISO 15118-20, step by step.

use iso15118::app_protocol::SupportedAppProtocolReq;
use iso15118::iso20::common::{DisplayParameters, MessageHeader, Processing, RationalNumber, ResponseCode};
use iso15118::iso20::dc::{self, Document as Dc};
use iso15118::iso20::messages::{self, Document as Main};
use iso15118::message::Message;
use iso15118::{Protocol, Protocols};
use voltry_bus::{Authorization, LinkPhase, PhaseAnswer};
use voltry_secc::message::Target;
use voltry_secc::session::Event;

use crate::bench::{self, Bench, ID};

/// A vehicle in ISO 15118-20 beside the bench's station.
pub(crate) struct Vehicle {
    pub(crate) bench: Bench,
    pub(crate) id: Vec<u8>,
}

impl Vehicle {
    pub(crate) fn new() -> Self {
        Self::at(Bench::new())
    }

    pub(crate) fn at(mut bench: Bench) -> Self {
        let offer = SupportedAppProtocolReq::advertising(Protocols::only(Protocol::Iso20));
        bench.vehicle.send(&Message::AppProtocolReq(Box::new(offer))).unwrap();
        bench.flush();
        assert!(matches!(bench.vehicle.next_message().unwrap(), Some(Message::AppProtocolRes(_))));
        bench.vehicle.set_protocol(Protocol::Iso20);
        Self { bench, id: vec![0; 8] }
    }

    /// After a refusal.
    pub(crate) fn says_goodbye(&mut self) {
        assert!(!self.bench.session.is_closed(), "the connection was dropped");
        let terminate = messages::ChargingSession::Terminate;
        let Main::SessionStopRes(answer) = self.main(|header| session_stop(header, terminate)) else {
            panic!()
        };
        assert_eq!(answer.response_code, ResponseCode::OK);
        assert!(self.bench.session.is_closed());
    }

    pub(crate) fn header(&self) -> MessageHeader {
        MessageHeader { session_id: self.id.clone(), time_stamp: bench::UNIX_SECONDS, signature: None }
    }

    pub(crate) fn send(&mut self, message: &Message) {
        self.bench.vehicle.send(message).unwrap();
        self.bench.flush();
    }

    pub(crate) fn heard(&mut self) -> Option<Message> {
        self.bench.vehicle.next_message().unwrap()
    }

    pub(crate) fn main(&mut self, document: impl FnOnce(MessageHeader) -> Main) -> Main {
        self.send_main(document);
        self.heard_main().expect("an answer at once")
    }

    pub(crate) fn send_main(&mut self, document: impl FnOnce(MessageHeader) -> Main) {
        let document = document(self.header());
        self.send(&Message::Iso20(Box::new(document)));
    }

    pub(crate) fn heard_main(&mut self) -> Option<Main> {
        match self.heard()? {
            Message::Iso20(document) => Some(*document),
            other => panic!("{}", other.name()),
        }
    }

    pub(crate) fn send_dc(&mut self, document: impl FnOnce(MessageHeader) -> Dc) {
        let document = document(self.header());
        self.send(&Message::Iso20Dc(Box::new(document)));
    }

    pub(crate) fn dc(&mut self, document: impl FnOnce(MessageHeader) -> Dc) -> Dc {
        self.send_dc(document);
        self.heard_dc().expect("an answer at once")
    }

    pub(crate) fn heard_dc(&mut self) -> Option<Dc> {
        match self.heard()? {
            Message::Iso20Dc(document) => Some(*document),
            other => panic!("{}", other.name()),
        }
    }

    /// To services that are offered: those.
    pub(crate) fn reach_services(&mut self) -> messages::ServiceDiscoveryRes {
        let Main::SessionSetupRes(setup) = self.main(session_setup) else { panic!() };
        assert_eq!(setup.response_code, ResponseCode::OKNewSessionEstablished);
        assert_eq!(setup.header.session_id, ID);
        assert_eq!(setup.header.time_stamp, bench::UNIX_SECONDS);
        self.id = setup.header.session_id;
        let Main::AuthorizationSetupRes(offered) = self.main(authorization_setup) else { panic!() };
        assert_eq!(offered.authorization_services, [messages::Authorization::EIM]);
        self.bench.pushed.authorization = Authorization::Granted;
        let Main::AuthorizationRes(granted) = self.main(authorization) else { panic!() };
        assert_eq!(granted.evse_processing, Processing::Finished);
        let Main::ServiceDiscoveryRes(services) = self.main(service_discovery) else { panic!() };
        services
    }

    /// To a service that is chosen.
    pub(crate) fn reach_selected(&mut self, service_id: u16) {
        self.reach_selected_of(service_id, &[2, 6]);
    }

    pub(crate) fn reach_selected_of(&mut self, service_id: u16, offered: &[u16]) {
        let services = self.reach_services();
        let ids: Vec<_> =
            services.energy_transfer_service_list.service.iter().map(|service| service.service_id).collect();
        assert_eq!(ids, offered);
        let detail =
            self.main(|header| Main::ServiceDetailReq(messages::ServiceDetailReq { header, service_id }));
        let Main::ServiceDetailRes(detail) = detail else { panic!() };
        assert_eq!(detail.response_code, ResponseCode::OK);
        assert_eq!(detail.service_parameter_list.parameter_set.len(), 2);
        let Main::ServiceSelectionRes(selected) = self.main(|header| selection(header, service_id, 1)) else {
            panic!()
        };
        assert_eq!(selected.response_code, ResponseCode::OK);
    }

    pub(crate) fn reach_charging(&mut self, dynamic: bool) {
        self.reach_power_on(dynamic);
        self.bench.answer(PhaseAnswer::Finished);
        let Some(Main::PowerDeliveryRes(delivery)) = self.heard_main() else { panic!() };
        assert_eq!(delivery.response_code, ResponseCode::OK);
        assert_eq!(self.bench.phase(), Some(LinkPhase::Charging));
    }

    /// To a PowerDeliveryReq(Start) that evse has not answered.
    pub(crate) fn reach_power_on(&mut self, dynamic: bool) {
        self.reach_selected(2);
        self.reach_power_on_from_selected(dynamic);
    }

    pub(crate) fn reach_power_on_from_selected(&mut self, dynamic: bool) {
        self.reach_power_on_with(parameters, dynamic);
    }

    pub(crate) fn reach_power_on_with(&mut self, parameters: fn(MessageHeader) -> Dc, dynamic: bool) {
        let Dc::DCChargeParameterDiscoveryRes(parameters) = self.dc(parameters) else { panic!() };
        assert_eq!(parameters.response_code, ResponseCode::OK);
        assert_eq!(self.bench.phase(), Some(LinkPhase::Parameters));
        self.send_main(|header| schedule_exchange(header, dynamic));
        self.bench.answer(PhaseAnswer::Finished);
        let Some(Main::ScheduleExchangeRes(schedule)) = self.heard_main() else { panic!() };
        assert_eq!(
            (schedule.response_code, schedule.evse_processing),
            (ResponseCode::OK, Processing::Finished)
        );
        self.send_dc(|header| Dc::DCCableCheckReq(dc::DCCableCheckReq { header }));
        self.bench.answer(PhaseAnswer::Finished);
        let Some(Dc::DCCableCheckRes(check)) = self.heard_dc() else { panic!() };
        assert_eq!(check.evse_processing, Processing::Finished);
        self.bench.present(380, 0);
        let Dc::DCPreChargeRes(pre_charge) = self.dc(pre_charge) else { panic!() };
        assert_eq!(pre_charge.evse_present_voltage, number(-1, 3800));
        let preparing = self.main(|header| power_delivery(header, Processing::Ongoing, START));
        let Main::PowerDeliveryRes(preparing) = preparing else { panic!() };
        assert_eq!(preparing.response_code, ResponseCode::OK);
        assert_eq!(self.bench.phase(), Some(LinkPhase::PreCharge), "not before the vehicle has finished");
        self.send_main(|header| power_delivery(header, Processing::Finished, START));
        assert_eq!(self.bench.phase(), Some(LinkPhase::PowerOn));
    }

    pub(crate) fn charge_loop(&mut self, choice: dc::DCChargeLoopReqChoice) -> dc::DCChargeLoopRes {
        self.charge_loop_of(choice, false)
    }

    pub(crate) fn charge_loop_of(
        &mut self,
        choice: dc::DCChargeLoopReqChoice,
        meter_info_requested: bool,
    ) -> dc::DCChargeLoopRes {
        let display = DisplayParameters { present_soc: Some(42), ..DisplayParameters::minimal() };
        let answer = self.dc(|header| {
            Dc::DCChargeLoopReq(dc::DCChargeLoopReq {
                header,
                display_parameters: Some(display),
                meter_info_requested,
                ev_present_voltage: number(0, 400),
                choice,
            })
        });
        let Dc::DCChargeLoopRes(answer) = answer else { panic!() };
        answer
    }

    pub(crate) fn renegotiate(&mut self) -> ResponseCode {
        let again = messages::ChargingSession::ServiceRenegotiation;
        let Main::SessionStopRes(answer) = self.main(|header| session_stop(header, again)) else { panic!() };
        answer.response_code
    }

    pub(crate) fn stand_by(&mut self) {
        let standby = messages::ChargeProgress::Standby;
        let answer = self.main(|header| power_delivery(header, Processing::Finished, standby));
        let Main::PowerDeliveryRes(answer) = answer else { panic!() };
        assert_eq!(answer.response_code, ResponseCode::OK);
        assert_eq!(self.bench.phase(), Some(LinkPhase::Charging));
    }

    pub(crate) fn newest_target(&self) -> Target {
        let target = |event: &Event| if let Event::Target(target) = event { Some(*target) } else { None };
        self.bench.events.iter().rev().find_map(target).unwrap()
    }
}

pub(crate) const START: messages::ChargeProgress = messages::ChargeProgress::Start;

pub(crate) const fn number(exponent: i8, value: i16) -> RationalNumber {
    RationalNumber { exponent, value }
}

pub(crate) fn session_setup(header: MessageHeader) -> Main {
    Main::SessionSetupReq(messages::SessionSetupReq { header, evcc_id: "WMIV1234567890ABCDEX".to_owned() })
}

pub(crate) fn authorization_setup(header: MessageHeader) -> Main {
    Main::AuthorizationSetupReq(messages::AuthorizationSetupReq { header })
}

pub(crate) fn authorization(header: MessageHeader) -> Main {
    Main::AuthorizationReq(messages::AuthorizationReq {
        header,
        selected_authorization_service: messages::Authorization::EIM,
        choice: messages::AuthorizationReqChoice::EIMAReqAuthorizationMode(
            messages::EIMAReqAuthorizationMode,
        ),
    })
}

pub(crate) fn service_discovery(header: MessageHeader) -> Main {
    Main::ServiceDiscoveryReq(messages::ServiceDiscoveryReq { header, supported_service_i_ds: None })
}

pub(crate) fn selection(header: MessageHeader, service_id: u16, parameter_set_id: u16) -> Main {
    Main::ServiceSelectionReq(messages::ServiceSelectionReq {
        header,
        selected_energy_transfer_service: messages::SelectedService { service_id, parameter_set_id },
        selected_vas_list: None,
    })
}

pub(crate) fn parameters(header: MessageHeader) -> Dc {
    Dc::DCChargeParameterDiscoveryReq(dc::DCChargeParameterDiscoveryReq {
        header,
        choice: dc::DCChargeParameterDiscoveryReqChoice::DCCPDReqEnergyTransferMode(
            dc::DCCPDReqEnergyTransferMode {
                ev_maximum_charge_power: number(3, 150),
                ev_minimum_charge_power: number(0, 0),
                ev_maximum_charge_current: number(0, 300),
                ev_minimum_charge_current: number(0, 0),
                ev_maximum_voltage: number(0, 450),
                ev_minimum_voltage: number(0, 300),
                target_soc: None,
            },
        ),
    })
}

pub(crate) fn bidirectional_parameters(header: MessageHeader) -> Dc {
    Dc::DCChargeParameterDiscoveryReq(dc::DCChargeParameterDiscoveryReq {
        header,
        choice: dc::DCChargeParameterDiscoveryReqChoice::BPTDCCPDReqEnergyTransferMode(
            dc::BPTDCCPDReqEnergyTransferMode {
                ev_maximum_charge_power: number(3, 150),
                ev_maximum_charge_current: number(0, 300),
                ev_maximum_voltage: number(0, 450),
                ev_minimum_voltage: number(0, 300),
                ev_minimum_charge_current: number(0, 5),
                ev_minimum_charge_power: number(3, 1),
                ev_maximum_discharge_power: number(3, 11),
                ev_maximum_discharge_current: number(0, 25),
                ..dc::BPTDCCPDReqEnergyTransferMode::minimal()
            },
        ),
    })
}

pub(crate) fn schedule_exchange(header: MessageHeader, dynamic: bool) -> Main {
    use messages::ScheduleExchangeReqChoice as C;
    let choice = if dynamic {
        C::DynamicSEReqControlMode(messages::DynamicSEReqControlMode {
            departure_time: 7200,
            minimum_soc: Some(30),
            target_soc: Some(80),
            ev_target_energy_request: number(3, 40),
            ..messages::DynamicSEReqControlMode::minimal()
        })
    } else {
        C::ScheduledSEReqControlMode(messages::ScheduledSEReqControlMode::minimal())
    };
    Main::ScheduleExchangeReq(messages::ScheduleExchangeReq {
        header,
        maximum_supporting_points: 1024,
        choice,
    })
}

pub(crate) fn pre_charge(header: MessageHeader) -> Dc {
    Dc::DCPreChargeReq(dc::DCPreChargeReq {
        header,
        ev_processing: Processing::Ongoing,
        ev_present_voltage: number(0, 380),
        ev_target_voltage: number(0, 380),
    })
}

pub(crate) fn power_delivery(
    header: MessageHeader,
    ev_processing: Processing,
    charge_progress: messages::ChargeProgress,
) -> Main {
    Main::PowerDeliveryReq(messages::PowerDeliveryReq {
        header,
        ev_processing,
        charge_progress,
        ev_power_profile: None,
        bpt_channel_selection: None,
    })
}

pub(crate) fn scheduled() -> dc::DCChargeLoopReqChoice {
    dc::DCChargeLoopReqChoice::ScheduledDCCLReqControlMode(dc::ScheduledDCCLReqControlMode {
        ev_target_current: number(-1, 1255),
        ev_target_voltage: number(0, 400),
        ..dc::ScheduledDCCLReqControlMode::minimal()
    })
}

pub(crate) fn dynamic(current: i16, kilowatts: i16) -> dc::DCChargeLoopReqChoice {
    dc::DCChargeLoopReqChoice::DynamicDCCLReqControlMode(dc::DynamicDCCLReqControlMode {
        ev_maximum_charge_power: number(3, kilowatts),
        ev_maximum_charge_current: number(0, current),
        ev_maximum_voltage: number(0, 450),
        ..dc::DynamicDCCLReqControlMode::minimal()
    })
}

pub(crate) fn dynamic_until(departure_time: Option<u32>, kilowatt_hours: i16) -> dc::DCChargeLoopReqChoice {
    dc::DCChargeLoopReqChoice::DynamicDCCLReqControlMode(dc::DynamicDCCLReqControlMode {
        departure_time,
        ev_target_energy_request: number(3, kilowatt_hours),
        ev_maximum_charge_power: number(3, 60),
        ev_maximum_charge_current: number(0, 300),
        ev_maximum_voltage: number(0, 450),
        ..dc::DynamicDCCLReqControlMode::minimal()
    })
}

pub(crate) fn session_stop(header: MessageHeader, charging_session: messages::ChargingSession) -> Main {
    Main::SessionStopReq(messages::SessionStopReq {
        header,
        charging_session,
        ev_termination_code: None,
        ev_termination_explanation: None,
    })
}
