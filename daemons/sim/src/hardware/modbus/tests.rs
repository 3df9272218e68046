use super::*;
use crate::electrical::{Circuit, CircuitConfig, SharedCircuit};
use crate::faults::Fault;
use crate::hardware::{AcrelMeter, IsoCha};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn line() -> (Line, SharedCircuit) {
    let circuit = SharedCircuit::new(Circuit::new(CircuitConfig::of_modules(1)));
    let meter = Box::new(AcrelMeter::new(1, circuit.clone()));
    let monitor = Box::new(IsoCha::new(3, circuit.clone()));
    (Line::new(9_600, vec![meter, monitor]), circuit)
}

fn bytes(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// The first answer after `now`, and when it came.
fn answer(line: &mut Line, mut now: Duration) -> Option<(Duration, Vec<u8>)> {
    let end = now + MS(1_000);
    let mut out = Vec::new();
    while now < end {
        line.transmit(now, &mut out);
        if !out.is_empty() {
            return Some((now, out));
        }
        now = line.deadline();
    }
    None
}

#[test]
fn benders_example_is_answered_to_the_byte() {
    let (mut line, _circuit) = line();
    line.receive(MS(10), &bytes("03 03 03EB 0001 F598"));
    let (at, answer) = answer(&mut line, MS(10)).unwrap();
    assert_eq!(answer, bytes("03 03 02 0047 81B6"));
    // Fifteen bytes of eleven bits at 9600 bit/s, and 6 ms of thinking.
    assert!((MS(32)..MS(35)).contains(&at), "{at:?}");
}

#[test]
fn a_request_in_pieces_is_one_and_after_a_pause_it_is_none() {
    let request = bytes("03 03 03EB 0001 F598");
    let (mut line, _circuit) = line();
    line.receive(MS(10), &request[..3]);
    line.receive(MS(12), &request[3..]);
    assert!(answer(&mut line, MS(12)).is_some());
    line.receive(MS(2_000), &request[..3]);
    line.receive(MS(2_200), &request[3..]);
    assert!(answer(&mut line, MS(2_200)).is_none());
    line.receive(MS(4_000), &request);
    assert!(answer(&mut line, MS(4_000)).is_some(), "the line is in step again");
}

#[test]
fn a_wrong_checksum_another_address_and_a_flood_are_not_answered() {
    let (mut line, _circuit) = line();
    line.receive(MS(10), &bytes("03 03 03EB 0001 F599"));
    assert!(answer(&mut line, MS(10)).is_none());
    line.receive(MS(2_000), &with_crc(9, &bytes("03 0000 0001")));
    assert!(answer(&mut line, MS(2_000)).is_none());
    for _ in 0..100 {
        line.receive(MS(4_000), &[0x03; 200]);
        assert!(line.received.len() <= LONGEST);
    }
    assert!(answer(&mut line, MS(4_000)).is_none());
}

#[test]
fn refusals_are_exceptions_with_their_code() {
    let (mut line, _circuit) = line();
    for (now, request, expected) in [
        (1, "01 03 000E 0002", "01 83 02"), // past the last register
        (2, "01 04 0000 0001", "01 84 01"), // a function the meter has not
        (3, "01 03 0000 0000", "01 83 03"), // nothing
        (4, "01 03 0000 007E", "01 83 03"), // too much
        (5, "03 03 FFFF 0002", "03 83 02"), // past the end of the addresses
        (6, "03 10 1F45 0001 02 1234", "03 90 03"),
        (7, "03 10 FFFF 0001 02 1234", "03 90 02"),
        (8, "03 10 0BD2 0001 02 0002", "03 90 03"),
    ] {
        let request = bytes(request);
        line.receive(MS(now * 2_000), &with_crc(request[0], &request[1..]));
        let expected = bytes(expected);
        let (_, answer) = answer(&mut line, MS(now * 2_000)).unwrap();
        assert_eq!(answer, with_crc(expected[0], &expected[1..]), "{request:02X?}");
    }
}

#[test]
fn faults_silence_one_device_and_leave_the_other_on_the_line() {
    let (mut line, circuit) = line();
    circuit.with(|circuit| circuit.faults.inject(Fault::MeterGone));
    line.receive(MS(10), &with_crc(1, &bytes("03 0000 000F")));
    assert!(answer(&mut line, MS(10)).is_none());
    line.receive(MS(2_000), &bytes("03 03 03EB 0001 F598"));
    assert!(answer(&mut line, MS(2_000)).is_some());
    circuit.with(|circuit| circuit.faults.clear_all());
    circuit.with(|circuit| circuit.faults.inject(Fault::MeterWrongCrc));
    line.receive(MS(4_000), &with_crc(1, &bytes("03 0000 000F")));
    let (_, answer) = answer(&mut line, MS(4_000)).unwrap();
    let (body, crc) = answer.split_at(answer.len() - 2);
    assert_ne!(CRC.checksum(body).to_le_bytes(), crc);
}

#[tokio::test]
async fn the_same_devices_answer_over_tcp() {
    let (line, _circuit) = line();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(serve_tcp(listener, line));
    // A host that speaks nonsense is disconnected, and the next one is served.
    let mut host = TcpStream::connect(address).await.unwrap();
    host.write_all(&[0xFF; 7]).await.unwrap();
    assert_eq!(host.read(&mut [0; 1]).await.unwrap_or(0), 0);
    let mut host = TcpStream::connect(address).await.unwrap();
    host.write_all(&bytes("0001 0000 0006 03 03 03EB 0001")).await.unwrap();
    let mut answer = [0; 11];
    host.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer[..], bytes("0001 0000 0005 03 03 02 0047"));
    server.abort();
}
