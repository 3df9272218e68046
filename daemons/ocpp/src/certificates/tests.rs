//! Certificates made for each run.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer, KeyPair,
};

use super::super::Own;
use super::*;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

fn authority(name: &str, above: Option<&Authority>) -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let certificate = match above {
        Some(above) => params.signed_by(&key, &above.issuer),
        None => params.self_signed(&key),
    };
    Authority { pem: certificate.unwrap().pem(), issuer: Issuer::new(params, key) }
}

fn folder(configured: Configured) -> (tempfile::TempDir, Folder) {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::new(&place.path().join("certificates"), configured);
    (place, folder)
}

fn install(folder: &Folder, pem: &str) -> Outcome {
    folder.perform(&Request::Install(Use::Csms, pem.to_owned()), None)
}

fn hashes(folder: &Folder) -> Vec<HashData> {
    folder.list(&[Use::Csms]).into_iter().map(|listed| listed.hash).collect()
}

fn request(folder: &Folder) -> String {
    let (common_name, organization) = ("VOLTRY-1".to_owned(), "Operator".to_owned());
    let sign = Request::Sign { own: Own::Station, common_name, organization };
    match folder.perform(&sign, None) {
        Outcome::Request(csr) => csr,
        other => panic!("{other:?}"),
    }
}

fn sign(csr: &str, by: &Authority) -> String {
    let request = CertificateSigningRequestParams::from_pem(csr).unwrap();
    request.signed_by(&by.issuer).unwrap().pem()
}

fn issued(folder: &Folder, chain: String) -> Outcome {
    folder.perform(&Request::Issued(Own::Station, chain), None)
}

#[test]
fn a_root_is_installed_listed_and_deleted() {
    let (_place, folder) = folder(Configured { roots: true, ..Configured::default() });
    let root = authority("root", None);
    assert_eq!(install(&folder, &root.pem), Outcome::Done);
    assert_eq!(install(&folder, &root.pem), Outcome::Done, "twice is once");
    assert_eq!(folder.summary().entries, 1);
    let [hash] = hashes(&folder).try_into().unwrap();
    assert_eq!((hash.issuer_name.len(), hash.issuer_key.len()), (64, 64));
    assert_eq!(folder.list(&[Use::Manufacturer, Use::V2g, Use::Mo]), []);
    let upper = HashData::new(
        hash.algorithm,
        &hash.issuer_name.to_uppercase(),
        &hash.issuer_key,
        &format!("00{}", hash.serial),
    );
    assert_eq!(folder.perform(&Request::Delete(upper.clone()), None), Outcome::Done);
    assert_eq!(folder.perform(&Request::Delete(upper), None), Outcome::NotFound);
    assert_eq!(folder.roots(Use::Csms), []);
}

#[test]
fn the_only_root_by_which_a_csms_is_believed_stays() {
    let (_place, folder) = folder(Configured::default());
    install(&folder, &authority("one", None).pem);
    let [hash] = hashes(&folder).try_into().unwrap();
    assert!(matches!(folder.perform(&Request::Delete(hash.clone()), None), Outcome::Failed(_)));
    install(&folder, &authority("two", None).pem);
    assert_eq!(folder.perform(&Request::Delete(hash), None), Outcome::Done);
}

#[test]
fn what_is_no_root_is_refused() {
    let (_place, folder) = folder(Configured::default());
    let root = authority("root", None);
    let mut ended = CertificateParams::default();
    ended.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ended.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let ended = ended.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
    let leaf = CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
    let other_key = authority("root", None);
    let forged = {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "root");
        // It names itself as its issuer, and somebody else signed it.
        params.signed_by(&KeyPair::generate().unwrap(), &other_key.issuer).unwrap().pem()
    };
    for (what, pem) in [
        ("rubbish", "rubbish".to_owned()),
        ("two", root.pem.clone() + &root.pem),
        ("ended", ended),
        ("leaf", leaf),
        ("forged", forged),
    ] {
        let install = Request::Install(Use::Csms, pem);
        let outcome = folder.perform(&install, Some(1_780_000_000));
        assert!(matches!(outcome, Outcome::Rejected("InvalidCertificate", _)), "{what}: {outcome:?}");
    }
    assert_eq!(folder.summary().entries, 0);
}

#[test]
fn certificates_are_bounded() {
    let (_place, folder) = folder(Configured::default());
    for number in 0..ENTRIES_MAX {
        assert_eq!(install(&folder, &authority(&number.to_string(), None).pem), Outcome::Done);
    }
    let more = install(&folder, &authority("more", None).pem);
    assert!(matches!(more, Outcome::Rejected("TooManyElements", _)), "{more:?}");
}

#[test]
fn with_the_additional_check_a_new_root_is_signed_by_the_one_before_which_stays() {
    let (_place, folder) = folder(Configured { additional_check: true, ..Configured::default() });
    let first = authority("first", None);
    let stranger = authority("stranger", None);
    let second = authority("second", Some(&first));
    let third = authority("third", Some(&second));
    assert_eq!(install(&folder, &first.pem), Outcome::Done);
    assert!(matches!(install(&folder, &stranger.pem), Outcome::Rejected(..)));
    assert_eq!(install(&folder, &second.pem), Outcome::Done);
    assert_eq!(folder.roots(Use::Csms).len(), 2);
    assert_eq!(install(&folder, &third.pem), Outcome::Done);
    let kept: Vec<_> = [&second, &third].map(|kept| parse_chain(&kept.pem).unwrap()[0].der().clone()).into();
    assert_eq!(folder.roots(Use::Csms), kept);
}

#[test]
fn a_certificate_is_taken_for_the_key_that_was_asked_for_and_no_other() {
    let (_place, folder) = folder(Configured::default());
    let root = authority("root", None);
    let intermediate = authority("intermediate", Some(&root));
    let nothing = issued(&folder, intermediate.pem.clone());
    assert!(matches!(nothing, Outcome::Rejected("NoRequest", _)), "{nothing:?}");
    let old = sign(&request(&folder), &intermediate);
    let csr = request(&folder);
    assert!(matches!(issued(&folder, old), Outcome::Rejected("InvalidCertificate", _)), "of the key before");
    let broken = sign(&csr, &intermediate) + &root.pem;
    assert!(matches!(issued(&folder, broken), Outcome::Rejected("InvalidCertificate", _)), "a gap");
    assert_eq!(folder.station(), None);
    assert_eq!(issued(&folder, sign(&csr, &intermediate) + &intermediate.pem), Outcome::Done);
    let name = folder.station().unwrap();
    let client = folder.client(&name).unwrap();
    assert_eq!(client.chain.len(), 2);
    assert!(folder.summary().station_until.is_some());
    let key = folder.path.join("keys").join(&name).with_extension("pem");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(key).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    // The one before stays for as long as the new one is not proven; then it goes.
    for _ in 0..2 {
        let chain = sign(&request(&folder), &root);
        assert_eq!(issued(&folder, chain), Outcome::Done);
    }
    assert!(folder.client(&name).is_err(), "two before is forgotten");
    let [hash] = [HashData::of(
        HashAlgorithm::Sha384,
        &folder.chain(&folder.station().unwrap()).unwrap()[0],
        &folder.chain(&folder.station().unwrap()).unwrap()[0],
    )];
    assert!(matches!(folder.perform(&Request::Delete(hash), None), Outcome::Failed(_)), "M04.FR.06");
}
