//! The daemon of one local cloud: starts everything, keeps it in step with the emulator, and takes everything down.

mod keepers;

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

use crate::authority::Authority;
use crate::balancer::{Balancer, Ports};
use crate::child::{self, argv};
use crate::config::{CloudConfig, Extent};
use crate::control::{self, Ask};
use crate::databases::Databases;
use crate::dnsmasq::{Dnsmasq, host_argv};
use crate::error::{Error, Result, file};
use crate::imds::Imds;
use crate::layout::{Layout, write_atomically, write_json};
use crate::moto;
use crate::network::{self, Network};
use crate::qemu::Hypervisor;
use crate::tasks::Tasks;
use crate::vms::powered::Powered;
use crate::vms::{Surroundings, Vms};

/// Port of the AWS API inside the namespace, for tools that ask as a node does and cannot be told whom to trust.
const TOOLS_API_PORT: u16 = 4566;
/// Port of the AWS API under AWS's names.
const HTTPS: u16 = 443;
/// Hosts of the local cloud, as a client's list of exceptions from its proxy.
const NO_PROXY: &str = "127.0.0.1,localhost,.localhost";
/// Making a key takes milliseconds.
const KEY_DEADLINE: Duration = Duration::from_secs(30);

/// Runs the daemon until it is told to end, or the emulator dies. `extent` says what there is behind the API.
///
/// # Errors
/// When something cannot be started; everything that was is taken down first.
pub async fn run(config: CloudConfig, layout: Layout, extent: Extent) -> Result<()> {
    std::fs::create_dir_all(&layout.dir).map_err(file("cannot create", &layout.dir))?;
    let Some(_lock) = layout.daemon_lock()? else {
        return Err(Error::Config(format!("a daemon of the local cloud {} runs already", config.cluster)));
    };
    clean(&layout).await?;
    std::fs::create_dir_all(&layout.dir).map_err(file("cannot create", &layout.dir))?;
    write_atomically(&layout.pid(), std::process::id().to_string().as_bytes())?;
    write_json(&layout.config(), &config)?;
    let network = Network::named(&layout.netns());
    let outcome = serve(&config, &layout, &network, extent).await;
    if let Err(error) = &outcome {
        tracing::error!(%error, "the local cloud ends");
    }
    // Children were killed when their handles were dropped; the namespace takes taps, bridge and routes with it.
    network.destroy().await?;
    for path in [layout.cloud(), layout.control(), layout.pid()] {
        let _already_gone = std::fs::remove_file(path);
    }
    outcome
}

/// Removes what a daemon that was killed has left behind. The caller holds the daemon's lock.
pub async fn clean(layout: &Layout) -> Result<()> {
    Network::named(&layout.netns()).destroy().await?;
    for entry in std::fs::read_dir(&layout.dir).into_iter().flatten().flatten() {
        let path = entry.path();
        // The log is open as our standard output, and tells what happened to the one before us.
        if path == layout.log() {
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
            Err(Error::PortInUse { port, owner: crate::commands::ports::owner(port), key })
        }
        Err(error) => Err(Error::Config(format!("port {port} of 127.0.0.1 cannot be used: {error}"))),
    }
}

