//! What carries a conversation: the interface's sockets, the powerline modem, the certificates; and
//! the faults while one of them is missing.

use std::io;
use std::sync::Arc;

use voltry_bus::{Component, DeviceVariable};
use voltry_service::Identity;
use voltry_units::Timestamp;

use super::carrier::Carrier;
use super::{Link, controller};
use crate::config::Settings;
use crate::message::Protocol;
use crate::net::{LinkLocal, Ports};
use crate::slac::shell::Powerline;
use crate::slac::{self, wire};
use crate::tls::{self, Acceptor, Mode};
use crate::v2g::Contracts;

/// The fault while there is nothing to listen on.
const NO_LINK: &str = "NoVehicleLink";
/// The fault while the modem does not answer.
const MODEM_SILENT: &str = "ModemSilent";
/// The fault from a vehicle that could not be matched until the next one whose link is up.
const UNMATCHED: &str = "VehicleUnmatched";
/// The fault while TLS is configured and there can be none.
const NO_CERTIFICATE: &str = "StationCertificateUnusable";

/// The modem as a device, once it has said its address.
pub(super) fn modem(settings: &Settings, address: Option<wire::Mac>) -> Identity {
    let Some(matching) = &settings.slac else { return Identity::default() };
    let (vendor, model) = matching.modem.maker_and_model();
    Identity {
        vendor: vendor.to_owned(),
        model: model.to_owned(),
        serial: address.map(|address| wire::spelled(address).to_string()).unwrap_or_default(),
        ..Identity::default()
    }
}

impl Link {
    /// Reads the station's certificates, now and for each vehicle that is plugged in: renewed ones
    /// are used from then on. Those that cannot be read leave the ones in use.
    pub fn load_certificates(&mut self, now: Timestamp) {
        if self.settings.tls.mode != Mode::Off {
            self.load_wanted(now);
        }
        self.device.set_variables(self.variables());
    }

    /// What vehicles are offered, in OCPP's words.
    fn variables(&self) -> Vec<DeviceVariable> {
        let Settings { protocols, metering, evse_id, tls, .. } = &self.settings;
        let (controller, evse) = (controller(self.number), Component::new("EVSE").of_evse(self.number));
        let contracts = self.contracts.is_some();
        let receipts = metering.as_ref().is_some_and(|metering| metering.receipt_every.is_some());
        let protocols = protocols.as_deref().unwrap_or(&Protocol::ALL);
        let protocols: Vec<&str> = protocols.iter().map(|protocol| protocol.title()).collect();
        vec![
            DeviceVariable::boolean(&controller, "Enabled", true),
            DeviceVariable::text(&controller, "ProtocolSupported", &protocols.join(",")),
            DeviceVariable::boolean(&controller, "PnCEnabled", contracts),
            DeviceVariable::boolean(&controller, "ContractCertificateInstallationEnabled", contracts),
            DeviceVariable::boolean(&controller, "V2GCertificateInstallationEnabled", tls.mode != Mode::Off),
            DeviceVariable::boolean(&controller, "RequestMeteringReceipt", receipts),
            DeviceVariable::text(&evse, "ISO15118EvseId", evse_id),
        ]
    }

    fn load_wanted(&mut self, now: Timestamp) {
        let wanted = self.settings.tls.with_installed();
        let mut unusable = None;
        for finding in tls::check(&wanted) {
            let kind = if finding.warning {
                "a certificate or revocation list has to be renewed"
            } else {
                "unusable certificate"
            };
            self.complain(now, kind, &finding.problem);
            if !finding.warning {
                unusable.get_or_insert(finding.problem);
            }
        }
        match Acceptor::load(&wanted) {
            Ok(acceptor) => self.acceptor = Some(acceptor),
            Err(problem) => {
                unusable.get_or_insert(problem);
            }
        }
        let central = self.pushed.borrow().central_validation;
        if wanted.contract_roots.is_empty() && !central {
            self.contracts = None;
        } else {
            match Contracts::load(&wanted.contract_roots, &wanted.revocation_lists) {
                Ok(contracts) => self.contracts = Some(Arc::new(contracts.judged_centrally(central))),
                Err(problem) => {
                    unusable.get_or_insert(problem);
                }
            }
        }
        match unusable {
            Some(problem) => self.faults.raise(NO_CERTIFICATE, problem, now),
            None => self.faults.remove(NO_CERTIFICATE),
        };
        self.device.set_faults(&self.faults);
    }

    /// What vehicles are told of TLS: as configured, as far as there are certificates.
    pub(super) const fn tls(&self) -> Mode {
        match (self.settings.tls.mode, &self.acceptor) {
            (Mode::Allowed, None) => Mode::Off,
            (mode, _) => mode,
        }
    }

