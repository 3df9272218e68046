//! `[secc.N.tls]`: whether TLS is spoken with vehicles, and by which certificates.

use std::path::PathBuf;

use serde::Deserialize;

use crate::installed::Installed;

/// `[secc.N.tls]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether TLS is spoken.
    pub mode: Mode,
    /// The station's certificates. A vehicle that names the roots it trusts gets the first that
    /// leads to one of them.
    pub certificates: Vec<StationCertificate>,
    /// V2G and mobility operators' root certificates, PEM files: whose contracts are believed.
    /// With none there is no Plug & Charge.
    pub contract_roots: Vec<PathBuf>,
    /// V2G and vehicle manufacturers' root certificates, PEM files: whose vehicles are believed
    /// in TLS 1.3. With none no vehicle is asked for a certificate.
    pub vehicle_roots: Vec<PathBuf>,
    /// Certificate revocation lists, DER or PEM files, of whoever issues contracts, vehicles' certificates
    /// and what is between those and the roots. They are read for each vehicle that is plugged in.
    pub revocation_lists: Vec<PathBuf>,
    /// The folder of what the back end installs.
    pub installed: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            certificates: Vec::new(),
            contract_roots: Vec::new(),
            vehicle_roots: Vec::new(),
            revocation_lists: Vec::new(),
            installed: PathBuf::from("/var/lib/voltry/secc/certificates"),
        }
    }
}

impl Settings {
    /// With what the back end has installed: its certificate of the station goes first, its roots are
    /// believed like those that are configured. Vehicles are asked for a certificate only where
    /// `vehicle_roots` are configured.
    #[must_use]
    pub fn with_installed(&self) -> Self {
        let mut all = self.clone();
        let installed = Installed::new(&self.installed);
        all.certificates = all.certificates.into_iter().map(|one| installed.with_status(one)).collect();
        all.certificates.splice(0..0, installed.station());
        let v2g = installed.roots("v2g");
        if !all.vehicle_roots.is_empty() {
            all.vehicle_roots.extend(v2g.clone());
        }
        all.contract_roots.extend(v2g);
        all.contract_roots.extend(installed.roots("mo"));
        all
    }
}

/// Whether TLS is spoken with vehicles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Never.
    #[default]
    Off,
    /// With vehicles that ask for it.
    Allowed,
    /// With every vehicle; one that cannot is not charged.
    Required,
}

/// One certificate of the station with its key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StationCertificate {
    /// The chain, a PEM file: the station's certificate, then each issuer's. The root may stand
    /// last; it is not sent, but lets a vehicle's `trusted_ca_keys` be matched by its key.
    pub chain: PathBuf,
    /// The private key, PEM: a path, or the bare name of a systemd credential of the unit.
    pub key: PathBuf,
    /// The OCSP response stapled for the vehicle, DER, if it is there. It is read for each
    /// vehicle, so that whatever renews it need not tell anybody. Without this key the back end is asked for
    /// it, where the certificate names a responder.
    #[serde(default)]
    pub ocsp: Option<PathBuf>,
}

impl StationCertificate {
    /// Where the key is: a bare name is a credential. `None`: there are no credentials here, as
    /// when a person checks the configuration.
    #[must_use]
    pub fn key_path(&self) -> Option<PathBuf> {
        if self.is_credential() {
            std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| PathBuf::from(folder).join(&self.key))
        } else {
            Some(self.key.clone())
        }
    }

    /// Whether the key is a credential of the unit.
    #[must_use]
    pub fn is_credential(&self) -> bool {
        self.key.components().count() == 1 && !self.key.has_root()
    }
}
