use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use voltry_service::clock;

use super::*;
use crate::model::{Parity, SerialSettings};

const PEER: Peer =
    Peer { address: 3, timeout: Duration::from_millis(500), prompt: false, pause: Duration::from_millis(1) };

fn line() -> (Line, UnboundedSender<DuplexStream>) {
    let (streams, opened) = unbounded_channel();
    (Line::new(Port::Test(opened), clock::now), streams)
}

/// A line that is open, and the device's end of it.
fn connected() -> (Line, DuplexStream) {
    let (line, streams) = line();
    let (ours, device) = duplex(4096);
    streams.send(ours).unwrap();
    (line, device)
}

const fn holding(address: u16, count: u16) -> Request {
    Request::Read(Block { function: Function::HoldingRegisters, address, count })
}

/// CRC-16 as the Modbus serial line guide describes it, bit by bit.
fn crc(bytes: &[u8]) -> [u8; 2] {
    let mut crc = 0xFFFF_u16;
    for byte in bytes {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xA001 } else { crc >> 1 };
        }
    }
    crc.to_le_bytes()
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    [bytes, &crc(bytes)].concat()
}

async fn receive(device: &mut DuplexStream, length: usize) -> Vec<u8> {
    let mut request = vec![0; length];
    device.read_exact(&mut request).await.unwrap();
    request
}

/// Answers one request of 8 bytes with these bytes.
async fn answer(device: &mut DuplexStream, reply: &[u8]) {
    receive(device, 8).await;
    device.write_all(reply).await.unwrap();
}

#[tokio::test]
async fn a_register_is_read_in_the_bytes_of_the_vendors_document() {
    // Bender's own example: what channel 1000 is about; 71, insulation.
    let (mut line, mut device) = connected();
    let request = holding(1003, 1);
    let ((_, result), request) = tokio::join!(line.exchange(PEER, &request), async {
        let request = receive(&mut device, 8).await;
        device.write_all(&[0x03, 0x03, 0x02, 0x00, 0x47, 0x81, 0xB6]).await.unwrap();
        request
    });
    assert_eq!(request, [0x03, 0x03, 0x03, 0xEB, 0x00, 0x01, 0xF5, 0x98]);
    assert_eq!(result, Ok(vec![71]));
}

#[tokio::test]
async fn a_single_register_is_written_with_function_16() {
    let (mut line, mut device) = connected();
    let request = Request::Write { address: 8005, words: vec![0x5445] };
    let ((_, result), sent) = tokio::join!(line.exchange(PEER, &request), async {
        let sent = receive(&mut device, 11).await;
        device.write_all(&frame(&[3, 0x10, 0x1F, 0x45, 0, 1])).await.unwrap();
        sent
    });
    assert_eq!(sent, frame(&[3, 0x10, 0x1F, 0x45, 0, 1, 2, 0x54, 0x45]));
    assert_eq!(result, Ok(vec![]));
}

#[tokio::test]
async fn a_wrong_checksum_is_silence() {
    let (mut line, mut device) = connected();
    let request = holding(1003, 1);
    let reply = [0x03, 0x03, 0x02, 0x00, 0x47, 0x81, 0xB7];
    let ((_, result), ()) = tokio::join!(line.exchange(PEER, &request), answer(&mut device, &reply));
    assert!(result.is_err(), "{result:?}");
    let good = frame(&[3, 3, 2, 0, 5]);
    let ((_, result), ()) = tokio::join!(line.exchange(PEER, &request), answer(&mut device, &good));
    assert_eq!(result, Ok(vec![5]), "the line recovers");
}

#[tokio::test]
async fn an_exception_is_a_refusal_and_not_a_silence() {
    let (mut line, mut device) = connected();
    let request = holding(7, 1);
    let reply = frame(&[3, 0x83, 2]);
    let ((_, result), ()) = tokio::join!(line.exchange(PEER, &request), answer(&mut device, &reply));
    assert_eq!(result, Err(Failure::Refused(2)));
}

