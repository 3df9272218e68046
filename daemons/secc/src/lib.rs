//! ISO 15118 communication with the vehicle: one daemon an EVSE.
//!
//! ```text
//!   vehicle ◀─ PLC ─▶ matching (SLAC) ┐
//!   vehicle ◀─ UDP ─▶ discovery (SDP) ┤
//!   vehicle ◀─ TCP ─▶ session ────────┼─▶ events ─▶ signals of EvLink1 ─▶ evse
//!                        ▲            │
//!                     pushed ◀────────┴── methods of EvLink1 ◀─────────── evse
//! ```
//! - [`v2g`]: bytes to messages and back. Alone names the codec crate.
//! - [`message`]: what is asked and answered, whatever the encoding.
//! - [`contract`]: Plug & Charge.
//! - [`order`]: which request may follow which.
//! - [`decide`]: what a request is answered. Pure.
//! - [`session`]: one conversation: bytes, time and pushes in; bytes and events out. No I/O.
//! - [`pushed`]: the newest values from evse, the only source of answers.
//! - [`slac`]: which vehicle is at this cable, over a powerline modem. Frames and time in, frames
//!   and events out; [`slac::shell`] is its socket.
//! - [`transcript`]: what was said, bounded; [`v2g_log`] serves it, [`transcript_files`] keeps it on disk.
//! - [`installed`]: certificates that the back end installs.
//! - `peer_text`: what a peer wrote, for the bus.
//! - [`link`], [`net`], [`transport`]: sockets; [`tls`]: what is spoken on them. [`bus`]: D-Bus.
//!
//! An answer never waits on the bus: evse pushes, the newest push is what the vehicle hears,
//! and a push older than 300 ms is refused instead of repeated, once a fresher one has had a moment
//! to come.

pub mod bus;
mod certificates;
pub mod config;
pub mod contract;
pub mod decide;
pub mod installed;
pub mod link;
pub mod message;
pub mod net;
pub mod order;
mod peer_text;
pub mod pushed;
mod schedules;
pub mod session;
pub mod slac;
pub mod tls;
pub mod transcript;
pub mod transcript_files;
pub mod transport;
pub mod v2g;
pub mod v2g_log;
pub mod vehicle_id;

/// Bytes that nobody can guess.
fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes)
}
