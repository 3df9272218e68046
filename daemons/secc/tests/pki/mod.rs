//! Certificates and keys made for one test run, by OpenSSL.
#![allow(dead_code, clippy::unwrap_used, reason = "a test's PKI, of which each uses a part")]

use std::path::{Path, PathBuf};

use openssl::asn1::{Asn1Integer, Asn1Object, Asn1OctetString, Asn1Time};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, KeyUsage};
use openssl::x509::{X509, X509Crl, X509CrlBuilder, X509Extension, X509Name, X509Revoked};

/// A certificate with its key.
#[derive(Clone)]
pub(crate) struct Holder {
    pub(crate) certificate: X509,
    pub(crate) key: PKey<Private>,
}

/// What a certificate is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Authority,
    Station,
    Contract,
}

/// What to make.
#[derive(Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub(crate) name: &'a str,
    pub(crate) role: Role,
    pub(crate) curve: Nid,
    /// From and until, in days from now.
    pub(crate) days: (i64, i64),
}

impl<'a> Wish<'a> {
    pub(crate) const fn new(name: &'a str, role: Role) -> Self {
        Self { name, role, curve: Nid::X9_62_PRIME256V1, days: (-1, 365) }
    }
}

/// A self-signed root.
pub(crate) fn root(name: &str) -> Holder {
    made(Wish::new(name, Role::Authority), None)
}

impl Holder {
    /// A certificate that this one issues.
    pub(crate) fn issue(&self, wish: Wish<'_>) -> Holder {
        made(wish, Some(self))
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.certificate.to_der().unwrap()
    }

    /// A list by which it withdraws these, until so many days from now.
    pub(crate) fn revoke(&self, revoked: &[&Holder], days: i64) -> X509Crl {
        let mut list = X509CrlBuilder::new().unwrap();
        list.set_issuer_name(self.certificate.subject_name()).unwrap();
        list.set_last_update(&at(-30)).unwrap();
        list.set_next_update(&at(days)).unwrap();
        for one in revoked {
            // RevokedCertificate of RFC 5280: the serial number and when.
            let mut serial = one.certificate.serial_number().to_bn().unwrap().to_vec();
            if serial.first().is_some_and(|first| *first >= 0x80) {
                serial.insert(0, 0);
            }
            let mut entry = vec![0x02, u8::try_from(serial.len()).unwrap()];
            entry.extend(serial);
            entry.extend(*b"\x17\x0d200101000000Z");
            let mut der = vec![0x30, u8::try_from(entry.len()).unwrap()];
            der.extend(entry);
            list.add_revoked(X509Revoked::from_der(&der).unwrap()).unwrap();
        }
        // Both are obligatory; the first names a key of one zero, which nobody compares here.
        for (name, der) in
            [(Nid::AUTHORITY_KEY_IDENTIFIER, &[0x30, 3, 0x80, 1, 0][..]), (Nid::CRL_NUMBER, &[2, 1, 1])]
        {
            let value = Asn1OctetString::new_from_bytes(der).unwrap();
            let oid = Asn1Object::from_str(name.short_name().unwrap()).unwrap();
            list.append_extension(X509Extension::new_from_der(&oid, false, &value).unwrap()).unwrap();
        }
        list.sign(&self.key, MessageDigest::sha256()).unwrap();
        list.build().unwrap()
    }

    /// Writes the chain from this one upwards, and the key beside it.
    pub(crate) fn write(&self, folder: &Path, name: &str, issuers: &[&Holder]) -> (PathBuf, PathBuf) {
        let (chain, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        let mut pem = self.certificate.to_pem().unwrap();
        for issuer in issuers {
            pem.append(&mut issuer.certificate.to_pem().unwrap());
        }
        std::fs::write(&chain, pem).unwrap();
        std::fs::write(&key, self.key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        (chain, key)
    }
}

fn made(wish: Wish<'_>, issuer: Option<&Holder>) -> Holder {
    let group = EcGroup::from_curve_name(wish.curve).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, wish.name).unwrap();
    name.append_entry_by_nid(Nid::ORGANIZATIONNAME, "Voltry test").unwrap();
    if wish.role == Role::Station {
        name.append_entry_by_nid(Nid::DOMAINCOMPONENT, "CPO").unwrap();
    }
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(63, openssl::bn::MsbOption::MAYBE_ZERO, false).unwrap();
    builder.set_serial_number(&Asn1Integer::from_bn(&serial).unwrap()).unwrap();
    builder.set_subject_name(&name).unwrap();
    let issuer_name = issuer.map_or(&*name, |issuer| issuer.certificate.subject_name());
    builder.set_issuer_name(issuer_name).unwrap();
    builder.set_not_before(&at(wish.days.0)).unwrap();
    builder.set_not_after(&at(wish.days.1)).unwrap();
    builder.set_pubkey(&key).unwrap();
    let mut constraints = BasicConstraints::new();
    let mut usage = KeyUsage::new();
    constraints.critical();
    usage.critical();
    match wish.role {
        Role::Authority => {
            constraints.ca();
            usage.key_cert_sign().crl_sign();
        }
        Role::Station => {
            usage.digital_signature().key_agreement();
        }
        Role::Contract => {
            usage.digital_signature().non_repudiation().key_agreement();
        }
    }
    builder.append_extension(constraints.build().unwrap()).unwrap();
    builder.append_extension(usage.build().unwrap()).unwrap();
    let digest = if wish.curve == Nid::SECP521R1 { MessageDigest::sha512() } else { MessageDigest::sha256() };
    builder.sign(issuer.map_or(&key, |issuer| &issuer.key), digest).unwrap();
    Holder { certificate: builder.build(), key }
}

fn at(days: i64) -> Asn1Time {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    Asn1Time::from_unix(i64::try_from(now).unwrap() + days * 86_400).unwrap()
}
