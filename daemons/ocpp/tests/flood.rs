//! What a CSMS does to the daemon as a process: one gone mad, whatever it sends, however fast, finds it
//! small and answering; one that resets it has the machine start anew, where that is configured.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

use crate::watched;

use std::cell::Cell;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use sha1::Digest as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket};
use watched::{Bus, Watched};

/// Heap and stacks that the daemon keeps to under any CSMS: of 32 MiB what 12 MiB of the shipped program leave.
const MEMORY_KIB: u64 = 20 * 1024;

struct Rig {
    ocpp: Watched,
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
    floods: u32,
    bus: Bus,
    folder: tempfile::TempDir,
}

impl Rig {
    async fn start(version: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::start_with(version, listener, |_| String::new()).await
    }

    /// With more of the table `[ocpp]`, made from the folder of the test.
    async fn start_with(version: &str, listener: TcpListener, more: impl Fn(&Path) -> String) -> Self {
        let (bus, folder) = (Bus::start(), tempfile::tempdir().unwrap());
        let file = folder.path().join("voltry.toml");
        let text = format!(
            "[ocpp]\nidentity = 'A'\ndatabase = '{}'\n{}[ocpp.profile.1]\nurl = 'ws://{}'\nversion = '{version}'\n\
             security_profile = 0\n",
            folder.path().join("ocpp.db").display(),
            more(folder.path()),
            listener.local_addr().unwrap()
        );
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_voltry-ocpp"));
        command.arg("--config").arg(&file).args(["--bus", &bus.address]);
        let ocpp = Watched::start(&mut command, folder.path().join("log"));
        let (stream, _) =
            tokio::time::timeout(Duration::from_secs(20), listener.accept()).await.unwrap().unwrap();
        let (read, write) = stream.into_split();
        let mut rig = Self { ocpp, read: BufReader::new(read), write, floods: 0, bus, folder };
        let mut key = String::new();
        loop {
            let mut line = String::new();
            rig.read.read_line(&mut line).await.unwrap();
            match line.trim_end().split_once(": ") {
                Some(("Sec-WebSocket-Key", value)) => value.clone_into(&mut key),
                None if line == "\r\n" => break,
                Some(_) | None => {}
            }
        }
        let hash = sha1::Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
        let accept = base64::prelude::BASE64_STANDARD.encode(hash);
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: ocpp{version}\r\n\r\n"
        );
        rig.write.write_all(answer.as_bytes()).await.unwrap();
        rig
    }

    /// Sends so many texts and reads whatever is answered, until the answer to one last call came.
    async fn flood(&mut self, count: usize, text: impl Fn(usize) -> String) {
        self.floods += 1;
        let last = format!("[2,\"last{}\",\"ClearCache\",{{}}]", self.floods);
        let end = format!("[3,\"last{}\",", self.floods);
        let (read, write) = (&mut self.read, &mut self.write);
        let (asked, mut to_answer) = tokio::sync::mpsc::unbounded_channel::<String>();
        let over = Cell::new(false);
        let sending = async {
            for number in 0_usize.. {
                while let Ok(answer) = to_answer.try_recv() {
                    write.write_all(&frame(&answer)).await.unwrap();
                }
                // Only here, where nothing is half written and the station has all its answers.
                if over.get() {
                    return;
                }
                if number < count {
                    write.write_all(&frame(&text(number))).await.unwrap();
                } else {
                    // Refused while the station boots or others are open: asked again, at this pace, until
                    // it is answered.
                    write.write_all(&frame(&last)).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        };
        let answered = async {
            loop {
                let text = read_text(read).await;
                if text.starts_with(&end) {
                    over.set(true);
                    return;
                }
                if let Some(answer) = answer_to(&text) {
                    asked.send(answer).unwrap();
                }
            }
        };
        tokio::join!(sending, answered);
    }
}

/// The uplink answers the station with what the CSMS says, or as it is configured, before it would give the CSMS up.
async fn is_answered(station: &zbus::Connection) {
    let question = ("04A1B2C3", "iso14443", 1_u32);
    let (name, path, interface) = ("org.voltry.Ocpp1", "/org/voltry/csms", "org.voltry.Csms1");
    let asking = station.call_method(Some(name), path, Some(interface), "Authorize", &question);
    let answer = tokio::time::timeout(Duration::from_secs(25), asking).await;
    assert!(answer.is_ok_and(|answer| answer.is_ok()), "the station is answered");
}

/// With little room on the way: what the CSMS answers must not wait behind megabytes of its own flood for longer than
/// the station waits for an answer.
fn narrow() -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(32 << 10).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket.listen(16).unwrap()
}

