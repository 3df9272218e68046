//! The flight recorder: of each of the newest sessions what the station heard and decided, and what
//! flowed, in a file of its own beside the book.
//!
//! It decides nothing and nothing waits for it: the control loop drops what happens into a queue, a
//! thread of its own thins it out and writes it, and a disk that is full or broken costs the recording
//! alone. Id tokens never come here.

mod folder;
mod format;
mod recording;
mod served;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::warn;
use voltry_bus::{RecordedEntry, RecordedSample, RecordedSession};
use voltry_service::RateLimit;
use voltry_service::clock::now;
use voltry_units::Timestamp;

use self::folder::Folder;
use self::format::Head;
use self::recording::{Recording, Urgency};

pub(crate) use self::served::Recorder1;

/// What may wait for the disk; more is left out.
const WAITING: usize = 1024;
/// With nothing to write, how long the thread sleeps.
const IDLE: Duration = Duration::from_secs(60);

/// Where a session is plugged in.
#[derive(Debug, Clone)]
pub(crate) struct Plugged {
    /// The EVSE's id of the session, in this boot.
    pub(crate) plug: u64,
    pub(crate) boot: String,
    /// When.
    pub(crate) at: Timestamp,
    /// The same, microseconds of Unix time.
    pub(crate) unix: i64,
}

/// What happens in a session.
#[derive(Debug)]
pub(crate) enum Happening {
    /// It begins, or goes on after a restart of this daemon.
    Plugged(Plugged),
    /// The EVSE's state.
    Phase(String),
    /// The book has an event.
    Event(String),
    /// A device has a fault: its path, and what is wrong.
    Fault(String, String),
    /// It has it no more.
    Cleared(String, String),
    /// The EVSE was told something.
    Told(String),
    /// What flows.
    Sample(RecordedSample),
    /// A transaction began.
    Transaction(u64),
    /// Why it ended.
    Why(String),
    /// It is over.
    Unplugged,
}

/// A session with its entries and samples.
pub(crate) type Whole = (RecordedSession, Vec<RecordedEntry>, Vec<RecordedSample>);

enum Order {
    Happens(u32, Timestamp, Happening),
    Sessions(usize, oneshot::Sender<Vec<RecordedSession>>),
    Read(u64, oneshot::Sender<io::Result<Option<Whole>>>),
    Finish(oneshot::Sender<()>),
}

/// The way to the recorder's thread; it ends when all of these are dropped.
#[derive(Debug, Clone)]
pub(crate) struct Recorder(SyncSender<Order>);

impl Recorder {
    /// Starts it. A folder that cannot be used costs the recordings, and is told of.
    pub(crate) fn start(folder: &Path) -> io::Result<Self> {
        let (orders, waiting) = sync_channel(WAITING);
        let path = folder.to_owned();
        std::thread::Builder::new().name("recorder".to_owned()).spawn(move || match Folder::open(&path) {
            Ok(folder) => {
                Writer { folder, open: BTreeMap::new(), lines: RateLimit::default() }.work(&waiting);
            }
            Err(error) => warn!(%error, folder = %path.display(), "nothing is recorded of sessions"),
        })?;
        Ok(Self(orders))
    }

    /// Something happens at an EVSE. What finds no room in the queue is left out.
    pub(crate) fn note(&self, evse: u32, happening: Happening) {
        let _ = self.0.try_send(Order::Happens(evse, now(), happening));
    }

    /// Writes what waits; returns when it is on the disk.
    pub(crate) async fn finish(&self) {
        let (done, finished) = oneshot::channel();
        if self.0.try_send(Order::Finish(done)).is_ok() {
            let _ = finished.await;
        }
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, voltry_bus::Error> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(order(answer)).map_err(|error| match error {
            TrySendError::Full(_) => voltry_bus::Error::Busy("the recorder is busy".to_owned()),
            TrySendError::Disconnected(_) => {
                voltry_bus::Error::Unavailable("the recorder's folder cannot be used".to_owned())
            }
        })?;
        answered.await.map_err(|_| voltry_bus::Error::Unavailable("the recorder ended".to_owned()))
    }

    /// The newest sessions, newest first.
    pub(crate) async fn sessions(&self, limit: usize) -> Result<Vec<RecordedSession>, voltry_bus::Error> {
        self.ask(|answer| Order::Sessions(limit, answer)).await
    }

