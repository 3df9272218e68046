//! What hardware hangs where, as a person says it: a file, or answers to questions.

use std::io::{BufRead, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::outcome::Failure;

/// The most EVSEs that one station is asked about.
const EVSES_MAX: usize = 16;

/// A station as it was built. Every answer is one line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Site {
    /// As people call it.
    pub(super) name: String,
    /// Watts that it may take from the mains.
    pub(super) power_limit_w: f64,
    /// Anyone may charge, without a token.
    #[serde(default)]
    pub(super) free_vending: bool,
    /// The back end.
    pub(super) csms: Option<Csms>,
    /// The EVSEs, in order of their numbers.
    pub(super) evse: Vec<Evse>,
}

/// The back end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Csms {
    /// `wss://…`, without the identity.
    pub(super) url: String,
    /// What it knows the station by.
    pub(super) identity: String,
    /// Of OCPP: 1.6 or 2.0.1.
    pub(super) version: String,
    /// PEM file of the roots that its certificate may lead to; public authorities', if left out.
    pub(super) roots: Option<String>,
}

/// One EVSE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Evse {
    /// The edition whose figures bind, as `iec61851-23-2023`.
    pub(super) profile: String,
    /// Volts and amperes that contactors, cable and connector are made for.
    pub(super) voltage_max: f64,
    pub(super) current_max: f64,
    /// The hardware ends an over-voltage within 10 ms by itself. No software can find that out.
    pub(super) over_voltage_by_hardware: bool,
    /// As vehicles and the back end know it, as `DE*ABC*E1`.
    pub(super) evse_id: String,
    /// The network interface that leads to the vehicle.
    pub(super) interface: String,
    /// The powerline modem behind it: qca7000, cg5317, generic; none: Ethernet.
    pub(super) modem: Option<String>,
    /// The safety controller's serial line.
    pub(super) board: String,
    pub(super) modules: Modules,
    pub(super) meter: Modbus,
    pub(super) insulation_monitor: Modbus,
}

/// The power modules of an EVSE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Modules {
    /// As `infypower`.
    pub(super) family: String,
    /// A network interface, as `can0`, or the serial line of an slcan adapter, as `/dev/ttyACM0`.
    pub(super) can: String,
    pub(super) addresses: Vec<u32>,
    /// More keys of `[power.supply.N]`: what the family wants told.
    #[serde(default)]
    pub(super) more: toml::Table,
}

/// A device on a Modbus line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Modbus {
    /// A register map's name, or that of an insulation monitor.
    pub(super) model: String,
    /// A serial line, or `host:port`.
    pub(super) line: String,
    /// Of a serial line: bit/s; its factory setting, if left out.
    pub(super) baud: Option<u32>,
    pub(super) address: u8,
}

impl Site {
    /// Reads a file.
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let wrong = |error: String| Failure::Other(format!("{}: {error}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        let site: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if site.evse.is_empty() || site.evse.len() > EVSES_MAX {
            return Err(wrong(format!("{} EVSEs: 1 to {EVSES_MAX} can be", site.evse.len())));
        }
        Ok(site)
    }

    /// Asks a person.
    pub(super) fn ask(input: impl BufRead, output: impl Write) -> Result<Self, Failure> {
        let mut person = Person { input, output };
        let name = person.ask("The station's name", "")?;
        let power_limit_w = person.ask("Watts that it may take from the mains", "")?;
        let free_vending = person.agrees("May anyone charge, without a token")?;
        let csms = if person.agrees("Is there a back end (CSMS)")? {
            Some(Csms {
                url: person.ask("  its address, as wss://csms.example/ocpp", "")?,
                identity: person.ask("  what it knows the station by", "")?,
                version: person.ask("  version of OCPP: 1.6 or 2.0.1", "2.0.1")?,
                roots: None,
            })
        } else {
            None
        };
        let count: usize = person.ask("How many EVSEs", "1")?;
        let evse =
            (1..=count.clamp(1, EVSES_MAX)).map(|number| person.evse(number)).collect::<Result<_, _>>()?;
        Ok(Self { name, power_limit_w, free_vending, csms, evse })
    }
}

struct Person<I, O> {
    input: I,
    output: O,
}

impl<I: BufRead, O: Write> Person<I, O> {
    /// Asks until the answer can be what is wanted; an empty line is the usual answer, if there is one.
    fn ask<T: std::str::FromStr>(&mut self, question: &str, usual: &str) -> Result<T, Failure> {
        let failed = |error: std::io::Error| Failure::Other(error.to_string());
        loop {
            let shown = if usual.is_empty() { String::new() } else { format!(" [{usual}]") };
            write!(self.output, "{question}{shown}: ").and_then(|()| self.output.flush()).map_err(failed)?;
            let mut line = String::new();
            if self.input.read_line(&mut line).map_err(failed)? == 0 {
                return Err(Failure::Refused("broken off; nothing was written".to_owned()));
            }
            let line = line.trim();
            let answer = if line.is_empty() { usual } else { line };
            match answer.parse() {
                Ok(answer_is) if !answer.is_empty() => return Ok(answer_is),
                Ok(_) | Err(_) => writeln!(self.output, "  {line:?} cannot be").map_err(failed)?,
            }
        }
    }

