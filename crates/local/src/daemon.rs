//! The daemon of one local cloud: starts everything, keeps it in step with the emulator, and takes everything down.

mod reconcilers;
mod supervisor;

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use futuswarm_aws_front::catalogue::Catalogue;
use futuswarm_aws_front::clients::{self, Clients};
use futuswarm_aws_front::ebs::Ebs;
use futuswarm_aws_front::ebs::snapshots::Snapshots;
use futuswarm_aws_front::faults::Injected;
use futuswarm_aws_front::guard::Guard;
use futuswarm_aws_front::images::Images;
use futuswarm_aws_front::operations::Operations;
use futuswarm_aws_front::operations::image_calls::ImageCalls;
use futuswarm_aws_front::operations::reboots::Reboots;
use futuswarm_aws_front::record::Recorder;
use futuswarm_aws_front::sessions::Sessions;
use futuswarm_aws_front::terminating::TerminatingInstances;
use futuswarm_aws_front::upstream::{Emulator, Upstream};
use futuswarm_aws_front::{Front, addressing, listener};
use futuswarm_local_api::CloudInfo;
use futuswarm_local_api::faults::Caller;
use futuswarm_tools::{ToolsTree, emulator};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, Notify, mpsc};

use crate::balancer::{Balancer, Ports};
use crate::ca::Authority;
use crate::child::{self, args};
use crate::config::{CloudConfig, Mode};
use crate::control;
use crate::databases::Databases;
use crate::dnsmasq::{Dnsmasq, host_argv};
use crate::error::{Error, Result, file};
use crate::forward::{self, Managers};
use crate::imds::Imds;
use crate::moto;
use crate::network::{self, Network};
use crate::qemu::Hypervisor;
use crate::state_dir::{StateDir, write_atomically, write_json};
use crate::tasks::Tasks;
use crate::vms::powered::Powered;
use crate::vms::{Surroundings, Vms};
use crate::world::World;
use reconcilers::{Machines, NamedDatabases};
use supervisor::Supervisor;

/// Port of the AWS API inside the namespace, for tools that ask as a node does and cannot be told whom to trust.
const TOOLS_API_PORT: u16 = 4566;
/// Port of the AWS API under AWS's names.
const HTTPS: u16 = 443;
/// Hosts of the local cloud, as a client's list of exceptions from its proxy.
const NO_PROXY: &str = "127.0.0.1,localhost,.localhost";
/// Making a key takes milliseconds.
const KEY_DEADLINE: Duration = Duration::from_secs(30);

/// Runs the daemon until it is told to end, or the emulator dies. `mode` says what there is behind the API.
///
/// # Errors
/// When something cannot be started; everything that was is taken down first.
pub async fn run(config: CloudConfig, state_dir: StateDir, mode: Mode) -> Result<()> {
    std::fs::create_dir_all(&state_dir.dir).map_err(file("cannot create", &state_dir.dir))?;
    let Some(_lock) = state_dir.daemon_lock()? else {
        return Err(Error::Config(format!("a daemon of the local cloud {} runs already", config.cluster)));
    };
    clean(&state_dir).await?;
    std::fs::create_dir_all(&state_dir.dir).map_err(file("cannot create", &state_dir.dir))?;
    write_atomically(&state_dir.pid(), std::process::id().to_string().as_bytes())?;
    write_json(&state_dir.config(), &config)?;
    let network = Network::named(&state_dir.netns());
    let outcome = serve(&config, &state_dir, &network, mode).await;
    if let Err(error) = &outcome {
        tracing::error!(%error, "the local cloud ends");
    }
    // Children were killed when their handles were dropped; the namespace takes taps, bridge and routes with it.
    network.destroy().await?;
    for path in [state_dir.cloud(), state_dir.control(), state_dir.pid()] {
        let _already_gone = std::fs::remove_file(path);
    }
    outcome
}

/// Removes what a daemon that was killed has left behind. The caller holds the daemon's lock.
pub async fn clean(state_dir: &StateDir) -> Result<()> {
    Network::named(&state_dir.netns()).destroy().await?;
    for entry in std::fs::read_dir(&state_dir.dir).into_iter().flatten().flatten() {
        let path = entry.path();
        // The log is open as our standard output, and tells what happened to the one before us.
        if path == state_dir.log() {
            continue;
        }
        let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        removed.map_err(file("cannot remove", &path))?;
    }
    Ok(())
}

/// Finds out whether a loopback port is free.
pub fn check_port(port: u16, key: &'static str) -> Result<()> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Err(Error::PortInUse { port, owner: crate::ports::owner(port), key })
        }
        Err(error) => Err(Error::Config(format!("port {port} of 127.0.0.1 cannot be used: {error}"))),
    }
}