    /// Opens the sockets once the interface is there and has an address, and again when that
    /// changes.
    pub fn look(&mut self, now: Timestamp) {
        match self.open(now) {
            Ok(()) => {
                self.faults.remove(NO_LINK);
                self.device.set_faults(&self.faults);
                self.device.set_online(!self.faults.contains(MODEM_SILENT));
            }
            Err(cause) => self.lose_link(now, &cause),
        }
    }

    fn open(&mut self, now: Timestamp) -> Result<(), String> {
        let interface = &self.settings.interface;
        if let Some(matching) = self.settings.slac.clone().filter(|_| self.powerline.is_none()) {
            let mut powerline = Powerline::open(interface, matching)
                .and_then(|mut powerline| {
                    self.attached.map_or(Ok(()), |_| powerline.attach(now)).map(|()| powerline)
                })
                .map_err(|error| format!("matching on {interface}: {error}"))?;
            powerline.set_engaged(self.conversation.is_some());
            // Without it the modem's silence tells the same, later.
            self.carrier = Carrier::watch(interface)
                .inspect_err(|error| tracing::warn!(%error, "the modem's carrier is not watched"))
                .ok();
            self.powerline = Some(powerline);
        }
        let bound = self.ports.as_ref().map(|ports| ports.link);
        let link = LinkLocal::of(interface, bound);
        if bound != link {
            self.ports = None;
        }
        let link = link.ok_or_else(|| format!("interface {interface} has no link-local address"))?;
        if self.ports.is_none() {
            let ports = Ports::open(interface, link, self.settings.port)
                .map_err(|error| format!("binding to {interface}: {error}"))?;
            tracing::info!(interface, address = %ports.address, "listening for vehicles");
            self.ports = Some(ports);
        }
        Ok(())
    }

    /// The modem starts anew, or is there again; an address may have come or gone with it.
    pub(super) fn carrier_changed(&mut self, now: Timestamp, changed: io::Result<bool>) {
        let heeded = match changed {
            Ok(up) => self.powerline.as_mut().map_or(Ok(()), |powerline| powerline.carrier(now, up)),
            // Changes were lost: the modem is asked from the beginning.
            Err(error) => Err(error),
        };
        match heeded {
            Ok(()) => self.look(now),
            Err(error) => self.powerline_broke(now, &error),
        }
    }

    /// The next look opens it anew.
    pub(super) fn powerline_broke(&mut self, now: Timestamp, error: &io::Error) {
        self.powerline = None;
        self.carrier = None;
        let cause = format!("matching on {}: {error}", self.settings.interface);
        self.lose_link(now, &cause);
    }

    /// Heeds what the matching came to.
    pub(super) async fn matching(&mut self, now: Timestamp) -> anyhow::Result<()> {
        while let Some(event) = self.powerline.as_mut().and_then(Powerline::poll_event) {
            match event {
                slac::Event::Pilot(output) => self.publisher.request_pilot(output).await?,
                slac::Event::LinkLost(_) => self.disconnect("the powerline link was lost").await?,
                slac::Event::LinkUp(..) => self.mended(UNMATCHED),
                slac::Event::ModemReady(address) => {
                    self.device.set_identity(modem(&self.settings, Some(address)));
                    self.mended(MODEM_SILENT);
                }
                slac::Event::ModemSilent => {
                    let cause = format!("the modem at {} does not answer", self.settings.interface);
                    self.broken(now, MODEM_SILENT, &cause);
                }
                slac::Event::Unmatched(cause, None) => self.broken(now, UNMATCHED, &cause.to_string()),
                slac::Event::Unmatched(_, Some(_))
                | slac::Event::LinkNotTold
                | slac::Event::Measured { .. }
                | slac::Event::NotMeasured(_)
                | slac::Event::Farther { .. }
                | slac::Event::Busy(_)
                | slac::Event::Matched { .. } => {}
            }
        }
        match self.powerline.as_ref().map(Powerline::shown) {
            Some(shown) => self.publisher.show_powerline(shown).await,
            None => Ok(()),
        }
    }

    fn broken(&mut self, now: Timestamp, code: &'static str, cause: &str) {
        self.faults.remove(code);
        self.faults.raise(code, cause, now);
        self.device.set_faults(&self.faults);
        self.device.set_online(!self.faults.contains(MODEM_SILENT));
        self.complain(now, code, cause);
    }

    fn mended(&mut self, code: &'static str) {
        if self.faults.remove(code) {
            self.device.set_faults(&self.faults);
            self.device.set_online(!self.faults.contains(MODEM_SILENT) && !self.faults.contains(NO_LINK));
        }
    }

    fn lose_link(&mut self, now: Timestamp, cause: &str) {
        if self.faults.raise(NO_LINK, cause, now) {
            self.device.set_faults(&self.faults);
            self.device.set_online(false);
        }
        self.complain(now, "no link to vehicles", cause);
    }
}
