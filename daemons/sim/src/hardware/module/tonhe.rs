//! A TonHe module, device side: THJS-TXXY-0060 V1.2.
//!
//! Frames are J1939's PDU1: `priority 3 · 00 · PF 8 · destination 8 · source 8`, the controller 0xA0.
//! All numbers are little-endian: 0.1 V and 0.01 A. A module reports by itself every 500 ms, and when
//! its state changes. It takes what it can of a set-point beyond its limits.
//!
//! The document has the controller send its "timing" every 5 s; that a module switches off after 20 s
//! without it is from one who drives them. Here nothing but that frame keeps the output on, which is
//! the stricter reading. Also chosen here: the master's group counts unless it is 0; the frames that set
//! addresses and input modes, of unpublished layout, are ignored; M_C_4 is sent as M_C_1 is.

use std::time::Duration;

use voltry_canlink::{CanFrame, CanId};

use super::{Peers, Protocol, Stage, eight, field, flags, word};

/// Without the controller's timing for this long the output goes off.
pub(super) const SILENCE: Duration = Duration::from_secs(20);
const CONTROLLER: u8 = 0xA0;
const ALL: u8 = 0xFF;
const PERIOD: Duration = Duration::from_millis(500);
const START: u8 = 0xAA;
const STOP: u8 = 0x55;
/// Modules whose bits one broadcast carries.
const MASK: u8 = 24;

/// The module's language.
#[derive(Debug, Default)]
pub(super) struct TonHe {
    reported: Option<(Duration, State)>,
}

/// What a module reports as soon as it changes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct State {
    output: u8,
    faults: u16,
    more_faults: u16,
}

impl State {
    fn of(stage: &Stage) -> Self {
        let output = match (stage.delivers(), stage.hot()) {
            (true, _) => 0x01,
            (false, true) => 0x11,
            (false, false) => 0x00,
        };
        let [.., high, low] = flags(&[
            (5, stage.hot()),
            // Bits 8 to 13 also set the hardware's.
            (7, stage.bleeder_failed()),
            (10, stage.bleeder_failed()),
            (14, stage.derated()),
            (15, stage.shorted()),
        ])
        .to_be_bytes();
        let [.., more] = flags(&[(2, stage.interrupted), (6, stage.hot())]).to_be_bytes();
        Self { output, faults: u16::from_be_bytes([high, low]), more_faults: u16::from(more) }
    }
}

impl Protocol for TonHe {
    fn receive(
        &mut self,
        now: Duration,
        frame: &CanFrame,
        stage: &mut Stage,
        _peers: Peers<'_>,
    ) -> Vec<CanFrame> {
        let (bits, Some(data)) = (frame.id().bits(), eight(frame)) else { return Vec::new() };
        let destination = field(bits, 8, 0xFF);
        let ours = frame.id().is_extended() && field(bits, 0, 0xFF) == CONTROLLER && field(bits, 24, 3) == 0;
        if !ours || (destination != stage.address && destination != ALL) {
            return Vec::new();
        }
        let tenths = |at: usize| f64::from(u16::from_le_bytes([data[at], data[at + 1]])) / 10.0;
        match field(bits, 16, 0xFF) {
            // C_M_1: start and stop of many.
            0x03 if in_mask(stage, [data[0], data[1], data[2]], data[4]) => switch(stage, data[3]),
            // C_M_2: set-points of many.
            0x04 if in_mask(stage, [data[0], data[1], data[2]], data[3]) => {
                set(stage, tenths(4), tenths(6) / 10.0);
            }
            // C_M_3: timing.
            0x05 => stage.hears(now),
            // C_M_24: start and stop, and the set-points, of one.
            0x06 if destination != ALL => {
                set(stage, tenths(2), tenths(4) / 10.0);
                switch(stage, data[0]);
                return vec![said(stage, 2, 0x02, [1, 0, 0, 0, 0, 0, 0, 0])];
            }
            _ => {}
        }
        Vec::new()
    }