async fn serve(config: &CloudConfig, state_dir: &StateDir, network: &Network, mode: Mode) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::System)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::System)?;
    check_port(config.api_port, "api_port")?;
    check_port(config.http_port, "http_port")?;
    check_port(config.https_port, "https_port")?;
    check_port(config.ssh_port, "ssh_port")?;
    let cache = futuswarm_paths::cache_dir()?;
    let tools = ToolsTree::locate()?;
    let installing = cache.clone();
    let python = tokio::task::spawn_blocking(move || emulator::ensure(&installing)).await;
    let python = python??;
    let mut emulator = moto::start(&python, &config.region, &state_dir.dir.join("moto.log")).await?;
    // None of these ever ends by itself; they end with this function.
    let mut tasks = Tasks::default();

    let images = Arc::new(RwLock::new(Images::default()));
    let view = Arc::default();
    let changed = Arc::new(Notify::new());
    // Our own calls go through the front as everybody's do: the emulator checks signatures over a body that it has encoded
    // again, so that a space in a value makes it refuse what the SDK has signed; the front signs without the body.
    let endpoint = format!("http://127.0.0.1:{}", config.api_port);
    let clients = Clients::new(&clients::config(&endpoint, &config.region, &emulator.keys).await);
    let sessions = Sessions::default();
    // What completes the emulator's answers asks the emulator itself, by a way that completes nothing.
    let bypass = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let bypass = bypass.map_err(|error| Error::Config(format!("no free loopback port: {error}")))?;
    let bypass_address = bypass.local_addr().map_err(Error::System)?;
    let inner =
        Clients::new(&clients::config(&format!("http://{bypass_address}"), &config.region, &emulator.keys).await);
    let ebs = Ebs::new(Snapshots::new(state_dir.snapshots()), inner.clone(), emulator.account.clone());
    let calls = ImageCalls::new(Arc::clone(&images), ebs.clone(), state_dir.vms());
    let (terminating, reboots) = (TerminatingInstances::default(), Reboots::default());
    let catalogue = Catalogue::new(mode != Mode::Api);
    let operations = Operations::new(calls, inner.clone(), catalogue.clone(), terminating.clone(), reboots.clone());
    let (faults, recorder) = (Arc::new(Injected::default()), Arc::new(Recorder::default()));
    let upstream = Upstream::new(Emulator {
        address: emulator.address,
        keys: emulator.keys.clone(),
        region: config.region.clone(),
    });
    let guard =
        Guard::new(sessions.clone(), inner.clone(), bypass_address, emulator.account.clone(), config.region.clone());
    let (notify, shared) = (Arc::clone(&changed), (Arc::clone(&faults), Arc::clone(&recorder)));
    let front = Arc::new(Front::new(upstream, operations, ebs, notify, guard, shared.0, shared.1));
    let api = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, config.api_port));
    let api = api.await.map_err(|error| Error::Config(format!("port {} of 127.0.0.1: {error}", config.api_port)))?;
    tasks.spawn("the API endpoint of this machine", listener::serve(Arc::clone(&front), api, None, Caller::Owner));
    tasks.spawn(
        "the API endpoint of the local cloud itself",
        listener::serve(Arc::clone(&front), bypass, None, Caller::Daemon),
    );
    make_zones(&inner, config).await?;

    network.create().await?;
    let authority = Arc::new(Authority::make(&state_dir.authority(), &config.cluster)?);
    let (certificate, key) = authority.issue(&addressing::certified(&config.region))?;
    let tls = listener::acceptor(&certificate, &key)?;
    let (named, plain) =
        (network.listen(network::API, HTTPS).await?, network.listen(network::API, TOOLS_API_PORT).await?);
    tasks.spawn("the API endpoint of nodes", listener::serve(Arc::clone(&front), named, Some(tls), Caller::Node));
    tasks.spawn("the API endpoint of nodes' tools", listener::serve(front, plain, None, Caller::Node));
    // By the bypass, too: while it borrows a role's trust, every other way to IAM waits.
    let imds = Imds::new(
        config.region.clone(),
        emulator.account.clone(),
        inner.clone(),
        Arc::clone(&view),
        sessions,
        terminating,
    );
    let imds = Arc::new(imds);
    tasks.spawn("the metadata service", Arc::clone(&imds).serve(network.listen(network::IMDS, 80).await?));

    let mut hypervisor = Hypervisor::new(&tools, config.accel, config.memory_mib, config.cpus)?;
    hypervisor.choose_accel(&cache.join("accel")).await;
    let hypervisor = hypervisor.with_authority(authority.certificate())?;
    let dnsmasq = Dnsmasq::new(state_dir.dir.join("dnsmasq"), network.clone(), config.region.clone(), &tools)?;
    let dnsmasq = Arc::new(Mutex::new(dnsmasq));
    let powered = Powered::default();
    let around = Surroundings {
        clients: clients.clone(),
        state_dir: state_dir.clone(),
        network: network.clone(),
        hypervisor,
        dnsmasq: Arc::clone(&dnsmasq),
        images: Arc::clone(&images),
        view: Arc::clone(&view),
        reboots,
    };
    let vms = Vms::new(around, powered.clone());
    let managers = Managers::new(Arc::clone(&view), network.clone(), config.manager_groups.clone());
    tasks.spawn("the way to the managers' SSH", forward::serve(forward::listen(config.ssh_port).await?, managers));
    let ports = Ports { http: config.http_port, https: config.https_port };
    let dir = state_dir.dir.join("balancer");
    let mut balancer = Balancer::new(clients, view, dir, state_dir.netns(), ports, Arc::clone(&authority), &tools)?;
    balancer.reconcile().await?;
    let databases = Databases::new(inner, catalogue, state_dir, network.clone(), Arc::clone(&authority), &tools)?;
    make_ssh_key(state_dir, &tools).await?;
    let world = World::new(network.clone(), Arc::clone(&dnsmasq), Arc::clone(&authority));

    // Each keeps its own pace: a database that starts, or a balancer that cannot ask, holds back nothing else.
    let wakes: Vec<Arc<Notify>> = (0..3).map(|_| Arc::default()).collect();
    let machines = Machines { vms, mode, imds: Arc::clone(&imds) };
    tasks.spawn("the reconciler of the machines", reconcilers::run(machines, Arc::clone(&wakes[0])));
    tasks.spawn("the reconciler of the load balancers", reconcilers::run(balancer, Arc::clone(&wakes[1])));
    if mode != Mode::Api {
        let databases = NamedDatabases::new(databases, dnsmasq);
        tasks.spawn("the reconciler of the databases", reconcilers::run(databases, Arc::clone(&wakes[2])));
    }
    let (asks, asked) = mpsc::channel(16);
    let subjects = control::Subjects { asks, imds, faults, recorder, world };
    tasks.spawn("the control socket", control::serve(control::listen(&state_dir.control())?, subjects));
    write_json(&state_dir.cloud(), &describe(config, state_dir, &emulator, &python, &authority))?;
    tracing::info!(cluster = config.cluster, "the local cloud is up");

    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let ended =
        async { emulator.process.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string()) };
    Supervisor { tasks, asked, changed, wakes, powered, images }.run(stop, ended).await?;
    tracing::info!("the local cloud ends");
    Ok(())
}

