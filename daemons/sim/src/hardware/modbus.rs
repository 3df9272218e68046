//! Modbus slaves on a serial line (RTU), or behind a TCP port.
//!
//! Frames are built here and not by a Modbus crate: a simulated line must also be able to answer
//! with a wrong checksum, late, or not at all. Source: Modbus Application Protocol V1.1b3 and
//! "MODBUS over serial line" V1.02.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::time::Duration;

use crc::{CRC_16_MODBUS, Crc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::Wire;

const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_MODBUS);
/// Longest RTU frame.
const LONGEST: usize = 256;
/// A pause this long ends a frame that is not complete.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a slave thinks before it answers.
const TURNAROUND: Duration = Duration::from_millis(6);
/// Most registers of one request.
const MOST_READ: u16 = 125;
const MOST_WRITTEN: u16 = 123;

/// Why a slave refuses a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exception {
    /// Illegal function.
    Function = 1,
    /// Illegal data address.
    Address = 2,
    /// Illegal data value.
    Value = 3,
}

/// What is wrong with a slave's line, if anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Well,
    /// It does not answer.
    Silent,
    /// Its answers arrive with a wrong checksum; over TCP they do not arrive.
    WrongCrc,
}

/// One device on a line.
pub trait Slave: Send + fmt::Debug {
    /// Its address, 1 to 247.
    fn unit(&self) -> u8;

    /// The function codes it knows, of 3, 4, 6 and 16.
    fn functions(&self) -> &'static [u8];

    /// What is wrong with its line.
    fn condition(&self) -> Condition {
        Condition::Well
    }

    /// Lets time pass; called at least every 20 ms.
    fn tick(&mut self, now: Duration);

    /// The registers from `start` on; `count` is 1 to 125 and stays below 65536.
    ///
    /// # Errors
    /// The exception it answers with.
    fn read(&self, start: u16, count: u16) -> Result<Vec<u16>, Exception>;

    /// The same of function 4, where these are other registers than those of function 3.
    ///
    /// # Errors
    /// The exception it answers with.
    fn read_input(&self, start: u16, count: u16) -> Result<Vec<u16>, Exception> {
        self.read(start, count)
    }

    /// Writes registers from `start` on.
    ///
    /// # Errors
    /// The exception it answers with.
    fn write(&mut self, start: u16, values: &[u16]) -> Result<(), Exception> {
        let _ = (start, values);
        Err(Exception::Address)
    }
}

/// Several slaves on one line.
#[derive(Debug)]
pub struct Line {
    slaves: Vec<Box<dyn Slave>>,
    byte_time: Duration,
    received: Vec<u8>,
    last_byte: Duration,
    answers: VecDeque<(Duration, Vec<u8>)>,
    ticked: Duration,
}

impl Line {
    /// A line of `baud` bit/s and eleven bits a byte, which charges each byte its time.
    ///
    /// # Panics
    /// If `baud` is zero.
    #[must_use]
    pub fn new(baud: u32, slaves: Vec<Box<dyn Slave>>) -> Self {
        assert!(baud > 0, "a line has a speed");
        Self {
            slaves,
            byte_time: Duration::from_secs(11) / baud,
            received: Vec::new(),
            last_byte: Duration::ZERO,
            answers: VecDeque::new(),
            ticked: Duration::ZERO,
        }
    }

    fn advance(&mut self, now: Duration) {
        self.ticked = now;
        for slave in &mut self.slaves {
            slave.tick(now);
        }
    }

    /// The answer to a request without its address and checksum; `None` where nobody answers.
    fn answer(&mut self, unit: u8, request: &[u8]) -> Option<(Condition, Vec<u8>)> {
        if unit == 0 {
            // To everybody: writes only, and nobody answers.
            for slave in self.slaves.iter_mut().filter(|_| request.first() == Some(&0x10)) {
                let _ = respond(slave.as_mut(), request);
            }
            return None;
        }
        let slave = self.slaves.iter_mut().find(|slave| slave.unit() == unit)?;
        let condition = slave.condition();
        if condition == Condition::Silent {
            return None;
        }
        let function = *request.first()?;
        let answer = respond(slave.as_mut(), request)
            .unwrap_or_else(|exception| vec![function | 0x80, exception as u8]);
        Some((condition, answer))
    }
}

