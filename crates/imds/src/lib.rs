//! What an EC2 instance is told about itself, through version 2 of the instance metadata service only.
//!
//! The protocol (token, its refresh after 401, retries with backoff) is the AWS SDK's; this crate gives the few facts that
//! a node needs their types and checks them. A node must never act on a fact that does not look right, because the
//! consequence could be to join the wrong cluster.
//!
//! Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html>.

use std::net::Ipv4Addr;
use std::time::Duration;

use aws_config::imds::client::Client;
use aws_config::imds::client::error::ImdsError;
use serde::Deserialize;

/// A link-local service answers in milliseconds; a second covers an emulated, busy machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const READ_TIMEOUT: Duration = Duration::from_secs(4);
/// Attempts of one request. The agent's own loop goes on after that.
const MAX_ATTEMPTS: u32 = 3;

const IDENTITY_DOCUMENT: &str = "/latest/dynamic/instance-identity/document";
const USER_DATA: &str = "/latest/user-data";
const PUBLIC_KEY: &str = "/latest/meta-data/public-keys/0/openssh-key";

/// Failures of the metadata service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service does not answer, or with an error.
    #[error("instance metadata {path}: {reason}")]
    Unavailable {
        /// What was asked for.
        path: &'static str,
        /// The error with its causes, in one line.
        reason: String,
    },
    /// The answer is not what EC2 documents.
    #[error("instance metadata {path} cannot be trusted: {reason}")]
    Garbage {
        /// What was asked for.
        path: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The base address is not a URI.
    #[error("{0} is not an address of a metadata service")]
    BadEndpoint(String),
}

/// Who and where an instance is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// For example `i-0123456789abcdef0`.
    #[serde(rename = "instanceId")]
    pub instance: String,
    /// For example `eu-west-1`.
    pub region: String,
    /// For example `eu-west-1a`.
    #[serde(rename = "availabilityZone")]
    pub zone: String,
    /// Primary address of the primary network interface.
    #[serde(rename = "privateIp")]
    pub address: Ipv4Addr,
    /// For example `ami-0123456789abcdef0`.
    #[serde(rename = "imageId")]
    pub image: String,
    /// Twelve digits.
    #[serde(rename = "accountId")]
    pub account: String,
    /// For example `t3.small`.
    pub instance_type: String,
}

/// What an instance can learn about itself.
pub trait Metadata: Send + Sync {
    /// Who and where this instance is.
    ///
    /// # Errors
    /// When the service is out of reach or the document does not look like EC2's.
    fn identity(&self) -> impl Future<Output = Result<Identity, Error>> + Send;

    /// The user data, or `None` when the instance has none.
    ///
    /// # Errors
    /// When the service is out of reach.
    fn user_data(&self) -> impl Future<Output = Result<Option<String>, Error>> + Send;

    /// The public part of the instance's first SSH key pair, or `None` when it was launched without one.
    ///
    /// # Errors
    /// When the service is out of reach.
    fn public_key(&self) -> impl Future<Output = Result<Option<String>, Error>> + Send;
}

/// The metadata service, through the SDK's client of it.
#[derive(Debug, Clone)]
pub struct Imds {
    client: Client,
}

impl Imds {
    /// The service at its well-known address.
    ///
    /// # Errors
    /// Only when `AWS_EC2_METADATA_SERVICE_ENDPOINT` is set to something that is not an address.
    pub fn new() -> Result<Self, Error> {
        Self::build(None)
    }

    /// The service at another address, for tests.
    ///
    /// # Errors
    /// When `endpoint` is not a URI.
    pub fn at(endpoint: &str) -> Result<Self, Error> {
        Self::build(Some(endpoint))
    }

    fn build(endpoint: Option<&str>) -> Result<Self, Error> {
        let mut builder =
            Client::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).max_attempts(MAX_ATTEMPTS);
        if let Some(endpoint) = endpoint {
            builder = builder.endpoint(endpoint).map_err(|_| Error::BadEndpoint(endpoint.to_owned()))?;
        }
        Ok(Self { client: builder.build() })
    }

    async fn required(&self, path: &'static str) -> Result<String, Error> {
        self.optional(path).await?.ok_or(Error::Unavailable { path, reason: "not found (404)".to_owned() })
    }

    async fn optional(&self, path: &'static str) -> Result<Option<String>, Error> {
        match self.client.get(path).await {
            Ok(text) => Ok(Some(text.as_ref().to_owned())),
            Err(ImdsError::ErrorResponse(response)) if response.response().status().as_u16() == 404 => Ok(None),
            Err(error) => Err(Error::Unavailable { path, reason: one_line(&error) }),
        }
    }
}

impl Metadata for Imds {
    async fn identity(&self) -> Result<Identity, Error> {
        let text = self.required(IDENTITY_DOCUMENT).await?;
        let garbage = |reason: String| Error::Garbage { path: IDENTITY_DOCUMENT, reason };
        let identity: Identity = serde_json::from_str(&text).map_err(|error| garbage(error.to_string()))?;
        check(&identity).map_err(|reason| garbage(reason.to_owned()))?;
        Ok(identity)
    }

    async fn user_data(&self) -> Result<Option<String>, Error> {
        self.optional(USER_DATA).await
    }

    async fn public_key(&self) -> Result<Option<String>, Error> {
        self.optional(PUBLIC_KEY).await
    }
}

fn one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn check(identity: &Identity) -> Result<(), &'static str> {
    let hex_id = |id: &str, prefix: &str| {
        id.strip_prefix(prefix).is_some_and(|hex| {
            (8..=17).contains(&hex.len()) && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    if !hex_id(&identity.instance, "i-") {
        return Err("the instance id is not one");
    }
    if !hex_id(&identity.image, "ami-") {
        return Err("the image id is not one");
    }
    if !identity.zone.starts_with(&identity.region) || identity.region.is_empty() {
        return Err("the availability zone is not in the region");
    }
    if identity.account.len() != 12 || !identity.account.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the account id is not twelve digits");
    }
    if identity.address.is_unspecified() || identity.address.is_loopback() {
        return Err("the private address is not one");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
