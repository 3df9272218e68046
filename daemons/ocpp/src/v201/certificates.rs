//! Certificates and connection profiles in 2.0.1 (A02, B09, M03 to M05).

use super::*;
use crate::certificates::{HashAlgorithm, HashData, Listed, Outcome, Own, Request, Use};
use crate::config::Version;
use crate::dialect::{Answer, Handled};
use crate::networks::Network;

pub(crate) fn handle(action: &str, payload: &str) -> Result<Option<Handled>, crate::messages::Refusal> {
    let request = match action {
        "GetInstalledCertificateIds" => list(&decode(payload)?),
        "InstallCertificate" => {
            let asked: InstallCertificateRequest = decode(payload)?;
            let usage = match asked.certificate_type {
                common::InstallCertificateUseEnum::V2GRootCertificate => Use::V2g,
                common::InstallCertificateUseEnum::MORootCertificate => Use::Mo,
                common::InstallCertificateUseEnum::CSMSRootCertificate => Use::Csms,
                common::InstallCertificateUseEnum::ManufacturerRootCertificate => Use::Manufacturer,
            };
            Request::Install(usage, asked.certificate)
        }
        "DeleteCertificate" => {
            let asked: DeleteCertificateRequest = decode(payload)?;
            Request::Delete(hash(&asked.certificate_hash_data))
        }
        "CertificateSigned" => {
            let asked: CertificateSignedRequest = decode(payload)?;
            let own = match asked.certificate_type {
                None | Some(common::CertificateSigningUseEnum::ChargingStationCertificate) => Own::Station,
                Some(common::CertificateSigningUseEnum::V2GCertificate) => Own::V2g,
            };
            Request::Issued(own, asked.certificate_chain)
        }
        _ => return Ok(None),
    };
    Ok(Some(Handled::answer(Answer::Certificates(request))))
}

fn list(asked: &GetInstalledCertificateIdsRequest) -> Request {
    use common::GetCertificateIdUseEnum as Asked;
    // M03.FR.02: none named are all.
    let all = [
        Asked::V2GRootCertificate,
        Asked::MORootCertificate,
        Asked::CSMSRootCertificate,
        Asked::ManufacturerRootCertificate,
        Asked::V2GCertificateChain,
    ];
    let wanted = asked.certificate_type.as_deref().unwrap_or(&all);
    let mut chain = false;
    let mut uses: Vec<Use> = Vec::new();
    for usage in wanted {
        let usage = match usage {
            Asked::V2GRootCertificate => Use::V2g,
            Asked::MORootCertificate => Use::Mo,
            Asked::CSMSRootCertificate => Use::Csms,
            Asked::ManufacturerRootCertificate => Use::Manufacturer,
            Asked::V2GCertificateChain => {
                chain = true;
                continue;
            }
        };
        if !uses.contains(&usage) {
            uses.push(usage);
        }
    }
    Request::List(uses, chain)
}

pub(super) fn hash(hash: &common::CertificateHashData) -> HashData {
    let algorithm = match hash.hash_algorithm {
        common::HashAlgorithmEnum::SHA256 => HashAlgorithm::Sha256,
        common::HashAlgorithmEnum::SHA384 => HashAlgorithm::Sha384,
        common::HashAlgorithmEnum::SHA512 => HashAlgorithm::Sha512,
    };
    HashData::new(algorithm, &hash.issuer_name_hash, &hash.issuer_key_hash, &hash.serial_number)
}

fn hash_data(hash: &HashData) -> Value {
    json!({
        "hashAlgorithm": hash.algorithm.name(),
        "issuerNameHash": hash.issuer_name,
        "issuerKeyHash": hash.issuer_key,
        "serialNumber": hash.serial,
    })
}

fn listed(listed: &Listed) -> Value {
    let usage = match listed.usage {
        Some(Use::V2g) => "V2GRootCertificate",
        Some(Use::Mo) => "MORootCertificate",
        Some(Use::Csms) => "CSMSRootCertificate",
        Some(Use::Manufacturer) => "ManufacturerRootCertificate",
        None => "V2GCertificateChain",
    };
    let mut item = json!({ "certificateType": usage, "certificateHashData": hash_data(&listed.hash) });
    // Four at the most (CertificateHashDataChainType).
    let children: Vec<Value> = listed.children.iter().take(4).map(hash_data).collect();
    if !children.is_empty() {
        item["childCertificateHashData"] = children.into();
    }
    item
}

pub(crate) fn certificates_reply(action: &str, outcome: &Outcome) -> Value {
    let bad = if action == "CertificateSigned" { "Rejected" } else { "Failed" };
    match outcome {
        Outcome::Listed(found) if found.is_empty() => json!({ "status": "NotFound" }),
        Outcome::Listed(found) => json!({
            "status": "Accepted",
            "certificateHashDataChain": found.iter().map(listed).collect::<Vec<_>>(),
        }),
        Outcome::Done => json!({ "status": "Accepted" }),
        Outcome::NotFound if action == "DeleteCertificate" => json!({ "status": "NotFound" }),
        Outcome::Rejected(reason, why) if action != "DeleteCertificate" => {
            with_reason("Rejected", reason, why)
        }
        Outcome::Rejected(reason, why) => with_reason(bad, reason, why),
        Outcome::Failed(why) => with_reason(bad, "InternalError", why),
        Outcome::NotFound | Outcome::Request(_) | Outcome::Asks(_) => json!({ "status": bad }),
    }
}

fn with_reason(status: &str, reason: &str, why: &str) -> Value {
    json!({
        "status": status,
        "statusInfo": { "reasonCode": short(reason, 20), "additionalInfo": short(why, 512) },
    })
}

/// B09.
pub(super) fn set_network_profile(core: &mut Core, asked: &SetNetworkProfileRequest) -> Handled {
    let data = &asked.connection_data;
    let version = match data.ocpp_version {
        common::OCPPVersionEnum::OCPP16 => Some(Version::V16),
        common::OCPPVersionEnum::OCPP20 => Some(Version::V201),
        common::OCPPVersionEnum::OCPP12 | common::OCPPVersionEnum::OCPP15 => None,
    };
    let json = matches!(data.ocpp_transport, common::OCPPTransportEnum::JSON);
    let Some(version) = version.filter(|_| json) else {
        return requests::rejected("InvalidNetworkConf", "OCPP 1.6 and 2.0.1 by JSON are spoken here");
    };
    // What cannot be set up must not be taken (B09.FR.02): the network beneath is the operating system's.
    let ours = [("apn", data.apn.is_some()), ("vpn", data.vpn.is_some())];
    if let Some((field, _)) = ours.iter().find(|(_, asked)| *asked) {
        return requests::rejected("InvalidNetworkConf", &format!("{field}: it cannot be set up from here"));
    }
    let Some(security_profile) = u8::try_from(data.security_profile).ok().filter(|profile| *profile <= 3)
    else {
        return requests::rejected("InvalidNetworkConf", "there are security profiles 0 to 3");
    };
    let Some(timeout) = u16::try_from(data.message_timeout).ok().filter(|timeout| *timeout > 0) else {
        return requests::rejected("InvalidNetworkConf", "an answer takes some seconds");
    };
    let network = Network {
        url: data.ocpp_csms_url.to_string(),
        versions: vec![version],
        security_profile,
        message_timeout_s: Some(timeout),
    };
    match core.set_network(asked.configuration_slot, network) {
        Ok(record) => Handled { store: vec![record], ..Handled::status("Accepted") },
        Err((reason, why)) => requests::rejected(reason, &why),
    }
}
