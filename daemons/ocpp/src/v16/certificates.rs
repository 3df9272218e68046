//! Certificates in 1.6's security extension.

use super::*;
use crate::certificates::{HashAlgorithm, HashData, Outcome, Own, Request, Use};
use crate::dialect::{Answer, Handled};

const fn usage(asked: &common::CertificateType) -> Use {
    match asked {
        common::CertificateType::CentralSystemRootCertificate => Use::Csms,
        common::CertificateType::ManufacturerRootCertificate => Use::Manufacturer,
    }
}

pub(super) fn handle(action: &str, payload: &str) -> Result<Option<Handled>, crate::messages::Refusal> {
    let request = match action {
        "GetInstalledCertificateIds" => {
            let asked: GetInstalledCertificateIdsRequest = decode(payload)?;
            Request::List(vec![usage(&asked.certificate_type)], false)
        }
        "InstallCertificate" => {
            let asked: InstallCertificateRequest = decode(payload)?;
            Request::Install(usage(&asked.certificate_type), asked.certificate)
        }
        "DeleteCertificate" => {
            let asked: DeleteCertificateRequest = decode(payload)?;
            let hash = &asked.certificate_hash_data;
            let algorithm = match hash.hash_algorithm {
                common::HashAlgorithm::SHA256 => HashAlgorithm::Sha256,
                common::HashAlgorithm::SHA384 => HashAlgorithm::Sha384,
                common::HashAlgorithm::SHA512 => HashAlgorithm::Sha512,
            };
            let (name, key) = (&hash.issuer_name_hash, &hash.issuer_key_hash);
            Request::Delete(HashData::new(algorithm, name, key, &hash.serial_number))
        }
        "CertificateSigned" => {
            let asked: CertificateSignedRequest = decode(payload)?;
            Request::Issued(Own::Station, asked.certificate_chain)
        }
        _ => return Ok(None),
    };
    Ok(Some(Handled::answer(Answer::Certificates(request))))
}

pub(crate) fn certificates_reply(action: &str, outcome: &Outcome) -> Value {
    let status = match (action, outcome) {
        ("GetInstalledCertificateIds", Outcome::Listed(found)) if !found.is_empty() => {
            let found: Vec<Value> = found
                .iter()
                .map(|listed| {
                    json!({
                        "hashAlgorithm": listed.hash.algorithm.name(),
                        "issuerNameHash": listed.hash.issuer_name,
                        "issuerKeyHash": listed.hash.issuer_key,
                        "serialNumber": listed.hash.serial,
                    })
                })
                .collect();
            return json!({ "status": "Accepted", "certificateHashData": found });
        }
        ("GetInstalledCertificateIds", _) | ("DeleteCertificate", Outcome::NotFound) => "NotFound",
        (_, Outcome::Done) => "Accepted",
        ("CertificateSigned", _) | ("InstallCertificate", Outcome::Rejected(..)) => "Rejected",
        (
            _,
            Outcome::Listed(_)
            | Outcome::Request(_)
            | Outcome::NotFound
            | Outcome::Rejected(..)
            | Outcome::Failed(_),
        ) => "Failed",
    };
    json!({ "status": status })
}
