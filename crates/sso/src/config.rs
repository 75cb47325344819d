//! Apache's configuration from a login, and how Apache is started with it.

use serde::Serialize;

use crate::login::{Login, Places, TokenAuth};
use crate::maps::{self, EVERYWHERE, LINES, SIBLINGS};
use crate::pages::Pages;
use crate::{Error, check};

const TEMPLATE: &str = include_str!("templates/httpd.conf.hbs");
/// Where Apache listens inside the edge container.
pub const LISTEN_PORT: u16 = 8081;
/// Of Debian's apache2-bin.
pub const PROGRAM: &str = "/usr/sbin/apache2";
/// Name of the configuration's file.
pub const CONFIG_FILE: &str = "httpd.conf";
/// Name of the map of hosts and whom each admits; beside the configuration.
pub const ALLOW_FILE: &str = "allow.txt";
/// Name of the map of who is locked out everywhere; beside the configuration.
pub const LOCKED_FILE: &str = "locked.txt";
/// What a file with the content that [`crate::secrets`] makes is usually called.
pub const SECRETS_FILE: &str = "secrets.conf";
/// The unit separator of ASCII.
const DELIMITER: &str = "\u{1f}";

/// Threads of a process.
const THREADS: u32 = 256;
/// Requests and open WebSockets at the same time.
const WORKERS: u32 = 2048;
/// Processes that the scoreboard has room for. With as many as [`WORKERS`] needs, a reload while each has an open WebSocket was
/// followed by silence; this leaves three such reloads.
const SERVER_LIMIT: u32 = 4 * WORKERS / THREADS;

/// What Apache reads, without anything secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The content of [`CONFIG_FILE`].
    pub config: String,
    /// The content of [`ALLOW_FILE`].
    pub allow: String,
    /// The content of [`LOCKED_FILE`].
    pub locked: String,
}

#[derive(Serialize)]
struct Model<'a> {
    port: u16,
    config_dir: &'a str,
    secrets_file: &'a str,
    run_dir: &'a str,
    upstream: &'a str,
    /// Empty for those of the system.
    authorities: &'a str,
    threads_per_child: u32,
    server_limit: u32,
    workers: u32,
    balancers: Vec<String>,
    domain: &'a str,
    domain_pattern: String,
    issuer: &'a str,
    authorization: String,
    token: &'a str,
    token_auth: &'a str,
    jwks: &'a str,
    /// Empty where the provider has none; so are the following that may be absent.
    userinfo: &'a str,
    end_session: &'a str,
    client_id: &'a str,
    /// As a value in a query.
    client_id_encoded: String,
    scopes: String,
    inactivity: u64,
    duration: u64,
    user_claim: &'a str,
    claims: String,
    /// Between the names of groups, until they are in a header. No name that is let in has it.
    delimiter: &'static str,
    groups_claim: &'a str,
    groups_value: String,
    groups_variable: String,
    allow_file: &'a str,
    locked_file: &'a str,
    lines: usize,
    allow_lookups: String,
    locked_lookups: String,
    siblings_suffix: &'a str,
    #[serde(flatten)]
    pages: Pages,
}

