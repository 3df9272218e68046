//! A lock for the plug of an EVSE. The safety controller's serial line knows none, so a maker puts one beside it: an
//! object that stands in front of the board's connector. It hands every call on and every signal back, in order, and
//! answers for the lock alone.
//!
//! What a board owes whoever holds its leases is kept: when that leaves the bus, or the board does, this connection ends
//! too, and the board opens as if its own holder had left. A new one is made then.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::bail;
use futures_util::StreamExt as _;
use tokio::time::Instant;
use voltry_bus::{ConnectorState, Contactors, Lock, names};
use zbus::message::{Header, Type};
use zbus::{Connection, Message, MessageStream, OwnedVariant};

use crate::electrical::{Bolt, SharedCircuit};

const CONNECTOR_IO: &str = "org.voltry.ConnectorIo1";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const RETRY: Duration = Duration::from_millis(50);
/// The board's word on its contactors counts for so long, as everywhere.
const FRESH: Duration = Duration::from_millis(300);
/// Calls that the board has not answered; beyond, the board hangs.
const OPEN_MAX: usize = 256;

/// The bus name under which the connector with a lock is found.
pub(super) fn name(evse: u32) -> String {
    format!("org.voltry.SimLock.N{evse}")
}

/// Stands before the connector of an EVSE whenever there is a bus and a board.
pub(super) async fn stand_before(evse: u32, circuit: SharedCircuit, address: String) {
    loop {
        if let Err(error) = serve(evse, &circuit, &address).await {
            tracing::debug!(evse, %error, "the plug's lock leaves the bus");
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn serve(evse: u32, circuit: &SharedCircuit, address: &str) -> anyhow::Result<()> {
    let bus = zbus::connection::Builder::address(address).build().await?;
    let mut messages = MessageStream::from(&bus);
    let proxy = zbus::fdo::DBusProxy::new(&bus).await?;
    let path = names::path("connector", &evse.to_string());
    let from_board =
        zbus::MatchRule::builder().msg_type(Type::Signal).sender(names::BOARD).path(path.as_str()).build()?;
    proxy.add_match_rule(from_board).await?;
    let owners = zbus::MatchRule::builder()
        .msg_type(Type::Signal)
        .sender("org.freedesktop.DBus")
        .interface("org.freedesktop.DBus")
        .member("NameOwnerChanged")
        .build()?;
    proxy.add_match_rule(owners).await?;
    let board = proxy.get_name_owner(names::BOARD.try_into()?).await?;
    bus.request_name(name(evse)).await?;
    let mut relay = Relay {
        bus,
        path,
        board: board.to_string(),
        circuit: circuit.clone(),
        open: HashMap::new(),
        holder: None,
        contactors: None,
    };
    while let Some(message) = messages.next().await {
        relay.hear(&message?).await?;
    }
    Ok(())
}

struct Relay {
    bus: Connection,
    path: String,
    /// Its unique name.
    board: String,
    circuit: SharedCircuit,
    /// Calls that the board answers, by the number that they have there.
    open: HashMap<NonZeroU32, Message>,
    /// Who energises, or drives the pilot.
    holder: Option<String>,
    contactors: Option<(Contactors, Instant)>,
}

impl Relay {
    async fn hear(&mut self, message: &Message) -> anyhow::Result<()> {
        let header = message.header();
        match message.message_type() {
            Type::MethodCall => self.called(message, &header).await,
            Type::MethodReturn | Type::Error => self.answered(message, &header).await,
            Type::Signal => self.told(message, &header).await,
        }
    }

    async fn called(&mut self, message: &Message, header: &Header<'_>) -> anyhow::Result<()> {
        let (Some(member), Some(interface)) = (header.member(), header.interface()) else { return Ok(()) };
        if interface.as_str() == CONNECTOR_IO && member.as_str() == "SetLock" {
            let answer = match self.set_lock(message.body().deserialize()?) {
                Ok(()) => Message::method_return(header).build(&())?,
                Err(why) => Message::error(header, "org.voltry.Error.Refused").build(&(why,))?,
            };
            self.bus.send(&answer).await?;
            return Ok(());
        }
        if interface.as_str() == CONNECTOR_IO {
            self.holder = header.sender().map(ToString::to_string);
        }
        let call = || {
            Message::method_call(self.path.as_str(), member.as_str())
                .destination(self.board.as_str())
                .interface(interface.as_str())
        };
        let body = message.body();
        let call = match member.as_str() {
            "Enable" => call().build(&body.deserialize::<u64>()?)?,
            "CloseContactors" | "RenewLease" => call().build(&body.deserialize::<(u64, u64, u64)>()?)?,
            "SetPilot" | "GetAll" => call().build(&body.deserialize::<String>()?)?,
            "Get" => call().build(&body.deserialize::<(String, String)>()?)?,
            "OpenContactors" | "Reset" => call().build(&())?,
            _ => {
                let why = "nobody but the board knows it";
                let unknown = "org.freedesktop.DBus.Error.UnknownMethod";
                return Ok(self.bus.send(&Message::error(header, unknown).build(&(why,))?).await?);
            }
        };
        if self.open.len() >= OPEN_MAX {
            bail!("the board answers nothing");
        }
        self.open.insert(call.primary_header().serial_num(), message.clone());
        Ok(self.bus.send(&call).await?)
    }

    async fn answered(&mut self, message: &Message, header: &Header<'_>) -> anyhow::Result<()> {
        let asked = header.reply_serial().and_then(|serial| self.open.remove(&serial));
        let Some(asked) = asked else { return Ok(()) };
        let (asked, body) = (asked.header(), message.body());
        let answer = match header.error_name() {
            Some(error) => {
                let why: String = body.deserialize().unwrap_or_default();
                Message::error(&asked, error.as_str()).build(&(why,))?
            }
            None => {
                let answer = Message::method_return(&asked);
                match asked.member().map_or("", |member| member.as_str()) {
                    "Get" => answer.build(&body.deserialize::<OwnedVariant>()?)?,
                    "GetAll" => answer.build(&body.deserialize::<HashMap<String, OwnedVariant>>()?)?,
                    _ => answer.build(&())?,
                }
            }
        };
        Ok(self.bus.send(&answer).await?)
    }

    async fn told(&mut self, message: &Message, header: &Header<'_>) -> anyhow::Result<()> {
        let Some(member) = header.member() else { return Ok(()) };
        let body = message.body();
        match member.as_str() {
            "NameOwnerChanged" => {
                let (who, _, owner): (String, String, String) = body.deserialize()?;
                if who == self.board || owner.is_empty() && self.holder.as_ref() == Some(&who) {
                    bail!("{who} left the bus");
                }
                Ok(())
            }
            "Io" => {
                let mut state: ConnectorState = body.deserialize()?;
                let bolt = self.circuit.with(|circuit| circuit.plug_lock.bolt());
                state.lock = match bolt {
                    Bolt::Out => Lock::Unlocked,
                    Bolt::In => Lock::Locked,
                    Bolt::Moving => Lock::Moving,
                    Bolt::Stuck => Lock::Fault,
                };
                self.contactors = Some((state.contactors, Instant::now()));
                let signal = Message::signal(self.path.as_str(), CONNECTOR_IO, "Io").build(&(state,))?;
                Ok(self.bus.send(&signal).await?)
            }
            "PropertiesChanged" => {
                type Changed = (String, HashMap<String, OwnedVariant>, Vec<String>);
                let changed: Changed = body.deserialize()?;
                let signal =
                    Message::signal(self.path.as_str(), PROPERTIES, "PropertiesChanged").build(&changed)?;
                Ok(self.bus.send(&signal).await?)
            }
            _ => Ok(()),
        }
    }

    /// As `ConnectorIo1` has it: nothing is unlocked unless the contactors are open.
    fn set_lock(&self, locked: bool) -> Result<(), &'static str> {
        let open = self
            .contactors
            .is_some_and(|(contactors, heard)| contactors == Contactors::Open && heard.elapsed() <= FRESH);
        if !locked && !open {
            return Err("the contactors are not open");
        }
        self.circuit.with(|circuit| circuit.plug_lock.drive(locked));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_name_is_a_bus_name() {
        assert!(zbus::names::WellKnownName::try_from(name(16)).is_ok());
    }
}
