//! The calls of the served objects, in one queue to a control loop.

use tokio::sync::{mpsc, oneshot};
use voltry_bus::Error;
use zbus::message::Header;

/// So many may wait: more than the bus brings between two turns of a loop that keeps up.
const MOST: usize = 64;

/// A call of a method, until [`Self::answer`].
#[derive(Debug)]
pub(crate) struct Call<M> {
    /// The caller's unique bus name.
    pub(crate) sender: String,
    pub(crate) method: M,
    verdict: oneshot::Sender<Result<(), Error>>,
}

impl<M> Call<M> {
    /// The caller may have left meanwhile.
    pub(crate) fn answer(self, verdict: Result<(), Error>) {
        let _ = self.verdict.send(verdict);
    }
}

/// Where objects hand their calls in.
#[derive(Debug)]
pub(crate) struct Calls<M>(mpsc::Sender<Call<M>>);

impl<M> Clone for Calls<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// A queue, and its end at the control loop.
pub(crate) fn queue<M>() -> (Calls<M>, mpsc::Receiver<Call<M>>) {
    let (sender, receiver) = mpsc::channel(MOST);
    (Calls(sender), receiver)
}

impl<M> Calls<M> {
    /// Hands a call in and waits for the control loop's verdict.
    ///
    /// # Errors
    /// The verdict; `Busy` while the queue is full; `Unavailable` if the daemon ends first.
    pub(crate) async fn call(&self, header: &Header<'_>, method: M) -> Result<(), Error> {
        let sender = header.sender().map(ToString::to_string).unwrap_or_default();
        let (verdict, awaited) = oneshot::channel();
        self.0
            .try_send(Call { sender, method, verdict })
            .map_err(|_| Error::Busy("the board takes no more calls just now".into()))?;
        awaited.await.unwrap_or_else(|_| Err(Error::Unavailable("the board's daemon is ending".into())))
    }
}
