//! `ContractCertificates1` on the bus: requests for contract certificates go out, and contracts that it is to
//! judge; the back end's answers come in.

use std::sync::Arc;

use tokio::sync::watch;
use voltry_bus::{CertificateRequest, DoubtedContract, Error, ShownContract};
use voltry_service::Refusals;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, interface};

use crate::contract::{CertificateAnswer, Proven};
use crate::message::Protocol;
use crate::peer_text;
use crate::pushed::Pushed;
use crate::v2g;

/// The request that may be answered: its id, its protocol, and whether it is for an update.
type Open = Option<(u64, Protocol, bool)>;

/// Tells the back end what vehicles ask for.
#[derive(Debug)]
pub(crate) struct Certificates {
    emitter: SignalEmitter<'static>,
    open: Arc<watch::Sender<Open>>,
    /// The contract that may be judged.
    doubt: Arc<watch::Sender<Option<u64>>>,
}

/// The served object.
struct ContractCertificates1 {
    pushed: Arc<watch::Sender<Pushed>>,
    open: Arc<watch::Sender<Open>>,
    doubt: Arc<watch::Sender<Option<u64>>>,
    refusals: Refusals,
}

impl Certificates {
    pub(crate) async fn serve(
        connection: &Connection,
        path: &str,
        pushed: Arc<watch::Sender<Pushed>>,
    ) -> zbus::Result<Self> {
        let open = Arc::new(watch::Sender::new(None));
        let doubt = Arc::new(watch::Sender::new(None));
        let served = ContractCertificates1 {
            pushed,
            open: Arc::clone(&open),
            doubt: Arc::clone(&doubt),
            refusals: Refusals::new(),
        };
        connection.object_server().at(path, served).await?;
        Ok(Self { emitter: SignalEmitter::new(connection, path.to_owned())?, open, doubt })
    }

    /// A vehicle asks. What was open before is not any more.
    pub(crate) async fn ask(
        &self,
        id: u64,
        protocol: Protocol,
        update: bool,
        message: &[u8],
    ) -> zbus::Result<()> {
        self.open.send_replace(Some((id, protocol, update)));
        let request = CertificateRequest {
            id,
            kind: if update { "update" } else { "installation" }.to_owned(),
            schema: match protocol {
                Protocol::Iso20 => "urn:iso:std:iso:15118:-20:CommonMessages",
                Protocol::Iso2 | Protocol::Din => "urn:iso:15118:2:2013:MsgDef",
            }
            .to_owned(),
            message: message.to_vec(),
        };
        ContractCertificates1::requested(&self.emitter, request).await
    }

    /// A vehicle has proved that it has a contract.
    pub(crate) async fn show(&self, proven: &Proven) -> zbus::Result<()> {
        let contract =
            ShownContract { emaid: peer_text::for_bus(&proven.emaid), chain: proven.chain.to_vec() };
        ContractCertificates1::shown(&self.emitter, contract).await
    }

    /// A vehicle's contract leads to no root of ours. What was open before is not any more.
    pub(crate) async fn doubt(&self, id: u64, proven: &Proven) -> zbus::Result<()> {
        self.doubt.send_replace(Some(id));
        let emaid = peer_text::for_bus(&proven.emaid);
        let contract = DoubtedContract { id, emaid, chain: proven.chain.to_vec() };
        ContractCertificates1::doubted(&self.emitter, contract).await
    }

    /// The conversation is over.
    pub(crate) fn close(&self) {
        self.open.send_replace(None);
        self.doubt.send_replace(None);
    }
}

fn checked(answer: voltry_bus::CertificateAnswer, open: Open) -> Result<CertificateAnswer, Error> {
    let Some((id, protocol, update)) = open.filter(|(id, ..)| *id == answer.id) else {
        return Err(Error::Stale(format!("request {} is not open", answer.id)));
    };
    let message = Some(answer.message).filter(|message| !message.is_empty());
    let refused = match &message {
        Some(message) => v2g::certificate_refused(protocol, update, message).map_err(Error::Invalid)?,
        None => true,
    };
    Ok(CertificateAnswer { id, message: message.map(Into::into), refused })
}

#[interface(name = "org.voltry.ContractCertificates1", spawn = false)]
impl ContractCertificates1 {
    fn answer(&self, answer: voltry_bus::CertificateAnswer) -> Result<(), Error> {
        let certificate = self.refusals.note("Answer", checked(answer, *self.open.borrow()))?;
        self.open.send_replace(None);
        self.pushed.send_modify(|pushed| pushed.certificate = Some(certificate));
        Ok(())
    }

    fn set_central_validation(&self, allowed: bool) {
        self.pushed.send_modify(|pushed| pushed.central_validation = allowed);
    }

    fn judge(&self, id: u64, believed: bool) -> Result<(), Error> {
        let open = self.doubt.send_if_modified(|open| open.take_if(|open| *open == id).is_some());
        let judged =
            if open { Ok(()) } else { Err(Error::Stale(format!("contract {id} is not to be judged"))) };
        self.refusals.note("Judge", judged)?;
        self.pushed.send_modify(|pushed| pushed.judgement = Some((id, believed)));
        Ok(())
    }

    #[zbus(signal)]
    async fn requested(emitter: &SignalEmitter<'_>, request: CertificateRequest) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn doubted(emitter: &SignalEmitter<'_>, contract: DoubtedContract) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn shown(emitter: &SignalEmitter<'_>, contract: ShownContract) -> zbus::Result<()>;
}