/// What a good CSMS says to a CALL of the station; `None`: it is none.
fn answer_to(text: &str) -> Option<String> {
    let id = text.strip_prefix("[2,\"")?.split('"').next()?;
    let time = "2026-11-26T00:00:00Z";
    let good = "{\"status\":\"Accepted\"}";
    Some(format!(
        "[3,\"{id}\",{{\"currentTime\":\"{time}\",\"status\":\"Accepted\",\"interval\":300,\
         \"idTagInfo\":{good},\"idTokenInfo\":{good}}}]"
    ))
}

/// A text as a server sends it.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u16::try_from(text.len()) {
        Ok(length) if length < 126 => frame.push(u8::try_from(length).unwrap()),
        Ok(length) => {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => {
            frame.push(127);
            frame.extend(u64::try_from(text.len()).unwrap().to_be_bytes());
        }
    }
    frame.extend(text.as_bytes());
    frame
}

async fn read_text(read: &mut BufReader<OwnedReadHalf>) -> String {
    read.read_u8().await.unwrap();
    let length = match read.read_u8().await.unwrap() & 0x7F {
        126 => usize::from(read.read_u16().await.unwrap()),
        127 => usize::try_from(read.read_u64().await.unwrap()).unwrap(),
        length => usize::from(length),
    };
    let mut bytes = vec![0; 4 + length];
    read.read_exact(&mut bytes).await.unwrap();
    let (mask, text) = bytes.split_at_mut(4);
    text.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    String::from_utf8_lossy(text).into_owned()
}

/// Rubbish of every kind.
fn rubbish(number: usize) -> String {
    let long = if number.is_multiple_of(1000) { 200_000 } else { 100 };
    let text = "x".repeat(long);
    match number % 12 {
        0 => format!("[2,\"{number}\",\"Reset\",{{\"type\":\"{text}\"}}]"),
        1 => format!("[2,\"{number}\",\"NoSuchAction\",{{\"a\":\"{text}\"}}]"),
        2 => format!("[2,\"{text}\",\"Reset\",{{}}]"),
        3 => format!("[2,\"{number}\",\"SetChargingProfile\",{}]", "[".repeat(long)),
        4 => format!("[3,\"{number}\",{{\"a\":\"{text}\"}}]"),
        5 => format!("[4,\"{number}\",\"{text}\",\"{text}\",{{}}]"),
        6 => text,
        7 => "null".to_owned(),
        8 => format!("[2,\"{number}\",\"DataTransfer\",{{\"vendorId\":\"{text}\",\"data\":{{}}}}]"),
        9 => format!("[2,\"same\",\"GetConfiguration\",{{\"key\":[\"{text}\"]}}]"),
        10 => format!("[{}]", "2,".repeat(long)),
        _ => format!(
            "[2,\"{number}\",\"SendLocalList\",{{\"localAuthorizationList\":[{{\"idTag\":\"{text}\"}}]}}]"
        ),
    }
}