/// Carries out a request; the answer from its function code on.
fn respond(slave: &mut dyn Slave, request: &[u8]) -> Result<Vec<u8>, Exception> {
    let (function, data) = request.split_first().ok_or(Exception::Function)?;
    if !slave.functions().contains(function) {
        return Err(Exception::Function);
    }
    let word = |at: usize| data.get(at..at + 2).map_or(0, |pair| u16::from_be_bytes([pair[0], pair[1]]));
    let start = word(0);
    match function {
        3 | 4 => {
            let count = word(2);
            if data.len() != 4 || !(1..=MOST_READ).contains(&count) {
                return Err(Exception::Value);
            }
            start.checked_add(count - 1).ok_or(Exception::Address)?;
            let values =
                if *function == 4 { slave.read_input(start, count) } else { slave.read(start, count) };
            let values = values?;
            // At most 125 registers.
            #[allow(clippy::cast_possible_truncation)]
            let mut answer = vec![*function, (values.len() * 2) as u8];
            answer.extend(values.iter().flat_map(|value| value.to_be_bytes()));
            Ok(answer)
        }
        6 if data.len() == 4 => {
            slave.write(start, &[word(2)])?;
            Ok(request.to_vec())
        }
        16 => {
            let count = word(2);
            let bytes = data.get(5..).unwrap_or(&[]);
            let fits = bytes.len() == usize::from(count) * 2
                && data.get(4).map(|n| usize::from(*n)) == Some(bytes.len());
            if !(1..=MOST_WRITTEN).contains(&count) || !fits {
                return Err(Exception::Value);
            }
            start.checked_add(count - 1).ok_or(Exception::Address)?;
            let values: Vec<u16> =
                bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            slave.write(start, &values)?;
            Ok(request[..5].to_vec())
        }
        _ => Err(Exception::Function),
    }
}

/// The length of the request that begins like this, checksum included; `None` while unknown.
fn request_length(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1)? {
        16 => Some(9 + usize::from(*bytes.get(6)?)),
        _ => Some(8),
    }
}

fn with_crc(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = vec![unit];
    frame.extend(pdu);
    frame.extend(CRC.checksum(&frame).to_le_bytes());
    frame
}

impl Wire for Line {
    fn receive(&mut self, now: Duration, bytes: &[u8]) {
        self.advance(now);
        if now.saturating_sub(self.last_byte) > PAUSE {
            self.received.clear();
        }
        self.last_byte = now;
        if self.received.len() + bytes.len() > LONGEST {
            // Longer than any request: noise. The line is in step again after a pause.
            self.received.clear();
            return;
        }
        self.received.extend(bytes);
        while let Some(length) =
            request_length(&self.received).filter(|length| *length <= self.received.len())
        {
            let frame: Vec<u8> = self.received.drain(..length).collect();
            let (body, crc) = frame.split_at(length - 2);
            if CRC.checksum(body).to_le_bytes() != crc {
                // Nobody answers a broken frame, and what follows it means nothing.
                self.received.clear();
                return;
            }
            if let Some((condition, pdu)) = self.answer(body[0], &body[1..])
                && self.answers.len() < 4
            {
                let mut answer = with_crc(body[0], &pdu);
                if condition == Condition::WrongCrc {
                    let last = answer.len() - 1;
                    answer[last] ^= 0x55;
                }
                let bytes = u32::try_from(length + answer.len()).unwrap_or(u32::MAX);
                let free = self.answers.back().map_or(now, |(at, _)| (*at).max(now));
                self.answers.push_back((free + TURNAROUND + self.byte_time * bytes, answer));
            }
        }
    }

    fn transmit(&mut self, now: Duration, out: &mut Vec<u8>) {
        self.advance(now);
        while self.answers.front().is_some_and(|(at, _)| *at <= now) {
            out.extend(self.answers.pop_front().into_iter().flat_map(|(_, answer)| answer));
        }
    }

    fn deadline(&self) -> Duration {
        let tick = self.ticked + Duration::from_millis(20);
        self.answers.front().map_or(tick, |(at, _)| tick.min(*at))
    }
}

/// Serves the slaves of `line` on a TCP port, one host at a time, for ever.
///
/// # Errors
/// When the port cannot accept any more; a host that misbehaves is disconnected.
pub async fn serve_tcp(listener: TcpListener, mut line: Line) -> io::Result<()> {
    let start = Instant::now();
    loop {
        let host = tokio::select! {
            host = listener.accept() => host?.0,
            () = tokio::time::sleep_until(start + line.deadline()) => {
                line.advance(start.elapsed());
                continue;
            }
        };
        if let Err(error) = converse(host, &mut line, start).await {
            tracing::debug!(%error, "the Modbus host has gone");
        }
    }
}

async fn converse(mut host: TcpStream, line: &mut Line, start: Instant) -> io::Result<()> {
    host.set_nodelay(true)?;
    loop {
        let mut header = [0; 7];
        host.read_exact(&mut header).await?;
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        if header[2..4] != [0, 0] || !(2..=254).contains(&length) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a Modbus header"));
        }
        let mut request = vec![0; length - 1];
        host.read_exact(&mut request).await?;
        line.advance(start.elapsed());
        let Some((Condition::Well, pdu)) = line.answer(header[6], &request) else { continue };
        tokio::time::sleep(TURNAROUND).await;
        let length = u16::try_from(pdu.len() + 1).unwrap_or(u16::MAX).to_be_bytes();
        header[4..6].copy_from_slice(&length);
        host.write_all(&[&header[..], &pdu].concat()).await?;
    }
}

#[cfg(test)]
mod tests;
