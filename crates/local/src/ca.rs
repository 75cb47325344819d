//! The local certificate authority: it stands for the ones that ACM and RDS use, and its keys stay in the cluster's state
//! folder.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

use crate::error::{Error, Result, file};
use crate::state_dir::write_atomically;

/// Clocks differ, and a local cloud that lives for longer than this is one that nobody has ever destroyed.
const BEFORE: Duration = Duration::days(1);
const AFTER: Duration = Duration::days(397);

pub struct Authority {
    certificate: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes an authority whose certificate is put into a file of `dir`. Its key is nowhere but in this process.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn make(dir: &Path, cluster: &str) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(file("cannot create", dir))?;
        let mut params = params(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, format!("Futuswarm local cloud {cluster}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(failed)?;
        let text = params.self_signed(&key).map_err(failed)?.pem();
        let certificate = dir.join("ca.pem");
        write_atomically(&certificate, text.as_bytes())?;
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// The file with the authority's certificate.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// A new key and a certificate for all of these names, both as PEM: (certificate, key).
    ///
    /// # Errors
    /// When a name is not one.
    pub fn issue(&self, names: &[String]) -> Result<(String, String)> {
        let mut params = params(names.to_vec())?;
        // A common name has at most 64 characters; who looks at names looks at the alternative ones.
        params.distinguished_name.push(DnType::CommonName, "Futuswarm local cloud");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

fn params(names: Vec<String>) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(names).map_err(failed)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    let now = OffsetDateTime::now_utc();
    (params.not_before, params.not_after) = (now - BEFORE, now + AFTER);
    Ok(params)
}

fn failed(error: rcgen::Error) -> Error {
    Error::Config(format!("cannot make a certificate: {error}"))
}