#[tokio::test]
async fn a_gateway_that_does_not_reach_the_device_is_no_answer_of_it_and_stays_connected() {
    let (mut line, listener) = tcp().await;
    let request = holding(1, 1);
    for code in [0x0A, 0x0B] {
        line.answer_times.learn((PEER.address, Purpose::Read), Duration::from_millis(10), &Ok(Vec::new()));
        let refused = mbap(0, &[3, 0x83, code]);
        let ((_, result), mut gateway) =
            tokio::join!(line.exchange(PEER, &request), answer_anew(&listener, &refused));
        assert_eq!(result, Err(Failure::Unreachable(code)));
        assert_eq!(
            line.answer_times.patience(PROMPT, Purpose::Read),
            PEER.timeout,
            "that was not how quick it is"
        );
        let ((_, result), ()) = tokio::join!(line.exchange(PEER, &request), async {
            gateway.read_exact(&mut [0; 12]).await.unwrap();
            gateway.write_all(&mbap(1, &[3, 3, 2, 0, 8])).await.unwrap();
        });
        assert_eq!(result, Ok(vec![8]), "on the same connection");
        line.link = None;
    }
}

#[tokio::test]
async fn a_late_reply_is_not_taken_for_the_next_register() {
    let (mut line, mut device) = connected();
    let (first, second) = (holding(1, 1), holding(2, 1));
    let (_, late) = line.exchange(PEER, &first).await;
    assert_eq!(late, Err(Failure::Timeout(PEER.timeout)));
    // Now it comes: same slave, same function, same length, another register.
    receive(&mut device, 8).await;
    device.write_all(&frame(&[3, 3, 2, 0xBA, 0xD0])).await.unwrap();
    let good = frame(&[3, 3, 2, 0, 2]);
    let ((_, result), ()) = tokio::join!(line.exchange(PEER, &second), answer(&mut device, &good));
    assert_eq!(result, Ok(vec![2]));
    assert_eq!(line.take_stray(), 7);
}

const PROMPT: Peer = Peer { prompt: true, ..PEER };

#[test]
fn a_prompt_device_is_asked_anew_soon_and_after_a_miss_with_all_patience() {
    let ms = Duration::from_millis;
    for (peer, took, patience) in [(PROMPT, 10, 110), (PROMPT, 100, 230), (PROMPT, 400, 500), (PEER, 10, 500)]
    {
        for (purpose, other) in [(Purpose::Read, Purpose::Write), (Purpose::Write, Purpose::Read)] {
            let (mut times, asked) = (AnswerTimes::default(), (peer.address, purpose));
            assert_eq!(times.patience(peer, purpose), PEER.timeout, "nothing is known of it");
            times.learn(asked, ms(took), &Ok(Vec::new()));
            assert_eq!(times.patience(peer, purpose), ms(patience), "{took}");
            assert_eq!(times.patience(peer, other), PEER.timeout, "what it stores may take longer");
            assert_eq!(times.patience(Peer { address: 4, ..peer }, purpose), PEER.timeout, "another device");
            times.learn(asked, ms(patience), &Err(Failure::Timeout(ms(patience))));
            assert_eq!(times.patience(peer, purpose), PEER.timeout);
        }
    }
}

#[tokio::test]
async fn a_write_is_waited_for_longer_than_a_read_of_the_same_device_took() {
    let (mut line, mut device) = connected();
    let (read, good) = (holding(1, 1), frame(&[3, 3, 2, 0, 1]));
    let ((_, result), ()) = tokio::join!(line.exchange(PROMPT, &read), answer(&mut device, &good));
    assert_eq!(result, Ok(vec![1]));
    let write = Request::Write { address: 8005, words: vec![0x5445] };
    let ((_, result), ()) = tokio::join!(line.exchange(PROMPT, &write), async {
        receive(&mut device, 11).await;
        tokio::time::sleep(PROMPT_LEAST * 2).await;
        device.write_all(&frame(&[3, 0x10, 0x1F, 0x45, 0, 1])).await.unwrap();
    });
    assert_eq!(result, Ok(vec![]));
}

