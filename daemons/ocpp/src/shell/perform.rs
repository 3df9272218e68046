//! What the uplink decided, done.

use std::time::Duration;

use anyhow::Context as _;
use tracing::{debug, info};
use voltry_service::clock::now;

use super::{Shell, instant};
use crate::networks::Ways;
use crate::rpc::MessageId;
use crate::uplink::{Action, Command, Input, Outcome};
use crate::{connection, data_transfer, transfer};

impl Shell {
    #[allow(clippy::too_many_lines, reason = "a table of what each action is")]
    pub(super) async fn perform(&mut self, action: Action) -> anyhow::Result<()> {
        match action {
            Action::Store(record) => {
                // Without its disk the uplink cannot keep its promise: it starts anew, and tries again.
                self.store.write(&record).context("what must last could not be stored")
            }
            Action::Call { id, action, payload } => {
                let timeout = Duration::from_secs(self.uplink.message_timeout_s());
                let Some((connection, endpoint)) = &mut self.endpoint else { return Ok(()) };
                let connection = *connection;
                let id = MessageId::try_from(id).context("ids of ours are short")?;
                debug!(action, payload, "to the CSMS");
                match endpoint.call(now(), &id, (action, &payload), timeout, ()) {
                    Ok(text) => self.send(connection, text).await,
                    Err(()) => anyhow::bail!("two calls at a time"),
                }
            }
            Action::Reply { id, answer } => {
                let Some((connection, endpoint)) = &mut self.endpoint else { return Ok(()) };
                let connection = *connection;
                let Ok(id) = MessageId::try_from(id) else { return Ok(()) };
                let text = match answer {
                    Ok(payload) => endpoint.answer(&id, &payload),
                    Err(refusal) => endpoint.refuse(&id, refusal.code, &refusal.text),
                };
                match text {
                    Some(text) => {
                        debug!(text, "to the CSMS");
                        self.send(connection, text).await
                    }
                    None => Ok(()),
                }
            }
            Action::Command { ticket, command: Command::CheckUpdate { certificate, at } } => {
                let (place, installer) = (self.place.clone(), self.installer.clone());
                let inputs = self.inputs.clone();
                self.tasks.spawn(async move {
                    let outcome = transfer::check_update(place, installer, certificate, at).await;
                    // The daemon is ending if nobody listens.
                    let _ = inputs.send(Input::Done { ticket, outcome }).await;
                });
                Ok(())
            }
            Action::Command { ticket, command: Command::HandOn { vendor, message, data } } => {
                let (connection, makers) = (self.bus.clone(), self.settings.data_transfer.clone());
                let inputs = self.inputs.clone();
                self.tasks.spawn(async move {
                    let (status, answer) =
                        data_transfer::hand_on(connection, makers, (vendor, message, data)).await;
                    let outcome = Outcome::Transferred(status, answer);
                    let _ = inputs.send(Input::Done { ticket, outcome }).await;
                });
                Ok(())
            }
            Action::Command { ticket, command } => {
                let station = self.station.clone();
                self.tasks.spawn(station.command(ticket, command));
                Ok(())
            }
            Action::Authorized { ticket, answer } => {
                if let Some(asker) = self.questions.remove(&ticket) {
                    // The station may not have waited.
                    let _ = asker.send(answer);
                }
                Ok(())
            }
            Action::ReadBook(after) => {
                self.tasks.spawn(self.station.clone().read(after));
                Ok(())
            }
            Action::Acknowledge(number) => {
                self.acknowledged.send_replace(number);
                Ok(())
            }
            Action::Reconnect(why) => {
                info!(why, "connecting anew");
                self.order(connection::Command::Restart).await
            }
            Action::Networks(why) => {
                info!(why, "connecting anew");
                self.take(Ways::new(&self.settings, &self.store, &self.folder)?).await?;
                self.order(connection::Command::Restart).await
            }
            Action::LetterAnswered { ticket, answer } => {
                if let Some(asker) = self.letters.remove(&ticket) {
                    // The maker's daemon may not have waited.
                    let _ = asker.send(answer);
                }
                Ok(())
            }
            Action::Show(shown) => {
                self.show.send_replace(shown);
                Ok(())
            }
            Action::Files(order) => {
                self.carry(order);
                Ok(())
            }
            Action::ContractAnswer { ticket, message } => {
                self.tasks.spawn(self.links.clone().answer(ticket, message));
                Ok(())
            }
            Action::ContractJudged { ticket, believed } => {
                self.tasks.spawn(self.links.clone().judge(ticket, believed));
                Ok(())
            }
            Action::CentralValidation(allowed) => {
                self.tasks.spawn(self.links.clone().allow_central_validation(allowed));
                Ok(())
            }
            Action::Offer { evse, offer } => {
                self.tasks.spawn(self.links.clone().offer(evse, offer));
                Ok(())
            }
            Action::Certificates { ticket, request } => {
                let (links, folder, inputs) = (self.links.clone(), self.folder.clone(), self.inputs.clone());
                let now = instant();
                let time = now.set.then_some(now.unix / 1_000_000);
                self.tasks.spawn(async move {
                    let (outcome, summary) = links.certify(folder, request, time).await;
                    // The daemon is ending if nobody listens.
                    let _ = inputs.send(Input::Certified { ticket, outcome, summary }).await;
                });
                Ok(())
            }
            Action::Times => self.order(connection::Command::Times(self.times())).await,
            Action::StartAnew => {
                self.reset = true;
                Ok(())
            }
        }
    }
}
