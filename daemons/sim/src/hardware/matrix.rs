//! A controller of the contactors between module groups and EVSEs, on a serial line.
//!
//! ```text
//! frame   A5 | id | 8 data | CRC-8 SAE J1850 over id and data | 03
//! 0x46  host, each 100 ms        0 0 | 48 bits: contactors to be closed
//! 0x47  after them, on change    safe state (1: host silent, 2: just started) | 0 | 48 bits: closed by their feedback
//! 0x48  each 100 ms              four i16: volts at the EVSEs' side in tenths, 0x8000: not fitted
//! 0x49                           the next four
//! 0xFE  host                     02: leave the safe state
//! ```
//! **No maker's document has such a controller**: the messages are Voltry's.

use std::time::Duration;

use super::Wire;
use super::mcu::{Decoder, encode};
use crate::electrical::SharedMatrix;
use crate::faults::Fault;

const CONTROL: u8 = 0x46;
const FEEDBACK: u8 = 0x47;
const BARS: u8 = 0x48;
const ACTION: u8 = 0xFE;
const LEAVE_SAFE_STATE: u8 = 2;
const PERIOD: Duration = Duration::from_millis(100);
const SAMPLE: Duration = Duration::from_millis(5);
/// Without its host for this long it opens everything.
const HOST_TIMEOUT: Duration = Duration::from_secs(2);
const HOST_SILENT: u8 = 1;
const STARTED: u8 = 2;
const NOT_FITTED: i16 = i16::MIN;

/// The controller.
#[derive(Debug)]
pub struct MatrixController {
    matrix: SharedMatrix,
    decoder: Decoder,
    heard: Option<Duration>,
    safe_state: u8,
    closed: u64,
    next: Duration,
    sampled: Duration,
}

impl MatrixController {
    /// Of these contactors; it waits for its host.
    #[must_use]
    pub fn new(matrix: SharedMatrix) -> Self {
        matrix.with(|matrix| matrix.request(0));
        Self {
            matrix,
            decoder: Decoder::default(),
            heard: None,
            safe_state: STARTED,
            closed: 0,
            next: Duration::ZERO,
            sampled: Duration::ZERO,
        }
    }

    fn take(&mut self, now: Duration, id: u8, data: [u8; 8]) {
        match id {
            CONTROL => {
                self.heard = Some(now);
                if self.safe_state == 0 {
                    let closed = u64::from_be_bytes(data) & 0xFFFF_FFFF_FFFF;
                    self.matrix.with(|matrix| matrix.request(closed));
                }
            }
            ACTION if data[0] == LEAVE_SAFE_STATE => self.safe_state = 0,
            _ => {}
        }
    }

    fn feedback(&self) -> [u8; 8] {
        let mut data = self.closed.to_be_bytes();
        (data[0], data[1]) = (self.safe_state, 0);
        data
    }

    fn bars(&self, from: usize) -> [u8; 8] {
        let mut data = [0; 8];
        self.matrix.with(|matrix| {
            for (place, bytes) in data.chunks_exact_mut(2).enumerate() {
                let volts =
                    matrix.evses().get(from + place).map(|evse| evse.with(|circuit| circuit.module_side_v()));
                // Far inside 16 bits.
                #[allow(clippy::cast_possible_truncation)]
                let tenths = volts
                    .map_or(NOT_FITTED, |volts| (volts * 10.0).round().clamp(-32_000.0, 32_000.0) as i16);
                bytes.copy_from_slice(&tenths.to_be_bytes());
            }
        });
        data
    }
}

impl Wire for MatrixController {
    fn receive(&mut self, now: Duration, bytes: &[u8]) {
        for byte in bytes {
            if let Some((id, data)) = self.decoder.push(*byte) {
                self.take(now, id, data);
            }
        }
    }

    fn transmit(&mut self, now: Duration, out: &mut Vec<u8>) {
        self.sampled = now + SAMPLE;
        if self.heard.is_some_and(|heard| now.saturating_sub(heard) > HOST_TIMEOUT) && self.safe_state == 0 {
            self.safe_state = HOST_SILENT;
            self.matrix.with(|matrix| matrix.request(0));
        }
        let (closed, silent) =
            self.matrix.with(|matrix| (matrix.closed(), matrix.broken(Fault::MatrixSilent)));
        let changed = std::mem::replace(&mut self.closed, closed) != closed;
        let due = now >= self.next;
        if silent || !(changed || due) {
            return;
        }
        // The feedback last: with it all of this moment is told, and a host that tells it on tells no older volts.
        if due {
            self.next = now + PERIOD;
            out.extend(encode(BARS, self.bars(0)));
            if self.matrix.with(|matrix| matrix.evses().len()) > 4 {
                out.extend(encode(BARS + 1, self.bars(4)));
            }
        }
        out.extend(encode(FEEDBACK, self.feedback()));
    }

    fn deadline(&self) -> Duration {
        self.sampled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::electrical::{Circuit, CircuitConfig, Matrix, ModuleRating, SharedCircuit};

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn frames(bytes: &[u8]) -> Vec<(u8, [u8; 8])> {
        let mut decoder = Decoder::default();
        bytes.iter().filter_map(|byte| decoder.push(*byte)).collect()
    }

    #[test]
    fn it_closes_what_it_is_told_tells_it_and_opens_without_its_host() {
        let bare = || SharedCircuit::new(Circuit::new(CircuitConfig::of_modules(0)));
        let matrix = SharedMatrix::new(Matrix::new(&[1], ModuleRating::default(), vec![bare(), bare()]));
        let mut controller = MatrixController::new(matrix.clone());
        controller.receive(MS(0), &encode(CONTROL, [0, 0, 0, 0, 0, 0, 0, 0b10]));
        assert_eq!(controller.feedback()[0], STARTED, "it takes no order yet");
        controller.receive(MS(0), &encode(ACTION, [LEAVE_SAFE_STATE, 0, 0, 0, 0, 0, 0, 0]));
        controller.receive(MS(0), &encode(CONTROL, [0, 0, 0, 0, 0, 0, 0, 0b10]));
        (0..10).for_each(|_| matrix.with(|matrix| matrix.step(MS(5))));
        let mut out = Vec::new();
        controller.transmit(MS(50), &mut out);
        let bars = [0, 0, 0, 0, 0x80, 0, 0x80, 0];
        assert_eq!(frames(&out), [(BARS, bars), (FEEDBACK, [0, 0, 0, 0, 0, 0, 0, 0b10])]);
        out.clear();
        controller.transmit(MS(2_001), &mut out);
        (0..10).for_each(|_| matrix.with(|matrix| matrix.step(MS(5))));
        controller.transmit(MS(2_050), &mut out);
        assert_eq!(frames(&out).last(), Some(&(FEEDBACK, [HOST_SILENT, 0, 0, 0, 0, 0, 0, 0])));
        controller.receive(MS(2_060), &encode(CONTROL, [0, 0, 0, 0, 0, 0, 0, 0b10]));
        controller.receive(MS(2_060), &encode(ACTION, [LEAVE_SAFE_STATE, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!((matrix.with(|matrix| matrix.closed()), controller.safe_state), (0, 0));
    }
}
