//! One vehicle at the link: discovery, connection, conversation, and what is told of it.

use std::io;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use tokio::net::TcpStream;
use voltry_bus::{LinkOutcome, LinkPhase};
use voltry_service::clock::now;
use voltry_units::Timestamp;

use super::{CONNECTION_RATE, Link};
use crate::config::Timing;
use crate::contract::Proven;
use crate::decide::{self, Cause};
use crate::net::Throttle;
use crate::pushed::Pushed;
use crate::session::{Event, Session};
use crate::tls::Mode;
use crate::transport::{Arrival, Transport};
use crate::v2g::{self, sdp};

/// One vehicle's connection.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) transport: Transport,
    session: Session,
}

impl Conversation {
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.transport.deadline().into_iter().chain(self.session.deadline()).min()
    }

    pub(super) fn timeout(&mut self, now: Timestamp, pushed: &Pushed, timing: &Timing) {
        if self.transport.deadline().is_some_and(|until| now >= until) {
            let seconds = timing.tls_handshake.as_secs_f64();
            self.session.refused(now, format!("the TLS handshake was not done within {seconds} s"));
        } else {
            self.session.timeout(now, pushed);
        }
    }
}

impl Link {
    pub(super) fn arrived(&mut self, now: Timestamp, arrival: Arrival) {
        let Some(Conversation { session, .. }) = &mut self.conversation else { return };
        match arrival {
            Arrival::Bytes(length) => session.receive(now, &self.buffer[..length], &self.pushed.borrow()),
            Arrival::Secured(secured) => {
                let version = if secured.tls13 { "1.3" } else { "1.2" };
                if let Some(count) = self.lines.count(now) {
                    tracing::info!(version, suite = secured.suite, count, "TLS");
                    tracing::debug!(vehicle = secured.vehicle, "TLS");
                }
                // -20 is for TLS 1.3 with a vehicle that showed who it is.
                let iso20 = secured.tls13 && secured.vehicle.is_some() && self.settings.protocols.is_none();
                session.secured(now, iso20, self.contracts.clone());
            }
            Arrival::Refused(why) => session.refused(now, why),
            Arrival::Gone(why) => session.disconnected(now, why),
        }
    }

    /// Answers a discovery request, if a vehicle is attached and this one is on its link.
    pub(super) fn discovered(&mut self, now: Timestamp, length: usize, from: SocketAddr) {
        let Some(ports) = &self.ports else { return };
        let SocketAddr::V6(vehicle) = from else { return };
        let on_link = vehicle.scope_id() == ports.link.index || vehicle.ip().is_loopback();
        let refusal = if self.attached.is_none() {
            Some("no vehicle is attached")
        } else if !on_link {
            Some("it came from another link")
        } else if self.powerline.as_mut().is_some_and(|powerline| !powerline.heard_data(now)) {
            Some("no vehicle is matched")
        } else {
            (!self.discoveries.pass(now)).then_some("there are too many")
        };
        if let Some(refusal) = refusal {
            return self.complain(now, "discovery refused", refusal);
        }
        // A longer datagram than any request was cut to the buffer, and is refused.
        let datagram = &self.buffer[1984..1984 + length];
        match sdp::answer(datagram, ports.address, self.tls()) {
            Ok(answer) => {
                tracing::debug!(%from, "discovery answered");
                if let Err(error) = ports.discovery.try_send_to(&answer, from) {
                    self.complain(now, "discovery", &error.to_string());
                }
            }
            Err(error) => self.complain(now, "discovery refused", &error),
        }
    }

