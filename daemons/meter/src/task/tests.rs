use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc::unbounded_channel;
use voltry_service::{Watchdog, clock};

use super::*;
use crate::driver::Reading;
use crate::meter::ModbusMeter;
use crate::model::Model;
use crate::port::Port;
use crate::presence::Patience;

const PATIENCE: Patience = Patience { misses: 2, back_off: Duration::from_millis(200) };

const MAP: &str = r#"
vendor = "Acme"
model = "M1"
serial = { baud = 9600, parity = "none", stop_bits = 1 }
resolution_wh = 1.0
[[read]]
function = 3
address = 0
count = 4
[value.voltage]
address = 0
type = "u16"
unit = "V"
[value.current]
address = 1
type = "u16"
unit = "A"
[value.power]
address = 2
type = "u16"
unit = "kW"
[value.energy_import]
address = 3
type = "u16"
unit = "Wh"
"#;

fn meter(name: &str, address: u8) -> Attached {
    let model = Model::parse(MAP).unwrap();
    Attached {
        name: name.into(),
        peer: Peer {
            address,
            timeout: Duration::from_millis(40),
            prompt: false,
            pause: Duration::from_millis(1),
        },
        driver: Driver::Meter(ModbusMeter::new(model, Duration::from_millis(100), PATIENCE)),
    }
}

/// A task for these devices, running, and the far end of its line.
fn start(devices: Vec<Attached>) -> (DuplexStream, Vec<Orders>, Events) {
    let (streams, opened) = unbounded_channel();
    let (ours, far) = duplex(4096);
    streams.send(ours).unwrap();
    // A line that is opened again finds the same wire; here it never should be.
    let line = Line::new(Port::Test(opened), clock::now);
    let (task, orders, events) = LineTask::new(line, devices, clock::now, Watchdog::from_environment());
    tokio::spawn(task.run());
    (far, orders, events)
}

/// Answers as the devices on these addresses: volts are 100 times the address, energy counts up.
async fn devices(mut wire: DuplexStream, addresses: &'static [u8]) {
    let mut energy = 0_u16;
    let mut request = [0; 8];
    while wire.read_exact(&mut request).await.is_ok() {
        let [slave, 3, 0, 0, 0, 4, ..] = request else { continue };
        if addresses.contains(&slave) {
            energy += 1;
            let mut reply = vec![slave, 3, 8];
            for word in [u16::from(slave) * 100, 10, 1, energy] {
                reply.extend(word.to_be_bytes());
            }
            let crc = crc(&reply);
            reply.extend(crc);
            wire.write_all(&reply).await.unwrap();
        }
    }
}

/// CRC-16 of Modbus, bit by bit.
fn crc(bytes: &[u8]) -> [u8; 2] {
    let fold = |crc: u16, byte: &u8| {
        (0..8).fold(
            crc ^ u16::from(*byte),
            |crc, _| {
                if crc & 1 == 1 { (crc >> 1) ^ 0xA001 } else { crc >> 1 }
            },
        )
    };
    bytes.iter().fold(0xFFFF, fold).to_le_bytes()
}

async fn next(events: &mut Events, wanted: impl Fn(usize, &Event) -> bool) -> (usize, Event) {
    let found = async {
        loop {
            let (index, event) = events.recv().await.expect("the task ended");
            if wanted(index, &event) {
                return (index, event);
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), found).await.expect("no such event in 10 s")
}

fn reading(event: &Event) -> Option<Reading> {
    match event {
        Event::Reading(reading) => Some(*reading),
        _ => None,
    }
}

#[tokio::test]
async fn several_devices_share_a_line_and_each_gets_its_own_answers() {
    let (wire, _orders, mut events) = start(vec![meter("one", 1), meter("two", 2)]);
    tokio::spawn(devices(wire, &[1, 2]));
    let mut seen = [0; 2];
    while seen.iter().any(|count| *count < 3) {
        let (index, event) = next(&mut events, |_, event| reading(event).is_some()).await;
        let volts = reading(&event).unwrap().voltage.as_si();
        assert_eq!(volts, [100.0, 200.0][index]);
        seen[index] += 1;
    }
}

#[tokio::test]
async fn a_silent_device_does_not_keep_the_others_from_being_read() {
    let (wire, _orders, mut events) = start(vec![meter("one", 1), meter("dead", 9)]);
    tokio::spawn(devices(wire, &[1]));
    for _ in 0..5 {
        let (index, _) = next(&mut events, |_, event| reading(event).is_some()).await;
        assert_eq!(index, 0);
    }
}

#[tokio::test]
async fn an_order_is_answered_with_a_register_read_for_it() {
    let (wire, orders, mut events) = start(vec![meter("one", 1)]);
    tokio::spawn(devices(wire, &[1]));
    let (_, event) = next(&mut events, |_, event| reading(event).is_some()).await;
    let before = reading(&event).unwrap().energy_import;
    let asked = clock::now();
    let Ok(Done::Registers(reading)) = orders[0].place(Order::ReadRegister).await else {
        panic!("the meter answers")
    };
    assert!(reading.energy_import > before && reading.at >= asked);
}

#[tokio::test]
async fn an_order_to_a_device_that_is_not_there_is_refused_in_bounded_time() {
    let (wire, orders, _events) = start(vec![meter("dead", 9)]);
    tokio::spawn(devices(wire, &[]));
    let result = tokio::time::timeout(Duration::from_secs(5), orders[0].place(Order::ReadRegister)).await;
    assert!(matches!(result, Ok(Err(Denied::Unavailable(_)))), "{result:?}");
}

#[tokio::test]
async fn a_device_that_comes_back_is_read_again() {
    let (mut wire, _orders, mut events) = start(vec![meter("one", 1)]);
    // Deaf at first: its requests are read, and none answered.
    let mut unanswered = [0; 8];
    for _ in 0..4 {
        wire.read_exact(&mut unanswered).await.unwrap();
    }
    tokio::spawn(devices(wire, &[1]));
    next(&mut events, |_, event| *event == Event::Online(true)).await;
    next(&mut events, |_, event| reading(event).is_some()).await;
}
