use std::path::Path;

use proptest::prelude::*;

use super::*;

fn shipped(name: &str) -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/meters");
    Model::load(name, &[folder]).unwrap_or_else(|error| panic!("{error}"))
}

/// A meter's registers, by address; the model reads its blocks out of them.
fn blocks(model: &Model, registers: &[(u16, &[u16])]) -> Vec<Vec<u16>> {
    model
        .blocks
        .iter()
        .map(|block| {
            let mut words = vec![0; usize::from(block.count)];
            for (address, values) in registers {
                for (offset, value) in (*address..).zip(*values) {
                    if let Some(index) = offset.checked_sub(block.address)
                        && index < block.count
                    {
                        words[usize::from(index)] = *value;
                    }
                }
            }
            words
        })
        .collect()
}

fn read(name: &str, registers: &[(u16, &[u16])]) -> Result<Values, DecodeError> {
    let model = shipped(name);
    decode(&model, &blocks(&model, registers))
}

fn values(voltage: f64, current: f64, power: f64, import: f64, export: f64) -> Values {
    Values {
        voltage: Volts::from_si(voltage).unwrap(),
        current: Amps::from_si(current).unwrap(),
        power: Watts::from_si(power).unwrap(),
        energy_import: WattHours::from_si(import).unwrap(),
        energy_export: WattHours::from_si(export).unwrap(),
        phases: None,
    }
}

/// The same of a meter that tells all three phases, in volts and amperes.
fn with_phases(values: Values, phases: [(f64, f64); 3]) -> Values {
    let phase = |(volts, amps)| Phase {
        voltage: Volts::from_si(volts).unwrap(),
        current: Amps::from_si(amps).unwrap(),
    };
    Values { phases: Some(phases.map(phase)), ..values }
}

// The numbers below are worked out by hand from the vendors' register tables.

#[test]
fn an_acrel_djsf1352_tells_its_decimal_points_itself() {
    // 7504 with decimal point 2 is 750.4 V; 1250 with 2 is 125.0 A; -938 with 5 is -93800 W.
    let registers: [(u16, &[u16]); 1] = [(0, &[7504, 2, 1250, 2, 0, 231, 0xFC56, 5, 0x0001, 0x86A0, 0, 7])];
    assert_eq!(read("acrel-djsf1352-rn", &registers), Ok(values(750.4, 125.0, -93_800.0, 100_000.0, 7.0)));
}

#[test]
fn an_acrel_with_an_absurd_decimal_point_gives_no_reading() {
    let registers: [(u16, &[u16]); 1] = [(0, &[7504, 200, 1250, 2, 0, 0, 0, 3, 0, 0, 0, 0])];
    assert_eq!(
        read("acrel-djsf1352-rn", &registers),
        Err(DecodeError::Exponent { quantity: Quantity::Voltage, exponent: 197 })
    );
}

#[test]
fn a_carlo_gavazzi_em340_has_the_low_word_first() {
    let registers: [(u16, &[u16]); 5] = [
        (0, &[2301, 0, 2299, 0, 2300, 0]),
        (12, &[0x86A0, 0x0001, 0x86A0, 0x0001, 0x86A0, 0x0001]), // 100.000 A each
        (40, &[0xF2C0, 0xFFFF]),                                 // -339.2 W
        (52, &[0x0001, 0x0002]),                                 // 131073 * 0.1 kWh
        (78, &[9, 0]),
    ];
    assert_eq!(
        read("carlo-gavazzi-em340", &registers),
        Ok(with_phases(
            values(230.0, 300.0, -339.2, 13_107_300.0, 900.0),
            [(230.1, 100.0), (229.9, 100.0), (230.0, 100.0)]
        ))
    );
}

#[test]
fn a_carlo_gavazzi_em580_counts_whole_watt_hours_in_64_bits() {
    let registers: [(u16, &[u16]); 5] = [
        (0, &[2300, 0, 2300, 0, 2300, 0]),
        (12, &[1000, 0, 2000, 0, 3000, 0]),
        (40, &[13800, 0]),
        (0x0500, &[0x0005, 0x0001, 0, 0]), // 65541 Wh
        (0x051C, &[3, 0, 0, 0]),
    ];
    let phases = [(230.0, 1.0), (230.0, 2.0), (230.0, 3.0)];
    let expected = with_phases(values(230.0, 6.0, 1380.0, 65_541.0, 3.0), phases);
    assert_eq!(read("carlo-gavazzi-em580", &registers), Ok(expected));
}

#[test]
fn an_eastron_sdm630_speaks_floats() {
    // IEEE 754: 230.0 is 4366 0000, 16.0 is 4180 0000, -11040.0 is C62C 8000, 1.25 is 3FA0 0000.
    let registers: [(u16, &[u16]); 3] = [
        (0, &[0x4366, 0, 0x4366, 0, 0x4366, 0, 0x4180, 0, 0x4180, 0, 0x4180, 0]),
        (52, &[0xC62C, 0x8000]),
        (72, &[0x4366, 0, 0x3FA0, 0]),
    ];
    let read = read("eastron-sdm630-v2", &registers);
    let phases = [(230.0, 16.0); 3];
    assert_eq!(read, Ok(with_phases(values(230.0, 48.0, -11_040.0, 230_000.0, 1250.0), phases)));
}