    /// One session.
    pub(crate) async fn read(&self, number: u64) -> Result<Whole, voltry_bus::Error> {
        let read = self.ask(|answer| Order::Read(number, answer)).await?;
        let found = read.map_err(|error| voltry_bus::Error::Unavailable(error.to_string()))?;
        found.ok_or_else(|| voltry_bus::Error::Invalid(format!("no session {number} is recorded")))
    }
}

/// A session that goes on, and what is said of it.
struct Open {
    recording: Recording,
    session: RecordedSession,
}

struct Writer {
    folder: Folder,
    /// By EVSE.
    open: BTreeMap<u32, Open>,
    lines: RateLimit,
}

impl Writer {
    fn work(mut self, orders: &Receiver<Order>) {
        loop {
            let due = self.open.values().filter_map(|open| open.recording.due()).min();
            let sleep = due.map_or(IDLE, |due| due.since(now()).min(IDLE));
            match orders.recv_timeout(sleep) {
                Ok(order) => self.obey(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.write(Recording::take);
        }
        self.write(|recording, now| Some(recording.take_all(now)));
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Happens(evse, at, Happening::Plugged(plugged)) => self.begin(evse, at, plugged),
            Order::Happens(evse, at, happening) => self.happens(evse, at, happening),
            // Whoever asked may have gone.
            Order::Sessions(limit, answer) => {
                let _ = answer.send(self.sessions(limit));
            }
            Order::Read(number, answer) => {
                self.write(|recording, now| {
                    (recording.head.number == number).then(|| recording.take_all(now))
                });
                let _ = answer.send(self.read(number));
            }
            Order::Finish(done) => {
                self.write(|recording, now| Some(recording.take_all(now)));
                let _ = done.send(());
            }
        }
    }

    fn begin(&mut self, evse: u32, at: Timestamp, plugged: Plugged) {
        let Plugged { plug, boot, at: plugged_at, unix } = plugged;
        // Nobody saw the one before end.
        self.write(|recording, now| (recording.head.evse == evse).then(|| recording.take_all(now)));
        let open = match self.folder.unfinished(evse, &boot, plug) {
            Some(kept) => Open {
                recording: Recording::resumed(kept.head.clone(), plugged_at, kept.bytes),
                session: kept.session.clone(),
            },
            None => {
                let number = self.folder.number();
                let head = Head { number, evse, boot, plug, plugged: unix };
                let session = RecordedSession {
                    number,
                    evse,
                    transaction: 0,
                    plugged: unix,
                    unplugged: 0,
                    why: String::new(),
                    left_out: 0,
                };
                Open { recording: Recording::new(head, plugged_at, at), session }
            }
        };
        self.open.insert(evse, open);
    }

    fn happens(&mut self, evse: u32, at: Timestamp, happening: Happening) {
        let Some(Open { recording, session }) = self.open.get_mut(&evse) else { return };
        let mut note = |kind: &str, source: &str, text: &str, urgency| {
            recording.entry(at, kind, source, text, urgency);
        };
        match happening {
            Happening::Plugged(_) => {}
            Happening::Phase(state) => note("phase", "evse", &state, Urgency::Waits),
            Happening::Event(text) => note("event", "station", &text, Urgency::Waits),
            Happening::Fault(device, text) => note("fault", &device, &text, Urgency::AtOnce),
            Happening::Cleared(device, text) => note("cleared", &device, &text, Urgency::Waits),
            Happening::Told(text) => note("told", "station", &text, Urgency::Waits),
            Happening::Sample(sample) => recording.sample(at, &sample),
            Happening::Transaction(id) => {
                session.transaction = id;
                note(format::TRANSACTION, "station", &id.to_string(), Urgency::Waits);
            }
            Happening::Why(sentence) => {
                note(format::WHY, "station", &sentence, Urgency::AtOnce);
                session.why = sentence;
            }
            Happening::Unplugged => {
                let left_out = recording.left_out;
                if left_out > 0 {
                    recording.entry(at, format::LEFT_OUT, "station", &left_out.to_string(), Urgency::Waits);
                }
                recording.entry(at, format::UNPLUGGED, "station", "", Urgency::AtOnce);
                (session.unplugged, session.left_out) = (recording.unix(at), left_out);
                self.write(|recording, now| (recording.head.evse == evse).then(|| recording.take_all(now)));
                self.open.remove(&evse);
            }
        }
    }

    /// Writes of each session what `which` takes.
    fn write(&mut self, which: impl Fn(&mut Recording, Timestamp) -> Option<String>) {
        for Open { recording, session } in self.open.values_mut() {
            let Some(text) = which(recording, now()).filter(|text| !text.is_empty()) else { continue };
            if let Err(error) = self.folder.append(&recording.head, session, &text) {
                recording.give_back(&text, now());
                if let Some(count) = self.lines.count(now()) {
                    warn!(%error, count, "what happens in a session is not recorded");
                }
            }
        }
    }

    fn sessions(&self, limit: usize) -> Vec<RecordedSession> {
        let open = self.open.values().map(|open| open.session.clone());
        let is_open = |number| self.open.values().any(|open| open.session.number == number);
        let kept = self.folder.newest(limit).filter(|kept| !is_open(kept.head.number));
        let mut sessions: Vec<_> = open.chain(kept.map(|kept| kept.session.clone())).collect();
        sessions.sort_by_key(|session| std::cmp::Reverse(session.number));
        sessions.truncate(limit);
        sessions
    }

    fn read(&self, number: u64) -> io::Result<Option<Whole>> {
        Ok(self.folder.read(number)?.map(|parsed| {
            let session = folder::session(&parsed);
            let entries = parsed.entries.into_iter().filter(|entry| !format::is_of_session(&entry.kind));
            (session, entries.collect(), parsed.samples)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugged(plug: u64) -> Happening {
        Happening::Plugged(Plugged { plug, boot: "b".to_owned(), at: now(), unix: 1_790_000_000_000_000 })
    }

    fn sample(current: f64) -> Happening {
        Happening::Sample(RecordedSample {
            time: 0,
            voltage: 400.0,
            current,
            target_voltage: 400.0,
            target_current: 100.0,
            power_offered: 50_000.0,
            soc: 50.0,
            energy: 1.0,
        })
    }

    #[tokio::test]
    async fn a_session_is_read_while_it_goes_on_and_after_a_restart_under_way_and_when_it_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::start(folder.path()).unwrap();
        recorder.note(1, Happening::Phase("available".to_owned()));
        recorder.note(1, plugged(5));
        recorder.note(1, Happening::Phase("charging".to_owned()));
        recorder.note(1, Happening::Transaction(17));
        recorder.note(1, sample(99.0));
        let (session, entries, samples) = recorder.read(1).await.unwrap();
        assert_eq!((session.transaction, session.unplugged, entries.len()), (17, 0, 1));
        assert!((samples[0].current - 99.0).abs() < 1e-9, "{samples:?}");
        recorder.note(1, Happening::Fault("evse/1".to_owned(), "MeterStuck: it stands still".to_owned()));
        recorder.finish().await;
        drop(recorder);

        let recorder = Recorder::start(folder.path()).unwrap();
        recorder.note(1, plugged(5));
        recorder.note(1, Happening::Why("The station ended it".to_owned()));
        recorder.note(1, Happening::Unplugged);
        recorder.note(1, Happening::Event("after the end".to_owned()));
        recorder.note(1, plugged(6));
        let sessions = recorder.sessions(10).await.unwrap();
        assert_eq!(
            sessions.iter().map(|one| one.number).collect::<Vec<_>>(),
            [2, 1],
            "it went on in its file"
        );
        let (session, entries, _) = recorder.read(1).await.unwrap();
        assert_eq!(session, sessions[1]);
        assert_eq!((session.why.as_str(), session.transaction), ("The station ended it", 17));
        assert!(session.unplugged > 0);
        let kinds: Vec<_> = entries.iter().map(|entry| entry.kind.as_str()).collect();
        assert_eq!(kinds, ["phase", "fault"]);
        assert!(matches!(recorder.read(9).await, Err(voltry_bus::Error::Invalid(_))));
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_used_costs_the_recordings_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let recorder = Recorder::start(&file).unwrap();
        recorder.note(1, plugged(5));
        assert!(recorder.sessions(1).await.is_err());
        recorder.finish().await;
    }
}