    fn report(&mut self, now: Duration, stage: &Stage) -> Vec<CanFrame> {
        let state = State::of(stage);
        if self.reported.is_some_and(|(at, last)| now < at + PERIOD && last == state) {
            return Vec::new();
        }
        self.reported = Some((now, state));
        let (volts, amps) = stage.reported();
        let [v_low, v_high] = word(volts * 10.0).to_le_bytes();
        let [a_low, a_high] = word(amps * 100.0).to_le_bytes();
        let [f_low, f_high] = state.faults.to_le_bytes();
        let [m_low, m_high] = state.more_faults.to_le_bytes();
        let [p_low, p_high] = 2_300_u16.to_le_bytes();
        let [t_low, t_high] = word(stage.temperature_c()).to_le_bytes();
        vec![
            said(stage, 6, 0x01, [state.output, v_low, v_high, a_low, a_high, f_low, f_high, 0]),
            said(stage, 6, 0x0B, [p_low, p_high, p_low, p_high, p_low, p_high, t_low, t_high]),
            said(stage, 7, 0x91, [0, 0, m_low, m_high, 0, 0, 0, 0]),
        ]
    }
}

/// Whether a broadcast's mask, with its group and multiple of 24 addresses, has this module.
fn in_mask(stage: &Stage, mask: [u8; 3], group_and_multiple: u8) -> bool {
    let (group, multiple) = (group_and_multiple >> 4, group_and_multiple & 0xF);
    let Some(bit) = stage.address.checked_sub(multiple * MASK + 1).filter(|bit| *bit < MASK) else {
        return false;
    };
    (group == 0 || group == stage.group) && mask[usize::from(bit / 8)] & 1 << (bit % 8) != 0
}

fn switch(stage: &mut Stage, command: u8) {
    match command {
        START => stage.switch(true),
        STOP => stage.switch(false),
        _ => {}
    }
}

fn set(stage: &mut Stage, volts: f64, amps: f64) {
    let limits = stage.limits();
    stage.set_v = volts.clamp(limits.min_v, limits.max_v);
    stage.limit_a = amps.min(limits.max_a);
}

fn said(stage: &Stage, priority: u32, format: u8, data: [u8; 8]) -> CanFrame {
    let bits = priority << 26 | u32::from_be_bytes([0, format, CONTROLLER, stage.signs_as]);
    CanFrame::of_eight(CanId::extended(bits).expect("a priority has three bits"), data)
}

#[cfg(test)]
mod tests {
    use super::super::Family;
    use super::super::bench::Bench;
    use super::*;
    use crate::faults::Fault;

    const MS: fn(u64) -> Duration = Duration::from_millis;
    /// Module 1: 500 V, 41 A, on. All of 1 to 3: 400 V, 100 A; start; stop; timing.
    const ONE_ON: &str = "080601A0#AA00881304100000";
    const THREE_SET: &str = "1004FFA0#07000000A00F1027";
    const THREE_ON: &str = "0803FFA0#070000AA00000000";
    const THREE_OFF: &str = "0803FFA0#0700005500000000";
    const TIMING: &str = "1805FFA0#0000000000000000";

    fn bench(count: usize) -> Bench {
        Bench::of(Family::TonHe, count)
    }

    #[test]
    fn the_documents_start_of_one_module_is_confirmed_and_reported() {
        let mut bench = bench(2);
        bench.reports(MS(0));
        assert_eq!(bench.one(MS(1), ONE_ON), "0802A001#0100000000000000");
        assert_eq!(bench.set_points(), (500.0, 41.0));
        assert!(bench.on());
        bench.run(1.0);
        let reports = bench.reports(MS(20));
        assert_eq!(reports[0], "1801A001#0188131100000000", "500.0 V; 0.17 A into the other's bleeder");
        // 230.0 V three times, 28 °C; no state, no fault.
        assert_eq!(reports[1], "180BA001#FC08FC08FC081C00");
        assert_eq!(reports[2], "1C91A001#0000000000000000");
        assert_eq!(reports.len(), 3, "the other module's state has not changed");
    }