fn describe(
    config: &CloudConfig,
    state_dir: &StateDir,
    emulator: &moto::Moto,
    python: &Path,
    authority: &Authority,
) -> CloudInfo {
    let api_endpoint = format!("http://127.0.0.1:{}", config.api_port);
    let environment = [
        ("AWS_ENDPOINT_URL", api_endpoint.clone()),
        ("AWS_ACCESS_KEY_ID", emulator.keys.id.clone()),
        ("AWS_SECRET_ACCESS_KEY", emulator.keys.secret.clone()),
        ("AWS_REGION", config.region.clone()),
        ("AWS_DEFAULT_REGION", config.region.clone()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        // The operator's own profile must not reach into the local cloud, nor the other way round.
        ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
        // Loopback never goes through a proxy; clients differ in which of the two they read first.
        ("NO_PROXY", NO_PROXY.to_owned()),
        ("no_proxy", NO_PROXY.to_owned()),
    ];
    CloudInfo {
        cluster: config.cluster.clone(),
        api_endpoint,
        node_endpoint: format!("http://{}:{TOOLS_API_PORT}", network::API),
        operator_network: format!("{}/32", network::OPERATOR),
        url: format!("http://localhost:{}", config.http_port),
        account: emulator.account.clone(),
        region: config.region.clone(),
        netns: state_dir.netns(),
        state_dir: state_dir.dir.display().to_string(),
        ssh_public_key: state_dir.ssh_key().with_extension("pub").display().to_string(),
        ca_certificate: authority.certificate().display().to_string(),
        https_url: format!("https://localhost:{}", config.https_port),
        ssh: format!("127.0.0.1:{}", config.ssh_port),
        python: python.display().to_string(),
        environment: environment.map(|(key, value)| (key.to_owned(), value)).into(),
    }
}

/// The pretended account owns the cluster's domains, so that certificates for them can be issued.
async fn make_zones(inner: &Clients, config: &CloudConfig) -> Result<()> {
    for domain in &config.domains {
        let create = inner.route53.create_hosted_zone().name(domain).caller_reference(format!("local cloud {domain}"));
        create.send().await.map_err(|error| futuswarm_aws::Error::new("CreateHostedZone", error))?;
    }
    Ok(())
}

async fn make_ssh_key(state_dir: &StateDir, tools: &ToolsTree) -> Result<()> {
    let mut argv = host_argv(tools, "ssh-keygen")?;
    argv.extend(args(["-q", "-t", "ed25519", "-N", "", "-C", "futuswarm-local", "-f"]));
    argv.push(state_dir.ssh_key().into());
    child::run(&argv, None, KEY_DEADLINE).await.map(|_| ())
}