#[tokio::test]
async fn rubbish_by_the_ten_thousand_is_answered_and_costs_no_memory() {
    for version in ["1.6", "2.0.1"] {
        let mut rig = Rig::start_with(version, narrow(), |_| String::new()).await;
        let station = rig.bus.connect_to("org.voltry.Ocpp1").await;
        rig.flood(1_000, rubbish).await;
        let before = rig.ocpp.resident_kib();
        let begin = Instant::now();
        let memory = rig.ocpp.anonymous();
        // Whoever charges needs of the uplink that it answers the station; all the while it must stay small.
        let (mut most, mut answered, mut longest) = (0, 0, Duration::ZERO);
        tokio::select! {
            () = rig.flood(30_000, rubbish) => {}
            () = async {
                loop {
                    // Each token that is judged has a line in the log.
                    if answered < 5 {
                        let begin = Instant::now();
                        is_answered(&station).await;
                        (answered, longest) = (answered + 1, longest.max(begin.elapsed()));
                    }
                    most = most.max(memory());
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            } => {}
        }
        most = most.max(rig.ocpp.anonymous_kib());
        let rate = 30_000.0 / begin.elapsed().as_secs_f64();
        println!(
            "{version}: {rate:.0} texts/s, at most {most} KiB of heap and stacks; {answered} answers, {longest:?}"
        );
        assert!(most <= MEMORY_KIB, "{most} KiB");
        assert!(answered > 0, "the station is answered meanwhile");
        rig.ocpp.withstood("a message of the CSMS cannot be taken", before);
    }
}

#[tokio::test]
async fn a_reset_has_the_machine_start_anew_where_somebody_can() {
    let reset = |folder: &Path| format!("reset_file = '{}'\n", folder.join("reset").display());
    let mut rig = Rig::start_with("2.0.1", narrow(), reset).await;
    let file = rig.folder.path().join("reset");
    let (read, write) = (&mut rig.read, &mut rig.write);
    let answering = async {
        while !read.fill_buf().await.unwrap().is_empty() {
            let text = read_text(read).await;
            let reset = text.contains("BootNotification");
            let reset = reset.then(|| "[2,\"r\",\"Reset\",{\"type\":\"Immediate\"}]".to_owned());
            for text in answer_to(&text).into_iter().chain(reset) {
                // The station hangs up when it has its answers.
                let _ = write.write_all(&frame(&text)).await;
            }
        }
        std::future::pending::<()>().await;
    };
    let asked = async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Nobody is there who does it: the uplink says so, takes it back and goes on.
        while file.exists() || rig.ocpp.logged("nobody starts the machine anew") == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let asked = async {
        tokio::select! {
            () = asked => {}
            () = answering => {}
        }
    };
    tokio::time::timeout(Duration::from_secs(40), asked).await.expect("the machine is asked");
    assert_eq!(rig.ocpp.logged("nobody starts the machine anew"), 1);
    assert!(rig.ocpp.resident_kib() > 0, "it lives");
}

#[tokio::test]
async fn a_csms_that_asks_and_takes_no_answers_holds_nobody_up() {
    let mut rig = Rig::start("1.6").await;
    let station = rig.bus.connect_to("org.voltry.Ocpp1").await;
    // Until nothing goes any more: the answers are longer than what the sockets hold of them.
    let mut asked = 0_usize;
    loop {
        let text = frame(&format!("[2,\"{asked}\",\"GetConfiguration\",{{}}]"));
        match tokio::time::timeout(Duration::from_secs(2), rig.write.write_all(&text)).await {
            Ok(sent) => sent.unwrap(),
            Err(_) => break,
        }
        asked += 1;
        assert!(asked < 1_000_000, "whatever is asked is taken");
    }
    for _ in 0..3 {
        let begin = Instant::now();
        is_answered(&station).await;
        println!("{asked} requests, answers not taken: the station is answered in {:?}", begin.elapsed());
    }
    let memory = rig.ocpp.anonymous_kib();
    println!("{memory} KiB of heap and stacks");
    assert!(memory <= MEMORY_KIB, "{memory} KiB");
}
