//! What a DC station can measure, in OCPP's words.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Sample, Signed};
use crate::time::rfc3339;

/// The longest signed reading, and the longest key, bytes: the fields have 2500 characters of base64.
pub const SIGNED_MAX: usize = 1875;

/// A measurand that the meter or the vehicle gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measurand {
    /// The meter's register.
    Energy,
    /// The meter's register of what came back from vehicles; left out until it has counted.
    Export,
    /// Power to the vehicle; zero while it gives.
    Power,
    /// Power from the vehicle; left out while it gives none.
    PowerBack,
    /// Power that the vehicle may take.
    Offered,
    /// Current to the vehicle; zero while it gives.
    Current,
    /// Current from the vehicle; left out while it gives none.
    CurrentBack,
    /// Voltage at the vehicle.
    Voltage,
    /// The battery's state of charge; left out while the vehicle has not told it.
    StateOfCharge,
}

/// When a reading was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// At the start of the transaction.
    Begin,
    /// At its end.
    End,
    /// By the interval.
    Periodic,
    /// On the mark of the clock.
    Clock,
    /// Because the CSMS asked.
    Trigger,
    /// For another reason.
    Other,
}

impl Context {
    const fn name(self) -> &'static str {
        match self {
            Self::Begin => "Transaction.Begin",
            Self::End => "Transaction.End",
            Self::Periodic => "Sample.Periodic",
            Self::Clock => "Sample.Clock",
            Self::Trigger => "Trigger",
            Self::Other => "Other",
        }
    }
}

impl Measurand {
    /// All of them, in the order in which they are sent.
    pub const ALL: [Self; 9] = [
        Self::Energy,
        Self::Export,
        Self::Power,
        Self::PowerBack,
        Self::Offered,
        Self::Current,
        Self::CurrentBack,
        Self::Voltage,
        Self::StateOfCharge,
    ];

    /// OCPP's name, the same in both versions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Energy => "Energy.Active.Import.Register",
            Self::Export => "Energy.Active.Export.Register",
            Self::Power => "Power.Active.Import",
            Self::PowerBack => "Power.Active.Export",
            Self::Offered => "Power.Offered",
            Self::Current => "Current.Import",
            Self::CurrentBack => "Current.Export",
            Self::Voltage => "Voltage",
            Self::StateOfCharge => "SoC",
        }
    }

    const fn unit(self) -> &'static str {
        match self {
            Self::Energy | Self::Export => "Wh",
            Self::Power | Self::PowerBack | Self::Offered => "W",
            Self::Current | Self::CurrentBack => "A",
            Self::Voltage => "V",
            Self::StateOfCharge => "Percent",
        }
    }

    /// The measurands of a comma-separated list; those that no DC station measures are left out.
    #[must_use]
    pub fn parse_list(list: &str) -> Vec<Self> {
        let named = |name: &str| Self::ALL.into_iter().find(|measurand| measurand.name() == name);
        list.split(',').map(str::trim).filter_map(named).collect()
    }

    /// The value in thousandths of the unit, as integers keep it exact.
    fn thousandths(self, sample: &Sample) -> Option<i64> {
        // A station's figures are far from where a double loses thousandths.
        #[allow(clippy::cast_possible_truncation)]
        let milli = |value: f64| value.is_finite().then(|| (value * 1000.0).round() as i64);
        let to_vehicle = |flows: Option<f64>| flows.map(|flows| flows.max(0.0)).and_then(milli);
        let from_vehicle =
            |flows: Option<f64>| flows.filter(|flows| *flows < 0.0).map(f64::abs).and_then(milli);
        match self {
            Self::Energy => sample.register,
            Self::Export => sample.export,
            Self::Power => to_vehicle(sample.power),
            Self::PowerBack => from_vehicle(sample.power),
            Self::Offered => sample.offered.and_then(milli),
            Self::Current => to_vehicle(sample.current),
            Self::CurrentBack => from_vehicle(sample.current),
            Self::Voltage => sample.voltage.and_then(milli),
            Self::StateOfCharge => sample.soc.and_then(milli),
        }
    }
}

/// A MeterValue of 1.6; `None` if nothing in it can be told.
pub(crate) fn v16(sample: &Sample, measurands: &[Measurand], context: Context) -> Option<Value> {
    let sampled: Vec<Value> = measurands
        .iter()
        .filter_map(|measurand| {
            Some(json!({
                "value": decimal(measurand.thousandths(sample)?),
                "context": context.name(),
                "measurand": measurand.name(),
                "location": location(*measurand),
                "unit": measurand.unit(),
            }))
        })
        .collect();
    (!sampled.is_empty()).then(|| json!({ "timestamp": rfc3339(sample.unix), "sampledValue": sampled }))
}

