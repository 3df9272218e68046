//! `Csms1`: the uplink as the rest of the station sees it.

use tokio::sync::{mpsc, oneshot, watch};
use voltry_bus::{CsmsState, Error, SecurityNote, TokenAnswer, TokenKind};
use zbus::interface;

use crate::security::SecurityEvent;
use crate::uplink::Input;

/// The object's path.
pub(crate) const PATH: &str = "/org/voltry/csms";

/// The longest detail of what concerns security, in bytes.
const DETAIL_MAX: usize = 200;

/// A question of the station.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) token: String,
    pub(crate) kind: TokenKind,
    /// Where; 0: nobody has said.
    pub(crate) evse: u32,
    pub(crate) answer: oneshot::Sender<TokenAnswer>,
}

/// Where the connection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) state: CsmsState,
    pub(crate) url: String,
    pub(crate) identity: String,
    pub(crate) protocol: String,
    pub(crate) since: i64,
    pub(crate) next_attempt: i64,
    pub(crate) last_error: String,
    pub(crate) acknowledged: u64,
    pub(crate) waiting: u32,
}

impl Standing {
    /// Before the first attempt.
    pub(crate) fn at_start(identity: &str, since: i64) -> Self {
        Self {
            state: CsmsState::Connecting,
            url: String::new(),
            identity: identity.to_owned(),
            protocol: String::new(),
            since,
            next_attempt: 0,
            last_error: String::new(),
            acknowledged: 0,
            waiting: 0,
        }
    }
}

/// The object.
pub(crate) struct Csms1 {
    pub(crate) standing: watch::Receiver<Standing>,
    pub(crate) questions: mpsc::Sender<Question>,
    pub(crate) inputs: mpsc::Sender<Input>,
}

#[interface(name = "org.voltry.Csms1")]
impl Csms1 {
    // One argument that is a structure: a bare structure would go out as its fields.
    #[zbus(out_args("answer"))]
    async fn authorize(&self, token: &str, kind: TokenKind, evse: u32) -> Result<(TokenAnswer,), Error> {
        let (answer, answered) = oneshot::channel();
        let question = Question { token: token.to_owned(), kind, evse, answer };
        self.questions.try_send(question).map_err(|_| Error::Busy("too many questions wait".to_owned()))?;
        let answer = answered.await.map_err(|_| Error::Unavailable("the uplink is ending".to_owned()))?;
        Ok((answer,))
    }

    fn note_security(&self, event: SecurityNote, mut detail: String) -> Result<(), Error> {
        let event = match event {
            SecurityNote::LoginAccepted => SecurityEvent::MaintenanceLoginAccepted,
            SecurityNote::LoginFailed => SecurityEvent::MaintenanceLoginFailed,
            SecurityNote::Tampering => SecurityEvent::TamperDetectionActivated,
        };
        detail.truncate(detail.floor_char_boundary(DETAIL_MAX));
        detail.retain(|letter| !letter.is_control());
        let noted = self.inputs.try_send(Input::Security(event, detail));
        noted.map_err(|_| Error::Busy("too many events wait".to_owned()))
    }

    #[zbus(property)]
    fn state(&self) -> CsmsState {
        self.standing.borrow().state
    }

    #[zbus(property)]
    fn url(&self) -> String {
        self.standing.borrow().url.clone()
    }

    #[zbus(property)]
    fn identity(&self) -> String {
        self.standing.borrow().identity.clone()
    }

    #[zbus(property)]
    fn protocol(&self) -> String {
        self.standing.borrow().protocol.clone()
    }

    #[zbus(property)]
    fn since(&self) -> i64 {
        self.standing.borrow().since
    }

    #[zbus(property)]
    fn next_attempt(&self) -> i64 {
        self.standing.borrow().next_attempt
    }

    #[zbus(property)]
    fn last_error(&self) -> String {
        self.standing.borrow().last_error.clone()
    }

    #[zbus(property)]
    fn acknowledged(&self) -> u64 {
        self.standing.borrow().acknowledged
    }

    #[zbus(property)]
    fn waiting(&self) -> u32 {
        self.standing.borrow().waiting
    }
}

/// Says what has changed of where the connection stands.
///
/// # Errors
/// The bus is lost.
pub(crate) async fn tell(
    connection: &zbus::Connection,
    old: &Standing,
    standing: &Standing,
) -> zbus::Result<()> {
    let served = connection.object_server().interface::<_, Csms1>(PATH).await?;
    // To read only: zbus has every call wait behind whoever wants to write, and he waits for each `Authorize` that waits
    // for the CSMS.
    let csms = served.get().await;
    let emitter = served.signal_emitter();
    if old.state != standing.state {
        csms.state_changed(emitter).await?;
    }
    if old.url != standing.url {
        csms.url_changed(emitter).await?;
    }
    if old.protocol != standing.protocol {
        csms.protocol_changed(emitter).await?;
    }
    if old.since != standing.since {
        csms.since_changed(emitter).await?;
    }
    if old.next_attempt != standing.next_attempt {
        csms.next_attempt_changed(emitter).await?;
    }
    if old.last_error != standing.last_error {
        csms.last_error_changed(emitter).await?;
    }
    if old.acknowledged != standing.acknowledged {
        csms.acknowledged_changed(emitter).await?;
    }
    if old.waiting != standing.waiting {
        csms.waiting_changed(emitter).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use zbus::object_server::Interface as _;

    #[test]
    fn what_is_served_is_the_contract() {
        let standing = watch::channel(Standing::at_start("A", 0)).1;
        let csms = Csms1 { standing, questions: mpsc::channel(1).0, inputs: mpsc::channel(1).0 };
        let mut xml = String::from("<node>");
        csms.introspect_to_writer(&mut xml, 0);
        xml += "</node>";
        assert_eq!(voltry_bus::contract::check_served(&xml, &["org.voltry.Csms1"]), Ok(()));
    }
}
