//! What ISO 15118-20's mutual TLS 1.3 needs, made for one run: a root on P-521, and below it a certificate for
//! the station and one for its vehicle. And one that the technician's page has for itself.

use std::path::Path;

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslContext, SslFiletype, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::extension::{BasicConstraints, KeyUsage};
use openssl::x509::{X509, X509Name};

struct Holder {
    certificate: X509,
    key: PKey<Private>,
}

/// Writes them into the folder.
pub(crate) fn make(folder: &Path) -> anyhow::Result<()> {
    let root = holder("root", None, Nid::SECP521R1)?;
    std::fs::write(folder.join("root.pem"), root.certificate.to_pem()?)?;
    for name in ["station", "vehicle"] {
        holder(name, Some(&root), Nid::SECP521R1)?.write(folder, name)?;
    }
    Ok(())
}

/// Writes `ui.pem` and `ui.key`: on P-256, as the technician's page takes no key on P-521.
pub(crate) fn make_pages(folder: &Path) -> anyhow::Result<()> {
    holder("ui", None, Nid::X9_62_PRIME256V1)?.write(folder, "ui")
}

impl Holder {
    fn write(&self, folder: &Path, name: &str) -> anyhow::Result<()> {
        std::fs::write(folder.join(format!("{name}.pem")), self.certificate.to_pem()?)?;
        std::fs::write(folder.join(format!("{name}.key")), self.key.private_key_to_pem_pkcs8()?)?;
        Ok(())
    }
}

/// The keys of secc's table of TLS, by which it takes no vehicle without.
pub(crate) fn configuration(folder: &Path) -> String {
    let file = |name: &str| format!("{:?}", folder.join(name));
    format!(
        "mode = \"required\"\ncertificates = [{{ chain = {}, key = {} }}]\nvehicle_roots = [{}]\n",
        file("station.pem"),
        file("station.key"),
        file("root.pem")
    )
}

/// The vehicle's side of it.
pub(crate) fn vehicle(folder: &Path) -> anyhow::Result<SslContext> {
    let mut context = SslContext::builder(SslMethod::tls_client())?;
    context.set_min_proto_version(Some(SslVersion::TLS1_3))?;
    context.set_ca_file(folder.join("root.pem"))?;
    context.set_certificate_chain_file(folder.join("vehicle.pem"))?;
    context.set_private_key_file(folder.join("vehicle.key"), SslFiletype::PEM)?;
    context.set_verify(SslVerifyMode::PEER);
    Ok(context.build())
}

fn holder(name: &str, issuer: Option<&Holder>, curve: Nid) -> anyhow::Result<Holder> {
    let group = EcGroup::from_curve_name(curve)?;
    let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
    let mut subject = X509Name::builder()?;
    subject.append_entry_by_nid(Nid::COMMONNAME, name)?;
    let subject = subject.build();
    let mut serial = BigNum::new()?;
    serial.rand(63, MsbOption::MAYBE_ZERO, false)?;
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let serial = serial.to_asn1_integer()?;
    builder.set_serial_number(&serial)?;
    builder.set_subject_name(&subject)?;
    builder.set_issuer_name(issuer.map_or(&*subject, |issuer| issuer.certificate.subject_name()))?;
    let (from, until) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(60)?);
    builder.set_not_before(&from)?;
    builder.set_not_after(&until)?;
    builder.set_pubkey(&key)?;
    let usage = if issuer.is_none() {
        builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
        KeyUsage::new().critical().key_cert_sign().build()?
    } else {
        KeyUsage::new().critical().digital_signature().build()?
    };
    builder.append_extension(usage)?;
    builder.sign(issuer.map_or(&key, |issuer| &issuer.key), MessageDigest::sha512())?;
    Ok(Holder { certificate: builder.build(), key })
}