    fn agrees(&mut self, question: &str) -> Result<bool, Failure> {
        loop {
            let answer: String = self.ask(&format!("{question}? yes or no"), "no")?;
            match answer.to_lowercase().as_str() {
                "yes" | "y" => return Ok(true),
                "no" | "n" => return Ok(false),
                _ => {}
            }
        }
    }

    fn evse(&mut self, number: usize) -> Result<Evse, Failure> {
        let of = |what: &str| format!("EVSE {number}: {what}");
        let modem: String =
            self.ask(&of("its powerline modem: qca7000, cg5317, generic; none"), "qca7000")?;
        Ok(Evse {
            profile: self.ask(&of("edition: iec61851-23-2014, iec61851-23-2023, mcs"), "iec61851-23-2023")?,
            voltage_max: self.ask(&of("volts that contactors, cable and connector are made for"), "")?,
            current_max: self.ask(&of("amperes that they are made for, without a pause"), "")?,
            over_voltage_by_hardware: self
                .agrees(&of("does its hardware end an over-voltage in 10 ms by itself"))?,
            evse_id: self.ask(&of("its name for vehicles, as DE*ABC*E1"), "")?,
            interface: self.ask(&of("network interface to the vehicle"), &format!("qca{}", number - 1))?,
            modem: (modem != "none").then_some(modem),
            board: self.ask(&of("serial line of the safety controller"), "")?,
            modules: Modules {
                family: self.ask(&of("family of its power modules"), "infypower")?,
                can: self.ask(&of("their CAN: an interface, or an adapter's serial line"), "can0")?,
                addresses: self.addresses(&of("their addresses, as 0 1 2"))?,
                more: toml::Table::new(),
            },
            meter: self.modbus(&of("energy meter"), "acrel-djsf1352-rn")?,
            insulation_monitor: self.modbus(&of("insulation monitor"), "isocha425hv")?,
        })
    }

    fn addresses(&mut self, question: &str) -> Result<Vec<u32>, Failure> {
        loop {
            let answer: String = self.ask(question, "")?;
            if let Ok(addresses) = answer.split_whitespace().map(str::parse).collect() {
                return Ok(addresses);
            }
        }
    }

    fn modbus(&mut self, what: &str, usual: &str) -> Result<Modbus, Failure> {
        Ok(Modbus {
            model: self.ask(&format!("{what}, model"), usual)?,
            line: self.ask(&format!("{what}, its line: a serial one, or host:port"), "")?,
            baud: None,
            address: self.ask(&format!("{what}, its Modbus address"), "1")?,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::setup) const FILE: &str = r#"
name = "Depot 3"
power_limit_w = 150000.0
[csms]
url = "wss://csms.example/ocpp"
identity = "DEPOT-3"
version = "2.0.1"
[[evse]]
profile = "iec61851-23-2023"
voltage_max = 1000.0
current_max = 300.0
over_voltage_by_hardware = true
evse_id = "DE*VOL*E1"
interface = "qca0"
modem = "qca7000"
board = "/dev/ttyS1"
modules = { family = "infypower", can = "can0", addresses = [0, 1] }
meter = { model = "acrel-djsf1352-rn", line = "/dev/ttyS2", address = 1 }
insulation_monitor = { model = "isocha425hv", line = "/dev/ttyS3", baud = 19200, address = 3 }
"#;

    pub(in crate::setup) fn site() -> Site {
        toml::from_str(FILE).unwrap()
    }

    #[test]
    fn answers_are_the_same_as_a_file() {
        let answers = "Depot 3\nmany\n150000\n\nyes\nwss://csms.example/ocpp\nDEPOT-3\n\n\n\n\n1000\n300\nyes\n\
                       DE*VOL*E1\n\n/dev/ttyS1\n\n\n0 one\n0 1\n\n/dev/ttyS2\n\n\n/dev/ttyS3\n3\n";
        let mut asked = Vec::new();
        let mut heard = Site::ask(answers.as_bytes(), &mut asked).unwrap();
        heard.evse[0].insulation_monitor.baud = Some(19_200);
        assert_eq!(heard, site(), "{}", String::from_utf8_lossy(&asked));
        assert!(String::from_utf8(asked).unwrap().contains("\"many\" cannot be"));
    }

    #[test]
    fn who_breaks_off_is_not_asked_for_ever() {
        assert!(Site::ask("Depot 3\n".as_bytes(), Vec::new()).is_err());
    }
}