#[test]
fn one_slow_answer_is_forgotten_by_and_by() {
    let mut times = AnswerTimes::default();
    let asked = (PROMPT.address, Purpose::Read);
    times.learn(asked, Duration::from_millis(200), &Err(Failure::Refused(2)));
    let patience: Vec<_> = (0..50)
        .map(|_| {
            times.learn(asked, Duration::from_millis(10), &Ok(Vec::new()));
            times.patience(PROMPT, Purpose::Read)
        })
        .collect();
    assert!(patience.is_sorted_by(|before, after| before >= after));
    assert!(patience[10] > 2 * PROMPT_LEAST, "{:?}", patience[10]);
    assert_eq!(patience[49], PROMPT_LEAST);
}

#[tokio::test]
async fn an_answer_that_is_lost_is_waited_for_no_longer_than_its_device_needs() {
    let (mut line, mut device) = connected();
    let peer = Peer { timeout: Duration::from_secs(10), ..PROMPT };
    let (request, good) = (holding(1, 1), frame(&[3, 3, 2, 0, 1]));
    let ((_, result), ()) = tokio::join!(line.exchange(peer, &request), answer(&mut device, &good));
    assert_eq!(result, Ok(vec![1]));
    let (_, lost) = line.exchange(peer, &request).await;
    assert!(matches!(lost, Err(Failure::Timeout(waited)) if waited < peer.timeout), "{lost:?}");
}

#[tokio::test]
async fn a_wait_in_which_the_process_did_not_run_does_not_count() {
    let (mut line, mut device) = connected();
    let (request, good) = (holding(1, 1), frame(&[3, 3, 2, 0, 1]));
    let impatient = Peer { timeout: PROMPT_LEAST, ..PROMPT };
    let ((_, result), ()) = tokio::join!(line.exchange(impatient, &request), async {
        receive(&mut device, 8).await;
        // What is tested: all of the process stands still. Then the line's timer, which is overdue, goes before the answer;
        // nothing but another timer lets it.
        std::thread::sleep(PROMPT_LEAST * 2);
        tokio::time::sleep(Duration::from_millis(1)).await;
        device.write_all(&good).await.unwrap();
    });
    assert_eq!(result, Ok(vec![1]));
}

#[tokio::test]
async fn a_reply_of_another_length_is_refused() {
    let (mut line, mut device) = connected();
    let request = holding(1, 2);
    let reply = frame(&[3, 3, 2, 0, 1]);
    let ((_, result), ()) = tokio::join!(line.exchange(PEER, &request), answer(&mut device, &reply));
    assert!(matches!(result, Err(Failure::Protocol(_))), "{result:?}");
}

#[tokio::test]
async fn a_reply_of_another_device_is_refused() {
    let (mut line, mut device) = connected();
    let request = holding(1, 1);
    let reply = frame(&[4, 3, 2, 0, 1]);
    let ((_, result), ()) = tokio::join!(line.exchange(PEER, &request), answer(&mut device, &reply));
    assert!(matches!(result, Err(Failure::Protocol(_))), "{result:?}");
}

#[tokio::test]
async fn a_frame_that_ends_too_soon_is_not_the_end_of_the_line() {
    let (mut line, mut device) = connected();
    let request = holding(1, 1);
    let bare = frame(&[3, 0x2B]);
    let ((_, result), ()) = tokio::join!(line.exchange(PEER, &request), answer(&mut device, &bare));
    assert!(matches!(result, Err(Failure::Protocol(_))), "{result:?}");
    let good = frame(&[3, 3, 2, 0, 9]);
    let ((_, result), ()) = tokio::join!(line.exchange(PEER, &request), answer(&mut device, &good));
    assert_eq!(result, Ok(vec![9]));
}

