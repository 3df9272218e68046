//! Modules behind a CAN controller of the kernel, in the place of an slcan adapter.
//!
//! The wire is real as far as the controller is: an emulated one carries frames in no time, so the bus's own
//! reckoning of time and arbitration (`can.rs`) stays between it and the modules.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::Instant;
use voltry_canlink::slcan::{Decoder, Line, encode};
use voltry_canlink::{CanLink, CanPort, LinkError, Received};

use super::can::BIT_RATE;
use super::{CanBus, Wire as _};

/// How long an interface that is down or not there yet is left alone.
const AGAIN: Duration = Duration::from_millis(200);

/// Runs the modules of `bus` on a network interface, for ever; one that goes down is opened again.
pub async fn serve_on_interface(interface: String, mut bus: CanBus) {
    let start = Instant::now();
    let port = CanPort::Socketcan { interface };
    let mut told = false;
    for line in [Line::BitRate(BIT_RATE), Line::Open] {
        bus.receive(Duration::ZERO, &text(line));
    }
    loop {
        let Err(error) = until_lost(&port, &mut bus, start, &mut told).await;
        if !std::mem::replace(&mut told, true) {
            tracing::warn!(%error, "the modules cannot be heard");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn until_lost(
    port: &CanPort,
    bus: &mut CanBus,
    start: Instant,
    told: &mut bool,
) -> Result<Infallible, LinkError> {
    let mut link = CanLink::open(port)?;
    let mut decoder = Decoder::default();
    let mut out = Vec::new();
    loop {
        let deadline = start + bus.deadline();
        tokio::select! {
            received = link.recv() => match received? {
                Received::Frame(frame) => {
                    *told = false;
                    bus.receive(start.elapsed(), &text(Line::Frame(frame)));
                }
                // Modules restart by themselves; frames that the controller did not take are lost.
                Received::BusOff | Received::Refused => {}
            },
            () = tokio::time::sleep_until(deadline) => {}
        }
        bus.transmit(start.elapsed(), &mut out);
        for byte in out.drain(..) {
            if let Some(Line::Frame(frame)) = decoder.push(byte) {
                // A full queue loses the frame, as a controller that nobody acknowledges does.
                link.send(frame).ok();
            }
        }
    }
}

fn text(line: Line) -> Vec<u8> {
    let mut text = Vec::new();
    encode(line, &mut text);
    text
}
