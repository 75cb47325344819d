//! One more certificate authority than the machine's own.

use aws_config::SdkConfig;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// What was to be trusted cannot be.
#[derive(Debug, thiserror::Error)]
#[error("it is no certificate authority in PEM: {0}")]
pub struct NoAuthority(String);

/// Makes clients trust an authority beside those of the machine.
///
/// # Errors
/// When `authority` is not the certificates of one in PEM.
pub fn trusting(config: SdkConfig, authority: &[u8]) -> Result<SdkConfig, NoAuthority> {
    // The SDK panics where it cannot read them.
    check(authority)?;
    let store = TrustStore::default().with_pem_certificate(authority);
    let context = TlsContext::builder().with_trust_store(store).build();
    let context = context.map_err(|error| NoAuthority(error.to_string()))?;
    let builder = Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
    Ok(config.into_builder().http_client(builder.tls_context(context).build_https()).build())
}

fn check(authority: &[u8]) -> Result<(), NoAuthority> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority) {
        let certificate = certificate.map_err(|error| NoAuthority(format!("{error:?}")))?;
        roots.add(certificate).map_err(|error| NoAuthority(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(NoAuthority("there is no certificate in it".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_certificates_can_be_trusted() {
        let authority = include_str!("trust/authority.pem");
        check(authority.as_bytes()).unwrap();
        check([authority, authority].concat().as_bytes()).unwrap();
        let (head, tail) = authority.split_at(200);
        for wrong in [
            String::new(),
            "no certificate".to_owned(),
            head.to_owned(),
            // Base64 of something else.
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
            format!("{head}!{tail}"),
            format!("{authority}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ] {
            assert!(check(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
    }
}
