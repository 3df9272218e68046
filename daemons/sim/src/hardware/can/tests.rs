use super::*;
use crate::electrical::{Circuit, CircuitConfig, SharedCircuit};
use crate::hardware::Family;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn bus(modules: u8) -> (CanBus, SharedCircuit) {
    let circuit = SharedCircuit::new(Circuit::new(CircuitConfig::of_modules(usize::from(modules))));
    let module =
        |number: u8| PowerModule::new(Family::Infypower, number, 1, circuit.clone(), usize::from(number));
    let mut bus = CanBus::new((0..modules).map(module).collect());
    bus.receive(MS(0), b"C\rS4\rO\r");
    assert_eq!(run(&mut bus, MS(0)), [(MS(0), "\r\r\r".to_owned())]);
    (bus, circuit)
}

/// What comes until `end`, with the time at which it comes.
fn run(bus: &mut CanBus, end: Duration) -> Vec<(Duration, String)> {
    let mut seen = Vec::new();
    let mut now = bus.ticked;
    loop {
        let mut out = Vec::new();
        bus.transmit(now, &mut out);
        if !out.is_empty() {
            seen.push((now, String::from_utf8_lossy(&out).into_owned()));
        }
        let next = bus.deadline();
        assert!(next > now, "the deadline moves on");
        if next > end {
            return seen;
        }
        now = next;
    }
}

fn text(seen: &[(Duration, String)]) -> String {
    seen.iter().map(|(_, text)| text.as_str()).collect()
}

#[test]
fn a_request_and_its_answer_take_their_time_on_the_wire() {
    let (mut bus, _circuit) = bus(1);
    bus.receive(MS(100), b"T028A00F080000000000000000\r");
    let seen = run(&mut bus, MS(200));
    assert_eq!(text(&seen), "Z\rT028AF000803E8009603E80BB8\r");
    // Two frames of 131 bits and what is stuffed at 8 µs, and 3 ms of thinking.
    let came = seen.last().unwrap().0;
    assert!((MS(105)..MS(106)).contains(&came), "{came:?}");
}

#[test]
fn the_answers_to_all_come_one_after_the_other_lowest_identifier_first() {
    let (mut bus, _circuit) = bus(6);
    bus.receive(MS(0), b"T02833FF080000000000000000\r");
    let seen = run(&mut bus, MS(100));
    let answers: Vec<_> = seen.iter().filter(|(_, text)| text.starts_with("T0283")).collect();
    assert_eq!(answers.len(), 6);
    for (number, pair) in answers.windows(2).enumerate() {
        assert_eq!(&pair[0].1[7..9], format!("{number:02}"));
        let gap = pair[1].0 - pair[0].0;
        assert!((Duration::from_micros(1_050)..Duration::from_micros(1_250)).contains(&gap), "{gap:?}");
    }
}

#[test]
fn an_adapter_that_is_not_open_or_at_another_bit_rate_carries_nothing() {
    let (mut bus, _circuit) = bus(1);
    bus.receive(MS(0), b"C\rT028A00F080000000000000000\rS5\rO\rT028A00F080000000000000000\r");
    assert_eq!(text(&run(&mut bus, MS(100))), "\r\x07\r\rZ\r");
}

#[test]
fn a_host_that_floods_loses_frames_and_memory_stays_bounded() {
    let (mut bus, _circuit) = bus(2);
    for _ in 0..1_000 {
        bus.receive(MS(0), b"T02833FF080000000000000000\r");
    }
    assert!(bus.lost() > 900);
    assert!(bus.from_host.len() <= QUEUE);
    assert!(text(&run(&mut bus, MS(2_000))).matches("T0283").count() <= 2 * (QUEUE + 1));
}

#[test]
fn a_cut_bus_is_silent_and_its_modules_switch_off_by_themselves() {
    let (mut bus, circuit) = bus(1);
    bus.receive(MS(0), b"T029C00F0800061A8000004E20\rT029A00F080000000000000000\r");
    run(&mut bus, MS(100));
    assert!(circuit.with(|circuit| circuit.modules[0].on));
    circuit.with(|circuit| circuit.faults.inject(Fault::CanSilent));
    bus.receive(MS(100), b"T028300F080000000000000000\r");
    assert_eq!(text(&run(&mut bus, MS(9_900))), "Z\r");
    assert!(circuit.with(|circuit| circuit.modules[0].on));
    run(&mut bus, MS(10_100));
    assert!(!circuit.with(|circuit| circuit.modules[0].on));
}

#[test]
fn garbage_comes_between_the_frames_and_spoils_none() {
    let (mut bus, circuit) = bus(1);
    circuit.with(|circuit| circuit.faults.inject(Fault::CanGarbage));
    for second in 1..=8 {
        bus.receive(MS(second * 1_000), b"T028A00F080000000000000000\r");
        run(&mut bus, MS(second * 1_000 + 500));
    }
    bus.receive(MS(9_000), b"T028A00F080000000000000000\r");
    let seen = text(&run(&mut bus, MS(9_500)));
    let mut decoder = Decoder::default();
    let lines: Vec<_> = seen.bytes().filter_map(|byte| decoder.push(byte)).collect();
    assert!(lines.iter().any(|line| format!("{line:?}").contains("028AF000#03E8009603E80BB8")), "{lines:?}");
    assert!(decoder.garbled() > 0 || lines.len() > 2);
}

