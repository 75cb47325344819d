//! The record follows the managers: over an account in memory.

use std::collections::HashMap;
use std::sync::Mutex as StdMutex;

use futuswarm_model::Role;
use futuswarm_swarm::{Availability, ManagerStatus, NodeSpec};

use super::*;

const ZONE: &str = "Z1";
const NAME: &str = "ssh.example.com";

/// Route 53 and EC2.
#[derive(Default)]
struct Account {
    zones: Vec<Zone>,
    records: StdMutex<BTreeMap<(String, String), Record>>,
    instances: BTreeMap<String, Addresses>,
    /// How often each was asked for: zones, records, changes.
    asked: StdMutex<[u32; 3]>,
    /// So many changes are refused.
    refused: StdMutex<u32>,
}

impl Account {
    fn new() -> Self {
        let zone = Zone { id: ZONE.to_owned(), name: "example.com".to_owned() };
        Self { zones: vec![zone], ..Self::default() }
    }

    fn with(mut self, name: &str, private: u8, public: Option<u8>) -> Self {
        let public = public.map(|last| Ipv4Addr::new(203, 0, 113, last));
        self.instances.insert(name.to_owned(), Addresses { private: Ipv4Addr::new(10, 42, 0, private), public });
        self
    }

    fn count(&self, what: usize) {
        self.asked.lock().unwrap()[what] += 1;
    }

    fn asked(&self) -> [u32; 3] {
        *self.asked.lock().unwrap()
    }

    fn there(&self) -> Option<(Option<i64>, Vec<String>)> {
        let records = self.records.lock().unwrap();
        let record = records.get(&(ZONE.to_owned(), NAME.to_owned()))?;
        Some((record.ttl, record.addresses.iter().map(ToString::to_string).collect()))
    }
}

impl Dns for Account {
    async fn zones(&self) -> Result<Vec<Zone>, Error> {
        self.count(0);
        Ok(self.zones.clone())
    }

    async fn record(&self, zone: &str, name: &str) -> Result<Option<Record>, Error> {
        self.count(1);
        Ok(self.records.lock().unwrap().get(&(zone.to_owned(), name.to_owned())).cloned())
    }

    async fn put(&self, zone: &str, name: &str, record: &Record) -> Result<(), Error> {
        self.count(2);
        let mut refused = self.refused.lock().unwrap();
        if *refused > 0 {
            *refused -= 1;
            return Err(Error::Waiting("Route 53 is away".to_owned()));
        }
        self.records.lock().unwrap().insert((zone.to_owned(), name.to_owned()), record.clone());
        Ok(())
    }
}

impl InstanceAddresses for Account {
    async fn addresses(&self, instances: &[String]) -> Result<BTreeMap<String, Addresses>, Error> {
        let wanted = |(name, _): &(&String, &Addresses)| instances.contains(name);
        Ok(self.instances.iter().filter(wanted).map(|(name, one)| (name.clone(), *one)).collect())
    }
}

fn node(name: &str, role: Role, reachable: bool) -> SwarmNode {
    SwarmNode {
        id: name.to_owned(),
        version: 0,
        spec: NodeSpec { name: None, labels: HashMap::new(), role, availability: Availability::Active },
        hostname: name.to_owned(),
        state: if reachable { NodeState::Ready } else { NodeState::Down },
        address: String::new(),
        manager_status: (role == Role::Manager).then_some(ManagerStatus { leader: false, reachable }),
        engine: String::new(),
        memory_bytes: 0,
        nano_cpus: 0,
    }
}

fn manager(name: &str) -> SwarmNode {
    node(name, Role::Manager, true)
}

fn ssh_name() -> SshName {
    SshName::new(&crate::heartbeat::tests::node("i-1", Role::Manager))
}

fn public(addresses: &[&str]) -> Option<(Option<i64>, Vec<String>)> {
    Some((Some(30), addresses.iter().map(|address| (*address).to_owned()).collect()))
}

