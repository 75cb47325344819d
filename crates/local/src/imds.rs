//! Instance metadata, version 2 only: the caller is told apart by its source address.

mod assume;
mod tree;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use futuswarm_aws::Error as AwsError;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::net::TcpListener;

use crate::error::{Error, Result};
use crate::observed_instances::{Machine, View};
use futuswarm_aws_front::clients::Clients;
use futuswarm_aws_front::clock;
use futuswarm_aws_front::server::{self, Body, full};
use futuswarm_aws_front::sessions::{Principal, Sessions};
use futuswarm_aws_front::terminating::TerminatingInstances;
use futuswarm_local_api::metadata_faults::{MetadataFault, MetadataFaultRule};

/// Six hours, as on EC2: the longest a token may live.
const LONGEST_TOKEN: u64 = 21_600;
/// New credentials are fetched when the old ones have less than this left; EC2 says five minutes, SDKs refresh earlier.
const REFRESH_BEFORE: Duration = Duration::from_secs(15 * 60);

struct Token {
    owner: Ipv4Addr,
    until: Instant,
}

struct Credentials {
    json: String,
    until: SystemTime,
}

pub struct Imds {
    region: String,
    account: String,
    clients: Clients,
    view: Arc<RwLock<View>>,
    tokens: Mutex<BTreeMap<String, Token>>,
    credentials: Mutex<BTreeMap<String, Credentials>>,
    roles: Mutex<BTreeMap<String, String>>,
    sessions: Sessions,
    terminating: TerminatingInstances,
    faults: Mutex<VecDeque<MetadataFaultRule>>,
    unknown: Mutex<BTreeSet<Ipv4Addr>>,
    prepared: Mutex<BTreeSet<String>>,
}

impl Imds {
    /// A server that answers for the instances in `view`.
    pub fn new(
        region: String,
        account: String,
        clients: Clients,
        view: Arc<RwLock<View>>,
        sessions: Sessions,
        terminating: TerminatingInstances,
    ) -> Self {
        Self {
            region,
            account,
            clients,
            view,
            tokens: Mutex::default(),
            credentials: Mutex::default(),
            roles: Mutex::default(),
            sessions,
            terminating,
            faults: Mutex::default(),
            unknown: Mutex::default(),
            prepared: Mutex::default(),
        }
    }

    /// Replaces the faults that the next requests meet.
    pub fn inject(&self, rules: Vec<MetadataFaultRule>) {
        *lock(&self.faults) = rules.into();
    }