#[test]
fn a_dead_module_is_missing_and_the_next_becomes_master() {
    let (mut bus, circuit) = bus(3);
    bus.receive(MS(0), b"T02C201F080000000000000000\r");
    assert!(text(&run(&mut bus, MS(50))).contains("T02C2F00180000030000000000"));
    circuit.with(|circuit| circuit.faults.inject(Fault::ModuleDead));
    bus.receive(MS(100), b"T02C201F080000000000000000\r");
    assert!(text(&run(&mut bus, MS(150))).contains("T02C2F00180000020000000000"));
}

const READ_FIRST: &[u8] = b"T028900F080000000000000000\r";

/// What is answered within 40 ms to a reading of the first module's output.
fn read_first(bus: &mut CanBus, now: Duration) -> String {
    bus.receive(now, READ_FIRST);
    text(&run(bus, now + MS(40)))
}

fn set(circuit: &SharedCircuit, fault: Fault, broken: bool) {
    circuit.with(|circuit| circuit.faults.set(fault, broken));
}

#[test]
fn two_modules_with_one_address_both_obey_and_both_answer() {
    let (mut bus, circuit) = bus(3);
    set(&circuit, Fault::ModuleSharesAddress, true);
    run(&mut bus, MS(40));
    assert_eq!(read_first(&mut bus, MS(50)).matches("T0289F000").count(), 2);
    bus.receive(MS(100), b"T029C00F0800061A8000004E20\rT029A00F080000000000000000\r");
    run(&mut bus, MS(150));
    let on = circuit.with(|circuit| [0, 1, 2].map(|index| circuit.modules[index].on));
    assert_eq!(on, [true, true, false]);
    bus.receive(MS(200), b"T028901F080000000000000000\r");
    assert_eq!(text(&run(&mut bus, MS(250))), "Z\r", "nobody is at the second address");
    set(&circuit, Fault::ModuleSharesAddress, false);
    run(&mut bus, MS(300));
    assert_eq!(read_first(&mut bus, MS(300)).matches("T0289F000").count(), 1);
}

#[test]
fn a_module_that_answers_for_another_obeys_its_own_address() {
    let (mut bus, circuit) = bus(2);
    set(&circuit, Fault::ModuleAnswersForOther, true);
    run(&mut bus, MS(40));
    bus.receive(MS(50), b"T029C01F0800061A8000004E20\rT029A01F080000000000000000\r");
    let said = text(&run(&mut bus, MS(100)));
    assert!(said.contains("T029CF000") && !said.contains("F001"), "{said}");
    let on = circuit.with(|circuit| [0, 1].map(|index| circuit.modules[index].on));
    assert_eq!(on, [false, true]);
}

#[test]
fn a_module_that_hangs_says_its_last_answer_again_and_again_until_it_is_mended() {
    let (mut bus, circuit) = bus(2);
    set(&circuit, Fault::ModuleAnswersUnasked, true);
    assert_eq!(read_first(&mut bus, MS(0)).matches("T0289F000").count(), 2);
    let more = text(&run(&mut bus, MS(540))).matches("T0289F000").count();
    assert!((10..=20).contains(&more), "{more}");
    set(&circuit, Fault::ModuleAnswersUnasked, false);
    run(&mut bus, MS(600));
    assert_eq!(text(&run(&mut bus, MS(1_000))), "");
}

#[test]
fn a_flood_leaves_no_room_for_anybody_else_and_ends_when_it_is_mended() {
    let (mut bus, circuit) = bus(1);
    run(&mut bus, MS(1_000));
    set(&circuit, Fault::CanFlood, true);
    let before = bus.load().now();
    bus.receive(MS(1_000), READ_FIRST);
    let seen = text(&run(&mut bus, MS(2_000)));
    assert!(seen.matches("T00000000").count() > 750 && !seen.contains("T0289F000"), "{seen}");
    let after = bus.load().now();
    let full = BIT * u32::try_from(after.bits - before.bits).unwrap();
    assert!((MS(990)..MS(1_020)).contains(&full), "the bus is full and no fuller: {full:?}");
    set(&circuit, Fault::CanFlood, false);
    assert!(text(&run(&mut bus, MS(2_040))).contains("T0289F000"), "what waited is answered");
    assert_eq!(text(&run(&mut bus, MS(3_000))), "");
}

#[test]
fn a_controller_that_is_bus_off_refuses_frames_until_it_is_begun_anew_on_a_sound_bus() {
    let (mut bus, circuit) = bus(1);
    set(&circuit, Fault::CanBusOff, true);
    assert_eq!(read_first(&mut bus, MS(0)), "\x07");
    bus.receive(MS(100), b"C\rS4\rO\r");
    assert_eq!(read_first(&mut bus, MS(100)), "\r\r\r\x07", "the bus is as it was");
    set(&circuit, Fault::CanBusOff, false);
    assert_eq!(read_first(&mut bus, MS(200)), "\x07", "nobody has begun it anew");
    bus.receive(MS(300), b"C\rS4\rO\r");
    assert!(read_first(&mut bus, MS(300)).contains("T0289F000"));
}
