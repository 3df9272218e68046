//! The families of power modules that the simulator plays.

use std::time::Duration;

use serde::Deserialize;

use super::Protocol;
use super::huawei_r100040gx::Huawei;
use super::infypower::Infypower;
use super::infypower_beg::InfypowerBeg;
use super::maxwell_mxr::MaxwellMxr;
use super::stage::{Made, Range};
use super::tonhe::TonHe;
use super::uugreenpower::UuGreenPower;
use crate::electrical::ModuleRating;

/// After how long without its controller a module switches off of which that is not published.
pub(super) const UNPUBLISHED_SILENCE: Duration = Duration::from_secs(10);

/// A family of modules that speak alike, by the name that the configuration of `voltry-power` has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Infypower REG, CEG, LRG: protocol V1.13.
    #[default]
    Infypower,
    /// Infypower BEC, BEG, bidirectional: protocol V1.04.
    InfypowerBeg,
    /// UUGreenPower UR1000 (36.2), Ark Tech, Maxwell ENR (S0).
    #[serde(rename = "uugreenpower")]
    #[value(name = "uugreenpower")]
    UuGreenPower,
    /// Maxwell MXR (V1.50), Winline UXR and NXR.
    MaxwellMxr,
    /// TonHe (V1.2).
    #[serde(rename = "tonhe")]
    #[value(name = "tonhe")]
    TonHe,
    /// Huawei R100040Gx.
    #[serde(rename = "huawei-r100040gx")]
    #[value(name = "huawei-r100040gx")]
    HuaweiR100040Gx,
}

/// What sets one family apart besides its frames.
struct Row {
    name: &'static str,
    protocol: fn() -> Box<dyn Protocol>,
    first_address: u8,
    group: u8,
    made: Made,
    rating: ModuleRating,
}

/// 150–1000 V, 100 A, 30 kW.
const USUAL: ModuleRating = ModuleRating {
    max_v: 1_000.0,
    min_v: 150.0,
    max_a: 100.0,
    rated_w: 30_000.0,
    output_farads: 200e-6,
    bleeder_ohms: 3e3,
};

impl Family {
    fn row(self) -> Row {
        let usual = |name, protocol, first_address, group| Row {
            name,
            protocol,
            first_address,
            group,
            made: Made { silence: UNPUBLISHED_SILENCE, walk_in: false, range: Range::Automatic },
            rating: USUAL,
        };
        match self {
            Self::Infypower => {
                let row = usual("infypower", || Box::new(Infypower), 0, 0);
                Row { made: Made { silence: super::infypower::SILENCE, walk_in: true, ..row.made }, ..row }
            }
            Self::InfypowerBeg => {
                let row = usual("infypower-beg", || Box::new(InfypowerBeg::default()), 0, 0);
                // BEG1K075G, as EVerest's driver has it.
                let rating = ModuleRating { min_v: 200.0, max_a: 73.3, rated_w: 22_000.0, ..USUAL };
                Row { made: Made { walk_in: true, ..row.made }, rating, ..row }
            }
            Self::UuGreenPower => {
                let row = usual("uugreenpower", || Box::new(UuGreenPower::default()), 1, 1);
                Row { made: Made { range: Range::High, ..row.made }, ..row }
            }
            Self::MaxwellMxr => usual("maxwell-mxr", || Box::new(MaxwellMxr::default()), 0, 0),
            Self::TonHe => {
                let row = usual("tonhe", || Box::new(TonHe::default()), 1, 0);
                Row { made: Made { silence: super::tonhe::SILENCE, ..row.made }, ..row }
            }
            Self::HuaweiR100040Gx => Row {
                rating: ModuleRating { max_a: 133.0, rated_w: 40_000.0, ..USUAL },
                ..usual("huawei-r100040gx", || Box::new(Huawei), 1, 0x1F)
            },
        }
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The address of the first module on a bus; the others follow it.
    #[must_use]
    pub fn first_address(self) -> u8 {
        self.row().first_address
    }

    /// The group that a module is in as it leaves the factory.
    #[must_use]
    pub fn group(self) -> u8 {
        self.row().group
    }

    /// Whether all modules on a bus are one group, whose answers do not say whose they are.
    #[must_use]
    pub fn shares_a_group(self) -> bool {
        self == Self::InfypowerBeg
    }

    /// Whether its modules can take energy from a vehicle.
    #[must_use]
    pub fn feeds_back(self) -> bool {
        self == Self::InfypowerBeg
    }

    /// What one module can do.
    #[must_use]
    pub fn rating(self) -> ModuleRating {
        self.row().rating
    }

    /// For how long a module delivers that hears nobody.
    #[must_use]
    pub fn silence(self) -> Duration {
        self.row().made.silence
    }

    pub(super) fn made(self) -> Made {
        self.row().made
    }

    pub(super) fn protocol(self) -> Box<dyn Protocol> {
        (self.row().protocol)()
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn a_family_has_one_name_on_the_command_line_in_the_topology_and_in_the_configuration() {
        for family in Family::value_variants() {
            let value = family.to_possible_value().unwrap();
            assert_eq!(value.get_name(), family.name());
            let read: Family = toml::Value::String(family.name().to_owned()).try_into().unwrap();
            assert_eq!(read, *family);
        }
    }
}
