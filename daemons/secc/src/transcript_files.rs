//! Conversations on disk, so that they outlive this daemon: one file a conversation, as few and as
//! large as what is kept in memory.
//!
//! A file is written along while a conversation begins, and once more, as a whole, when it ends. So a
//! daemon that dies under way leaves the beginning. Lines are JSON objects, in the form that
//! `make cars` plays again; the first one tells how the conversation went.
//!
//! A vehicle waits for its answer while this happens: the files are written by a thread of their
//! own, and what it cannot take is left out. A disk that is full or broken costs the log alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use serde::{Deserialize, Serialize};

use crate::message::Protocol;
use crate::transcript::{CONVERSATIONS, FIRST_BYTES, Said, Transcript};

/// Orders that may wait for the disk.
const WAITING: usize = 256;
/// A file of ours has less; of a longer one no more is read, bytes.
const FILE_MAX: u64 = 2 * 1024 * 1024;
const ENDING: &str = ".jsonl";
/// How a conversation ended that has no end.
const CUT: &str = "the station's software ended under way";

/// What the writing thread does.
#[derive(Debug)]
enum Order {
    Begin(i64),
    Note(i64, i64, Said),
    End(Box<Transcript>),
}

/// The way to the writing thread; it ends when this is dropped.
#[derive(Debug)]
pub struct Writer(SyncSender<Order>);

