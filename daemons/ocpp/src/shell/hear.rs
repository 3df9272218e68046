//! What the connection, the station and the maker's daemons say, as the uplink's inputs.

use tracing::{debug, warn};
use voltry_bus::CsmsState;
use voltry_service::clock::now;

use super::{Shell, instant, start};
use crate::connection::Event;
use crate::csms::Question;
use crate::data_transfer::Letter;
use crate::rpc::{Endpoint, Received};
use crate::security::SecurityEvent;
use crate::station::ocpp_kind;
use crate::transactions::Token;
use crate::uplink::Input;

impl Shell {
    pub(super) async fn hear(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Opened { connection, slot, version, address, .. } => {
                self.stand(|standing| {
                    standing.state = CsmsState::Booting;
                    standing.protocol = version.subprotocol().to_owned();
                    standing.last_error.clear();
                });
                let network = self.ways.of(slot).map(|way| way.network.clone());
                let url = network.as_ref().map(|network| network.url.clone());
                self.stand(|standing| standing.url = url.unwrap_or_else(|| address.to_string()));
                if version != self.version {
                    self.version = version;
                    let waiting: Vec<_> = self.uplink.hand_over().collect();
                    let (store, settings) = (&mut self.store, &self.settings);
                    self.uplink =
                        start::uplink(store, settings, version, &self.firmware, &self.station, &self.folder)
                            .await?;
                    let station = self.station.clone();
                    self.tasks.spawn(async move { station.look_again().await });
                    self.anew.notify_one();
                    for input in waiting {
                        self.step(input).await?;
                    }
                }
                self.endpoint = Some((connection, Endpoint::new(version.dialect())));
                self.proven = false;
                self.slot = slot;
                if let Some(network) = network {
                    self.step(Input::Network(slot, network)).await?;
                }
                self.step(Input::Connected).await?;
            }
            Event::Closed { why } => {
                self.endpoint = None;
                self.stand(|standing| {
                    standing.state = CsmsState::Disconnected;
                    standing.last_error = why;
                });
                self.step(Input::Disconnected).await?;
            }
            Event::Failed { slot, why, event } => {
                if let Some(event) = event {
                    self.step(Input::Security(event, format!("profile {slot}: {why}"))).await?;
                }
                self.stand(|standing| {
                    standing.state = CsmsState::Disconnected;
                    standing.last_error = why;
                });
                self.step(Input::Unreachable).await?;
            }
            Event::Text(text) => self.receive(&text).await?,
        }
        Ok(())
    }

    pub(super) async fn receive(&mut self, text: &str) -> anyhow::Result<()> {
        let Some((connection, endpoint)) = &mut self.endpoint else { return Ok(()) };
        let connection = *connection;
        debug!(text, "from the CSMS");
        let heard = instant();
        self.said.note(heard.unix, true, text);
        let again = endpoint.counts().repeated;
        let received = endpoint.received(heard.at, text);
        let replayed = endpoint.counts().repeated > again;
        match received {
            Received::Call(call) => {
                let (id, action) = (call.id.to_string(), call.action.into_owned());
                let payload = call.payload.to_owned();
                self.step(Input::Called { id, action, payload }).await
            }
            Received::Answer { id, outcome, .. } => {
                let answer = match outcome {
                    Ok(payload) => Ok(payload.to_owned()),
                    Err(error) => Err((error.written.into_owned(), error.description.into_owned())),
                };
                self.step(Input::Answered { id: id.to_string(), answer }).await
            }
            Received::Refused { answer, why } => {
                if let Some(count) = self.strays.count(now()) {
                    warn!(why, count, "a message of the CSMS cannot be taken");
                }
                self.step(Input::Security(SecurityEvent::InvalidMessages, why.to_owned())).await?;
                match answer {
                    Some(text) => self.send(connection, text).await,
                    None => Ok(()),
                }
            }
            Received::Ignored(why) => {
                if let Some(count) = self.strays.count(now()) {
                    warn!(why, count, "the CSMS strays");
                }
                if replayed {
                    self.step(Input::Security(SecurityEvent::AttemptedReplayAttacks, why.to_owned())).await?;
                }
                Ok(())
            }
        }
    }

    pub(super) async fn post(&mut self, letter: Letter) -> anyhow::Result<()> {
        self.next_question += 1;
        let ticket = self.next_question;
        let Letter { vendor, message, data, answer } = letter;
        self.letters.retain(|_, answer| !answer.is_closed());
        self.letters.insert(ticket, answer);
        self.step(Input::Letter { ticket, vendor, message, data }).await
    }

    pub(super) async fn ask(&mut self, question: Question) -> anyhow::Result<()> {
        self.next_question += 1;
        let ticket = self.next_question;
        self.questions.retain(|_, answer| !answer.is_closed());
        self.questions.insert(ticket, question.answer);
        let token = Token { id: question.token, kind: ocpp_kind(question.kind) };
        self.step(Input::Authorize { ticket, evse: question.evse, token }).await
    }
}