#[test]
fn an_abb_b23_counts_ten_watt_hours_and_leaves_out_phases_it_does_not_have() {
    let none = [0xFFFF, 0xFFFF];
    let registers: [(u16, &[u16]); 7] = [
        (0x5B00, &[0, 2310, none[0], none[1], none[0], none[1]]),
        (0x5B0C, &[0, 1600, none[0], none[1], none[0], none[1]]),
        (0x5B14, &[0xFFFF, 0xFFFF]), // -0.01 W is a number like any other
        (0x5000, &[0, 0, 0x0001, 0x86A0]),
        (0x5004, &[0, 0, 0, 1]),
        (0x5006, &[0]),
        (0x5007, &[1]),
    ];
    assert_eq!(read("abb-b23", &registers), Ok(values(231.0, 16.0, -0.01, 1_000_000.0, 10.0)));
}

#[test]
fn an_abb_b23_without_an_energy_register_gives_no_reading() {
    let registers: [(u16, &[u16]); 3] =
        [(0x5B00, &[0, 2310]), (0x5B0C, &[0, 1600]), (0x5000, &[0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF])];
    assert_eq!(read("abb-b23", &registers), Err(DecodeError::NotAvailable(Quantity::EnergyImport)));
}

#[test]
fn a_float_that_is_no_number_is_not_available() {
    let registers: [(u16, &[u16]); 1] = [(72, &[0x7FC0, 0])];
    assert_eq!(read("eastron-sdm630-v2", &registers), Err(DecodeError::NotAvailable(Quantity::EnergyImport)));
}

#[test]
fn an_energy_register_below_zero_is_refused() {
    let registers: [(u16, &[u16]); 1] = [(52, &[0xFFFF, 0xFFFF])];
    assert!(matches!(
        read("carlo-gavazzi-em340", &registers),
        Err(DecodeError::Negative { quantity: Quantity::EnergyImport, .. })
    ));
}

#[test]
fn an_impossible_voltage_is_refused() {
    let registers: [(u16, &[u16]); 1] = [(0, &[0xFFFF, 0x7FFF])];
    assert!(matches!(read("carlo-gavazzi-em340", &registers), Err(DecodeError::OutOfRange { .. })));
}

/// The words of `raw`, as a meter with this format sends them.
fn encode(raw: u64, format: Type, order: WordOrder) -> Vec<u16> {
    let bytes = raw.to_be_bytes();
    let words: Vec<u16> = bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let mut words = words[4 - format.words()..].to_vec();
    if order == WordOrder::LowFirst {
        words.reverse();
    }
    words
}

proptest! {
    #[test]
    fn integers_survive_the_wire(value in any::<i32>(), low_first in any::<bool>()) {
        let order = if low_first { WordOrder::LowFirst } else { WordOrder::HighFirst };
        for (format, raw) in [(Type::I32, u64::from(value.cast_unsigned())), (Type::I64, i64::from(value).cast_unsigned())] {
            let words = encode(raw, format, order);
            prop_assert_eq!(words.len(), format.words());
            prop_assert_eq!(format.number(order.join(&words)), f64::from(value));
        }
        let short = i16::try_from(value >> 16).unwrap();
        let words = encode(u64::from(short.cast_unsigned()), Type::I16, order);
        prop_assert_eq!(Type::I16.number(order.join(&words)), f64::from(short));
    }

    #[test]
    fn floats_survive_the_wire(value in any::<f32>(), low_first in any::<bool>()) {
        let order = if low_first { WordOrder::LowFirst } else { WordOrder::HighFirst };
        let single = Type::F32.number(order.join(&encode(u64::from(value.to_bits()), Type::F32, order)));
        prop_assert_eq!(single.to_bits(), f64::from(value).to_bits());
        let double = Type::F64.number(order.join(&encode(f64::from(value).to_bits(), Type::F64, order)));
        prop_assert_eq!(double.to_bits(), f64::from(value).to_bits());
    }

    #[test]
    fn no_registers_make_a_reading_that_is_none(words in proptest::collection::vec(any::<u16>(), 64)) {
        for name in ["acrel-djsf1352-rn", "carlo-gavazzi-em340", "carlo-gavazzi-em580", "eastron-sdm630-v2", "abb-b23"] {
            let model = shipped(name);
            let blocks: Vec<_> = model.blocks.iter().map(|block| words[..usize::from(block.count)].to_vec()).collect();
            if let Ok(values) = decode(&model, &blocks) {
                prop_assert!(values.energy_import >= WattHours::ZERO && values.energy_export >= WattHours::ZERO);
                prop_assert!(values.voltage.abs() <= Volts::MAX && values.current.abs() <= Amps::MAX);
            }
        }
    }

    #[test]
    fn words_that_are_missing_are_no_reading(cut in 0usize..5) {
        let model = shipped("carlo-gavazzi-em340");
        let mut blocks: Vec<Vec<u16>> = model.blocks.iter().map(|block| vec![0; usize::from(block.count)]).collect();
        blocks[cut].pop();
        blocks.truncate(cut + 1);
        prop_assert!(decode(&model, &blocks).is_err());
    }
}
