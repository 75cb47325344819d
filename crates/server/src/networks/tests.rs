//! What is told of networks, and what counts as wrong.

use futuswarm_model::{AccessList, AppEntry, Role};
use futuswarm_swarm::{Availability, NetworkAttachment, NodeSpec, NodeState, ServiceSpec};

use super::*;

fn network(name: &str, subnet: &str) -> Network {
    Network {
        id: format!("id of {name}"),
        name: name.to_owned(),
        attachable: true,
        labels: HashMap::new(),
        subnets: vec![subnet.to_owned()],
    }
}

fn node(number: u8) -> Node {
    Node {
        id: format!("n{number}"),
        version: 1,
        spec: NodeSpec { name: None, labels: HashMap::new(), role: Role::Worker, availability: Availability::Active },
        hostname: format!("i-{number}"),
        state: NodeState::Ready,
        address: format!("10.0.0.{number}"),
        manager_status: None,
        engine: String::new(),
        memory_bytes: 0,
        nano_cpus: 0,
    }
}

fn attachment(number: usize, on: &str, state: TaskState, is_task: bool) -> Attachment {
    Attachment {
        task: format!("t{number}"),
        service: is_task.then(|| "s1".to_owned()),
        node: Some(format!("n{}", number % 2 + 1)),
        state,
        network: format!("id of {on}"),
        addresses: vec![format!("10.128.0.{}/24", number + 2)],
    }
}

fn facts(networks: Vec<Network>, attachments: Vec<Attachment>, apps: &[&str]) -> Facts {
    let entry = AppEntry {
        created_at: 0,
        access: AccessList::owned_by("jane"),
        release: None,
        image: None,
        deploying: None,
        links: Default::default(),
        open: false,
    };
    Facts {
        networks,
        services: Vec::new(),
        attachments,
        nodes: vec![node(1), node(2)],
        peers: HashMap::new(),
        apps: apps.iter().map(|app| ((*app).to_owned(), entry.clone())).collect(),
    }
}

#[test]
fn addresses_are_counted_once_and_for_each_node() {
    let net = network("app-hello", "10.128.0.0/24");
    let attachments = vec![
        attachment(0, "app-hello", TaskState::Running, true),
        attachment(1, "app-hello", TaskState::Starting, true),
        attachment(2, "app-hello", TaskState::Failed, true),
        attachment(3, "app-hello", TaskState::Running, false),
        attachment(4, "app-other", TaskState::Running, true),
    ];
    let row = row(&net, &facts(vec![net.clone()], attachments, &["hello"]));
    assert_eq!((row.app.as_deref(), row.tasks, row.containers), (Some("hello"), 2, 1));
    assert_eq!((row.addresses, row.free, row.nodes.len(), row.peers), (5, 248, 2, None));
    assert_eq!(row.problems, Vec::<String>::new());
}

#[test]
fn what_is_wrong_is_said() {
    let net = network("app-hello", "10.128.0.0/28");
    let mut waits = attachment(1, "app-hello", TaskState::Preparing, true);
    waits.addresses.clear();
    let running = attachment(0, "app-hello", TaskState::Running, true);
    let mut pending = attachment(2, "app-hello", TaskState::Pending, true);
    (pending.node, pending.addresses) = (None, Vec::new());
    let mut facts = facts(vec![net.clone()], vec![running, waits, pending], &[]);
    facts.peers.insert(net.id.clone(), Some(vec!["10.0.0.1".to_owned()]));
    let row = row(&net, &facts);
    assert_eq!(row.peers, Some(1));
    assert_eq!(
        row.problems,
        [
            "there is no app hello: and tasks are on it",
            "10 addresses are left of 10.128.0.0/28: an update may find none",
            "the task t1 has no address",
            "the manager that answers exchanges nothing with i-2 (10.0.0.2)"
        ]
    );
    facts.nodes[1].address = "0.0.0.0".to_owned();
    assert_eq!(super::row(&net, &facts).problems.len(), 3, "nobody knows where it is");
}

#[test]
fn an_app_whose_service_is_elsewhere_has_no_network() {
    let mut facts = facts(vec![network("app-hello", "10.128.0.0/24")], Vec::new(), &["hello", "new"]);
    let service = |network: &str| Service {
        id: "s1".to_owned(),
        version: 1,
        spec: ServiceSpec {
            labels: HashMap::from([(APP_LABEL.to_owned(), "hello".to_owned())]),
            networks: vec![NetworkAttachment::new(network)],
            ..ServiceSpec::new("hello", "hello:1")
        },
        foreign: Vec::new(),
        update: None,
        previous_labels: None,
        created_at: String::new(),
        updated_at: String::new(),
    };
    let apps = ["hello".to_owned(), "new".to_owned()];
    facts.services = vec![service("id of app-hello")];
    assert_eq!(without(&apps, &facts), []);
    facts.services = vec![service("of another")];
    let rows = without(&apps, &facts);
    assert_eq!((rows.len(), rows[0].app.as_deref(), rows[0].problems.len()), (1, Some("hello"), 1));
}

#[test]
fn subnets_have_room_for_what_is_not_theirs() {
    for (subnet, expected) in
        [("10.0.0.0/24", Some(253)), ("10.0.0.0/31", Some(0)), ("10.0.0.0/33", None), ("fd00::/64", None), ("", None)]
    {
        assert_eq!(capacity(subnet), expected, "{subnet}");
    }
}