/// One line of a file. Times are seconds since the conversation began.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "layer", rename_all = "lowercase")]
enum Line {
    /// The first: how it went.
    Conversation { began: i64, protocol: Option<Protocol>, ended: String, left_out: u64, hex: String },
    /// A message.
    V2g { t: f64, sender: Sender, stream: u8, protocol: Option<Protocol>, payload_type: u16, hex: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Sender {
    Vehicle,
    Station,
}

impl Writer {
    /// Writes into `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// The folder can't be made, or no thread started.
    pub fn start(folder: PathBuf) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let (orders, inbox) = sync_channel(WAITING);
        std::thread::Builder::new().name("transcripts".to_owned()).spawn(move || write(&folder, &inbox))?;
        Ok(Self(orders))
    }

    /// A conversation began.
    pub fn begin(&self, began: i64) {
        self.order(Order::Begin(began));
    }

    /// A message of its beginning was heard or said.
    pub fn note(&self, began: i64, time: i64, said: Said) {
        self.order(Order::Note(began, time, said));
    }

    /// It ended.
    pub fn end(&self, transcript: Transcript) {
        self.order(Order::End(Box::new(transcript)));
    }

    /// Dropped where the disk is behind, or the thread has ended.
    fn order(&self, order: Order) {
        let _ = self.0.try_send(order);
    }
}

fn write(folder: &Path, inbox: &Receiver<Order>) {
    let mut open: Option<(i64, File, usize)> = None;
    let mut told = false;
    while let Ok(order) = inbox.recv() {
        let done = match order {
            Order::Begin(began) => {
                thin_out(folder);
                create(&path(folder, began)).and_then(|mut file| {
                    write_line(&mut file, &head(&Transcript::new(voltry_units::Timestamp::BOOT, began)))?;
                    open = Some((began, file, 0));
                    Ok(())
                })
            }
            Order::Note(began, time, said) => match &mut open {
                Some((of, file, bytes)) if *of == began && *bytes + said.bytes() <= FIRST_BYTES => {
                    *bytes += said.bytes();
                    write_line(file, &line(began, time, &said))
                }
                Some(_) | None => Ok(()),
            },
            Order::End(transcript) => {
                open = None;
                write_whole(folder, &transcript)
            }
        };
        if let Err(error) = done
            && !std::mem::replace(&mut told, true)
        {
            tracing::warn!(%error, folder = %folder.display(), "conversations are not kept on disk");
        }
    }
}

fn path(folder: &Path, began: i64) -> PathBuf {
    folder.join(format!("{began}{ENDING}"))
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// In the place of what was written along, all of it or nothing.
fn write_whole(folder: &Path, transcript: &Transcript) -> io::Result<()> {
    let whole = path(folder, transcript.began);
    let new = whole.with_extension("new");
    let mut file = io::BufWriter::new(create(&new)?);
    write_line(&mut file, &head(transcript))?;
    for (time, said) in transcript.messages() {
        write_line(&mut file, &line(transcript.began, *time, said))?;
    }
    file.flush()?;
    fs::rename(new, whole)
}

fn write_line(file: &mut impl io::Write, line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_string(line).map_err(io::Error::other)?;
    text.push('\n');
    file.write_all(text.as_bytes())
}

fn head(transcript: &Transcript) -> Line {
    Line::Conversation {
        began: transcript.began,
        protocol: Protocol::ALL.into_iter().find(|one| one.title() == transcript.protocol),
        ended: transcript.ended.clone(),
        left_out: transcript.left_out,
        hex: String::new(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a conversation fit exactly")]
fn line(began: i64, time: i64, said: &Said) -> Line {
    Line::V2g {
        t: (time - began) as f64 / 1e6,
        sender: if said.by_vehicle { Sender::Vehicle } else { Sender::Station },
        stream: 0,
        protocol: said.protocol,
        payload_type: said.payload_type,
        hex: said.payload.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")),
    }
}

/// The files of a folder, oldest first; by their names, which are when the conversations began.
fn files(folder: &Path) -> Vec<(i64, PathBuf)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let began = |name: &str| name.strip_suffix(ENDING).and_then(|name| name.parse().ok());
    let mut files: Vec<(i64, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| Some((began(entry.file_name().to_str()?)?, entry.path())))
        .collect();
    files.sort_unstable();
    files
}

/// Leaves room for one more.
fn thin_out(folder: &Path) {
    let files = files(folder);
    for (_, path) in &files[..files.len().saturating_sub(CONVERSATIONS - 1)] {
        // The next conversation tries again.
        let _ = fs::remove_file(path);
    }
}

/// What earlier lives of this daemon left, oldest first. What cannot be read is left out.
#[must_use]
pub fn load(folder: &Path) -> Vec<Transcript> {
    let files = files(folder);
    let newest = files.len().saturating_sub(CONVERSATIONS);
    files[newest..].iter().filter_map(|(began, path)| read(*began, path)).collect()
}

fn read(began: i64, path: &Path) -> Option<Transcript> {
    let file = BufReader::new(File::open(path).ok()?.take(FILE_MAX));
    let mut transcript = Transcript::new(voltry_units::Timestamp::BOOT, began);
    CUT.clone_into(&mut transcript.ended);
    for text in file.lines().map_while(Result::ok) {
        match serde_json::from_str(&text) {
            Ok(Line::Conversation { protocol, ended, left_out, .. }) => {
                transcript.protocol = protocol.map_or("", Protocol::title);
                transcript.left_out = left_out;
                if !ended.is_empty() {
                    transcript.ended = ended;
                }
            }
            Ok(Line::V2g { t, sender, protocol, payload_type, hex, .. }) => {
                let Some(payload) = bytes(&hex) else { continue };
                if let Some(protocol) = protocol {
                    // Of a conversation without an end, whose first line was written before.
                    transcript.protocol = protocol.title();
                }
                let by_vehicle = sender == Sender::Vehicle;
                transcript.keep(began + micros(t), Said { by_vehicle, protocol, payload_type, payload });
            }
            // A line that was cut off, or a file that someone else touched.
            Err(_) => {}
        }
    }
    let any = transcript.messages().next().is_some();
    any.then_some(transcript)
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to a day")]
fn micros(seconds: f64) -> i64 {
    (seconds.clamp(0.0, 86_400.0) * 1e6).round() as i64
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    if !hex.is_ascii() || !hex.len().is_multiple_of(2) {
        return None;
    }
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use voltry_units::Timestamp;

    fn said(byte: u8, by_vehicle: bool) -> Said {
        Said { by_vehicle, protocol: Some(Protocol::Iso2), payload_type: 0x8001, payload: vec![byte; 50] }
    }

    /// A conversation of so many messages that began at `began`.
    fn transcript(began: i64, messages: u8) -> Transcript {
        let mut transcript = Transcript::new(Timestamp::BOOT, began);
        transcript.protocol = Protocol::Iso2.title();
        "the vehicle ended it with SessionStop".clone_into(&mut transcript.ended);
        for number in 0..messages {
            let at = Timestamp::from_micros(u64::from(number) * 33_333);
            transcript.note(at, said(number, number % 2 == 0));
        }
        transcript
    }

    fn same(one: &Transcript, other: &Transcript) -> bool {
        (one.began, one.protocol, &one.ended, one.left_out)
            == (other.began, other.protocol, &other.ended, other.left_out)
            && one.messages().eq(other.messages())
    }

    #[test]
    fn a_conversation_that_ended_comes_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let conversation = transcript(1_700_000_000_000_000, 200);
        write_whole(folder.path(), &conversation).unwrap();
        let [back] = &load(folder.path())[..] else { panic!("not one") };
        assert!(same(back, &conversation), "{back:?}");
    }

    #[test]
    fn of_a_conversation_that_was_cut_off_its_beginning_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let (orders, inbox) = sync_channel(WAITING);
        let writer = Writer(orders);
        writer.begin(1_000_000);
        writer.note(1_000_000, 1_000_000, said(1, true));
        writer.note(1_000_000, 1_250_000, said(2, false));
        drop(writer);
        write(folder.path(), &inbox);
        let file = path(folder.path(), 1_000_000);
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, &text[..text.len() - 20]).unwrap();
        let [back] = &load(folder.path())[..] else { panic!("not one") };
        assert_eq!(back.messages().collect::<Vec<_>>(), [&(1_000_000, said(1, true))]);
        assert_eq!((back.protocol, back.ended.as_str()), (Protocol::Iso2.title(), CUT));
    }

    #[test]
    fn the_folder_holds_no_more_than_memory_does_however_much_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let (orders, inbox) = sync_channel(100_000);
        let writer = Writer(orders);
        for began in 1..=40 {
            writer.begin(began);
            for time in 0..2_000 {
                writer.note(began, began + time, said(0, true));
            }
        }
        drop(writer);
        write(folder.path(), &inbox);
        let files = files(folder.path());
        assert_eq!((files.len(), files[0].0), (CONVERSATIONS, 25));
        for (_, path) in files {
            let length = path.metadata().unwrap().len();
            assert!(length < 4 * FIRST_BYTES as u64, "{length} bytes");
        }
    }

    #[test]
    fn what_is_no_conversation_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("1.jsonl", "rubbish\n{}\n"), ("2.jsonl", ""), ("x.jsonl", "{}"), ("3.txt", "")]
        {
            fs::write(folder.path().join(name), text).unwrap();
        }
        assert!(load(folder.path()).is_empty());
        assert!(load(&folder.path().join("missing")).is_empty());
    }

    #[test]
    fn a_disk_that_takes_nothing_costs_nothing_but_the_log() {
        let (orders, inbox) = sync_channel(WAITING);
        let writer = Writer(orders);
        writer.begin(1);
        writer.end(transcript(1, 3));
        drop(writer);
        write(Path::new("/proc/no such folder"), &inbox);
    }
}
