//! The vehicle's side of ISO 15118-2 DC, as far as the benchmark needs it.

use std::net::{Ipv6Addr, SocketAddrV6};
use std::time::Duration;

use anyhow::{Context as _, bail};
use iso15118::app_protocol::SupportedAppProtocolReq;
use iso15118::iso2::{self, BodyChoice as B};
use iso15118::message::Message;
use iso15118::sdp;
use iso15118::session::Connection;
use iso15118::{Protocol, Protocols};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

/// A vehicle that talks.
#[derive(Debug)]
pub(crate) struct Vehicle {
    stream: TcpStream,
    v2g: Connection,
    id: Vec<u8>,
}

impl Vehicle {
    /// Discovers the station behind `interface`, connects and charges.
    pub(crate) async fn charging(interface: &str) -> anyhow::Result<Self> {
        let scope = nix::net::if_::if_nametoindex(interface)?;
        let station = discover(scope).await?;
        let stream = TcpStream::connect(station).await.context("connecting")?;
        stream.set_nodelay(true)?;
        let mut vehicle = Self { stream, v2g: Connection::new(), id: vec![0; 8] };
        let offer = SupportedAppProtocolReq::advertising(Protocols::only(Protocol::Iso2));
        vehicle.exchange(&Message::AppProtocolReq(Box::new(offer))).await?;
        vehicle.v2g.set_protocol(Protocol::Iso2);
        for request in [session_setup(), service_discovery(), payment(), authorization(), parameters()] {
            vehicle.ask(request).await?;
        }
        vehicle.ask(B::CableCheckReq(iso2::CableCheckReq { dc_ev_status: status() })).await?;
        vehicle.ask(pre_charge()).await?;
        vehicle.ask(power_delivery()).await?;
        Ok(vehicle)
    }

    /// One round of the charge loop.
    pub(crate) async fn demand(&mut self) -> anyhow::Result<()> {
        let answer = self.ask(current_demand()).await?;
        if !matches!(answer, B::CurrentDemandRes(_)) {
            bail!("{} to CurrentDemandReq", answer.name());
        }
        Ok(())
    }

    async fn ask(&mut self, body: B) -> anyhow::Result<B> {
        let name = body.name();
        let header = iso2::MessageHeader { session_id: self.id.clone(), notification: None, signature: None };
        let message = iso2::V2GMessage { header, body: iso2::Body { choice: Some(body) } };
        let answer = self.exchange(&Message::Iso2(Box::new(iso2::Document::V2GMessage(message)))).await?;
        let Message::Iso2(document) = answer else { bail!("no answer to {name}") };
        let iso2::Document::V2GMessage(whole) = *document else { bail!("no message to {name}") };
        self.id = whole.header.session_id;
        let body = whole.body.choice.context("an empty body")?;
        match body.response_code() {
            Some(iso2::ResponseCode::OK | iso2::ResponseCode::OKNewSessionEstablished) => Ok(body),
            code => bail!("{name} was answered {code:?}"),
        }
    }

    async fn exchange(&mut self, message: &Message) -> anyhow::Result<Message> {
        self.v2g.send(message)?;
        self.stream.write_all(&self.v2g.take_transmit()).await?;
        let mut buffer = [0; 4096];
        loop {
            if let Some(answer) = self.v2g.next_message()? {
                return Ok(answer);
            }
            let length = self.stream.read(&mut buffer).await?;
            if length == 0 {
                bail!("the station closed the connection");
            }
            self.v2g.receive(&buffer[..length])?;
        }
    }
}

async fn discover(scope: u32) -> anyhow::Result<SocketAddrV6> {
    let socket = UdpSocket::bind(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, scope)).await?;
    let group = SocketAddrV6::new(Ipv6Addr::from(sdp::MULTICAST_ADDR), iso15118::v2gtp::SDP_PORT, 0, scope);
    let mut frame = [0; 64];
    let length = sdp::Request::PLAIN.write_frame(&mut frame, false).context("a request is 10 bytes")?;
    for _ in 0..20 {
        socket.send_to(&frame[..length], group).await?;
        let mut answer = [0; 64];
        let received = tokio::time::timeout(Duration::from_millis(250), socket.recv(&mut answer)).await;
        if let Ok(Ok(length)) = received
            && let Ok(station) = sdp::Response::from_frame(&answer[..length])
        {
            return Ok(SocketAddrV6::new(station.ipv6(), station.port, 0, scope));
        }
    }
    bail!("no station answered discovery")
}

fn status() -> iso2::DCEVStatus {
    iso2::DCEVStatus { ev_ready: true, ev_error_code: iso2::DCEVErrorCode::NOERROR, ev_ress_soc: 20 }
}

fn value(unit: iso2::UnitSymbol, value: i16) -> iso2::PhysicalValue {
    iso2::PhysicalValue { multiplier: 0, unit, value }
}

fn session_setup() -> B {
    B::SessionSetupReq(iso2::SessionSetupReq { evcc_id: vec![2, 0, 0, 0, 0, 1] })
}

fn service_discovery() -> B {
    B::ServiceDiscoveryReq(iso2::ServiceDiscoveryReq { service_scope: None, service_category: None })
}

fn payment() -> B {
    B::PaymentServiceSelectionReq(iso2::PaymentServiceSelectionReq {
        selected_payment_option: iso2::PaymentOption::ExternalPayment,
        selected_service_list: iso2::SelectedServiceList {
            selected_service: vec![iso2::SelectedService { service_id: 1, parameter_set_id: None }],
        },
    })
}

fn authorization() -> B {
    B::AuthorizationReq(iso2::AuthorizationReq { id: None, gen_challenge: None })
}

fn parameters() -> B {
    B::ChargeParameterDiscoveryReq(iso2::ChargeParameterDiscoveryReq {
        max_entries_sa_schedule_tuple: None,
        requested_energy_transfer_mode: iso2::EnergyTransferMode::DCExtended,
        choice: iso2::ChargeParameterDiscoveryReqChoice::DCEVChargeParameter(iso2::DCEVChargeParameter {
            departure_time: None,
            dc_ev_status: status(),
            ev_maximum_current_limit: value(iso2::UnitSymbol::A, 150),
            ev_maximum_power_limit: None,
            ev_maximum_voltage_limit: value(iso2::UnitSymbol::V, 410),
            ev_energy_capacity: None,
            ev_energy_request: None,
            full_soc: None,
            bulk_soc: None,
        }),
    })
}

fn pre_charge() -> B {
    B::PreChargeReq(iso2::PreChargeReq {
        dc_ev_status: status(),
        ev_target_voltage: value(iso2::UnitSymbol::V, 400),
        ev_target_current: value(iso2::UnitSymbol::A, 2),
    })
}

fn power_delivery() -> B {
    B::PowerDeliveryReq(iso2::PowerDeliveryReq {
        charge_progress: iso2::ChargeProgress::Start,
        sa_schedule_tuple_id: 1,
        charging_profile: None,
        choice: None,
    })
}

fn current_demand() -> B {
    B::CurrentDemandReq(iso2::CurrentDemandReq {
        dc_ev_status: status(),
        ev_target_current: value(iso2::UnitSymbol::A, 125),
        ev_maximum_voltage_limit: None,
        ev_maximum_current_limit: None,
        ev_maximum_power_limit: None,
        bulk_charging_complete: None,
        charging_complete: false,
        remaining_time_to_full_soc: None,
        remaining_time_to_bulk_soc: None,
        ev_target_voltage: value(iso2::UnitSymbol::V, 400),
    })
}