    /// Takes a vehicle's connection, if none lives.
    pub(super) async fn connected(&mut self, now: Timestamp, stream: TcpStream) -> anyhow::Result<()> {
        let busy = self.conversation.as_ref().is_some_and(|one| !one.session.is_replaceable(now));
        let refusal = if self.attached.is_none() {
            Some("no vehicle is attached")
        } else if busy {
            Some("another one is alive")
        } else if self.powerline.as_mut().is_some_and(|powerline| !powerline.heard_data(now)) {
            Some("no vehicle is matched")
        } else {
            (!self.connections.pass(now)).then_some("there are too many")
        };
        if let Some(refusal) = refusal {
            self.complain(now, "connection refused", refusal);
            return Ok(());
        }
        // Answers are small and awaited: none may wait for the vehicle's acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            self.complain(now, "connection refused", &error.to_string());
            return Ok(());
        }
        self.disconnect("the vehicle connected anew").await?;
        let id = session_id().context("drawing a session id")?;
        let identity = v2g::Identity {
            evse_id: self.settings.evse_id.clone(),
            peak_current_ripple: self.settings.peak_current_ripple,
            protocols: self.settings.unconditional_protocols(),
            control_modes: self.settings.control_modes.clone(),
            dc_modes: self.settings.dc_modes.clone(),
            services: self.settings.services.clone(),
            metering: self.settings.metering.clone(),
        };
        // What was meant for a conversation that is over is not meant for this one.
        self.cell.send_modify(Pushed::session_over);
        if let Some(count) = self.lines.count(now) {
            tracing::info!(count, "vehicle connected");
        }
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.log.begin(now, i64::try_from(unix.as_micros()).unwrap_or(i64::MAX));
        self.phase = None;
        self.error = "";
        let timing = self.settings.timing.clone();
        let session = Session::open(now, unix.as_secs(), identity, timing, id, self.paused, self.counter);
        let handshake_until = now + self.settings.timing.tls_handshake;
        let required = self.tls() == Mode::Required;
        let transport = Transport::new(stream, self.acceptor.clone(), required, handshake_until);
        self.conversation = Some(Conversation { transport, session });
        self.engage(true);
        Ok(())
    }

    /// evse pushed something: perhaps the answer to the open request.
    pub(super) async fn pushed(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let attached = self.pushed.borrow_and_update().attached;
        if attached != self.attached {
            self.disconnect("evse detached the vehicle").await?;
            self.paused = None;
            let before = std::mem::replace(&mut self.attached, attached);
            if attached.is_some() {
                // What the vehicle before it did is not held against this one.
                self.connections = Throttle::new(CONNECTION_RATE);
                self.load_certificates(now);
            }
            self.at_rest(now).await?;
            if let Some(powerline) = &mut self.powerline {
                // Also between two vehicles: each has a key of its own.
                let detached = before.map_or(Ok(()), |_| powerline.detach(now));
                if let Err(error) = detached.and_then(|()| attached.map_or(Ok(()), |_| powerline.attach(now)))
                {
                    self.powerline_broke(now, &error);
                }
            }
            return self.matching(now).await;
        }
        if let Some(conversation) = &mut self.conversation {
            conversation.session.update(now, &self.pushed.borrow());
        }
        self.flush(now).await
    }

    pub(super) async fn disconnect(&mut self, why: &'static str) -> anyhow::Result<()> {
        let now = now();
        if let Some(conversation) = &mut self.conversation {
            conversation.session.disconnected(now, why);
        }
        self.flush(now).await
    }

    /// Writes what the session wants written, then tells what it wants told.
    pub(super) async fn flush(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let Some(conversation) = &mut self.conversation else { return Ok(()) };
        let bytes = conversation.session.take_transmit();
        if !bytes.is_empty() && conversation.transport.write_now(&bytes).is_err() {
            conversation.session.disconnected(now, "the vehicle does not read its answers");
        }
        let said = conversation.session.take_said();
        if let Some(warning) = conversation.session.take_warning() {
            self.complain(now, "the vehicle is warned", &warning);
        }
        self.log.note(now, said).await.context("telling who follows")?;
        while let Some(event) = self.conversation.as_mut().and_then(|talk| talk.session.poll_event()) {
            self.tell(now, event).await?;
        }
        if let Some(mut conversation) = self.conversation.take_if(|one| one.session.is_closed()) {
            conversation.transport.close();
            self.log.closed();
            self.engage(false);
            if let Some(powerline) = self.powerline.as_mut().filter(|_| self.paused.is_some()) {
                powerline.let_sleep();
            }
        }
        Ok(())
    }

    async fn tell(&mut self, now: Timestamp, event: Event) -> anyhow::Result<()> {
        let Some(conversation) = &self.conversation else { return Ok(()) };
        match &event {
            Event::Phase { phase, .. } => {
                // Where it came from tells more than that it stops.
                self.phase = Some(*phase).filter(|phase| *phase != LinkPhase::Stopping).or(self.phase);
                if let Some(count) = self.lines.count(now) {
                    tracing::info!(%phase, count, "entered");
                }
            }
            Event::Protocol(title) => {
                self.log.agreed(title);
                if let Some(count) = self.lines.count(now) {
                    tracing::info!(protocol = title, count, "agreed");
                }
            }
            // Without AutoCharge it is nobody's business.
            Event::VehicleId(_) if !self.settings.autocharge => return Ok(()),
            Event::VehicleId(_) => {
                if let Some(count) = self.lines.count(now) {
                    tracing::info!(count, "the vehicle names itself");
                }
            }
            Event::Contract(_) => {
                if let Some(count) = self.lines.count(now) {
                    tracing::info!(count, "the vehicle holds a contract that we believe");
                }
            }
            Event::ContractDoubted { .. } => {
                if let Some(count) = self.lines.count(now) {
                    tracing::info!(
                        count,
                        "the vehicle's contract leads to no root here: the back end judges it"
                    );
                }
            }
            Event::CertificateRequest { update, .. } => {
                if let Some(count) = self.lines.count(now) {
                    tracing::info!(update, count, "the vehicle asks for a contract certificate");
                }
            }
            Event::Status(status) => self.error = status.error,
            Event::SchedulesWanted(_) => {}
            Event::ScheduleChosen { plan, .. } => {
                tracing::debug!(schedule = plan.schedule, "the vehicle chose a schedule");
            }
            Event::Target(_) | Event::Limits(_) | Event::Needs(_) => {}
            Event::Ended(outcome, cause) => {
                self.counter = conversation.session.counter();
                match outcome {
                    LinkOutcome::Paused => self.paused = Some(conversation.session.id()),
                    LinkOutcome::Normal => self.paused = None,
                    // It may come back for the session that it paused before.
                    LinkOutcome::Failed | LinkOutcome::Overdue | LinkOutcome::Lost => {}
                }
                self.tell_end(now, *outcome, cause.as_ref());
                self.publisher.publish(now, event).await?;
                self.cell.send_modify(Pushed::session_over);
                return self.at_rest(now).await;
            }
        }
        self.publisher.publish(now, event).await
    }

    fn tell_end(&mut self, now: Timestamp, outcome: LinkOutcome, cause: Option<&Cause>) {
        let asked = || self.pushed.borrow().stop.clone();
        let paused = outcome == LinkOutcome::Paused;
        let sentence = match cause {
            None => decide::goodbye(paused, self.phase, self.error, asked().as_deref()),
            Some(cause) => cause.sentence(self.phase),
        };
        // Where evse ended it, or the connection is gone, evse knows what that means, and says why.
        match cause {
            None | Some(Cause::Aborted(_) | Cause::Disconnected(_)) => {
                if let Some(count) = self.lines.count(now) {
                    let cause = cause.map(|_| &sentence);
                    tracing::info!(%outcome, cause, count, "conversation ended");
                }
            }
            Some(cause) => self.complain(now, cause.kind(), &sentence),
        }
        self.log.ended(sentence);
    }

    /// No conversation runs: listening, or detached.
    async fn at_rest(&mut self, now: Timestamp) -> anyhow::Result<()> {
        self.counter += 1;
        let phase = if self.attached.is_some() { LinkPhase::Listening } else { LinkPhase::Detached };
        if let Some(count) = self.lines.count(now) {
            tracing::info!(%phase, count, "entered");
        }
        self.publisher.publish(now, Event::Phase { counter: self.counter, phase }).await?;
        self.publisher.forget_vehicle().await?;
        self.publisher.publish(now, Event::Contract(Proven::none())).await?;
        self.publisher.publish(now, Event::Protocol("")).await
    }

    fn engage(&mut self, engaged: bool) {
        if let Some(powerline) = &mut self.powerline {
            powerline.set_engaged(engaged);
        }
    }
}

/// Eight bytes that nobody can guess.
fn session_id() -> io::Result<[u8; 8]> {
    let mut id: [u8; 8] = crate::random()?;
    // [V2G2-750]: never zero.
    id[0] |= 1;
    Ok(id)
}