async fn serve(config: &CloudConfig, layout: &Layout, network: &Network, extent: Extent) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| Error::Config(error.to_string()))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| Error::Config(error.to_string()))?;
    check_port(config.api_port, "api_port")?;
    check_port(config.http_port, "http_port")?;
    check_port(config.https_port, "https_port")?;
    let cache = futuswarm_paths::cache_dir()?;
    let tools = ToolsTree::locate()?;
    let installing = cache.clone();
    let python = tokio::task::spawn_blocking(move || emulator::ensure(&installing)).await;
    let python = python.map_err(|error| Error::Config(error.to_string()))??;
    let mut emulator = moto::start(&python, &config.region, &layout.dir.join("moto.log")).await?;
    // None of these ever ends by itself; they end with this function.
    let mut tasks = Tasks::default();

    let images = Arc::new(RwLock::new(Images::default()));
    let view = Arc::default();
    let changed = Arc::new(Notify::new());
    // Our own calls go through the front as everybody's do: the emulator checks signatures over a body that it has encoded
    // anew, so that a space in a value makes it refuse what the SDK has signed; the front signs without the body.
    let endpoint = format!("http://127.0.0.1:{}", config.api_port);
    let clients = Clients::new(&clients::config(&endpoint, &config.region, &emulator.keys).await);
    let sessions = Sessions::default();
    // What completes the emulator's answers asks the emulator itself, by a way that completes nothing.
    let bypass = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let bypass = bypass.map_err(|error| Error::Config(format!("no free loopback port: {error}")))?;
    let bypass_address = bypass.local_addr().map_err(|error| Error::Config(error.to_string()))?;
    let inner =
        Clients::new(&clients::config(&format!("http://{bypass_address}"), &config.region, &emulator.keys).await);
    let ebs = Ebs::new(Snapshots::new(layout.snapshots()), inner.clone(), emulator.account.clone());
    let calls = ImageCalls::new(Arc::clone(&images), ebs.clone(), layout.vms());
    let (terminating, reboots) = (TerminatingInstances::default(), Reboots::default());
    let catalogue = Catalogue::new(extent != Extent::Api);
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
    let authority = Arc::new(Authority::make(&layout.authority(), &config.cluster)?);
    let (certificate, key) = authority.issue(&addressing::certified(&config.region))?;
    let tls = listener::acceptor(&certificate, &key)
        .map_err(|error| Error::Config(format!("no TLS for the AWS API of nodes: {error}")))?;
    let (named, plain) =
        (network.listen(network::API, HTTPS).await?, network.listen(network::API, TOOLS_API_PORT).await?);
    tasks.spawn("the API endpoint of nodes", listener::serve(Arc::clone(&front), named, Some(tls), Caller::Node));
    tasks.spawn("the API endpoint of nodes' tools", listener::serve(front, plain, None, Caller::Node));
    // Straight, too: while it borrows a role's trust, every other way to IAM waits.
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
    let dnsmasq = Dnsmasq::new(layout.dir.join("dnsmasq"), network.clone(), config.region.clone(), &tools)?;
    let dnsmasq = Arc::new(Mutex::new(dnsmasq));
    let powered = Powered::default();
    let around = Surroundings {
        clients: clients.clone(),
        layout: layout.clone(),
        network: network.clone(),
        hypervisor,
        dnsmasq: Arc::clone(&dnsmasq),
        images: Arc::clone(&images),
        view: Arc::clone(&view),
        reboots,
    };
    let vms = Vms::new(around, powered.clone());
    let ports = Ports { http: config.http_port, https: config.https_port };
    let dir = layout.dir.join("balancer");
    let mut balancer = Balancer::new(clients, view, dir, layout.netns(), ports, Arc::clone(&authority), &tools)?;
    balancer.reconcile().await?;
    let databases = Databases::new(inner, catalogue, layout, network.clone(), Arc::clone(&authority), &tools)?;
    make_ssh_key(layout, &tools).await?;

    // Each keeps its own pace: a database that starts, or a balancer that cannot ask, holds back nothing else.
    let wakes: [Arc<Notify>; 3] = Default::default();
    tasks.spawn("the keeper of the machines", keepers::machines(vms, extent, Arc::clone(&imds), Arc::clone(&wakes[0])));
    tasks.spawn("the keeper of the load balancers", keepers::balancer(balancer, Arc::clone(&wakes[1])));
    if extent != Extent::Api {
        let databases = keepers::databases(databases, dnsmasq, Arc::clone(&wakes[2]));
        tasks.spawn("the keeper of the databases", databases);
    }
    let (asks, mut asked) = mpsc::channel(16);
    let subjects = control::Subjects { asks, imds, faults, recorder };
    tasks.spawn("the control socket", control::serve(control::listen(&layout.control())?, subjects));
    write_json(&layout.cloud(), &describe(config, layout, &emulator, &python, &authority))?;
    tracing::info!(cluster = config.cluster, "the local cloud is up");

    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            status = emulator.process.wait() => {
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                return Err(Error::Command { command: "the AWS emulator (moto)".to_owned(), detail: format!("ended with {status}; what it knew is lost, so the cluster goes, too") });
            }
            error = tasks.ended() => return Err(error),
            ask = asked.recv() => match ask {
                None => break,
                Some(Ask::Shutdown(reply)) => {
                    powered.cut_all().await;
                    let _asker_gone = reply.send(());
                    break;
                }
                Some(Ask::Machines(reply)) => { let _asker_gone = reply.send(powered.status(&images)); }
                Some(Ask::Kill(instance, reply)) => {
                    tracing::info!(instance, "power cut asked for");
                    let _asker_gone = reply.send(powered.cut(&instance));
                    wakes[0].notify_one();
                }
            },
            () = changed.notified() => wakes.iter().for_each(|wake| wake.notify_one()),
        }
    }
    // Nobody is to start another machine, or to tell the emulator of those that end now.
    drop(tasks);
    powered.cut_all().await;
    tracing::info!("the local cloud ends");
    Ok(())
}

fn describe(
    config: &CloudConfig,
    layout: &Layout,
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
        netns: layout.netns(),
        state_dir: layout.dir.display().to_string(),
        ssh_public_key: layout.ssh_key().with_extension("pub").display().to_string(),
        ca_certificate: authority.certificate().display().to_string(),
        https_url: format!("https://localhost:{}", config.https_port),
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

async fn make_ssh_key(layout: &Layout, tools: &ToolsTree) -> Result<()> {
    let mut words = host_argv(tools, "ssh-keygen")?;
    words.extend(argv(["-q", "-t", "ed25519", "-N", "", "-C", "futuswarm-local", "-f"]));
    words.push(layout.ssh_key().into());
    child::run(&words, None, KEY_DEADLINE).await.map(|_| ())
}
