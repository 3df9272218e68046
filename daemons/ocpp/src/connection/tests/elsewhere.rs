//! Keys that this program never holds, as in a TPM: a thread stands for it, which makes them, tells their
//! public parts, and signs.

use std::collections::BTreeMap;
use std::sync::mpsc::{Sender, channel};

use rcgen::{CertificateSigningRequestParams, KeyPair, PublicKeyData as _, SigningKey as _};
use tokio_rustls::rustls;

use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::sign::{Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::super::*;
use super::rig::{Rig, times};
use super::secured::{BOTH, Made, Server, believing, leaf, profile, root};
use crate::certificates::{Configured, Folder, Keys, Outcome, Own, Request};

type Chip = BTreeMap<String, KeyPair>;
type Order = Box<dyn FnOnce(&mut Chip) + Send>;

#[derive(Debug, Clone)]
struct Tpm(Sender<Order>);

impl Tpm {
    fn new() -> Self {
        let (order, orders) = channel::<Order>();
        std::thread::spawn(move || {
            let mut chip = Chip::new();
            orders.into_iter().for_each(|order| order(&mut chip));
        });
        Self(order)
    }

    fn order<T: Send + 'static>(&self, work: impl FnOnce(&mut Chip) -> T + Send + 'static) -> T {
        let (tell, told) = channel();
        self.0.send(Box::new(move |chip| tell.send(work(chip)).unwrap())).unwrap();
        told.recv().unwrap()
    }

    fn names(&self) -> Vec<String> {
        self.order(|chip| chip.keys().cloned().collect())
    }
}

impl Keys for Tpm {
    fn create(&self, name: &str) -> Result<(), String> {
        let name = name.to_owned();
        self.order(|chip| {
            let before = chip.insert(name, KeyPair::generate().unwrap());
            before.map_or(Ok(()), |_| Err("the name is taken".to_owned()))
        })
    }

    fn open(&self, name: &str) -> Result<Arc<dyn SigningKey>, String> {
        let wanted = name.to_owned();
        let public = self.order(move |chip| Some(chip.get(&wanted)?.subject_public_key_info()));
        let public = public.ok_or("there is no such key")?;
        Ok(Arc::new(InTpm { tpm: self.clone(), name: name.to_owned(), public }))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), String> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.order(move |chip| {
            let key = chip.remove(&from).ok_or("there is no such key")?;
            chip.insert(to, key);
            Ok(())
        })
    }

    fn remove(&self, name: &str) {
        let name = name.to_owned();
        self.order(move |chip| drop(chip.remove(&name)));
    }
}

/// A key by its name.
#[derive(Debug, Clone)]
struct InTpm {
    tpm: Tpm,
    name: String,
    public: Vec<u8>,
}

impl SigningKey for InTpm {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let offered = offered.contains(&self.scheme());
        offered.then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.public.as_slice()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for InTpm {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let (name, message) = (self.name.clone(), message.to_vec());
        Ok(self.tpm.order(move |chip| chip[&name].sign(&message).unwrap()))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

/// Everything that is in a folder, read.
fn contents(folder: &std::path::Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        text += &if path.is_dir() { contents(&path) } else { std::fs::read_to_string(&path).unwrap() };
    }
    text
}

#[tokio::test]
async fn a_key_that_is_kept_elsewhere_asks_for_its_certificate_and_shows_it_to_a_csms() {
    let (ours, stations) = (root("ours"), root("stations"));
    let place = tempfile::tempdir().unwrap();
    let tpm = Tpm::new();
    let folder = Folder::new(place.path(), Configured::default()).with_keys(Arc::new(tpm.clone()));
    for turn in 0..3 {
        let (common_name, organization) = ("CP-1".to_owned(), String::new());
        let asked = Request::Sign { own: Own::Station, common_name, organization };
        let Outcome::Request(request) = folder.perform(&asked, None) else { panic!("no request") };
        let request = CertificateSigningRequestParams::from_pem(&request).unwrap();
        let chain = request.signed_by(&stations).unwrap().pem();
        assert_eq!(folder.perform(&Request::Issued(Own::Station, chain), None), Outcome::Done);
        // That of the certificate in use, and of the one before.
        assert_eq!(tpm.names().len(), 2.min(turn + 1), "{:?}", tpm.names());
    }
    let client = folder.client(&folder.station().unwrap()).unwrap();
    let identity = leaf(&ours, "x", &["127.0.0.1"]);
    for version in BOTH {
        let server = Server::new(&identity, &[version], Some(&stations)).await;
        let credentials = Made { client: Some(client.clone()), ..believing(&ours) };
        let mut rig = Rig::start(vec![profile(&server.listener, "127.0.0.1", credentials)], times());
        let _csms = server.accept().await.unwrap();
        let _ = rig.opened().await;
    }
    assert!(contents(place.path()).contains("BEGIN CERTIFICATE"));
    assert!(!contents(place.path()).contains("PRIVATE"), "no key is anywhere else");
}
