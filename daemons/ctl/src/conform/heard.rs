//! Everything that a signal said, with the time at which it was heard.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use voltry_service::clock;
use voltry_units::Timestamp;

/// More than a minute of the fastest signal of the contract. Older ones are forgotten.
const KEPT: usize = 4096;

/// A signal under observation. It is read all the time: one that nobody reads would hold up every
/// answer on its connection.
#[derive(Debug)]
pub(super) struct Heard<T> {
    log: Arc<Mutex<VecDeque<(Timestamp, T)>>>,
    news: Arc<Notify>,
    listening: JoinHandle<()>,
}

impl<T> Drop for Heard<T> {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl<T: Clone + Send + 'static> Heard<T> {
    /// Listens from now on.
    pub(super) fn of(signals: impl Stream<Item = T> + Send + 'static) -> Self {
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let news = Arc::new(Notify::new());
        let (kept, told) = (log.clone(), news.clone());
        let listening = tokio::spawn(async move {
            let mut signals = std::pin::pin!(signals);
            while let Some(said) = signals.next().await {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() == KEPT {
                    kept.pop_front();
                }
                kept.push_back((clock::now(), said));
                told.notify_one();
            }
        });
        Self { log, news, listening }
    }

    /// What was heard after `since`.
    pub(super) fn since(&self, since: Timestamp) -> Vec<(Timestamp, T)> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().filter(|(at, _)| *at > since).cloned().collect()
    }

    /// The first after `since` that is wanted; `None` if there is none within `limit` from now.
    pub(super) async fn first(
        &self,
        since: Timestamp,
        limit: Duration,
        wanted: impl Fn(&T) -> bool,
    ) -> Option<(Timestamp, T)> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let found = self.since(since).into_iter().find(|(_, said)| wanted(said));
            if found.is_some() {
                return found;
            }
            tokio::time::timeout_at(deadline, self.news.notified()).await.ok()?;
        }
    }
}
