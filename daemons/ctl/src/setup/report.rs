//! The report of a commissioning.

use std::path::PathBuf;

use serde::Serialize;
use voltry_bus::{SelfTestOutcome, SelfTestStep};

use super::configuration::units;
use super::probe::{answers, expected};
use super::secrets::Secret;
use super::site::Site;
use crate::devices::Device;
use crate::outcome::{Failure, Outcome};
use crate::output::{json as print_json, table};

/// A check of the self-test.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    pub(super) evse: u32,
    pub(super) check: SelfTestStep,
    pub(super) outcome: SelfTestOutcome,
    pub(super) seen: String,
}

/// What was found and done.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    name: String,
    pub(super) written: Option<PathBuf>,
    /// Which systemd is told to start, once.
    units: Vec<String>,
    pub(super) errors: Vec<String>,
    devices: Vec<Device>,
    missing: Vec<String>,
    pub(super) self_test: Vec<Checked>,
    pub(super) secrets: Vec<Secret>,
    /// What it broke off with.
    pub(super) failure: Option<String>,
    #[serde(skip)]
    expected: Vec<String>,
}

impl Report {
    pub(super) fn new(site: &Site) -> Self {
        Self {
            name: site.name.clone(),
            written: None,
            units: units(site),
            errors: Vec::new(),
            devices: Vec::new(),
            missing: Vec::new(),
            self_test: Vec::new(),
            secrets: Vec::new(),
            failure: None,
            expected: expected(site),
        }
    }

    /// These devices were found; those that do not answer are missing.
    pub(super) fn found(&mut self, devices: Vec<Device>) {
        let there =
            |object: &String| devices.iter().any(|device| device.object == *object && answers(device));
        self.missing = self.expected.iter().filter(|object| !there(object)).cloned().collect();
        self.devices = devices;
    }

    fn is_good(&self) -> bool {
        let good = |row: &Checked| matches!(row.outcome, SelfTestOutcome::Passed | SelfTestOutcome::Skipped);
        self.failure.is_none()
            && self.errors.is_empty()
            && self.missing.is_empty()
            && self.devices.iter().all(|device| device.faults.is_empty())
            && self.self_test.iter().all(good)
    }

    fn outcome(&self) -> Outcome {
        if self.failure.is_some() {
            Outcome::Failed
        } else if self.is_good() {
            Outcome::Done
        } else {
            Outcome::BadNews
        }
    }

    /// Prints it.
    pub(super) fn show(&self, json: bool) -> Result<Outcome, Failure> {
        let outcome = self.outcome();
        if json {
            print_json(self)?;
            return Ok(outcome);
        }
        println!("Commissioning of {}, {}", self.name, jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC"));
        self.errors.iter().for_each(|error| println!("{error}"));
        if !self.errors.is_empty() {
            println!("The configuration has {} errors; nothing was written.", self.errors.len());
            return Ok(outcome);
        }
        let mut shown = table(["DEVICE", "MAKER", "MODEL", "SERIAL", "FIRMWARE", ""]);
        for device in &self.devices {
            let state = match device.faults.first() {
                Some(fault) => format!("{}: {}", fault.code, fault.cause),
                None if answers(device) => "answers".to_owned(),
                None => "DOES NOT ANSWER".to_owned(),
            };
            let Device { object, vendor, model, serial, firmware, .. } = device;
            shown.add_row([object, vendor, model, serial, firmware, &state]);
        }
        println!("{shown}");
        for object in &self.missing {
            println!("{object} does not answer: is it powered, is its line the right one, its address?");
        }
        for Checked { evse, check, outcome, seen } in &self.self_test {
            println!("EVSE {evse}: {check}: {outcome}: {seen}");
        }
        for Secret { of, file, secret } in &self.secrets {
            println!("Password of {of}, shown once and kept in {}: {secret}", file.display());
        }
        match &self.written {
            Some(file) => {
                println!("Written: {}. To start with it:", file.display());
                println!("  systemctl enable {}", self.units.join(" "));
                println!("  systemctl restart voltry.target");
            }
            None => println!("Nothing was written."),
        }
        if let Some(failure) = &self.failure {
            println!("It broke off: {failure}");
        }
        println!("{}", if self.is_good() { "No trouble was found." } else { "There is trouble." });
        Ok(outcome)
    }
}
