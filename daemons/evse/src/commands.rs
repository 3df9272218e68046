//! The energy path's commands as method calls, and what became of them.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use voltry_bus::{DcDischarge, EvseLimits, MeterRegister};
use voltry_service::{Binding, Stamp};
use voltry_units::Timestamp;
use zbus::message::Flags;
use zbus::{DynamicType, Message};

use crate::energy_path::{Capability, Command, Discharge, Present, Refusal, Role};
use crate::roles::interface;

/// A provider answers within this time, or has refused.
const ANSWER: Duration = Duration::from_secs(1);

/// What an answer is awaited to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Asked {
    Command(Command),
    Capability,
    Discharge,
    Protocol,
    Contract,
    VehicleId,
}

/// Calls that no answer has come to yet. Bounded: each is answered or given up in a second.
#[derive(Debug, Default)]
pub(crate) struct Unanswered(HashMap<NonZeroU32, (Asked, Timestamp)>);

impl Unanswered {
    pub(crate) fn sent(&mut self, message: &Message, asked: Asked, now: Timestamp) {
        self.0.insert(message.primary_header().serial_num(), (asked, now));
    }

    /// What this message answers.
    pub(crate) fn answered(&mut self, serial: NonZeroU32) -> Option<Asked> {
        self.0.remove(&serial).map(|(asked, _)| asked)
    }

    /// What nobody has answered in time.
    pub(crate) fn expired(&mut self, now: Timestamp) -> Vec<Asked> {
        let late: Vec<_> = self
            .0
            .iter()
            .filter(|(_, (_, sent))| now.since(*sent) > ANSWER)
            .map(|(serial, _)| *serial)
            .collect();
        late.iter().filter_map(|serial| self.answered(*serial)).collect()
    }
}

/// The method call that a command is.
///
/// # Errors
/// Only if a binding or an argument can't be written as D-Bus, which is a bug.
pub(crate) fn message(command: &Command, bindings: &[(Role, Binding)]) -> zbus::Result<Message> {
    let role = command.role();
    let (_, binding) = bindings
        .iter()
        .find(|(bound, _)| *bound == role)
        .ok_or_else(|| zbus::Error::Failure(format!("no {} is bound", role.words())))?;
    let call = Call { binding, interface: interface(role), method: command.member() };
    match *command {
        Command::EnableSupply(epoch) | Command::EnableContactors(epoch) => call.with(&(epoch,)),
        Command::SetOutput { lease, voltage, current } => {
            let Stamp { epoch, sequence, sent_at } = lease;
            call.with(&(epoch, sequence, sent_at.as_micros(), voltage.as_si(), current.as_si()))
        }
        Command::CloseContactors(lease) => call.stamped(lease),
        Command::RenewSupply(lease) | Command::RenewContactors(lease) => call.stamped(lease),
        Command::SupplyOff => call.with(&()),
        Command::OpenContactors => call.with(&()),
        Command::Pilot(output) => call.with(&(output,)),
        Command::Lock(locked) => call.with(&(locked,)),
        Command::ClearSupply => call.with(&()),
        Command::ResetBoard => call.with(&()),
        Command::ArmOverVoltage(limit) => call.with(&(limit.as_si(),)),
        Command::DisarmOverVoltage => call.with(&()),
        Command::ResetOverVoltage => call.with(&()),
        Command::InsulationActive(active) => call.with(&(active,)),
        Command::StartSelfTest => call.with(&()),
        Command::Attach => call.with(&()),
        Command::Detach => call.with(&()),
        Command::Limits(limits) => call.with(&(evse_limits(limits),)),
        Command::Discharge(discharge) => call.with(&(wire_discharge(discharge),)),
        Command::Authorize(authorization) => call.with(&(authorization,)),
        Command::Answer { counter, answer } => call.with(&(counter, answer)),
        Command::Present(present) => call.with(&(wire_present(present),)),
        Command::Meter(reading) => {
            let (energy, at) = (reading.energy.as_si(), reading.at.as_micros());
            call.with(&(MeterRegister { energy, at },))
        }
        Command::RequestStop(reason) => call.with(&(reason.words(),)),
        Command::Abort(code) => call.with(&(code.name(),)),
    }
}

/// What an error of the bus says about a command.
pub(crate) fn refusal(error: &str) -> Refusal {
    match error.strip_prefix("org.voltry.Error.").unwrap_or(error) {
        "TooOld" => Refusal::TooOld,
        "StaleEpoch" | "StaleSequence" | "Stale" | "Lapsed" => Refusal::NotCurrent,
        "NotHolder" => Refusal::NotHolder,
        "OutOfRange" => Refusal::OutOfRange,
        "Refused" => Refusal::Device,
        "Unavailable"
        | "org.freedesktop.DBus.Error.ServiceUnknown"
        | "org.freedesktop.DBus.Error.NoReply" => Refusal::Unavailable,
        _ => Refusal::Unnamed,
    }
}

struct Call<'a> {
    binding: &'a Binding,
    interface: &'static str,
    method: &'static str,
}

impl Call<'_> {
    fn with<B: serde::Serialize + DynamicType>(&self, body: &B) -> zbus::Result<Message> {
        Message::method_call(&self.binding.path, self.method)
            .destination(&self.binding.name)
            .interface(self.interface)
            // A provider that is away stays away until its supervisor starts it.
            .with_flags(Flags::NO_AUTO_START)
            .build(body)
    }

    fn stamped(&self, lease: Stamp) -> zbus::Result<Message> {
        self.with(&(lease.epoch, lease.sequence, lease.sent_at.as_micros()))
    }
}

fn evse_limits(limits: Capability) -> EvseLimits {
    EvseLimits {
        voltage_min: limits.voltage_min.as_si(),
        voltage_max: limits.voltage_max.as_si(),
        current_min: 0.0,
        current_max: limits.current_max.as_si(),
        power_max: limits.power_max.as_si(),
    }
}

fn wire_discharge(discharge: Discharge) -> DcDischarge {
    DcDischarge {
        voltage_min: discharge.voltage_min.as_si(),
        current_max: discharge.current_max.as_si(),
        power_max: discharge.power_max.as_si(),
    }
}

fn wire_present(present: Present) -> voltry_bus::Present {
    voltry_bus::Present {
        phase: present.counter,
        voltage: present.voltage.as_si(),
        current: present.current.as_si(),
        isolation: present.isolation,
        status: present.status,
        voltage_limited: present.voltage_limited,
        current_limited: present.current_limited,
        power_limited: present.power_limited,
        at: present.at.as_micros(),
    }
}
