//! The arguments of `voltryctl conform`.

use std::ffi::OsString;

use clap::{Args, ValueEnum};

/// What can be put through the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    PowerSupply,
    EnergyMeter,
    InsulationMonitor,
    VoltageMonitor,
    Connector,
}

impl Role {
    /// What a person must agree to before it is tried.
    pub(crate) const fn danger(self) -> Option<&'static str> {
        match self {
            Self::PowerSupply => Some("The supply's output is raised to 200 V, or what it can."),
            Self::Connector => Some("The contactors close and open."),
            Self::EnergyMeter | Self::InsulationMonitor | Self::VoltageMonitor => None,
        }
    }

    /// Its interface.
    pub(crate) const fn interface(self) -> &'static str {
        match self {
            Self::PowerSupply => "org.voltry.PowerSupply1",
            Self::EnergyMeter => "org.voltry.EnergyMeter1",
            Self::InsulationMonitor => "org.voltry.InsulationMonitor1",
            Self::VoltageMonitor => "org.voltry.VoltageMonitor1",
            Self::Connector => "org.voltry.ConnectorIo1",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Conform {
    /// What it provides
    pub(crate) role: Role,
    /// Its bus name, as org.voltry.Power1
    pub(crate) name: String,
    /// Its object, as /org/voltry/power_supply/1
    pub(crate) path: String,
    /// Only this rule; repeatable
    #[arg(long, value_name = "RULE")]
    pub(crate) only: Vec<String>,
    /// By how much a time may be exceeded, where the machine does other things as well
    #[arg(long, value_name = "FACTOR", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub(crate) slack: u32,
    /// Ask nothing before an output is raised
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// The provider's program with its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}
