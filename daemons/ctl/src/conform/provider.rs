//! The provider under test: where it is, and, if we start it ourselves, its process.

use std::ffi::OsString;
use std::time::Duration;

use tokio::process::Child;
use zbus::fdo::DBusProxy;
use zbus::names::OwnedWellKnownName;
use zbus::{Connection, OwnedObjectPath};

use crate::bus;
use crate::outcome::Failure;
use crate::private_bus::{broker, started};

/// By when a provider that was started has its name, times the slack.
const START: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);

/// Whoever plays the role.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) name: OwnedWellKnownName,
    pub(super) path: OwnedObjectPath,
    /// By how much a time may be exceeded.
    pub(super) slack: u32,
    address: String,
    command: Vec<OsString>,
    process: Option<Child>,
    /// The broker, if it is ours.
    _broker: Option<Child>,
}

impl Provider {
    /// Finds it on the bus at `address`, or starts `command` there, or on a new bus of our own.
    pub(super) async fn find(
        address: Option<&str>,
        name: &str,
        path: &str,
        slack: u32,
        command: Vec<OsString>,
    ) -> Result<Self, Failure> {
        let other = |error: zbus::Error| Failure::Other(error.to_string());
        let (address, broker) = match address {
            Some(address) => (address.to_owned(), None),
            None if command.is_empty() => {
                return Err(Failure::Other(
                    "where is it? Give --bus ADDRESS of a private bus, or its program after --".to_owned(),
                ));
            }
            None => {
                let (address, broker) = broker().await?;
                (address, Some(broker))
            }
        };
        let mut provider = Self {
            name: name.try_into().map_err(other)?,
            path: path.try_into().map_err(other)?,
            slack,
            address,
            command,
            process: None,
            _broker: broker,
        };
        provider.start().await?;
        Ok(provider)
    }

    /// A connection of its own.
    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        bus::connect_patiently(Some(&self.address), bus::TIMEOUT * self.slack).await
    }

    /// A time of the contract, with the slack.
    pub(super) fn within(&self, time: Duration) -> Duration {
        time * self.slack
    }

    /// Whether it can be killed and started again.
    pub(super) const fn is_ours(&self) -> bool {
        self.process.is_some()
    }

    /// Kills it (SIGKILL), as if it had crashed, and starts it again.
    pub(super) async fn restart(&mut self) -> Result<(), Failure> {
        if let Some(mut process) = self.process.take() {
            process.kill().await.map_err(|error| Failure::Other(format!("killing it: {error}")))?;
        }
        self.start().await
    }

    async fn start(&mut self) -> Result<(), Failure> {
        if let Some((program, arguments)) = self.command.split_first() {
            self.process = Some(started(program, arguments, &self.address)?);
        }
        let connection = self.connect().await?;
        let bus = DBusProxy::new(&connection).await?;
        let limit = tokio::time::Instant::now() + self.within(START);
        while !bus.name_has_owner(self.name.as_ref().into()).await.map_err(zbus::Error::from)? {
            if let Some(process) = &mut self.process
                && let Ok(Some(status)) = process.try_wait()
            {
                return Err(Failure::Unreachable(format!("it ended at once: {status}")));
            }
            if self.process.is_none() || tokio::time::Instant::now() >= limit {
                return Err(Failure::Unreachable(format!("nobody has the name {} on the bus", self.name)));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}
