use super::*;
use crate::electrical::{Circuit, CircuitConfig, STEP};

const S: fn(u64) -> Duration = Duration::from_secs;

fn module() -> (InfyModule, SharedCircuit) {
    let circuit = SharedCircuit::new(Circuit::new(CircuitConfig::of_modules(1)));
    (InfyModule::new(0, 1, circuit.clone(), 0), circuit)
}

fn frame(text: &str) -> CanFrame {
    let (id, data) = text.split_once('#').unwrap();
    let data: Vec<u8> =
        (0..data.len()).step_by(2).map(|at| u8::from_str_radix(&data[at..at + 2], 16).unwrap()).collect();
    let id = CanId::extended(u32::from_str_radix(id, 16).unwrap()).unwrap();
    CanFrame::new(id, &data).unwrap()
}

/// The answer to a request of all zeros or to the frame given, as candump writes it.
fn ask(module: &mut InfyModule, now: Duration, request: &str) -> Option<String> {
    let request =
        if request.contains('#') { request.to_owned() } else { format!("{request}#0000000000000000") };
    let view = GroupView { count: 1, master: module.address(), volts: 0.0, amps: 0.0 };
    let answer = module.receive(now, &frame(&request), view);
    module.tick(now);
    answer.map(|(at, frame)| {
        assert!(at > now);
        format!("{frame:?}")
    })
}

fn run(circuit: &SharedCircuit, seconds: f64) {
    let end = circuit.with(|circuit| circuit.elapsed()) + Duration::from_secs_f64(seconds);
    while circuit.with(|circuit| circuit.elapsed()) < end {
        circuit.with(|circuit| circuit.step(STEP));
    }
}

#[test]
fn the_vendors_examples_read_as_in_its_document() {
    // 500.0 V, 3.5 A; 200 V, 5 A.
    assert_eq!(floats(500.0, 3.5), [0x43, 0xFA, 0, 0, 0x40, 0x60, 0, 0]);
    assert_eq!(millis(200.0, 5.0), [0x00, 0x03, 0x0D, 0x40, 0x00, 0x00, 0x13, 0x88]);
    // Capability 500 V / 200 V / 100.0 A / 10 kW.
    let circuit = SharedCircuit::new(Circuit::new({
        let mut config = CircuitConfig::of_modules(1);
        (config.modules[0].max_v, config.modules[0].min_v, config.modules[0].rated_w) =
            (500.0, 200.0, 10_000.0);
        config
    }));
    let mut module = InfyModule::new(0, 1, circuit, 0);
    assert_eq!(ask(&mut module, S(0), "028A00F0").unwrap(), "028AF000#01F400C803E803E8");
    // Barcode 081807123400V1704, built as the document's 081807123451V1704.
    assert_eq!(ask(&mut module, S(0), "028B00F0").unwrap(), "028BF000#56130C15A3C806A8");
}

#[test]
fn set_and_on_deliver_and_off_does_not() {
    let (mut module, circuit) = module();
    ask(&mut module, S(0), "029300F0#0000000000000000");
    // 400 V, 20 A on module 0.
    let set = "029C00F0#00061A8000004E20";
    assert_eq!(ask(&mut module, S(0), set).unwrap(), "029CF000#00061A8000004E20");
    run(&circuit, 1.0);
    assert!(circuit.with(|circuit| circuit.module_side_v()) < 1.0, "set points alone energise nothing");
    assert_eq!(ask(&mut module, S(1), "029A00F0").unwrap(), "029AF000#0000000000000000");
    run(&circuit, 1.0);
    assert_eq!(ask(&mut module, S(2), "028900F0").unwrap(), "0289F000#00061A8000000000");
    assert_eq!(ask(&mut module, S(2), "028C00F0").unwrap()[9..13], *"0FA0");
    ask(&mut module, S(2), "029A00F0#0100000000000000");
    run(&circuit, 4.0);
    assert!(circuit.with(|circuit| circuit.module_side_v()) < 20.0);
}

#[test]
fn ten_seconds_of_silence_switch_the_output_off_and_only_on_brings_it_back() {
    let (mut module, circuit) = module();
    ask(&mut module, S(0), "029C00F0#00061A8000004E20");
    ask(&mut module, S(0), "029A00F0");
    let on = || circuit.with(|circuit| circuit.modules[0].on);
    module.tick(Duration::from_millis(9_999));
    assert!(on());
    module.tick(S(10));
    assert!(!on());
    let status = ask(&mut module, S(11), "028400F0").unwrap();
    assert!(!on(), "a read does not energise: {status}");
    ask(&mut module, S(11), "029A00F0");
    assert!(on());
}

#[test]
fn a_read_keeps_the_output_on_as_any_frame_of_the_controller_does() {
    let (mut module, circuit) = module();
    ask(&mut module, S(0), "029C00F0#00061A8000004E20");
    ask(&mut module, S(0), "029A00F0");
    for second in 1..30 {
        ask(&mut module, S(second), "028300F0");
    }
    assert!(circuit.with(|circuit| circuit.modules[0].on));
}

