//! `[power.monitor.NAME]`: an insulation monitor on a CAN bus of its own.

use serde::Deserialize;

use super::{Driver, Iso165c, Sim100, iso165c, sim100};

/// `[power.monitor.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "model", rename_all = "lowercase", deny_unknown_fields)]
pub enum Monitor {
    /// Bender iso165C or iso165C-1.
    Iso165c {
        /// The CAN bus it is on.
        bus: String,
        /// How it shall be set.
        #[serde(default)]
        settings: iso165c::Settings,
    },
    /// Sendyne SIM100.
    Sim100 {
        /// The CAN bus it is on.
        bus: String,
        /// How it shall be set.
        #[serde(default)]
        settings: sim100::Settings,
    },
}

impl Monitor {
    /// The CAN bus it is on.
    #[must_use]
    pub fn bus(&self) -> &str {
        match self {
            Self::Iso165c { bus, .. } | Self::Sim100 { bus, .. } => bus,
        }
    }

    /// What is wrong with its settings, in words.
    ///
    /// # Errors
    /// Figures that the device would refuse.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Iso165c { settings, .. } => settings.check(),
            Self::Sim100 { settings, .. } => settings.check(),
        }
    }

    /// Maker and model, before the device has said it itself.
    pub(super) fn identity(&self) -> (&'static str, &'static str) {
        match self {
            Self::Iso165c { .. } => ("Bender", "iso165C"),
            Self::Sim100 { .. } => ("Sendyne", "SIM100"),
        }
    }

    /// Whether it tells a voltage whose age is known.
    pub(super) fn measures_voltage(&self) -> bool {
        match self {
            Self::Iso165c { .. } => true,
            Self::Sim100 { .. } => false,
        }
    }

    pub(super) fn driver(&self) -> Driver {
        match self {
            Self::Iso165c { settings, .. } => Driver::Iso165c(Box::new(Iso165c::new(*settings))),
            Self::Sim100 { settings, .. } => Driver::Sim100(Box::new(Sim100::new(*settings))),
        }
    }
}

/// The D-Bus path of a monitor.
#[must_use]
pub(crate) fn path(monitor: &str) -> String {
    voltry_bus::names::path("insulation_monitor", monitor)
}
