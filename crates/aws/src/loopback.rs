//! An endpoint on this machine's loopback is never asked through a proxy.

use aws_config::SdkConfig;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

/// Takes proxies out of settings whose endpoint is on loopback, whatever `HTTP_PROXY` and `NO_PROXY` say: no proxy reaches this
/// machine's own loopback, and it would learn of signed requests that are none of its business. Other settings stay as they are.
#[must_use]
pub fn direct(config: SdkConfig) -> SdkConfig {
    match config.endpoint_url() {
        Some(endpoint) if is_loopback(endpoint) => {
            // The SDK's own choice of TLS; a client of this builder knows no proxy unless it is given one.
            let client = Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https();
            config.into_builder().http_client(client).build()
        }
        _ => config,
    }
}

/// Whether the host of an endpoint can only be this machine.
fn is_loopback(endpoint: &str) -> bool {
    let Some((_, rest)) = endpoint.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host_and_port = authority.rsplit('@').next().unwrap_or_default();
    let host = match host_and_port.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host_and_port.split(':').next().unwrap_or_default(),
    };
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    // RFC 6761: every name below localhost is loopback, too.
    name == "localhost"
        || name.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_from_the_world() {
        for endpoint in [
            "http://127.0.0.1:4566",
            "http://127.9.9.9",
            "https://localhost:4566/",
            "http://LOCALHOST",
            "http://s3.localhost:4566/bucket",
            "http://[::1]:4566/x",
            "http://user@127.0.0.1:1",
        ] {
            assert!(is_loopback(endpoint), "{endpoint}");
        }
        for endpoint in [
            "https://ec2.eu-west-1.amazonaws.com",
            "http://169.254.169.250:4566",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "http://localhost@example.com",
            "http://example.com/127.0.0.1",
            "http://10.0.0.1",
            "127.0.0.1:4566",
        ] {
            assert!(!is_loopback(endpoint), "{endpoint}");
        }
    }
}
