use super::*;
use crate::electrical::{CircuitConfig, STEP};

/// Two registers, low word first, as the document has it.
fn value(meter: &Em580, start: u16) -> i32 {
    let words = meter.read(start, 2).unwrap();
    (i32::from(words[1]) << 16) | i32::from(words[0])
}

#[test]
fn it_sums_the_evses_behind_it_and_has_its_low_word_first() {
    let circuits: Vec<_> =
        (0..2).map(|_| SharedCircuit::new(Circuit::new(CircuitConfig::of_modules(2)))).collect();
    let mut meter = Em580::new(1, circuits.clone());
    for _ in 0..200 * 80 {
        for circuit in &circuits {
            circuit.with(|circuit| circuit.step(STEP));
        }
    }
    meter.tick(Duration::from_secs(80));
    assert_eq!(value(&meter, 0), 2_310);
    // Four rectifiers on standby.
    assert_eq!(value(&meter, 40), 1_000);
    assert_eq!(meter.read(1_280, 4).unwrap(), [2, 0, 0, 0]);
    assert_eq!(meter.read(11, 1).unwrap(), [580]);
    assert_eq!(meter.read(20_480, 7).unwrap()[0], u16::from_be_bytes(*b"SI"));
    assert_eq!(meter.read(60, 1), Err(Exception::Address));
}

#[test]
fn what_others_take_of_a_phase_is_in_its_current_and_in_the_sum() {
    let circuit = SharedCircuit::new(Circuit::new(CircuitConfig::of_modules(2)));
    circuit.with(|circuit| circuit.surroundings.others_a = [0.0, 60.0, 0.0]);
    let mut meter = Em580::new(1, vec![circuit]);
    meter.tick(Duration::from_secs(1));
    let amps: Vec<_> = [12, 14, 16].into_iter().map(|register| value(&meter, register)).collect();
    assert_eq!(amps[1] - amps[0], 60_000, "milliamperes");
    assert_eq!(amps[0], amps[2]);
    let watts: Vec<_> = [18, 20, 22].into_iter().map(|register| value(&meter, register)).collect();
    assert_eq!(watts[1] - watts[0], 138_600);
    let sum: i32 = watts.iter().sum();
    assert!((value(&meter, 40) - sum).abs() <= 1, "each is rounded");
}
