//! The loopback port that stands for `ssh.<domain>`: each connection goes to a living manager that takes it.
//!
//! Not a frontend of the load balancer: HAProxy ends the connections of its earlier process soon after each reload, and a session should
//! outlive the loss of another manager.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::error::{Error, Result};
use crate::network::{Network, OPERATOR};
use crate::observed_instances::View;

/// The tag that names the part of a cluster which an instance is: `node-GROUP`.
const PART_TAG: &str = "futuswarm:part";
const SSH: u16 = 22;
/// The next manager is tried beside one that has not answered for so long: one whose power was cut never does.
const STAGGER: Duration = Duration::from_millis(500);
/// A busy machine under emulation answers within seconds.
const CONNECT: Duration = Duration::from_secs(15);
/// After an error of the listener, such as too many open files.
const PAUSE: Duration = Duration::from_millis(200);

/// Where a connection can go.
pub trait Targets: Clone + Send + Sync + 'static {
    /// Addresses, the one to be tried first at the front.
    fn addresses(&self) -> Vec<Ipv4Addr>;

    /// A connection to one of them.
    fn connect(&self, address: Ipv4Addr) -> impl Future<Output = Result<TcpStream>> + Send;
}

/// The managers of the cluster, by what the emulator says of its instances.
#[derive(Clone)]
pub struct Managers {
    view: Arc<RwLock<View>>,
    network: Network,
    groups: Arc<BTreeSet<String>>,
}

impl Managers {
    /// The running nodes of these groups of the spec.
    pub fn new(view: Arc<RwLock<View>>, network: Network, groups: BTreeSet<String>) -> Self {
        Self { view, network, groups: Arc::new(groups) }
    }
}

impl Targets for Managers {
    fn addresses(&self) -> Vec<Ipv4Addr> {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        let is_manager = |part: &String| part.strip_prefix("node-").is_some_and(|group| self.groups.contains(group));
        let managers = view.running.values().filter(|machine| machine.tags.get(PART_TAG).is_some_and(is_manager));
        let mut managers: Vec<(&str, Ipv4Addr)> =
            managers.map(|machine| (machine.launched.as_str(), machine.address)).collect();
        // The oldest first: a machine that has just been started does not answer yet.
        managers.sort_unstable();
        managers.into_iter().map(|(_, address)| address).collect()
    }

    async fn connect(&self, address: Ipv4Addr) -> Result<TcpStream> {
        self.network.connect(OPERATOR, SocketAddrV4::new(address, SSH), CONNECT).await
    }
}

/// The listener on this machine's loopback.
///
/// # Errors
/// When the port is taken.
pub async fn listen(port: u16) -> Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    listener.map_err(|error| Error::Config(format!("port {port} of 127.0.0.1: {error}")))
}

/// Passes connections on; never ends.
pub async fn serve(listener: TcpListener, targets: impl Targets) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                connections.spawn(pass_on(client, targets.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection for SSH could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn pass_on(mut client: TcpStream, targets: impl Targets) {
    let Some(mut manager) = first(&targets).await else {
        tracing::warn!("no manager takes a connection for SSH");
        return;
    };
    // Keystrokes and answers are small, and wait for nothing.
    let _only_slower = (client.set_nodelay(true), manager.set_nodelay(true));
    // An end with an error is an end.
    let _ended = tokio::io::copy_bidirectional(&mut client, &mut manager).await;
}

/// The first connection that is taken; a target that does not answer delays the next one only a little.
async fn first(targets: &impl Targets) -> Option<TcpStream> {
    let mut attempts = JoinSet::new();
    let mut waiting = targets.addresses().into_iter();
    loop {
        if let Some(address) = waiting.next() {
            let targets = targets.clone();
            attempts.spawn(async move { tokio::time::timeout(CONNECT, targets.connect(address)).await });
        } else if attempts.is_empty() {
            return None;
        }
        let stagger = if waiting.len() == 0 { CONNECT } else { STAGGER };
        if let Ok(Some(Ok(Ok(Ok(stream))))) = tokio::time::timeout(stagger, attempts.join_next()).await {
            return Some(stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Loopback addresses, on each of which something listens, nothing does, or nobody answers.
    #[derive(Clone)]
    struct Loopback {
        addresses: Vec<Ipv4Addr>,
        port: u16,
        silent: Ipv4Addr,
    }

    impl Targets for Loopback {
        fn addresses(&self) -> Vec<Ipv4Addr> {
            self.addresses.clone()
        }

        async fn connect(&self, address: Ipv4Addr) -> Result<TcpStream> {
            if address == self.silent {
                std::future::pending::<()>().await;
            }
            TcpStream::connect((address, self.port)).await.map_err(Error::System)
        }
    }

    /// Something that answers with its own address.
    async fn manager(address: Ipv4Addr, port: u16) -> u16 {
        let listener = TcpListener::bind((address, port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = Vec::new();
                stream.read_to_end(&mut asked).await.unwrap();
                stream.write_all(format!("{address}: {}", String::from_utf8(asked).unwrap()).as_bytes()).await.unwrap();
            }
        });
        port
    }

    async fn ask(port: u16) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let _reset = stream.write_all(b"SSH-2.0").await;
        let _reset = stream.shutdown().await;
        let mut answer = String::new();
        // A connection that nobody took is reset, with what was written and not read.
        let _reset = stream.read_to_string(&mut answer).await;
        answer
    }

    async fn forwarder(targets: Loopback) -> u16 {
        let listener = listen(0).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(serve(listener, targets));
        port
    }

    #[tokio::test]
    async fn a_connection_goes_to_a_manager_that_takes_it() {
        let [one, two, nobody, silent] = [2, 3, 4, 5].map(|last| Ipv4Addr::new(127, 0, 77, last));
        let port = manager(one, 0).await;
        manager(two, port).await;
        for (addresses, answer) in [
            (vec![one, two], "127.0.77.2: SSH-2.0"),
            (vec![nobody, two, one], "127.0.77.3: SSH-2.0"),
            (vec![silent, nobody, two], "127.0.77.3: SSH-2.0"),
            (vec![nobody], ""),
            (vec![], ""),
        ] {
            let forwarder = forwarder(Loopback { addresses: addresses.clone(), port, silent }).await;
            assert_eq!(ask(forwarder).await, answer, "{addresses:?}");
            assert_eq!(ask(forwarder).await, answer, "{addresses:?}, again");
        }
    }
}
