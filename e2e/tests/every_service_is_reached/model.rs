//! Which services there are, and by the rules of `docs/routing.md` alone who should answer for which host and path.

use std::collections::{BTreeMap, BTreeSet};

/// Few, so that services often ask for what another has.
const HOSTS: [&str; 5] = ["a.test", "b.test", "c.test", "d.test", "e.test"];
const PATHS: [&str; 6] = ["/", "/", "/api", "/api/", "/api/v2", "/blog"];
/// What is asked of each host.
const ASKED: [&str; 8] = ["/", "/api", "/api/y", "/api/v2/y", "/api/v20", "/x/api/y", "//api", "/apix"];
/// Attachable networks.
pub const NETWORKS: [&str; 3] = ["n0", "n1", "n2"];
/// A network as stacks make them: no container but a task may join it. It sorts before the others.
pub const CLOSED: &str = "blog_default";
/// The bare domain of the spec, which the main page has.
pub const DOMAIN: &str = "apps.localhost";

/// What is wrong with a service, if anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Good,
    ClosedNetwork,
    NoNetwork,
    Password,
    Indexed,
    BadPort,
    BareDomain,
}

impl Kind {
    pub const MALFORMED: [Self; 6] =
        [Self::ClosedNetwork, Self::NoNetwork, Self::Password, Self::Indexed, Self::BadPort, Self::BareDomain];
}

#[derive(Debug, Clone)]
pub struct App {
    pub name: String,
    pub kind: Kind,
    pub network: Option<String>,
    pub hosts: Vec<String>,
    pub path: String,
    pub replicas: u8,
}

impl App {
    pub fn labels(&self) -> Vec<String> {
        let port = if self.kind == Kind::BadPort { "http" } else { "8080" };
        let mut labels = vec![
            "notify=true".to_owned(),
            format!("serviceDomain={}", self.hosts.join(",")),
            format!("servicePath={}", self.path),
            format!("port={port}"),
        ];
        match self.kind {
            Kind::Password => labels.push("users=ada:secret".to_owned()),
            Kind::Indexed => labels.push("port.2=8081".to_owned()),
            _ => {}
        }
        labels.into_iter().map(|label| format!("com.df.{label}")).collect()
    }
}

/// The living services, the oldest first.
pub struct Model {
    apps: Vec<App>,
    made: usize,
}

impl Model {
    pub fn new() -> Self {
        Self { apps: Vec::new(), made: 0 }
    }

    fn make(&mut self, kind: Kind, network: Option<&str>, hosts: &[&str], path: &str) -> App {
        self.made += 1;
        let app = App {
            name: format!("s{}", self.made),
            kind,
            network: network.map(str::to_owned),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            path: path.to_owned(),
            replicas: 1,
        };
        self.apps.push(app.clone());
        app
    }

    /// One that stays for the whole test.
    pub fn steady(&mut self) -> App {
        self.make(Kind::Good, Some("n0"), &["steady.test"], "/");
        let app = self.apps.last_mut().expect("it was just made");
        (app.name, app.replicas) = ("steady".to_owned(), 3);
        app.clone()
    }

    /// More host names than HAProxy takes words in a line.
    pub fn many_names(&mut self) -> App {
        let names: Vec<String> = (0..100).map(|index| format!("m{index}.test")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.make(Kind::Good, Some("n1"), &names, "/")
    }

    pub fn on_network(&mut self, network: &str) -> App {
        self.make(Kind::Good, Some(network), &["short.test"], "/")
    }

    pub fn malformed(&mut self, kind: Kind) -> App {
        let network = match kind {
            Kind::ClosedNetwork => Some(CLOSED),
            Kind::NoNetwork => None,
            _ => Some("n0"),
        };
        let host = if kind == Kind::BareDomain { DOMAIN } else { "a.test" };
        self.make(kind, network, &[host], "/")
    }

    pub fn any(&mut self, random: &mut fastrand::Rng) -> App {
        if random.u8(..4) == 0 {
            return self.malformed(Kind::MALFORMED[random.usize(..Kind::MALFORMED.len())]);
        }
        let hosts: Vec<&str> = (0..random.usize(1..3)).map(|_| HOSTS[random.usize(..HOSTS.len())]).collect();
        let network = NETWORKS[random.usize(..NETWORKS.len())];
        self.make(Kind::Good, Some(network), &hosts, PATHS[random.usize(..PATHS.len())])
    }

    /// Whether there is a service that may go.
    pub fn removable(&self) -> Option<&App> {
        self.apps.iter().find(|app| app.name != "steady")
    }

    pub fn remove_any(&mut self, random: &mut fastrand::Rng) -> String {
        let names: Vec<String> =
            self.apps.iter().filter(|app| app.name != "steady").map(|app| app.name.clone()).collect();
        let name = names[random.usize(..names.len())].clone();
        self.remove(&name);
        name
    }

    pub fn remove(&mut self, name: &str) {
        self.apps.retain(|app| app.name != name);
    }

    /// Services that are not served under everything that they ask for.
    pub fn refused(&self) -> BTreeSet<&str> {
        let owners = self.owners();
        let all = |app: &App| app.hosts.iter().all(|host| owners.get(&(host.clone(), path(app))) == Some(&app.name));
        self.apps.iter().filter(|app| app.kind != Kind::Good || !all(app)).map(|app| app.name.as_str()).collect()
    }

    /// Host, path, and who should answer: `None` for nobody.
    pub fn expected(&self) -> Vec<(String, String, Option<String>)> {
        let owners = self.owners();
        let mut asked = vec![
            ("steady.test".to_owned(), "/x".to_owned()),
            ("m0.test".to_owned(), "/".to_owned()),
            ("m99.test".to_owned(), "/x".to_owned()),
            ("short.test".to_owned(), "/".to_owned()),
        ];
        asked.extend(HOSTS.iter().flat_map(|host| ASKED.iter().map(|path| ((*host).to_owned(), (*path).to_owned()))));
        asked
            .into_iter()
            .map(|(host, asked)| {
                let under = |prefix: &str| prefix == "/" || asked == prefix || asked.starts_with(&format!("{prefix}/"));
                let best = owners.iter().filter(|((owned, prefix), _)| *owned == host && under(prefix));
                let owner = best.max_by_key(|((_, prefix), _)| prefix.len()).map(|(_, owner)| owner.clone());
                (host, asked, owner)
            })
            .collect()
    }

    /// The oldest well-formed service has what it asks for.
    fn owners(&self) -> BTreeMap<(String, String), String> {
        let mut owners = BTreeMap::new();
        for app in self.apps.iter().filter(|app| app.kind == Kind::Good) {
            for host in &app.hosts {
                owners.entry((host.clone(), path(app))).or_insert_with(|| app.name.clone());
            }
        }
        owners
    }
}

fn path(app: &App) -> String {
    match app.path.trim_end_matches('/') {
        "" => "/".to_owned(),
        path => path.to_owned(),
    }
}