#[tokio::test]
async fn a_port_that_went_away_is_opened_again() {
    let (mut line, streams) = line();
    let (ours, device) = duplex(4096);
    streams.send(ours).unwrap();
    drop(device);
    let request = holding(1, 1);
    let (_, gone) = line.exchange(PEER, &request).await;
    assert!(matches!(gone, Err(Failure::Transport(_))), "{gone:?}");
    let (ours, mut device) = duplex(4096);
    streams.send(ours).unwrap();
    let good = frame(&[3, 3, 2, 0, 9]);
    let ((_, result), ()) = tokio::join!(line.exchange(PEER, &request), answer(&mut device, &good));
    assert_eq!(result, Ok(vec![9]));
}

#[tokio::test]
async fn a_port_that_cannot_be_opened_is_a_failure_of_the_line() {
    let port = Port::Serial { device: "/nonexistent/ttyS9".into(), settings: crate::isocha425hv::SERIAL };
    let (_, result) = Line::new(port, clock::now).exchange(PEER, &holding(1, 1)).await;
    let Err(Failure::Transport(text)) = result else { panic!("{result:?}") };
    assert!(text.contains("/nonexistent/ttyS9 at 9600 8E1"), "{text}");
}

#[tokio::test]
async fn a_babbling_line_is_given_up_and_opened_anew() {
    let (mut line, mut device) = connected();
    let request = holding(1, 1);
    let babble = async {
        // Writing fails as soon as the line is closed.
        while device.write_all(&[0x55; 64]).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    let give_up = async {
        // The first request may be sent before the babble begins, and gets nonsense for an answer.
        for _ in 0..3 {
            if let (_, Err(Failure::Transport(text))) = line.exchange(PEER, &request).await {
                return text;
            }
        }
        panic!("the line is still in use");
    };
    // The babble goes first each time, or a process that is held up for 50 ms hears silence.
    let ((), text) = tokio::join!(biased; babble, give_up);
    assert!(text.contains("does not fall silent"), "{text}");
}

#[tokio::test]
async fn the_pause_that_a_device_wants_is_kept() {
    let (mut line, mut device) = connected();
    let peer = Peer { pause: Duration::from_millis(40), ..PEER };
    let (request, good) = (holding(1, 1), frame(&[3, 3, 2, 0, 9]));
    let ((_, first), ()) = tokio::join!(line.exchange(peer, &request), answer(&mut device, &good));
    let answered = clock::now();
    let ((sent, second), ()) = tokio::join!(line.exchange(peer, &request), answer(&mut device, &good));
    assert_eq!((first, second), (Ok(vec![9]), Ok(vec![9])));
    assert!(sent.since(answered) >= Duration::from_millis(38), "{:?}", sent.since(answered));
}

#[test]
fn frames_on_a_slow_line_are_parted_by_three_and_a_half_characters() {
    let rest = |baud, parity| {
        let settings = SerialSettings { baud, parity, stop_bits: 1 };
        let port = Port::Serial { device: "/dev/null".into(), settings };
        quickly(async { Line::new(port, clock::now).rest(PEER) })
    };
    let micros = Duration::from_micros;
    assert_eq!(rest(1200, Parity::Even), micros(32_084), "11 bits a character");
    assert_eq!(rest(1200, Parity::None), micros(29_167), "10 bits a character");
    assert_eq!(rest(115_200, Parity::Even), micros(1750), "and never less than this");
    let wants_more = Peer { pause: Duration::from_millis(40), ..PEER };
    assert_eq!(
        Line::new(Port::Tcp { address: String::new() }, clock::now).rest(wants_more),
        wants_more.pause
    );
}

/// A Modbus TCP frame: transaction, protocol 0, length, then unit and PDU.
fn mbap(transaction: u16, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&transaction.to_be_bytes()[..], &[0, 0], &length, rest].concat()
}

