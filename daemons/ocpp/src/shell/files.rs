//! Files and firmware: each is carried in a task of its own, one of a kind at a time.

use tracing::warn;

use super::{Shell, instant};
use crate::files::{Log, News, Order, Upload};
use crate::security::Entry;
use crate::transfer::{self, Snapshot};
use crate::uplink::Input;

impl Shell {
    /// Has a file carried, instead of whatever of its kind is carried now.
    pub(super) fn carry(&mut self, order: Order) {
        let (place, inputs) = (self.place.clone(), self.inputs.clone());
        match order {
            Order::Upload { attempt, upload } => {
                let (snapshot, station) = (self.snapshot(&upload), self.station.clone());
                self.uploading.abort_all();
                self.uploading.spawn(async move {
                    let result = transfer::upload(place, upload, snapshot, Some(station)).await;
                    // The daemon is ending if nobody listens.
                    let _ = inputs.send(Input::Files(News::Uploaded { attempt, result })).await;
                });
            }
            Order::Download { .. }
            | Order::Verify { .. }
            | Order::Install { .. }
            | Order::AskVersion { .. }
            | Order::Restart => {
                let installer = self.installer.clone();
                self.updating.abort_all();
                self.updating.spawn(async move {
                    if let Some((number, progress)) = transfer::update(place, installer, order).await {
                        let _ = inputs.send(Input::Files(News::Firmware { number, progress })).await;
                    }
                });
            }
        }
    }

    fn snapshot(&self, upload: &Upload) -> Snapshot {
        let span = upload.oldest.unwrap_or(i64::MIN)..=upload.latest.unwrap_or(i64::MAX);
        let security = match upload.log {
            Log::Security => self.store.security_log(span).unwrap_or_else(|error| {
                warn!(%error, "the security log cannot be read");
                Vec::new()
            }),
            Log::Diagnostics => Vec::new(),
        };
        Snapshot {
            now: instant().unix,
            identity: self.settings.identity.clone(),
            variables: self.uplink.shown_variables(instant()),
            configuration: self.settings.shown.clone(),
            said: self.said.lines(),
            security: security.iter().map(Entry::line).collect(),
        }
    }
}
