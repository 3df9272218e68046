//! A CSMS that does nothing but keep what it is told: a message once, whatever its number of tries.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use futures_util::SinkExt as _;
use serde_json::{Value, json};
use sha1::Digest as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use yawc::frame::{Frame, OpCode};
use yawc::{Options, Role, WebSocket};

/// How the CSMS is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It answers everything.
    Listens,
    /// It takes messages of transactions and answers none of them.
    IsSilent,
    /// It takes no connection.
    IsAway,
}

/// A message of a transaction.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) id: String,
    pub(crate) action: String,
    pub(crate) payload: Value,
}

/// What it was told.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By the order in which they came first.
    pub(crate) told: Vec<Told>,
    /// Messages that came again, each with the number of its first coming.
    pub(crate) repeated: usize,
    /// Taken, and not answered.
    pub(crate) silent: bool,
    /// Where in `told` each message is, by its id.
    places: HashMap<String, usize>,
    /// The numbers of 1.6's transactions, by the message that started them.
    numbers: BTreeMap<String, i64>,
    /// What it did not expect, in words.
    pub(crate) complaints: Vec<String>,
}

impl Ledger {
    /// The number of the transaction that this message started.
    pub(crate) fn number(&self, id: &str) -> i64 {
        self.numbers[id]
    }

    fn take(&mut self, told: Told) {
        match self.places.get(&told.id).map(|place| &self.told[*place]) {
            Some(known) if *known == told => self.repeated += 1,
            Some(known) => self.complaints.push(format!("two messages of one id: {known:?}, {told:?}")),
            None => {
                let number = 100 + i64::try_from(self.numbers.len()).unwrap();
                if told.action == "StartTransaction" {
                    self.numbers.insert(told.id.clone(), number);
                }
                self.places.insert(told.id.clone(), self.told.len());
                self.told.push(told);
            }
        }
    }

    fn answer(&mut self, id: &str, action: &str) -> Value {
        let time = "2026-11-26T00:00:00Z";
        match action {
            "BootNotification" => json!({ "status": "Accepted", "currentTime": time, "interval": 3600 }),
            "Heartbeat" => json!({ "currentTime": time }),
            "StartTransaction" => {
                json!({ "transactionId": self.number(id), "idTagInfo": { "status": "Accepted" } })
            }
            _ => json!({}),
        }
    }
}

/// The CSMS.
pub(crate) struct Csms {
    pub(crate) address: SocketAddr,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    mood: watch::Sender<Mood>,
}

impl Csms {
    pub(crate) async fn start(subprotocol: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ledger = Arc::default();
        let (mood, moods) = watch::channel(Mood::Listens);
        let keeps = Arc::clone(&ledger);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if *moods.borrow() != Mood::IsAway {
                    tokio::spawn(serve(stream, subprotocol, Arc::clone(&keeps), moods.clone()));
                }
            }
        });
        Self { address, ledger, mood }
    }

    pub(crate) fn becomes(&self, mood: Mood) {
        self.ledger.lock().unwrap().silent = false;
        self.mood.send_replace(mood);
    }
}

async fn serve(
    stream: TcpStream,
    subprotocol: &str,
    ledger: Arc<Mutex<Ledger>>,
    mut moods: watch::Receiver<Mood>,
) {
    // A station that is killed ends a connection anywhere.
    let Some(mut socket) = accept(stream, subprotocol).await else { return };
    loop {
        let frame = tokio::select! {
            frame = socket.next_frame() => frame,
            gone = moods.wait_for(|mood| *mood == Mood::IsAway) => {
                drop(gone);
                return;
            }
        };
        let Ok(frame) = frame else { return };
        if frame.opcode() != OpCode::Text {
            continue;
        }
        let message: Value = serde_json::from_str(frame.as_str()).unwrap();
        if message[0] != 2 {
            continue;
        }
        let text = |place: usize| message[place].as_str().unwrap().to_owned();
        let (id, action) = (text(1), text(2));
        let answer = {
            let mut ledger = ledger.lock().unwrap();
            let transactions = ["StartTransaction", "MeterValues", "StopTransaction", "TransactionEvent"];
            let of_transaction = transactions.contains(&action.as_str());
            if of_transaction {
                let payload = message[3].clone();
                ledger.take(Told { id: id.clone(), action: action.clone(), payload });
            }
            if of_transaction && *moods.borrow() == Mood::IsSilent {
                ledger.silent = true;
                continue;
            }
            json!([3, id, ledger.answer(&id, &action)]).to_string()
        };
        if socket.send(Frame::text(answer)).await.is_err() {
            return;
        }
    }
}

async fn accept(mut stream: TcpStream, subprotocol: &str) -> Option<WebSocket<TcpStream>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("Sec-WebSocket-Key").then_some(value)
    });
    let hash = sha1::Sha1::digest(format!("{}258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key.unwrap()));
    let accept = base64::prelude::BASE64_STANDARD.encode(hash);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await.ok()?;
    WebSocket::from_stream(stream, Role::Server, Options::default()).ok()
}