/// A MeterValueType of 2.0.1; `None` if nothing in it can be told.
pub(crate) fn v201(sample: &Sample, measurands: &[Measurand], context: Context) -> Option<Value> {
    let sampled: Vec<Value> = measurands
        .iter()
        .filter_map(|measurand| {
            // Exact: parsing the decimal gives the double that prints as it again.
            let value: f64 = decimal(measurand.thousandths(sample)?).parse().ok()?;
            Some(json!({
                "value": value,
                "context": context.name(),
                "measurand": measurand.name(),
                "location": location(*measurand),
                "unitOfMeasure": { "unit": measurand.unit() },
            }))
        })
        .collect();
    (!sampled.is_empty()).then(|| json!({ "timestamp": rfc3339(sample.unix), "sampledValue": sampled }))
}

/// Puts what the meter signed beside the register that it is about (2.0.1's SignedMeterValueType). By which
/// method is in the signed data, OCMF's at least, and told nowhere else.
pub(crate) fn sign(value: &mut Value, signed: &Signed, with_key: bool) {
    let sampled = value["sampledValue"].as_array_mut().into_iter().flatten();
    for one in sampled.filter(|one| one["measurand"] == Measurand::Energy.name()) {
        one["signedMeterValue"] = json!({
            "signedMeterData": STANDARD.encode(&signed.data),
            "signingMethod": "",
            "encodingMethod": signed.format,
            "publicKey": if with_key { STANDARD.encode(&signed.public_key) } else { String::new() },
        });
    }
}

const fn location(measurand: Measurand) -> &'static str {
    match measurand {
        Measurand::StateOfCharge => "EV",
        Measurand::Energy
        | Measurand::Export
        | Measurand::Power
        | Measurand::PowerBack
        | Measurand::Offered
        | Measurand::Current
        | Measurand::CurrentBack
        | Measurand::Voltage => "Outlet",
    }
}

/// Thousandths as a decimal without needless zeros.
fn decimal(thousandths: i64) -> String {
    let sign = if thousandths < 0 { "-" } else { "" };
    let (whole, rest) = (thousandths.unsigned_abs() / 1000, thousandths.unsigned_abs() % 1000);
    if rest == 0 {
        return format!("{sign}{whole}");
    }
    format!("{sign}{whole}.{rest:03}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_unsupported_measurand_does_not_take_the_others_along() {
        let list = Measurand::parse_list("Energy.Active.Import.Register,Frequency, SoC");
        assert_eq!(list, [Measurand::Energy, Measurand::StateOfCharge]);
    }

    #[test]
    fn registers_are_written_to_their_last_digit() {
        assert_eq!(decimal(1_234_567), "1234.567");
        assert_eq!(decimal(-12_500), "-12.5");
        assert_eq!(decimal(3_000), "3");
        let sample = Sample { register: Some(9_007_199_254_740_001), ..Sample::default() };
        let value = v16(&sample, &[Measurand::Energy], Context::Begin).unwrap();
        assert_eq!(value["sampledValue"][0]["value"], "9007199254740.001");
    }

    #[test]
    fn what_a_vehicle_gives_is_told_apart_from_what_it_takes() {
        let told = |sample: &Sample| -> Vec<(String, f64)> {
            let Some(value) = v201(sample, &Measurand::ALL, Context::Periodic) else { return Vec::new() };
            let sampled = value["sampledValue"].as_array().unwrap().iter();
            sampled
                .map(|one| (one["measurand"].as_str().unwrap().to_owned(), one["value"].as_f64().unwrap()))
                .collect()
        };
        let [energy, power, current] = ["Energy.Active", "Power.Active", "Current"];
        let takes =
            Sample { register: Some(5_000), power: Some(900.0), current: Some(2.5), ..Sample::default() };
        let one = |name: &str, way: &str, value: f64| (format!("{name}.{way}"), value);
        let expected =
            [one(energy, "Import.Register", 5.0), one(power, "Import", 900.0), one(current, "Import", 2.5)];
        assert_eq!(told(&takes), expected);
        let gives = Sample { export: Some(70_500), power: Some(-900.0), current: Some(-2.5), ..takes };
        let expected = [
            one(energy, "Import.Register", 5.0),
            one(energy, "Export.Register", 70.5),
            one(power, "Import", 0.0),
            one(power, "Export", 900.0),
            one(current, "Import", 0.0),
            one(current, "Export", 2.5),
        ];
        assert_eq!(told(&gives), expected);
    }

    #[test]
    fn a_state_of_charge_that_nobody_told_is_left_out() {
        assert_eq!(v201(&Sample::default(), &[Measurand::StateOfCharge], Context::Periodic), None);
        let told = Sample { soc: Some(55.5), ..Sample::default() };
        let value = v201(&told, &[Measurand::StateOfCharge], Context::Periodic).unwrap();
        assert_eq!(value["sampledValue"][0]["value"], 55.5);
    }
}
