//! `CsmsLog1`: what is said and what the charging profiles come to, for the technician.

use tokio::sync::{mpsc, oneshot};
use voltry_bus::{CsmsMessage, CsmsProfile, Error, SchedulePeriod};
use zbus::interface;

use crate::said::Said;
use crate::time::Now;
use crate::uplink::Uplink;

/// Messages in one answer.
const MESSAGES_MAX: u32 = 200;
/// Seconds that a schedule may cover.
const SCHEDULE_MAX_S: u32 = 86_400;

/// A question of a technician.
#[derive(Debug)]
pub(crate) enum Curious {
    Messages { after: u64, limit: u32, answer: oneshot::Sender<Vec<CsmsMessage>> },
    Profiles(oneshot::Sender<Vec<CsmsProfile>>),
    Schedule { evse: u32, seconds: u32, answer: oneshot::Sender<Result<Vec<SchedulePeriod>, Error>> },
}

impl Curious {
    /// Answers it. Whoever asked may have gone.
    pub(crate) fn answer(self, said: &Said, uplink: &Uplink, now: Now) {
        match self {
            Self::Messages { after, limit, answer } => {
                let _ = answer.send(said.after(after, limit.min(MESSAGES_MAX)));
            }
            Self::Profiles(answer) => {
                let _ = answer.send(uplink.profiles());
            }
            Self::Schedule { evse, seconds, answer } => {
                let _ = answer.send(uplink.schedule(now, evse, seconds.min(SCHEDULE_MAX_S)));
            }
        }
    }
}

/// The object.
pub(crate) struct CsmsLog1(pub(crate) mpsc::Sender<Curious>);

impl CsmsLog1 {
    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Curious) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(ask(answer)).map_err(|_| Error::Busy("too many questions wait".to_owned()))?;
        answered.await.map_err(|_| Error::Unavailable("the uplink is ending".to_owned()))
    }
}

#[interface(name = "org.voltry.CsmsLog1")]
impl CsmsLog1 {
    #[zbus(out_args("messages"))]
    async fn messages(&self, after: u64, limit: u32) -> Result<(Vec<CsmsMessage>,), Error> {
        Ok((self.ask(|answer| Curious::Messages { after, limit, answer }).await?,))
    }

    #[zbus(out_args("profiles"))]
    async fn profiles(&self) -> Result<(Vec<CsmsProfile>,), Error> {
        Ok((self.ask(Curious::Profiles).await?,))
    }

    #[zbus(out_args("periods"))]
    async fn schedule(&self, evse: u32, seconds: u32) -> Result<(Vec<SchedulePeriod>,), Error> {
        Ok((self.ask(|answer| Curious::Schedule { evse, seconds, answer }).await??,))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zbus::object_server::Interface as _;

    #[test]
    fn what_is_served_is_the_contract() {
        let log = CsmsLog1(mpsc::channel(1).0);
        let mut xml = String::from("<node>");
        log.introspect_to_writer(&mut xml, 0);
        xml += "</node>";
        assert_eq!(voltry_bus::contract::check_served(&xml, &["org.voltry.CsmsLog1"]), Ok(()));
    }
}
