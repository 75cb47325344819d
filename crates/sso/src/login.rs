//! What a cluster's login is made of. No secret is part of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ipnet::IpNet;

use crate::access::{App, Entry};

/// The login of a private domain.
#[derive(Debug, Clone)]
pub struct Login {
    /// The bare domain; apps have hosts one label below.
    pub domain: String,
    /// Who knows the users.
    pub provider: Provider,
    /// What the provider calls us.
    pub client_id: String,
    /// Asked for beside `openid`, which always is.
    pub scopes: Vec<String>,
    /// What the provider's words for users and groups are.
    pub claims: Claims,
    /// When somebody has to sign in again.
    pub sessions: Sessions,
    /// Subnets of the load balancer, which alone is believed about a visitor's address.
    pub balancers: Vec<IpNet>,
    /// Whom to ask, in a few words, for the pages that say no.
    pub contact: String,
    /// By host. One that is not here is answered 404 without a login.
    pub apps: BTreeMap<String, App>,
    /// Who is refused at every app that needs a login, with sessions from before, too.
    pub locked: BTreeSet<Entry>,
    /// Where things are, as Apache sees it.
    pub places: Places,
}

/// A provider of OpenID Connect, as its discovery document (`/.well-known/openid-configuration`) describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// To the letter what ID tokens say in `iss`, a slash at the end included.
    pub issuer: String,
    /// `authorization_endpoint`: where browsers are sent to.
    pub authorization: String,
    /// `token_endpoint`: asked by this node.
    pub token: String,
    /// `jwks_uri`: keys that ID tokens are signed with, asked by this node.
    pub jwks: String,
    /// `userinfo_endpoint`; without one, claims come from the ID token alone.
    pub userinfo: Option<String>,
    /// `end_session_endpoint`; without one, who logs out stays signed in at the provider.
    pub end_session: Option<String>,
    /// How we prove who we are, of `token_endpoint_auth_methods_supported`.
    pub token_auth: TokenAuth,
}

/// How the client's secret reaches the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenAuth {
    /// `client_secret_basic`, which is meant where a provider says nothing.
    #[default]
    Basic,
    /// `client_secret_post`.
    Post,
}

/// Which claims say who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `email` or `preferred_username`; what apps get as the user, and `user:…` of allow-lists means.
    pub user: String,
    /// `groups` or `roles`; `None` where the provider tells no groups.
    pub groups: Option<String>,
}

/// How long a session lasts. Whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sessions {
    /// Without a request.
    pub inactivity: Duration,
    /// In any case, counted from the login; [`futuswarm_model::LONGEST_SESSION`] at most.
    pub longest: Duration,
}

/// Absolute paths, as Apache sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Has the files that [`crate::render`] makes; may be read-only.
    pub config_dir: String,
    /// Has what [`crate::secrets`] makes; only Apache's user reads it.
    pub secrets_file: String,
    /// The one folder that Apache writes to.
    pub run_dir: String,
    /// HAProxy's socket, which believes what is said to it about users. Nobody else may reach it.
    pub upstream: String,
    /// A file with the authorities that the provider's certificate may come from, in PEM; `None` for those of the system.
    pub authorities: Option<String>,
}
