//! A connection to the server: encrypted, bound to the password that it was proved with, and with statements that the server quotes.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio_postgres::config::{ChannelBinding, SslMode};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{Endpoint, Error, Located};

/// The database that every server has, for what is done to others. Only the master user does anything there.
pub(crate) const MAINTENANCE: &str = "postgres";
/// Until a connection stands; a healthy server takes milliseconds.
const CONNECT: Duration = Duration::from_secs(8);
/// A server that takes no bytes for so long is gone.
const SILENCE: Duration = Duration::from_secs(30);
/// What a statement may take by the server's own clock. To drop a large database takes longest.
const OPTIONS: &str = "-c statement_timeout=100000 -c lock_timeout=20000";

/// Takes any certificate. The authority of RDS is not on the machine; whom we speak with is proved by channel binding instead, which
/// [`connect`] requires: the server shows that it knows the password's verifier, over the connection with this very certificate
/// (RFC 5802, 6; RFC 5929, 4). Whoever stands in between has another certificate.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn tls() -> Result<MakeRustlsConnect, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Error::Unreachable(format!("no TLS: {error}")))?;
    let config = builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)));
    Ok(MakeRustlsConnect::new(config.with_no_client_auth()))
}

/// A connection. It ends when this is dropped.
pub(crate) struct Connection {
    client: Client,
}

/// What a failure of the protocol means; `what` was to be done.
fn failure(what: &str, error: &tokio_postgres::Error) -> Error {
    match error.as_db_error() {
        Some(refused) => Error::Refused {
            what: what.to_owned(),
            code: refused.code().code().to_owned(),
            message: refused.message().to_owned(),
        },
        None => {
            let mut words = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(deeper) = source {
                let more = deeper.to_string();
                if !words.contains(&more) {
                    words = format!("{words}: {more}");
                }
                source = deeper.source();
            }
            Error::Unreachable(words)
        }
    }
}

impl Connection {
    /// Connects as the master user.
    pub(crate) async fn open(located: &Located, database: &str) -> Result<Self, Error> {
        Self::connect(&located.endpoint, database, &located.user, located.password.expose()).await
    }

    /// Connects as anybody.
    pub(crate) async fn connect(
        endpoint: &Endpoint,
        database: &str,
        role: &str,
        password: &str,
    ) -> Result<Self, Error> {
        let mut config = Config::new();
        config
            .host(&endpoint.host)
            .port(endpoint.port)
            .dbname(database)
            .user(role)
            .password(password)
            .ssl_mode(SslMode::Require)
            .channel_binding(ChannelBinding::Require)
            .connect_timeout(CONNECT)
            .tcp_user_timeout(SILENCE)
            .application_name("futuswarm")
            .options(OPTIONS);
        let what = format!("let {role} into {database}");
        let opened = tokio::time::timeout(CONNECT, config.connect(tls()?)).await;
        let opened = opened.map_err(|_| Error::Unreachable(format!("no answer within {} s", CONNECT.as_secs())))?;
        let (client, connection) = opened.map_err(|error| failure(&what, &error))?;
        // It ends by itself once the client is dropped, and says goodbye before.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the database server broke");
            }
        });
        Ok(Self { client })
    }

    /// Executes a statement. The server itself writes it: a `%I` in the template is a name and a `%L` a text of `words`, in this order,
    /// which it quotes (PostgreSQL documentation, 9.4.1, `format`).
    pub(crate) async fn execute(&self, what: &str, template: &'static str, words: &[&str]) -> Result<(), Error> {
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&template, Type::TEXT), (&words, Type::TEXT_ARRAY)];
        let written = self.client.query_typed_one("select pg_catalog.format($1, variadic $2)", &parameters).await;
        let written = written.map_err(|error| failure(what, &error))?;
        let statement: String = written.try_get(0).map_err(|error| failure(what, &error))?;
        self.client.batch_execute(&statement).await.map_err(|error| failure(what, &error))
    }

    /// Rows of a question, whose parameters are texts.
    async fn rows(&self, what: &str, question: &'static str, words: &[&str]) -> Result<Vec<Row>, Error> {
        let parameters: Vec<(&(dyn ToSql + Sync), Type)> =
            words.iter().map(|word| (word as &(dyn ToSql + Sync), Type::TEXT)).collect();
        self.client.query_typed(question, &parameters).await.map_err(|error| failure(what, &error))
    }

    /// The first column of all rows, which are texts.
    pub(crate) async fn texts(&self, what: &str, question: &'static str, words: &[&str]) -> Result<Vec<String>, Error> {
        let rows = self.rows(what, question, words).await?;
        rows.iter().map(|row| row.try_get(0).map_err(|error| failure(what, &error))).collect()
    }

    /// The first column of the first row, if there is one.
    pub(crate) async fn first<T>(&self, what: &str, question: &'static str, words: &[&str]) -> Result<Option<T>, Error>
    where
        T: for<'a> tokio_postgres::types::FromSql<'a>,
    {
        let rows = self.rows(what, question, words).await?;
        rows.first().map(|row| row.try_get(0).map_err(|error| failure(what, &error))).transpose()
    }

    /// A statement of ours without names in it.
    pub(crate) async fn plainly(&self, what: &str, statement: &'static str) -> Result<(), Error> {
        self.client.batch_execute(statement).await.map_err(|error| failure(what, &error))
    }
}
