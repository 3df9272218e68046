//! Certificates in 1.6's security extension.

use super::*;
use crate::certificates::{HashAlgorithm, HashData, Outcome, Own, Request, Use};
use crate::dialect::{Answer, Handled, Then};
use crate::plug_and_charge::VENDOR;

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
            | Outcome::Asks(_)
            | Outcome::NotFound
            | Outcome::Rejected(..)
            | Outcome::Failed(_),
        ) => "Failed",
    };
    json!({ "status": status })
}

/// Plug & Charge's messages of 2.0.1 within DataTransfer; `None`: it is none of them.
pub(super) fn data_transfer(asked: &DataTransferRequest) -> Option<Handled> {
    const MESSAGES: [&str; 4] =
        ["InstallCertificate", "DeleteCertificate", "GetInstalledCertificateIds", "CertificateSigned"];
    if asked.vendor_id.as_str() != VENDOR {
        return None;
    }
    let message = asked.message_id.as_ref().map_or("", |message| message.as_str());
    let data = asked.data.as_deref().unwrap_or("{}");
    if message == "TriggerMessage" {
        let wanted: Value = serde_json::from_str(data).unwrap_or_default();
        let known = wanted["requestedMessage"] == "SignV2GCertificate";
        let status = if known { "Accepted" } else { "NotImplemented" };
        let reply = json!({ "status": "Accepted", "data": json!({ "status": status }).to_string() });
        let then = if known { vec![Then::Sign(Own::V2g)] } else { Vec::new() };
        return Some(Handled { then, ..Handled::now(reply) });
    }
    let Some(message) = MESSAGES.into_iter().find(|known| *known == message) else {
        return Some(Handled::status("UnknownMessageId"));
    };
    Some(match crate::v201::handle_certificates(message, data) {
        Ok(Some(Handled { answer: Answer::Certificates(request), .. })) => {
            Handled::answer(Answer::Within(request, message))
        }
        Ok(_) => Handled::status("UnknownMessageId"),
        Err(refusal) => {
            tracing::warn!(message, %refusal, "a message of Plug & Charge that is none");
            Handled::status("Rejected")
        }
    })
}