    #[test]
    fn a_report_reads_as_the_documents() {
        let mut bench = bench(1);
        bench.connect_vehicle();
        bench.ask(MS(0), "080601A0#AA00A00F10270000");
        bench.run(2.0);
        // 391 V at the battery, since the current limit binds: volts are the battery's.
        let report = bench.reports(MS(20)).remove(0);
        assert_eq!(&report[..11], "1801A001#01");
        assert!(report.ends_with("0000"), "{report}");
        let of = |at: usize| u16::from_str_radix(&report[at..at + 2], 16).unwrap();
        let (volts, amps) = (of(11) + 256 * of(13), of(15) + 256 * of(17));
        assert!((3_850..=4_000).contains(&volts), "{volts}");
        assert!((7_400..=10_000).contains(&amps), "{amps}");
    }

    #[test]
    fn many_are_set_started_and_stopped_by_their_bits() {
        let mut bench = bench(4);
        let on = |bench: &Bench| {
            bench.circuit.with(|circuit| circuit.modules.iter().map(|m| m.on).collect::<Vec<_>>())
        };
        assert!(bench.ask(MS(0), THREE_SET).is_empty());
        assert!(bench.ask(MS(0), THREE_ON).is_empty());
        assert_eq!(on(&bench), [true, true, true, false]);
        assert_eq!(bench.set_points(), (400.0, 100.0));
        // The same bits, of the addresses from 25 on, and of group 2.
        bench.ask(MS(0), "0803FFA0#0700005501000000");
        bench.ask(MS(0), "0803FFA0#0700005520000000");
        assert_eq!(on(&bench), [true, true, true, false]);
        bench.ask(MS(0), THREE_OFF);
        assert_eq!(on(&bench), [false; 4]);
    }

    #[test]
    fn set_points_beyond_its_limits_are_clipped() {
        let mut bench = bench(1);
        bench.ask(MS(0), "080601A0#5500F40110270000");
        assert_eq!(bench.set_points(), (150.0, 100.0), "50 V");
        bench.ask(MS(0), "080601A0#5500E02E204E0000");
        assert_eq!(bench.set_points(), (1_000.0, 100.0), "1200 V, 200 A");
    }

    #[test]
    fn it_reports_twice_a_second_and_at_once_what_changes() {
        let mut bench = bench(1);
        assert_eq!(bench.reports(MS(0)).len(), 3);
        assert!(bench.reports(MS(499)).is_empty());
        assert_eq!(bench.reports(MS(500)).len(), 3);
        bench.break_it(Fault::ModuleOvertemp);
        assert_eq!(bench.reports(MS(520))[0], "1801A001#1100000000200000");
        bench.break_it(Fault::ModuleDead);
        assert!(bench.reports(MS(2_000)).is_empty());
    }

    #[test]
    fn only_the_timing_frame_keeps_the_output_on() {
        let mut bench = bench(1);
        bench.ask(MS(0), TIMING);
        bench.ask(MS(0), ONE_ON);
        for second in 1..=20 {
            bench.ask(MS(second * 1_000), TIMING);
        }
        assert!(bench.on());
        for second in 21..=39 {
            bench.ask(MS(second * 1_000), ONE_ON);
        }
        assert!(bench.on());
        assert!(bench.reports(MS(40_000))[0].starts_with("1801A001#00"));
        assert!(!bench.on());
        assert_eq!(bench.reports(MS(41_000))[2], "1C91A001#0000040000000000");
    }

    #[test]
    fn faults_show_where_the_document_has_them() {
        for (fault, bits) in [(Fault::ModuleDerated, "0040"), (Fault::ModuleBleeder, "8004")] {
            let mut bench = bench(1);
            bench.break_it(fault);
            assert_eq!(bench.reports(MS(0))[0], format!("1801A001#0000000000{bits}00"), "{fault:?}");
        }
    }
}
