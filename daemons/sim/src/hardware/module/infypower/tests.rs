use super::super::bench::Bench;
use super::super::{Family, Stage};
use super::*;
use crate::electrical::ModuleRating;
use crate::faults::Fault;

const S: fn(u64) -> Duration = Duration::from_secs;

fn bench(count: usize) -> Bench {
    let mut bench = Bench::of(Family::Infypower, count);
    for module in &mut bench.modules {
        module.stage_mut().group = 1;
    }
    bench
}

fn stage(bench: &mut Bench) -> &mut Stage {
    bench.modules[0].stage_mut()
}

#[test]
fn the_vendors_examples_read_as_in_its_document() {
    // 500.0 V, 3.5 A; 200 V, 5 A.
    assert_eq!(floats(500.0, 3.5), [0x43, 0xFA, 0, 0, 0x40, 0x60, 0, 0]);
    assert_eq!(millis(200.0, 5.0), [0x00, 0x03, 0x0D, 0x40, 0x00, 0x00, 0x13, 0x88]);
    // Capability 500 V / 200 V / 100.0 A / 10 kW.
    let rating = ModuleRating { max_v: 500.0, min_v: 200.0, rated_w: 10_000.0, ..ModuleRating::default() };
    let mut bench = Bench::rated(Family::Infypower, 1, rating);
    assert_eq!(bench.one(S(0), "028A00F0"), "028AF000#01F400C803E803E8");
    // Barcode 081807123400V1704, built as the document's 081807123451V1704.
    assert_eq!(bench.one(S(0), "028B00F0"), "028BF000#56130C15A3C806A8");
}

#[test]
fn set_and_on_deliver_and_off_does_not() {
    let mut bench = bench(1);
    bench.ask(S(0), "029300F0#0000000000000000");
    // 400 V, 20 A on module 0.
    let set = "029C00F0#00061A8000004E20";
    assert_eq!(bench.one(S(0), set), "029CF000#00061A8000004E20");
    bench.run(1.0);
    assert!(bench.volts() < 1.0, "set points alone energise nothing");
    assert_eq!(bench.one(S(1), "029A00F0"), "029AF000#0000000000000000");
    bench.run(1.0);
    assert_eq!(bench.one(S(2), "028900F0"), "0289F000#00061A8000000000");
    assert_eq!(bench.one(S(2), "028C00F0")[9..13], *"0FA0");
    bench.ask(S(2), "029A00F0#0100000000000000");
    bench.run(4.0);
    assert!(bench.volts() < 20.0);
}

#[test]
fn ten_seconds_of_silence_switch_the_output_off_and_only_on_brings_it_back() {
    let mut bench = bench(1);
    bench.ask(S(0), "029C00F0#00061A8000004E20");
    bench.ask(S(0), "029A00F0");
    bench.reports(Duration::from_millis(9_999));
    assert!(bench.on());
    bench.reports(S(10));
    assert!(!bench.on());
    let status = bench.one(S(11), "028400F0");
    assert!(!bench.on(), "a read does not energise: {status}");
    bench.ask(S(11), "029A00F0");
    assert!(bench.on());
}

#[test]
fn a_read_keeps_the_output_on_as_any_frame_of_the_controller_does() {
    let mut bench = bench(1);
    bench.ask(S(0), "029C00F0#00061A8000004E20");
    bench.ask(S(0), "029A00F0");
    for second in 1..30 {
        bench.ask(S(second), "028300F0");
    }
    assert!(bench.on());
}

#[test]
fn what_is_not_for_this_module_or_from_no_controller_is_not_answered() {
    let mut bench = bench(1);
    for other in ["028301F0", "02C302F0", "02830001", "068300F0", "028300F9"] {
        assert!(bench.ask(S(0), other).is_empty(), "{other}");
    }
}

