//! The AWS emulator (moto): started on a free loopback port, given an owner, then told to enforce IAM.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futuswarm_aws::Error as AwsError;
use tokio::process::Child;

use crate::child::{self, args};
use crate::error::{Error, Result, file};
use futuswarm_aws_front::clients::{self, Clients, Keys};
use futuswarm_local_api::http::{self, Endpoint};

/// Importing all of moto takes about 4 s alone, 20 s were seen on a machine busy with two builds.
const START_DEADLINE: Duration = Duration::from_secs(90);
/// The owner may do everything; everybody else only what IAM policies say.
const OWNER_POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
/// The switch that makes the emulator decide on calls.
const ENFORCEMENT: &str = "switching IAM enforcement on";
/// For one exchange that does no work worth waiting for.
const EXCHANGE: Duration = Duration::from_secs(10);
/// The owner's user name.
const OWNER: &str = "futuswarm-local-owner";

/// A running emulator.
pub struct Moto {
    /// Where it listens.
    pub address: SocketAddr,
    pub process: Child,
    /// The account owner's keys.
    pub keys: Keys,
    /// The account id.
    pub account: String,
}

/// Starts the emulator; `log` gets its output.
pub async fn start(python: &Path, region: &str, log: &Path) -> Result<Moto> {
    let port = free_port()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut argv = args([python.as_os_str()]);
    argv.extend(args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]));
    let output = std::fs::File::create(log).map_err(file("cannot create", log))?;
    let errors = output.try_clone().map_err(file("cannot use", log))?;
    let mut process = child::command(&argv, None)
        // Loading the catalogue of public images costs seconds, and nothing here uses one.
        .env("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        .env("MOTO_ENABLE_ISO_REGIONS", "false")
        // Time alone issues no certificate here: see crates/aws-front/src/operations/certificates.rs.
        .env("MOTO_ACM_VALIDATION_WAIT", "2147483647")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_ENDPOINT_URL")
        .stdout(Stdio::from(output))
        .stderr(Stdio::from(errors))
        .spawn()
        .map_err(|error| Error::Command { command: child::command_line(&argv), detail: error.to_string() })?;
    wait_until_it_answers(address, &mut process, log).await?;

    // Until enforcement is switched on, any keys do.
    let endpoint = format!("http://{address}");
    let anybody = Keys { id: "bootstrap".to_owned(), secret: "bootstrap".to_owned() };
    let clients = Clients::new(&clients::config(&endpoint, region, &anybody).await);
    clients.iam.create_user().user_name(OWNER).send().await.map_err(|error| AwsError::new("CreateUser", error))?;
    clients
        .iam
        .put_user_policy()
        .user_name(OWNER)
        .policy_name("owner")
        .policy_document(OWNER_POLICY)
        .send()
        .await
        .map_err(|error| AwsError::new("PutUserPolicy", error))?;
    let made = clients
        .iam
        .create_access_key()
        .user_name(OWNER)
        .send()
        .await
        .map_err(|error| AwsError::new("CreateAccessKey", error))?;
    let key = made.access_key.ok_or_else(|| Error::Incomplete("the AWS emulator made no access key".to_owned()))?;
    let keys = Keys { id: key.access_key_id, secret: key.secret_access_key };
    let answer = exchange(address, "POST", "/moto-api/reset-auth", "0").await;
    let answer = answer.map_err(|error| Error::Http { what: ENFORCEMENT.to_owned(), detail: error.to_string() })?;
    if !answer.is_success() {
        return Err(Error::Http { what: ENFORCEMENT.to_owned(), detail: format!("HTTP status {}", answer.status) });
    }
    let clients = Clients::new(&clients::config(&endpoint, region, &keys).await);
    let identity =
        clients.sts.get_caller_identity().send().await.map_err(|error| AwsError::new("GetCallerIdentity", error))?;
    let account = identity.account.ok_or_else(|| Error::Incomplete("the AWS emulator has no account".to_owned()))?;
    tracing::info!(%address, account, "the AWS emulator answers and enforces IAM");
    Ok(Moto { address, process, keys, account })
}

/// A port that was free a moment ago. Nobody else is told of it, so the race is with strangers only.
fn free_port() -> Result<u16> {
    let taken = |error: std::io::Error| Error::Config(format!("no free loopback port: {error}"));
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(taken)?.local_addr().map_err(taken)?.port())
}

async fn wait_until_it_answers(address: SocketAddr, process: &mut Child, log: &Path) -> Result<()> {
    let started = Instant::now();
    loop {
        if let Ok(Some(status)) = process.try_wait() {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            let last = text.trim().lines().last().unwrap_or("nothing was said").to_owned();
            return Err(Error::Command { command: "moto".to_owned(), detail: format!("{status}: {last}") });
        }
        if exchange(address, "GET", "/moto-api/data.json", "").await.is_ok_and(|answer| answer.is_success()) {
            return Ok(());
        }
        if started.elapsed() > START_DEADLINE {
            let detail = format!("no answer on {address} within {} s", START_DEADLINE.as_secs());
            return Err(Error::Command { command: "moto".to_owned(), detail });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// One exchange with the emulator itself, before there is a front.
async fn exchange(
    address: SocketAddr,
    method: &'static str,
    path: &'static str,
    body: &'static str,
) -> Result<http::Answer, http::Error> {
    let exchange = move || http::exchange(Endpoint::Tcp(&address.to_string()), method, path, body.as_bytes(), EXCHANGE);
    tokio::task::spawn_blocking(exchange).await.unwrap_or_else(|error| Err(http::Error::Io(error.into())))
}
