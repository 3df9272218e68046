//! `V2gLog1` on the bus: what was said, read back or followed.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use voltry_bus::{Error, V2gConversation, V2gMessage};
use voltry_service::{Refusals, clock};
use voltry_units::Timestamp;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, interface};

use crate::peer_text;
use crate::transcript::{Said, Transcripts};
use crate::transcript_files::{self, Writer};
use crate::v2g;

/// Longest time that one call of `Follow` asks for, seconds.
const FOLLOW_MAX: u32 = 600;

#[derive(Debug, Default)]
struct Kept {
    transcripts: Transcripts,
    files: Option<Writer>,
    followed_until: Option<Timestamp>,
}

impl Kept {
    /// The message's time, if there is a conversation.
    fn note(&mut self, now: Timestamp, said: Said) -> Option<i64> {
        let Self { transcripts, files, .. } = self;
        let current = transcripts.current()?;
        let copy = files.as_ref().filter(|_| current.is_beginning()).map(|files| (files, said.clone()));
        let time = current.note(now, said);
        if let Some((files, said)) = copy {
            files.note(current.began, time, said);
        }
        Some(time)
    }
}

/// The log: the link writes, the bus reads.
#[derive(Debug, Clone)]
pub struct V2gLog {
    kept: Arc<Mutex<Kept>>,
    emitter: SignalEmitter<'static>,
}

/// The served object.
struct V2gLog1 {
    kept: Arc<Mutex<Kept>>,
    reading: Arc<Semaphore>,
    refusals: Refusals,
}

impl V2gLog {
    /// Serves `V2gLog1` at `path`.
    ///
    /// # Errors
    /// If the path is none.
    pub async fn serve(connection: &Connection, path: &str) -> zbus::Result<Self> {
        let kept = Arc::default();
        let reading = Arc::new(Semaphore::new(1));
        let served = V2gLog1 { kept: Arc::clone(&kept), reading, refusals: Refusals::new() };
        connection.object_server().at(path, served).await?;
        Ok(Self { kept, emitter: SignalEmitter::new(connection, path.to_owned())? })
    }

    /// Keeps conversations in this folder too, and remembers those that are there.
    ///
    /// # Errors
    /// There is no such folder, and none can be made.
    pub fn keep_in(&self, folder: &Path) -> std::io::Result<()> {
        let mut kept = locked(&self.kept);
        for transcript in transcript_files::load(folder) {
            kept.transcripts.remember(transcript);
        }
        kept.files = Some(Writer::start(folder.to_owned())?);
        Ok(())
    }

    /// A vehicle connected.
    pub fn begin(&self, now: Timestamp, unix_micros: i64) {
        let mut kept = locked(&self.kept);
        kept.transcripts.begin(now, unix_micros);
        if let Kept { transcripts, files: Some(files), .. } = &mut *kept
            && let Some(current) = transcripts.current()
        {
            files.begin(current.began);
        }
    }

    /// A protocol was agreed.
    pub fn agreed(&self, title: &'static str) {
        if let Some(current) = locked(&self.kept).transcripts.current() {
            current.protocol = title;
        }
    }

    /// The conversation ended: who ended it, in which phase, and why.
    pub fn ended(&self, sentence: String) {
        if let Some(current) = locked(&self.kept).transcripts.current() {
            current.ended = sentence;
        }
    }

    /// The connection is closed: nothing more is said.
    pub fn closed(&self) {
        if let Kept { transcripts, files: Some(files), .. } = &mut *locked(&self.kept)
            && let Some(current) = transcripts.current()
        {
            files.end(current.clone());
        }
    }

    /// Messages were heard or said. Called when the vehicle has its answer.
    ///
    /// # Errors
    /// The bus is lost.
    pub async fn note(&self, now: Timestamp, messages: Vec<Said>) -> zbus::Result<()> {
        for said in messages {
            let (followed, kept) = {
                let mut kept = locked(&self.kept);
                let followed = kept.followed_until.is_some_and(|until| now < until).then(|| said.clone());
                (followed, kept.note(now, said))
            };
            if let (Some(said), Some(time)) = (followed, kept) {
                V2gLog1::message(&self.emitter, wire(time, &said)).await?;
            }
        }
        Ok(())
    }
}

// A panic aborts the process, so that no lock is ever found poisoned.
fn locked(kept: &Mutex<Kept>) -> std::sync::MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wire(time: i64, said: &Said) -> V2gMessage {
    let (name, text) = v2g::describe(said);
    V2gMessage {
        time,
        by_vehicle: said.by_vehicle,
        name,
        text: peer_text::for_bus(&text),
        payload_type: said.payload_type,
        payload: said.payload.clone(),
    }
}

impl V2gLog1 {
    /// One conversation at a time: each is copied, and decoded on a thread of its own.
    async fn decoded(&self, began: i64) -> Result<Vec<V2gMessage>, Error> {
        let reading = Arc::clone(&self.reading).try_acquire_owned();
        let reading = reading.map_err(|_| Error::Busy("another conversation is being read".to_owned()))?;
        let transcript = locked(&self.kept).transcripts.iter().find(|one| one.began == began).cloned();
        let transcript =
            transcript.ok_or_else(|| Error::Invalid(format!("no conversation began at {began}")))?;
        // Decoding some thousand messages takes longer than a vehicle may wait for its answer.
        let decoding = tokio::task::spawn_blocking(move || {
            let _reading = reading;
            transcript.messages().map(|(time, said)| wire(*time, said)).collect()
        });
        decoding.await.map_err(|_| Error::Unavailable("the daemon is ending".to_owned()))
    }
}

#[interface(name = "org.voltry.V2gLog1")]
impl V2gLog1 {
    fn conversations(&self) -> Vec<V2gConversation> {
        let kept = locked(&self.kept);
        kept.transcripts
            .iter()
            .map(|transcript| V2gConversation {
                began: transcript.began,
                protocol: transcript.protocol.to_owned(),
                ended: peer_text::for_bus(&transcript.ended),
                left_out: transcript.left_out,
            })
            .collect()
    }

    async fn read(&self, began: i64) -> Result<Vec<V2gMessage>, Error> {
        self.refusals.note("Read", self.decoded(began).await)
    }

    fn follow(&self, seconds: u32) -> Result<(), Error> {
        if !(1..=FOLLOW_MAX).contains(&seconds) {
            let refused = Error::OutOfRange(format!("{seconds} s: 1 to {FOLLOW_MAX}"));
            return self.refusals.note("Follow", Err(refused));
        }
        let until = clock::now() + Duration::from_secs(u64::from(seconds));
        locked(&self.kept).followed_until = Some(until);
        Ok(())
    }

    #[zbus(signal)]
    async fn message(emitter: &SignalEmitter<'_>, message: V2gMessage) -> zbus::Result<()>;
}