    /// Serves a listener until the daemon ends.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        const WHAT: &str = "the metadata service";
        let serve = move |stream, peer: SocketAddr| {
            let imds = Arc::clone(&self);
            async move {
                let IpAddr::V4(peer) = peer.ip() else { return };
                let answer = move |request: Request<Incoming>| {
                    let imds = Arc::clone(&imds);
                    async move { Ok::<_, std::convert::Infallible>(imds.answer(&request, peer).await) }
                };
                server::connection(stream, WHAT, answer).await;
            }
        };
        server::accept(listener, WHAT, serve).await;
    }

    /// Issues credentials before they are asked for: SDKs give the metadata service one second, and the emulator may need
    /// longer while machines boot.
    pub fn prepare(self: &Arc<Self>) {
        let machines: Vec<Machine> =
            self.view.read().unwrap_or_else(PoisonError::into_inner).running.values().cloned().collect();
        for machine in machines {
            let Some(profile) = machine.profile.clone() else { continue };
            let prepared = lock(&self.prepared).insert(machine.id.clone());
            if !prepared {
                continue;
            }
            let imds = Arc::clone(self);
            tokio::spawn(async move {
                let issued = async { imds.credentials(&imds.role(&profile).await?, &machine.id).await };
                if let Err(error) = issued.await {
                    tracing::debug!(instance = machine.id, %error, "credentials will be issued when they are asked for");
                }
            });
        }
    }

    /// What the next request meets: the first fault that is not used up.
    fn next_fault(&self) -> Option<MetadataFault> {
        let mut rules = lock(&self.faults);
        while let Some(rule) = rules.front_mut() {
            match &mut rule.count {
                None => return Some(rule.fault),
                Some(0) => drop(rules.pop_front()),
                Some(count) => {
                    *count -= 1;
                    return Some(rule.fault);
                }
            }
        }
        None
    }

    async fn answer(&self, request: &Request<Incoming>, peer: Ipv4Addr) -> Response<Body> {
        match self.next_fault() {
            Some(MetadataFault::Late { milliseconds }) => tokio::time::sleep(Duration::from_millis(milliseconds)).await,
            Some(MetadataFault::NotFound) => return status(StatusCode::NOT_FOUND),
            Some(MetadataFault::Internal) => return status(StatusCode::INTERNAL_SERVER_ERROR),
            Some(MetadataFault::Garbage) => return Response::new(full(&b"\x00\xff<<garbage>>{"[..])),
            None => {}
        }
        let machine = self.view.read().unwrap_or_else(PoisonError::into_inner).by_address(peer).cloned();
        let Some(machine) = machine else {
            if lock(&self.unknown).insert(peer) {
                tracing::warn!(%peer, "a metadata request from an address that belongs to no instance");
            }
            return status(StatusCode::NOT_FOUND);
        };
        let path = request.uri().path();
        if path == "/latest/api/token" {
            return if request.method() == Method::PUT {
                self.issue(request, peer)
            } else {
                status(StatusCode::METHOD_NOT_ALLOWED)
            };
        }
        if request.method() != Method::GET {
            return status(StatusCode::METHOD_NOT_ALLOWED);
        }
        if !self.holds_token(request, peer) {
            return status(StatusCode::UNAUTHORIZED);
        }
        match self.lookup(&machine, path).await {
            Ok(Some(bytes)) => {
                let mut response = Response::new(full(bytes));
                response.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
                response
            }
            Ok(None) => status(StatusCode::NOT_FOUND),
            Err(error) => {
                tracing::warn!(%error, path, instance = machine.id, "metadata cannot be answered");
                status(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    fn issue(&self, request: &Request<Incoming>, peer: Ipv4Addr) -> Response<Body> {
        // The real service refuses a token to anybody who came through a proxy.
        if request.headers().contains_key("x-forwarded-for") {
            return status(StatusCode::FORBIDDEN);
        }
        let asked = request.headers().get("x-aws-ec2-metadata-token-ttl-seconds");
        let seconds = asked.and_then(|value| value.to_str().ok()).and_then(|value| value.parse::<u64>().ok());
        let Some(seconds) = seconds.filter(|seconds| (1..=LONGEST_TOKEN).contains(seconds)) else {
            return status(StatusCode::BAD_REQUEST);
        };
        let mut random = [0_u8; 24];
        if getrandom::fill(&mut random).is_err() {
            return status(StatusCode::INTERNAL_SERVER_ERROR);
        }
        let token = hex::encode(random);
        let mut tokens = lock(&self.tokens);
        let now = Instant::now();
        tokens.retain(|_, token| token.until > now);
        tokens.insert(token.clone(), Token { owner: peer, until: now + Duration::from_secs(seconds) });
        let mut response = Response::new(full(token));
        response.headers_mut().insert("x-aws-ec2-metadata-token-ttl-seconds", HeaderValue::from(seconds));
        response
    }

    fn holds_token(&self, request: &Request<Incoming>, peer: Ipv4Addr) -> bool {
        let token = request.headers().get("x-aws-ec2-metadata-token").and_then(|value| value.to_str().ok());
        let tokens = lock(&self.tokens);
        token
            .and_then(|token| tokens.get(token))
            .is_some_and(|token| token.owner == peer && token.until > Instant::now())
    }

    async fn lookup(&self, machine: &Machine, path: &str) -> Result<Option<Vec<u8>>> {
        let Some(path) = tree::unversioned(path) else { return Ok(None) };
        if path == "user-data" {
            return Ok((!machine.user_data.is_empty()).then(|| machine.user_data.clone()));
        }
        let role = match &machine.profile {
            Some(profile) => Some(self.role(profile).await?),
            None => None,
        };
        if let Some(asked) = path.strip_prefix("meta-data/iam/security-credentials/").filter(|asked| !asked.is_empty())
        {
            return match role {
                Some(role) if role == asked => {
                    self.credentials(&role, &machine.id).await.map(|json| Some(json.into_bytes()))
                }
                _ => Ok(None),
            };
        }
        let terminating = self.terminating.contains(&machine.id);
        let facts =
            tree::Facts { machine, region: &self.region, account: &self.account, role: role.as_deref(), terminating };
        Ok(tree::lookup(&facts, path).map(String::into_bytes))
    }

    /// The role of an instance profile.
    async fn role(&self, profile: &str) -> Result<String> {
        if let Some(role) = lock(&self.roles).get(profile) {
            return Ok(role.clone());
        }
        let name = profile.rsplit('/').next().unwrap_or(profile);
        let found = self
            .clients
            .iam
            .get_instance_profile()
            .instance_profile_name(name)
            .send()
            .await
            .map_err(|error| AwsError::new("GetInstanceProfile", error))?;
        let role = found
            .instance_profile()
            .and_then(|profile| profile.roles().first())
            .map(|role| role.role_name().to_owned());
        let role = role.ok_or_else(|| Error::Incomplete(format!("the instance profile {name} has no role")))?;
        lock(&self.roles).insert(profile.to_owned(), role.clone());
        Ok(role)
    }

    /// Credentials of a role for an instance: issued by the emulator's STS, which enforces the role's policies.
    async fn credentials(&self, role: &str, instance: &str) -> Result<String> {
        let key = format!("{role} {instance}");
        if let Some(known) = lock(&self.credentials).get(&key)
            && known.until > SystemTime::now() + REFRESH_BEFORE
        {
            return Ok(known.json.clone());
        }
        let (clients, sessions, account) = (self.clients.clone(), self.sessions.clone(), self.account.clone());
        let (of_role, of_instance) = (role.to_owned(), instance.to_owned());
        // A task of its own: whoever asked may have given up meanwhile, and the role must get its trust back all the same.
        let assumed =
            tokio::spawn(async move { assume::assume(&clients, &sessions, &account, &of_role, &of_instance).await });
        let assumed = assumed.await??;
        let issued = assumed.credentials().ok_or_else(|| Error::Incomplete("STS issued no credentials".to_owned()))?;
        let user_id = assumed.assumed_role_user().map(|user| user.assumed_role_id().to_owned()).unwrap_or_default();
        let until = SystemTime::UNIX_EPOCH + Duration::from_secs(issued.expiration().secs().unsigned_abs());
        let principal = Principal { role: role.to_owned(), user_id, instance: instance.to_owned() };
        self.sessions.note(issued.access_key_id(), issued.session_token(), until, principal);
        let json = serde_json::json!({
            "Code": "Success",
            "LastUpdated": clock::rfc3339(SystemTime::now()),
            "Type": "AWS-HMAC",
            "AccessKeyId": issued.access_key_id(),
            "SecretAccessKey": issued.secret_access_key(),
            "Token": issued.session_token(),
            "Expiration": clock::rfc3339(until),
        });
        let json = serde_json::to_string_pretty(&json)?;
        lock(&self.credentials).insert(key, Credentials { json: json.clone(), until });
        Ok(json)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(format!("{status}\n")));
    *response.status_mut() = status;
    response
}