#[test]
fn what_is_not_for_this_module_or_from_no_controller_is_not_answered() {
    let (mut module, _circuit) = module();
    for other in ["028301F0", "02C302F0", "02830001", "068300F0", "028300F9"] {
        assert_eq!(ask(&mut module, S(0), other), None, "{other}");
    }
}

#[test]
fn refusals_say_why_in_the_error_field() {
    let (mut module, _circuit) = module();
    // 50 V is below what it regulates, 200 A above what it gives: data invalid (3).
    assert_eq!(ask(&mut module, S(0), "029C00F0#0000C35000004E20").unwrap(), "0E9CF000#0000000000000000");
    assert_eq!(ask(&mut module, S(0), "029C00F0#00061A8000030D40").unwrap(), "0E9CF000#0000000000000000");
    // A frame of seven bytes.
    assert_eq!(ask(&mut module, S(0), "029A00F0#01000000000000").unwrap(), "0E9AF000#0000000000000000");
    // No such command (2).
    assert_eq!(ask(&mut module, S(0), "02BF00F0").unwrap(), "0ABFF000#0000000000000000");
    // Starting up (7).
    module.start_up_until(S(2));
    assert_eq!(ask(&mut module, S(1), "029A00F0").unwrap(), "1E9AF000#0000000000000000");
    assert_eq!(ask(&mut module, S(2), "029A00F0").unwrap(), "029AF000#0000000000000000");
}

#[test]
fn a_group_or_all_are_read_by_everyone_and_the_system_by_the_master() {
    let (mut module, _circuit) = module();
    assert_eq!(ask(&mut module, S(0), "02C201F0").unwrap(), "02C2F001#0000010000000000");
    assert_eq!(ask(&mut module, S(0), "02813FF0").unwrap(), "0281F03F#0000000000000000");
    assert_eq!(&ask(&mut module, S(0), "02833FF0").unwrap()[..8], "0283F000");
    let view = GroupView { count: 2, master: 7, volts: 0.0, amps: 0.0 };
    assert!(module.receive(S(0), &frame("02C201F0#0000000000000000"), view).is_none(), "7 is the master");
}

#[test]
fn a_system_set_point_is_the_groups_total() {
    let (mut module, circuit) = module();
    let view = GroupView { count: 4, master: 0, volts: 0.0, amps: 0.0 };
    // 400 V, 100 A for everybody.
    assert!(module.receive(S(0), &frame("029B3FF0#00061A80000186A0"), view).is_none());
    assert!((circuit.with(|circuit| circuit.modules[0].limit_a) - 25.0).abs() < 1e-9);
}

#[test]
fn sleep_needs_waking_and_then_switching_on() {
    let (mut module, circuit) = module();
    ask(&mut module, S(0), "029C00F0#00061A8000004E20");
    ask(&mut module, S(0), "029A00F0");
    ask(&mut module, S(0), "029900F0#0100000000000000");
    assert!(!circuit.with(|circuit| circuit.modules[0].on));
    assert_eq!(ask(&mut module, S(0), "029A00F0").unwrap(), "0E9AF000#0000000000000000");
    assert_eq!(&ask(&mut module, S(0), "028400F0").unwrap()[23..], "10", "status 0 says sleeping");
    ask(&mut module, S(0), "029900F0");
    assert!(!circuit.with(|circuit| circuit.modules[0].on));
    ask(&mut module, S(0), "029A00F0");
    assert!(circuit.with(|circuit| circuit.modules[0].on));
}

#[test]
fn a_lying_module_reports_its_set_points_while_it_delivers_less() {
    let (mut module, circuit) = module();
    circuit.with(|circuit| circuit.faults.inject(Fault::ModuleLies));
    ask(&mut module, S(0), "029300F0#0000000000000000");
    ask(&mut module, S(0), "029C00F0#00061A8000004E20");
    ask(&mut module, S(0), "029A00F0");
    run(&circuit, 2.0);
    assert_eq!(ask(&mut module, S(1), "028900F0").unwrap(), "0289F000#00061A8000004E20");
    assert!((circuit.with(|circuit| circuit.module_side_v()) - 380.0).abs() < 1.0);
}

#[test]
fn faults_show_in_the_status_as_the_document_names_them() {
    for (fault, expected) in [
        // Status 2, 1, 0: power limited · off, protection, over-temperature · bleeder abnormal.
        (Fault::ModuleDerated, "014100"),
        (Fault::ModuleOvertemp, "005500"),
        (Fault::ModuleBleeder, "004120"),
    ] {
        let (mut module, circuit) = module();
        circuit.with(|circuit| circuit.faults.inject(fault));
        let status = ask(&mut module, S(0), "028400F0").unwrap();
        assert_eq!(&status[13..15], "01", "group");
        assert_eq!(&status[19..], expected, "{fault:?}");
    }
    let (mut module, circuit) = module();
    circuit.with(|circuit| circuit.faults.inject(Fault::ModuleDead));
    assert_eq!(ask(&mut module, S(0), "028400F0"), None);
    circuit.with(|circuit| circuit.faults.clear_all());
    circuit.with(|circuit| circuit.faults.inject(Fault::ModuleLate));
    let (at, _) = module.receive(S(1), &frame("028400F0#0000000000000000"), GroupView::default()).unwrap();
    assert!(at >= S(4));
}
