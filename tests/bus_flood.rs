//! Somebody else on the bus who sends one message again and again, as fast as the bus takes it. Included by the
//! tests of the whole station and by the benchmark.
#![allow(dead_code, reason = "of which each uses a part")]

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use zbus::Message;

/// Goes on until it is dropped.
#[derive(Debug)]
pub(crate) struct Flood {
    streams: Vec<UnixStream>,
    sent: Arc<AtomicU64>,
}

impl Flood {
    /// Each message gets a connection of its own to the bus behind this socket. Answers are read, and thrown away.
    pub(crate) fn begin(socket: &str, messages: &[Message]) -> io::Result<Self> {
        let (mut streams, sent) = (Vec::new(), Arc::new(AtomicU64::new(0)));
        for message in messages {
            let stream = connect(socket)?;
            let (mut read, mut write) = (stream.try_clone()?, stream.try_clone()?);
            streams.push(stream);
            // What was repeated has its serial again: only who asks looks at that.
            let bytes = message.data().to_vec();
            let block = bytes.repeat(64);
            let count = Arc::clone(&sent);
            std::thread::spawn(move || io::copy(&mut read, &mut io::sink()));
            std::thread::spawn(move || {
                while write.write_all(&block).is_ok() {
                    count.fetch_add(64, Ordering::Relaxed);
                }
            });
        }
        Ok(Self { streams, sent })
    }

    /// How many messages the bus has taken so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        for stream in &self.streams {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// As an ordinary client of this user.
fn connect(socket: &str) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\n")?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while !line.starts_with("OK ") {
        line.clear();
        if answers.read_line(&mut line)? == 0 || line.starts_with("REJECTED") {
            return Err(io::Error::other(format!("the bus refuses us: {line}")));
        }
    }
    stream.write_all(b"BEGIN\r\n")?;
    let bus = "org.freedesktop.DBus";
    let hello = Message::method_call("/org/freedesktop/DBus", "Hello").destination(bus).interface(bus);
    let hello = hello.build(&()).map_err(io::Error::other)?;
    stream.write_all(hello.data())?;
    Ok(stream)
}
