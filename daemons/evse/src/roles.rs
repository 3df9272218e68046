//! Who plays each role: bus names that come and go, and whose signals count.

use std::collections::HashMap;

use anyhow::Context as _;
use voltry_service::Binding;
use zbus::names::{BusName, UniqueName};
use zbus::{Connection, MatchRule, Message, OwnedVariant, fdo};

use crate::energy_path::{Input, Role};

/// The interface of a role.
pub(crate) const fn interface(role: Role) -> &'static str {
    match role {
        Role::PowerSupply => "org.voltry.PowerSupply1",
        Role::VoltageMonitor => "org.voltry.VoltageMonitor1",
        Role::OverVoltageMonitor => "org.voltry.OverVoltageMonitor1",
        Role::InsulationMonitor => "org.voltry.InsulationMonitor1",
        Role::ConnectorIo => "org.voltry.ConnectorIo1",
        Role::EnergyMeter => "org.voltry.EnergyMeter1",
        Role::EvLink => "org.voltry.EvLink1",
    }
}

/// The bound roles, and who owns their names now.
#[derive(Debug)]
pub(crate) struct Roles {
    bindings: Vec<(Role, Binding)>,
    owners: HashMap<String, String>,
}

impl Roles {
    /// Asks the bus for the signals of the bound objects, and for the coming and going of their
    /// names. [`Roles::first_look`] then says who is there already.
    pub(crate) async fn watch(
        connection: &Connection,
        bindings: Vec<(Role, Binding)>,
    ) -> anyhow::Result<Self> {
        let bus = fdo::DBusProxy::new(connection).await.context("the bus itself")?;
        for (role, binding) in &bindings {
            let signals = MatchRule::builder()
                .msg_type(zbus::message::Type::Signal)
                .sender(&binding.name)
                .path(&binding.path)
                .build()?;
            let owner = MatchRule::builder()
                .msg_type(zbus::message::Type::Signal)
                .sender("org.freedesktop.DBus")
                .interface("org.freedesktop.DBus")
                .member("NameOwnerChanged")
                .arg(0, binding.name.as_str())
                .build()?;
            for rule in [signals, owner] {
                bus.add_match_rule(rule)
                    .await
                    .with_context(|| format!("listening to the {}", role.words()))?;
            }
        }
        Ok(Self { bindings, owners: HashMap::new() })
    }

    /// Who is there already. Later changes arrive as messages.
    pub(crate) async fn first_look(&mut self, connection: &Connection) -> anyhow::Result<Vec<Input>> {
        let bus = fdo::DBusProxy::new(connection).await.context("the bus itself")?;
        let mut inputs = Vec::new();
        for name in self.names() {
            let asked = BusName::try_from(name.as_str()).context("a bound name")?;
            if let Ok(owner) = bus.get_name_owner(asked).await {
                inputs.append(&mut self.owner_changed(&name, owner.as_str()));
            }
        }
        Ok(inputs)
    }

    pub(crate) fn bindings(&self) -> &[(Role, Binding)] {
        &self.bindings
    }

    pub(crate) fn binding(&self, role: Role) -> Option<&Binding> {
        self.bindings.iter().find(|(bound, _)| *bound == role).map(|(_, binding)| binding)
    }

    pub(crate) fn is_present(&self, role: Role) -> bool {
        self.binding(role).is_some_and(|binding| self.owners.contains_key(binding.name.as_str()))
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            self.bindings.iter().map(|(_, binding)| binding.name.as_str().to_owned()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What a name's new owner (empty: none) means. Another owner is a loss and a find: nothing
    /// of the old one holds.
    pub(crate) fn owner_changed(&mut self, name: &str, owner: &str) -> Vec<Input> {
        if self.owners.get(name).is_some_and(|old| old == owner) {
            return Vec::new();
        }
        let was = self.owners.remove(name).is_some();
        let roles: Vec<_> = self
            .bindings
            .iter()
            .filter(|(_, binding)| binding.name.as_str() == name)
            .map(|(role, _)| *role)
            .collect();
        let mut inputs = Vec::new();
        if was {
            inputs.extend(roles.iter().map(|role| Input::Lost(*role)));
        }
        if !owner.is_empty() && !roles.is_empty() {
            self.owners.insert(name.to_owned(), owner.to_owned());
            inputs.extend(roles.iter().map(|role| Input::Found(*role)));
        }
        inputs
    }

    /// The role whose object sent this, by its owner's unique name: a signal that someone else
    /// addresses to us under a bound path counts for nothing.
    pub(crate) fn sender_of(&self, message: &Message) -> Option<Role> {
        let header = message.header();
        let (sender, path, named) = (header.sender()?, header.path()?, header.interface()?);
        self.bindings
            .iter()
            .find(|(role, binding)| {
                let properties = named.as_str() == "org.freedesktop.DBus.Properties"
                    && first_argument(message).as_deref() == Some(interface(*role));
                binding.path.as_str() == path.as_str()
                    && self.owns(binding.name.as_str(), sender)
                    && (named.as_str() == interface(*role) || properties)
            })
            .map(|(role, _)| *role)
    }

    fn owns(&self, name: &str, sender: &UniqueName<'_>) -> bool {
        self.owners.get(name).is_some_and(|owner| owner == sender.as_str())
    }
}

fn first_argument(message: &Message) -> Option<String> {
    changed_properties(message).map(|(interface, _)| interface)
}

/// The interface and the new values of a `PropertiesChanged`.
pub(crate) fn changed_properties(message: &Message) -> Option<(String, HashMap<String, OwnedVariant>)> {
    type Body = (String, HashMap<String, OwnedVariant>, Vec<String>);
    let (interface, changed, _): Body = message.body().deserialize().ok()?;
    Some((interface, changed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_owner_of_a_name_is_a_loss_and_a_find_of_each_of_its_roles() {
        let binding = |path| Binding::new("org.voltry.Board1", path).unwrap();
        let mut roles = Roles {
            bindings: vec![
                (Role::VoltageMonitor, binding("/org/voltry/voltage_monitor/1")),
                (Role::ConnectorIo, binding("/org/voltry/connector/1")),
            ],
            owners: HashMap::new(),
        };
        let (volts, io) = (Role::VoltageMonitor, Role::ConnectorIo);
        assert_eq!(roles.owner_changed("org.voltry.Board1", ":1.5"), [Input::Found(volts), Input::Found(io)]);
        assert_eq!(roles.owner_changed("org.voltry.Board1", ":1.5"), []);
        assert_eq!(
            roles.owner_changed("org.voltry.Board1", ":1.6"),
            [Input::Lost(volts), Input::Lost(io), Input::Found(volts), Input::Found(io)]
        );
        assert_eq!(roles.owner_changed("org.voltry.Board1", ""), [Input::Lost(volts), Input::Lost(io)]);
        assert_eq!(roles.owner_changed("org.voltry.Other", ":1.7"), []);
    }
}
