//! The login of the private domain, as the bucket has it: what the spec says, what the provider says of itself, and the two secrets, sealed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Visitor;

/// What the cluster's specification says of its login, under [`crate::keys::LOGIN`]. Who deploys the cluster writes it; without a login it
/// is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginRecord {
    /// The bare domain; apps have hosts one label below.
    pub domain: String,
    /// The open domain, if the cluster has one: apps that are open have hosts one label below it as well, without a login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_domain: Option<String>,
    /// URL of the provider, to the letter as its discovery document says it.
    pub issuer: String,
    /// What the provider calls us.
    pub client_id: String,
    /// Asked for beside `openid`.
    pub scopes: Vec<String>,
    /// The claim that names users.
    pub user_claim: String,
    /// The claim that names groups; absent where the provider tells none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_claim: Option<String>,
    /// Seconds after which a session without a request ends.
    pub inactivity_seconds: u64,
    /// Seconds after which a session ends in any case.
    pub longest_seconds: u64,
    /// Whom to ask, for the pages that say no.
    pub contact: String,
    /// CIDR blocks of the load balancer, which alone is believed about a visitor's address.
    pub balancers: Vec<String>,
}

/// What the provider says of itself in its discovery document, under [`crate::keys::LOGIN_PROVIDER`], so that an edge starts while the
/// provider is away. The Swarm's leader writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginProvider {
    /// As in the [`LoginRecord`] that it was asked for: another one makes this one void.
    pub issuer: String,
    /// `authorization_endpoint`.
    pub authorization: String,
    /// `token_endpoint`.
    pub token: String,
    /// `jwks_uri`.
    pub jwks: String,
    /// `userinfo_endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub userinfo: Option<String>,
    /// `end_session_endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_session: Option<String>,
    /// Whether the client's secret goes into the form (`client_secret_post`), because the provider takes it in no header.
    pub secret_in_form: bool,
    /// When the provider said so, in milliseconds since 1970.
    pub at: u64,
}

/// A sealed secret of the login, under [`crate::keys::LOGIN_CLIENT_SECRET`]: whoever deploys the cluster writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginClientSecret {
    /// Sealed with the cluster's key, as kind [`LOGIN_KIND`] and name `client-secret`.
    pub ciphertext: String,
}

/// What sessions are encrypted with, under [`crate::keys::LOGIN_PASSPHRASES`]. The Swarm's leader makes it and takes each step of a change,
/// by compare-and-swap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginPassphrases {
    /// Sealed with the cluster's key, as kind [`LOGIN_KIND`] and name `passphrase`.
    pub current: String,
    /// The one before it, sealed the same, until the change is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// `switched`, `twice` or `done`: docs/sso.md.
    pub step: PassphraseStep,
    /// When this step was taken, in milliseconds since 1970.
    pub since: u64,
}

/// Where a cluster is on its way from one passphrase to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PassphraseStep {
    /// The new one encrypts, the old one opens what is left.
    Switched,
    /// The new one, also for what is marked.
    Twice,
    /// The new one alone.
    Done,
}

/// Who is refused at every app that needs a login, under [`crate::keys::LOGIN_LOCKED`]. The control service writes it, by compare-and-swap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Users and groups.
    pub visitors: BTreeSet<Visitor>,
}

/// The kind of everything that is sealed for the login, in its encryption context.
pub const LOGIN_KIND: &str = "login";
/// The name of the client's secret in its encryption context.
pub const LOGIN_CLIENT_SECRET_NAME: &str = "client-secret";
/// The name of a passphrase in its encryption context.
pub const LOGIN_PASSPHRASE_NAME: &str = "passphrase";