#[tokio::test]
async fn after_a_miss_a_tcp_connection_is_closed_and_its_late_replies_with_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut line = Line::new(Port::Tcp { address }, clock::now);
    let request = holding(1, 1);
    let (_, missed) = line.exchange(PEER, &request).await;
    assert_eq!(missed, Err(Failure::Timeout(PEER.timeout)));
    let (mut first, _) = listener.accept().await.unwrap();
    let mut sent = Vec::new();
    first.read_to_end(&mut sent).await.unwrap();
    assert_eq!(sent, mbap(0, &[3, 3, 0, 1, 0, 1]), "one request, then the end");
    let ((_, result), ()) = tokio::join!(line.exchange(PEER, &request), async {
        let (mut second, _) = listener.accept().await.unwrap();
        let mut sent = [0; 12];
        second.read_exact(&mut sent).await.unwrap();
        second.write_all(&mbap(0, &[3, 3, 2, 0, 8])).await.unwrap();
    });
    assert_eq!(result, Ok(vec![8]));
}

/// A line to a TCP peer, and where that listens.
async fn tcp() -> (Line, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (Line::new(Port::Tcp { address }, clock::now), listener)
}

/// Answers the first request of a new connection with these bytes.
async fn answer_anew(listener: &TcpListener, reply: &[u8]) -> TcpStream {
    let accepted = timeout(Duration::from_secs(5), listener.accept()).await;
    let (mut stream, _) = accepted.expect("it connects anew").unwrap();
    stream.read_exact(&mut [0; 12]).await.unwrap();
    // The line may have heard enough before all is written.
    let _ = stream.write_all(reply).await;
    stream
}

const IMPATIENT: Peer = Peer { timeout: Duration::from_millis(20), ..PEER };

#[tokio::test]
async fn a_tcp_reply_cut_short_anywhere_is_refused_and_the_next_connection_serves() {
    let (mut line, listener) = tcp().await;
    let (request, good) = (holding(1, 1), mbap(0, &[3, 3, 2, 0, 8]));
    for length in 0..good.len() {
        let closing = async { drop(answer_anew(&listener, &good[..length]).await) };
        let ((_, result), ()) = tokio::join!(line.exchange(PEER, &request), closing);
        assert!(matches!(result, Err(Failure::Transport(_) | Failure::Protocol(_))), "{length}: {result:?}");
        let silent = answer_anew(&listener, &good[..length]);
        let ((_, result), _held) = tokio::join!(line.exchange(IMPATIENT, &request), silent);
        assert_eq!(result, Err(Failure::Timeout(IMPATIENT.timeout)), "{length}");
    }
    let ((_, result), _held) = tokio::join!(line.exchange(PEER, &request), answer_anew(&listener, &good));
    assert_eq!(result, Ok(vec![8]));
}

#[tokio::test]
async fn a_tcp_reply_larger_than_asked_for_is_refused_and_the_next_connection_serves() {
    let (mut line, listener) = tcp().await;
    let request = holding(1, 1);
    let long = |rest: &[u8], length: usize| mbap(0, &[rest, &vec![0; length - rest.len()]].concat());
    let mut endless = long(&[3, 3, 2, 0, 8], 65_535);
    endless.truncate(1000);
    for (kind, reply) in [
        ("64 KiB, all there", long(&[3, 3, 2, 0, 8], 65_535)),
        ("64 KiB, not all there", endless),
        ("two registers", mbap(0, &[3, 3, 4, 0, 8, 0, 9])),
        ("as many as a frame holds", long(&[3, 3, 250], 253)),
        ("a count that the frame does not hold", mbap(0, &[3, 3, 250, 0, 8])),
        ("a frame that goes on after its registers", mbap(0, &[3, 3, 2, 0, 8, 0, 9])),
        ("no length", vec![0, 0, 0, 0, 0, 0, 3, 3, 2, 0, 8]),
        ("another protocol", vec![0, 0, 0xFF, 0xFF, 0, 5, 3, 3, 2, 0, 8]),
    ] {
        let answered = answer_anew(&listener, &reply);
        let ((_, result), _held) = tokio::join!(line.exchange(IMPATIENT, &request), answered);
        assert!(result.is_err(), "{kind}: {result:?}");
    }
    let good = mbap(0, &[3, 3, 2, 0, 8]);
    let ((_, result), _held) = tokio::join!(line.exchange(PEER, &request), answer_anew(&listener, &good));
    assert_eq!(result, Ok(vec![8]));
}