#[tokio::test(start_paused = true)]
async fn the_name_leads_to_the_managers_that_live_and_is_written_when_that_changes() {
    let account = Account::new().with("a", 1, Some(1)).with("b", 2, Some(2)).with("w", 9, Some(9));
    let name = ssh_name();
    let nodes = [manager("a"), manager("b"), node("w", Role::Worker, true)];
    name.keep(&account, &account, &nodes).await.unwrap();
    assert_eq!(account.there(), public(&["203.0.113.1", "203.0.113.2"]));
    for _ in 0..9 {
        name.keep(&account, &account, &nodes).await.unwrap();
    }
    assert_eq!(account.asked(), [1, 10, 1], "zones are remembered, and nothing is written that is there");
    tokio::time::advance(ZONES_INTERVAL).await;
    // One is silent, and one whose instance is gone is not even named by EC2.
    let nodes = [node("a", Role::Manager, false), manager("b"), manager("gone")];
    name.keep(&account, &account, &nodes).await.unwrap();
    assert_eq!(account.there(), public(&["203.0.113.2"]));
    assert_eq!(account.asked(), [2, 11, 2]);
}

#[tokio::test(start_paused = true)]
async fn private_addresses_count_where_there_are_no_others() {
    let account = Account::new().with("a", 1, None).with("b", 2, None);
    ssh_name().keep(&account, &account, &[manager("a"), manager("b")]).await.unwrap();
    assert_eq!(account.there(), public(&["10.42.0.1", "10.42.0.2"]));
    let account = account.with("b", 2, Some(2));
    ssh_name().keep(&account, &account, &[manager("a"), manager("b")]).await.unwrap();
    assert_eq!(account.there(), public(&["203.0.113.2"]), "never both");
}

#[tokio::test(start_paused = true)]
async fn of_two_leaders_the_later_one_is_put_right_by_the_next_round() {
    let account = Account::new().with("a", 1, Some(1)).with("b", 2, Some(2));
    let (old, new) = (ssh_name(), ssh_name());
    new.keep(&account, &account, &[manager("a"), manager("b")]).await.unwrap();
    // It believes that it leads still, and sees a Swarm of yesterday.
    old.keep(&account, &account, &[manager("a")]).await.unwrap();
    assert_eq!(account.there(), public(&["203.0.113.1"]));
    new.keep(&account, &account, &[manager("a"), manager("b")]).await.unwrap();
    assert_eq!(account.there(), public(&["203.0.113.1", "203.0.113.2"]));
}

#[tokio::test(start_paused = true)]
async fn a_name_is_never_left_without_an_address_and_another_record_is_replaced() {
    let account = Account::new().with("a", 1, Some(1));
    let alias = Record { ttl: None, addresses: BTreeSet::new() };
    account.records.lock().unwrap().insert((ZONE.to_owned(), NAME.to_owned()), alias);
    let error = ssh_name().keep(&account, &account, &[manager("unknown")]).await.unwrap_err();
    assert_eq!(error.to_string(), "EC2 names no address of a manager; ssh.example.com stays as it is");
    assert_eq!(account.there(), Some((None, Vec::new())));
    let error = ssh_name().keep(&account, &account, &[]).await.unwrap_err();
    assert_eq!(error.to_string(), "the Swarm says of no manager that it is ready; ssh.example.com stays as it is");
    ssh_name().keep(&account, &account, &[manager("a")]).await.unwrap();
    assert_eq!(account.there(), public(&["203.0.113.1"]));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_and_the_zones_are_looked_at_again() {
    let account = Account::new().with("a", 1, Some(1));
    *account.refused.lock().unwrap() = 1;
    let name = ssh_name();
    assert!(name.keep(&account, &account, &[manager("a")]).await.is_err());
    name.keep(&account, &account, &[manager("a")]).await.unwrap();
    assert_eq!(account.asked(), [2, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn where_the_zone_is_somebody_elses_nothing_is_done() {
    let account = Account { zones: vec![Zone { id: "Z2".to_owned(), name: "ample.com".to_owned() }], ..Account::new() };
    let account = account.with("a", 1, Some(1));
    let name = ssh_name();
    for _ in 0..5 {
        name.keep(&account, &account, &[manager("a")]).await.unwrap();
    }
    assert_eq!((account.there(), account.asked()), (None, [1, 0, 0]));
}

#[test]
fn the_longest_zone_serves_a_name() {
    let zone = |id: &str, name: &str| Zone { id: id.to_owned(), name: name.to_owned() };
    let zones = || vec![zone("Z1", "example.com"), zone("Z2", "apps.example.com"), zone("Z3", "s.apps.example.com")];
    assert_eq!(longest(zones(), "ssh.apps.example.com").as_deref(), Some("Z2"));
    assert_eq!(longest(zones(), "ssh.example.com").as_deref(), Some("Z1"));
    assert_eq!(longest(zones(), "ssh.example.org"), None);
}
