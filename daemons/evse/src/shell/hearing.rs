//! Messages in: what providers signal and answer, as inputs of the energy path.

use voltry_bus::EvseState;
use voltry_service::clock;
use zbus::message::Type;
use zbus::{Message, OwnedVariant};

use super::Shell;
use crate::commands::{self, Asked};
use crate::energy_path::{Input, Refusal, Role};
use crate::readings::{self, Refused};
use crate::roles::changed_properties;

impl Shell {
    pub(super) async fn hear(&mut self, message: &Message) -> anyhow::Result<()> {
        match message.message_type() {
            Type::Signal => self.hear_signal(message).await,
            Type::MethodReturn | Type::Error => self.hear_answer(message).await,
            // Nobody calls this connection.
            Type::MethodCall => Ok(()),
        }
    }

    async fn hear_signal(&mut self, message: &Message) -> anyhow::Result<()> {
        let header = message.header();
        let Some(member) = header.member() else { return Ok(()) };
        let by_bus = header.sender().is_some_and(|sender| sender.as_str() == "org.freedesktop.DBus");
        if by_bus && member.as_str() == "NameOwnerChanged" {
            let (name, _, owner): (String, String, String) = message.body().deserialize()?;
            for input in self.roles.owner_changed(&name, &owner) {
                self.take(input).await?;
            }
            return Ok(());
        }
        let Some(role) = self.roles.sender_of(message) else { return Ok(()) };
        if member.as_str() == "PropertiesChanged" {
            let Some((_, changed)) = changed_properties(message) else { return Ok(()) };
            for (property, value) in changed {
                match (role, property.as_str()) {
                    (Role::PowerSupply, "Capability") => self.take_capability(value).await?,
                    (Role::PowerSupply, "Discharge") if self.discharge => self.take_discharge(value).await?,
                    (Role::EvLink, "Protocol") => self.take_protocol(value),
                    (Role::EvLink, "Contract") => self.take_contract(value),
                    (Role::EvLink, "VehicleId") => self.take_vehicle_id(value),
                    _ => {}
                }
            }
            return Ok(());
        }
        let now = clock::now();
        if role == Role::EvLink && self.evidence.hear(member.as_str(), message, self.path.state()) {
            self.tell(now);
        }
        match readings::input(role, member.as_str(), message, &mut self.sequences, now) {
            Ok(Some(input)) => self.take(input).await,
            Ok(None) => Ok(()),
            Err(error) => {
                self.refuse(role, member.as_str(), &error);
                Ok(())
            }
        }
    }

    fn refuse(&mut self, role: Role, member: &str, error: &Refused) {
        if let Some(count) = self.bad_input[role as usize].count(clock::now()) {
            tracing::warn!(count, role = role.words(), member, %error, "input refused");
        }
    }

    fn is_shutting_down(&self) -> bool {
        matches!(self.path.state(), EvseState::ErrorShutdown | EvseState::Emergency | EvseState::Faulted)
    }

    async fn hear_answer(&mut self, message: &Message) -> anyhow::Result<()> {
        let header = message.header();
        let Some(asked) = header.reply_serial().and_then(|serial| self.unanswered.answered(serial)) else {
            return Ok(());
        };
        if message.message_type() == Type::Error {
            let name = header.error_name().map(ToString::to_string).unwrap_or_default();
            let text: String = message.body().deserialize().unwrap_or_default();
            if let Asked::Command(command) = asked {
                let refusal = commands::refusal(&name);
                if refusal == Refusal::NotCurrent && self.is_shutting_down() {
                    // A provider that is off by itself says so to what was on its way to it.
                    tracing::debug!(?command, error = name, text, "command refused");
                } else if let Some(count) = self.refusals.count(clock::now()) {
                    tracing::warn!(count, ?command, error = name, text, "command refused");
                }
                return self.take(Input::Refused(command, refusal)).await;
            }
            return Ok(());
        }
        match asked {
            Asked::Command(_) => Ok(()),
            Asked::Capability => match message.body().deserialize() {
                Ok(value) => self.take_capability(value).await,
                Err(error) => {
                    self.refuse(Role::PowerSupply, "Capability", &error.into());
                    Ok(())
                }
            },
            Asked::Discharge => match message.body().deserialize() {
                Ok(value) => self.take_discharge(value).await,
                Err(error) => {
                    self.refuse(Role::PowerSupply, "Discharge", &error.into());
                    Ok(())
                }
            },
            Asked::Protocol => {
                match message.body().deserialize() {
                    Ok(value) => self.take_protocol(value),
                    Err(error) => self.refuse(Role::EvLink, "Protocol", &error.into()),
                }
                Ok(())
            }
            Asked::VehicleId => {
                match message.body().deserialize() {
                    Ok(value) => self.take_vehicle_id(value),
                    Err(error) => self.refuse(Role::EvLink, "VehicleId", &error.into()),
                }
                Ok(())
            }
            Asked::Contract => {
                match message.body().deserialize() {
                    Ok(value) => self.take_contract(value),
                    Err(error) => self.refuse(Role::EvLink, "Contract", &error.into()),
                }
                Ok(())
            }
        }
    }

    async fn take_capability(&mut self, value: OwnedVariant) -> anyhow::Result<()> {
        match readings::capability(value) {
            Ok(capability) => self.take(Input::Capability(capability)).await,
            Err(error) => {
                self.refuse(Role::PowerSupply, "Capability", &error);
                Ok(())
            }
        }
    }

    async fn take_discharge(&mut self, value: OwnedVariant) -> anyhow::Result<()> {
        match readings::supply_discharge(value) {
            Ok(discharge) => self.take(Input::Discharge(discharge)).await,
            Err(error) => {
                self.refuse(Role::PowerSupply, "Discharge", &error);
                Ok(())
            }
        }
    }

    fn take_protocol(&mut self, value: OwnedVariant) {
        match String::try_from(value) {
            Ok(protocol) => {
                self.protocol = protocol;
                self.tell(clock::now());
            }
            Err(error) => self.refuse(Role::EvLink, "Protocol", &error.into()),
        }
    }

    fn take_vehicle_id(&mut self, value: OwnedVariant) {
        match String::try_from(value) {
            Ok(vehicle_id) => {
                self.vehicle_id = vehicle_id;
                self.tell(clock::now());
            }
            Err(error) => self.refuse(Role::EvLink, "VehicleId", &error.into()),
        }
    }

    fn take_contract(&mut self, value: OwnedVariant) {
        match String::try_from(value) {
            Ok(contract) => {
                self.contract = contract;
                self.tell(clock::now());
            }
            Err(error) => self.refuse(Role::EvLink, "Contract", &error.into()),
        }
    }
}