#[tokio::test]
async fn a_tcp_peer_that_talks_without_end_is_given_up_and_connected_anew() {
    let (mut line, listener) = tcp().await;
    let request = holding(1, 1);
    // Good replies, all to the first request: none may be taken for the answer to the second.
    let reply = mbap(0, &[3, 3, 2, 0, 8]).repeat(100);
    let talk = async {
        let mut stream = answer_anew(&listener, &reply).await;
        while stream.write_all(&reply).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    let give_up = async {
        let (_, first) = line.exchange(PEER, &request).await;
        assert_eq!(first, Ok(vec![8]));
        line.exchange(PEER, &request).await.1
    };
    let (second, ()) = tokio::join!(give_up, talk);
    assert!(
        matches!(second, Err(Failure::Transport(ref text)) if text.contains("fall silent")),
        "{second:?}"
    );
    assert!(line.take_stray() > 100 * reply.len(), "it was read and thrown away");
    let good = mbap(0, &[3, 3, 2, 0, 9]);
    let ((_, result), _held) = tokio::join!(line.exchange(PEER, &request), answer_anew(&listener, &good));
    assert_eq!(result, Ok(vec![9]));
}

fn quickly<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_of_a_peer_bring_the_line_down(
        noise in proptest::collection::vec(any::<u8>(), 0..300),
        function in prop::sample::select(vec![3_u8, 4, 0x10, 0x11, 0x16, 0x18, 0x2B, 0x83, 0xAB]),
        sealed in any::<bool>(),
    ) {
        // Bytes as they come, or with a slave and function we might believe and a good checksum.
        let noise = if sealed { frame(&[&[3, function], &noise[..]].concat()) } else { noise };
        quickly(async {
            let (mut line, mut device) = connected();
            let peer = Peer { timeout: Duration::from_millis(10), ..PEER };
            let request = holding(1, 1);
            let ((_, result), ()) = tokio::join!(line.exchange(peer, &request), answer(&mut device, &noise));
            if let Ok(words) = result {
                assert_eq!(words.len(), 1);
            }
            let good = frame(&[3, 3, 2, 0, 9]);
            let ((_, result), ()) = tokio::join!(line.exchange(PEER, &request), answer(&mut device, &good));
            assert_eq!(result, Ok(vec![9]), "and works on");
        });
    }

    #[test]
    fn no_bytes_of_a_tcp_peer_bring_the_line_down(
        noise in proptest::collection::vec(any::<u8>(), 0..300),
        function in prop::sample::select(vec![3_u8, 4, 0x10, 0x11, 0x16, 0x18, 0x2B, 0x83, 0xAB]),
        framed in any::<bool>(),
    ) {
        let noise = if framed { mbap(0, &[&[3, function], &noise[..]].concat()) } else { noise };
        quickly(async {
            let (mut line, listener) = tcp().await;
            let peer = Peer { timeout: Duration::from_millis(10), ..PEER };
            let request = holding(1, 1);
            let ((_, result), held) =
                tokio::join!(line.exchange(peer, &request), answer_anew(&listener, &noise));
            if let Ok(words) = result {
                assert_eq!(words.len(), 1);
            }
            drop((line, held));
        });
    }
}