#[test]
fn refusals_say_why_in_the_error_field() {
    let mut bench = bench(1);
    // 50 V is below what it regulates, 200 A above what it gives: data invalid (3).
    assert_eq!(bench.one(S(0), "029C00F0#0000C35000004E20"), "0E9CF000#0000000000000000");
    assert_eq!(bench.one(S(0), "029C00F0#00061A8000030D40"), "0E9CF000#0000000000000000");
    // A frame of seven bytes.
    assert_eq!(bench.one(S(0), "029A00F0#01000000000000"), "0E9AF000#0000000000000000");
    // No such command (2).
    assert_eq!(bench.one(S(0), "02BF00F0"), "0ABFF000#0000000000000000");
    // Starting up (7).
    stage(&mut bench).start_up_until(S(2));
    assert_eq!(bench.one(S(1), "029A00F0"), "1E9AF000#0000000000000000");
    assert_eq!(bench.one(S(2), "029A00F0"), "029AF000#0000000000000000");
}

#[test]
fn a_group_or_all_are_read_by_everyone_and_the_system_by_the_master() {
    let mut bench = bench(2);
    assert_eq!(bench.one(S(0), "02C201F0"), "02C2F001#0000020000000000");
    assert_eq!(bench.one(S(0), "02813FF0"), "0281F03F#0000000000000000");
    let answers = bench.ask(S(0), "02833FF0");
    assert_eq!(answers, ["0283F000#0000000000000000", "0283F001#0000000000000000"]);
    bench.break_it(Fault::ModuleDead);
    assert_eq!(bench.one(S(1), "02C201F0"), "02C2F001#0000010000000000", "the other is the master");
}

#[test]
fn a_system_set_point_is_the_groups_total() {
    let mut bench = bench(4);
    // 400 V, 100 A for everybody.
    assert!(bench.ask(S(0), "029B3FF0#00061A80000186A0").is_empty());
    assert_eq!(bench.set_points(), (400.0, 25.0));
}

#[test]
fn sleep_needs_waking_and_then_switching_on() {
    let mut bench = bench(1);
    bench.ask(S(0), "029C00F0#00061A8000004E20");
    bench.ask(S(0), "029A00F0");
    bench.ask(S(0), "029900F0#0100000000000000");
    assert!(!bench.on());
    assert_eq!(bench.one(S(0), "029A00F0"), "0E9AF000#0000000000000000");
    assert_eq!(&bench.one(S(0), "028400F0")[23..], "10", "status 0 says sleeping");
    bench.ask(S(0), "029900F0");
    assert!(!bench.on());
    bench.ask(S(0), "029A00F0");
    assert!(bench.on());
}

#[test]
fn a_lying_module_reports_its_set_points_while_it_delivers_less() {
    let mut bench = bench(1);
    bench.break_it(Fault::ModuleLies);
    bench.ask(S(0), "029300F0#0000000000000000");
    bench.ask(S(0), "029C00F0#00061A8000004E20");
    bench.ask(S(0), "029A00F0");
    bench.run(2.0);
    assert_eq!(bench.one(S(1), "028900F0"), "0289F000#00061A8000004E20");
    assert!((bench.volts() - 380.0).abs() < 1.0);
}

#[test]
fn faults_show_in_the_status_as_the_document_names_them() {
    for (fault, expected) in [
        // Status 2, 1, 0: power limited · off, protection, over-temperature · bleeder abnormal.
        (Fault::ModuleDerated, "014100"),
        (Fault::ModuleOvertemp, "005500"),
        (Fault::ModuleBleeder, "004120"),
    ] {
        let mut bench = bench(1);
        bench.break_it(fault);
        let status = bench.one(S(0), "028400F0");
        assert_eq!(&status[13..15], "01", "group");
        assert_eq!(&status[19..], expected, "{fault:?}");
    }
    let mut dead = bench(1);
    dead.break_it(Fault::ModuleDead);
    assert!(dead.ask(S(0), "028400F0").is_empty());
    let mut late = bench(1);
    late.break_it(Fault::ModuleLate);
    let peers = [late.modules[0].peer().unwrap()];
    let status = super::super::bench::frame("028400F0#0000000000000000");
    late.modules[0].receive(S(1), &status, Peers(&peers));
    assert!(late.modules[0].next().unwrap().0 >= S(4));
}
