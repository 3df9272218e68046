//! The devices of a charger as their wires show them, each written from its vendor's document
//! alone and sharing no code with the daemon that drives it.
//!
//! A device is a [`Wire`]: bytes and time in, bytes and its next deadline out, no I/O and no clock
//! of its own, so that its tests run in virtual time. [`serve`] joins one to a [`Pty`].

pub mod can;
pub mod em580;
pub mod imd;
pub mod matrix;
pub mod mcu;
pub mod meter;
pub mod modbus;
pub mod module;
pub mod pn532;
pub mod pty;
pub mod rn5893;
pub mod socketcan;

use std::io;
use std::time::Duration;

use tokio::time::Instant;

pub use can::CanBus;
pub use em580::Em580;
pub use imd::IsoCha;
pub use matrix::MatrixController;
pub use mcu::{Mcu, McuConfig};
pub use meter::AcrelMeter;
pub use modbus::Line;
pub use module::{Family, PowerModule};
pub use pn532::{CardField, Pn532};
pub use pty::Pty;
pub use rn5893::Rn5893;
pub use socketcan::serve_on_interface;

/// A serial line's far end. Times count from the device's power-up and never run backwards.
pub trait Wire: Send {
    /// Takes what the host sent.
    fn receive(&mut self, now: Duration, bytes: &[u8]);

    /// Lets time pass until `now` and appends what has left the device by then.
    fn transmit(&mut self, now: Duration, out: &mut Vec<u8>);

    /// When [`Wire::transmit`] wants to be called next.
    fn deadline(&self) -> Duration;
}

/// Runs `device` at the end of `pty`, for ever.
///
/// # Errors
/// When the PTY fails; a host that closes its end is no failure.
pub async fn serve(pty: Pty, mut device: impl Wire) -> io::Result<()> {
    let start = Instant::now();
    let mut received = [0; 1024];
    let mut out = Vec::new();
    loop {
        let deadline = start + device.deadline();
        tokio::select! {
            // What had come before time passed is not missed for it.
            biased;
            length = pty.read(&mut received) => device.receive(start.elapsed(), &received[..length?]),
            () = tokio::time::sleep_until(deadline) => {}
        }
        device.transmit(start.elapsed(), &mut out);
        if !out.is_empty() {
            pty.write(&out)?;
            out.clear();
        }
    }
}

#[cfg(test)]
mod tests;
