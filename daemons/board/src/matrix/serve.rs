//! The matrix's control loop.

use tokio::sync::mpsc;
use voltry_bus::Error;
use voltry_service::{Daemon, Device, HolderWatch, Identity, Refusals, clock};
use voltry_units::Measured;

use super::message::Message;
use super::object::{Method, Object};
use super::{Action, Matrix, MatrixSettings, config};
use crate::calls::{self, Call};
use crate::frame::Frame;
use crate::line::Line;

/// The matrix, its line and its object.
pub(crate) struct Served {
    matrix: Matrix,
    line: Line,
    heard: mpsc::Receiver<Measured<Frame>>,
    calls: mpsc::Receiver<Call<Method>>,
    object: Object,
    device: Device,
    holders: HolderWatch,
    refusals: Refusals,
}

impl Served {
    /// Serves the object; nothing is said on the line before [`Self::run`].
    ///
    /// # Errors
    /// If the bus refuses the objects.
    pub(crate) async fn new(settings: MatrixSettings, daemon: &Daemon) -> anyhow::Result<Self> {
        let (calls_to, calls) = calls::queue();
        let (heard_to, heard) = mpsc::channel(64);
        let (connection, path) = (daemon.connection(), config::path());
        Ok(Self {
            line: Line::open_matrix(settings.device.clone(), heard_to),
            heard,
            calls,
            object: Object::serve(connection, &path, calls_to).await?,
            device: Device::serve(connection, &path, Identity::default()).await?,
            holders: HolderWatch::new(connection).await?,
            refusals: Refusals::new(),
            matrix: Matrix::new(settings, clock::now()),
        })
    }

    /// Until the daemon has to end; then everything is open.
    pub(crate) async fn run(mut self, daemon: &Daemon) {
        let mut stopping = false;
        while !(stopping && self.matrix.is_shut_down()) {
            let wait = self.matrix.deadline().since(clock::now());
            tokio::select! {
                Some(call) = self.calls.recv() => self.call(call),
                Some(frame) = self.heard.recv() => {
                    if let Some(message) = Message::from_frame(frame.value) {
                        self.matrix.heard(frame.at, message);
                    }
                }
                who = self.holders.lost() => self.matrix.left(clock::now(), &who),
                _ = daemon.stop(), if !stopping => {
                    stopping = true;
                    self.matrix.shut_down(clock::now());
                }
                () = tokio::time::sleep(wait) => {}
            }
            self.act();
        }
        self.line.close().await;
    }

    fn act(&mut self) {
        let now = clock::now();
        for action in self.matrix.poll(now) {
            match action {
                Action::Control(frame) => self.line.control(frame),
                Action::Once(frame) => self.line.once(frame),
                Action::Publish(state) => self.object.publish(state),
            }
        }
        self.device.set_online(self.matrix.is_online(now));
        self.device.set_faults(self.matrix.faults());
    }

    fn call(&mut self, call: Call<Method>) {
        let verdict = self.obey(&call);
        let verdict = self.refusals.note(call.method.name(), verdict);
        call.answer(verdict);
    }

    fn obey(&mut self, call: &Call<Method>) -> Result<(), Error> {
        let (now, sender) = (clock::now(), call.sender.as_str());
        match &call.method {
            Method::Enable { epoch } => {
                self.matrix.enable(now, sender, *epoch)?;
                self.holders.watch(sender);
            }
            Method::Close { stamp, group, evse } => self.matrix.close(now, sender, *stamp, group, *evse)?,
            Method::RenewLease(stamp) => self.matrix.renew(now, sender, *stamp)?,
            Method::Open { group, evse } => self.matrix.open(now, group, *evse)?,
            Method::OpenAll => self.matrix.open_all(now),
            Method::ClearFaults => self.matrix.clear_faults(now),
        }
        Ok(())
    }
}