impl<'a> Model<'a> {
    fn of(login: &'a Login) -> Self {
        let Login { places, provider, claims, .. } = login;
        let groups = claims.groups.as_deref();
        let mut scopes = vec!["openid"];
        scopes.extend(login.scopes.iter().map(String::as_str).filter(|scope| *scope != "openid"));
        Self {
            port: LISTEN_PORT,
            config_dir: &places.config_dir,
            secrets_file: &places.secrets_file,
            run_dir: &places.run_dir,
            upstream: &places.upstream,
            authorities: places.authorities.as_deref().unwrap_or_default(),
            threads_per_child: THREADS,
            server_limit: SERVER_LIMIT,
            workers: WORKERS,
            // Without what is set beyond the prefix.
            balancers: login.balancers.iter().map(|net| net.trunc().to_string()).collect(),
            domain: &login.domain,
            domain_pattern: login.domain.replace('.', "\\."),
            issuer: &provider.issuer,
            authorization: redirect(&provider.authorization),
            token: &provider.token,
            token_auth: match provider.token_auth {
                TokenAuth::Basic => "client_secret_basic",
                TokenAuth::Post => "client_secret_post",
            },
            jwks: &provider.jwks,
            userinfo: provider.userinfo.as_deref().unwrap_or_default(),
            end_session: provider.end_session.as_deref().unwrap_or_default(),
            client_id: &login.client_id,
            client_id_encoded: encoded(&login.client_id),
            scopes: scopes.join(" "),
            inactivity: login.sessions.inactivity.as_secs(),
            duration: login.sessions.longest.as_secs(),
            user_claim: &claims.user,
            claims: [Some(claims.user.as_str()), groups].into_iter().flatten().collect::<Vec<_>>().join(" "),
            delimiter: DELIMITER,
            groups_claim: groups.unwrap_or_default(),
            groups_value: groups.map(|claim| format!("%{{OIDC_CLAIM_{claim}}}e")).unwrap_or_default(),
            groups_variable: groups.map(|claim| format!("OIDC_CLAIM_{claim}")).unwrap_or_default(),
            allow_file: ALLOW_FILE,
            locked_file: LOCKED_FILE,
            lines: LINES,
            allow_lookups: maps::lookups("allow", "%1"),
            locked_lookups: maps::lookups("locked", EVERYWHERE),
            siblings_suffix: SIBLINGS,
            pages: Pages::of(login),
        }
    }
}

/// What a query is appended to, in a rule in which a percent sign begins a reference.
fn redirect(url: &str) -> String {
    let and = if url.contains('?') { '&' } else { '?' };
    format!("{}{and}", url.replace('%', "\\%"))
}

/// Percent-encoded (RFC 3986).
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if plain { encoded.push(char::from(byte)) } else { encoded.push_str(&format!("%{byte:02X}")) }
    }
    encoded
}

/// Renders what Apache reads for this login.
///
/// # Errors
/// When something in it is not what it should be; nothing is rendered then. [`Login::check_app`] says the same of one app beforehand.
pub fn render(login: &Login) -> Result<Files, Error> {
    check::login(login)?;
    let allow = maps::allow(login, &login.apps)?;
    let locked = maps::locked(login, &login.locked)?;
    let mut engine = handlebars::Handlebars::new();
    engine.set_strict_mode(true);
    engine.register_escape_fn(handlebars::no_escape);
    let config =
        engine.render_template(TEMPLATE, &Model::of(login)).map_err(|error| Error::Template(Box::new(error)))?;
    Ok(Files { config, allow, locked })
}

impl Login {
    /// Whether [`render`] would accept this app; for whoever stores it, so that no app keeps the others from being rendered.
    ///
    /// # Errors
    /// As of [`render`].
    pub fn check_app(&self, host: &str, app: &crate::App) -> Result<(), Error> {
        let one = std::collections::BTreeMap::from([(host.to_owned(), app.clone())]);
        maps::allow(self, &one).map(|_| ())
    }
}

/// What [`PROGRAM`] is started with. It needs no rights, stays in the foreground, ends at `SIGTERM`, lets requests end at `SIGWINCH`, and
/// reads its configuration again at `SIGUSR1`. With `-t` behind it only checks.
#[must_use]
pub fn arguments(places: &Places) -> Vec<String> {
    let config = format!("{}/{CONFIG_FILE}", places.config_dir);
    ["-d", "/usr/lib/apache2", "-f", config.as_str(), "-D", "FOREGROUND"].map(str::to_owned).to_vec()
}

/// The whole environment of [`PROGRAM`]. Without a folder for temporary files the module of the login does not start.
#[must_use]
pub fn environment(places: &Places) -> [(&'static str, String); 1] {
    [("TMPDIR", places.run_dir.clone())]
}
