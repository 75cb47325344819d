//! What the Swarm is asked to run for a release.

use std::collections::BTreeMap;

use futuswarm_model::{Hook, Progress};

use super::*;

fn release() -> Release {
    Release {
        app: "hello".to_owned(),
        number: 7,
        image: "hello:1".to_owned(),
        digest: Some(format!("sha256:{}", "a".repeat(64))),
        has_health_check: Some(false),
        settings: futuswarm_paas::settings::defaults(),
        config: None,
        secrets: None,
        of: None,
        by: "jane".to_owned(),
        created_at: 1,
        deadline: 2,
        restart: false,
        cancelled: false,
        superseded: false,
        progress: Progress::Preparing,
    }
}

fn content() -> Content {
    Content {
        config: Environment::default(),
        secrets: Vec::new(),
        networks: vec!["net1".to_owned()],
        domain: "apps.example.com".to_owned(),
    }
}

fn variables(spec: &ServiceSpec) -> BTreeMap<String, String> {
    let entry = |entry: &String| entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    spec.environment.0.iter().filter_map(entry).collect()
}

#[test]
fn nothing_runs_before_its_digest_is_known() {
    let release = Release { digest: None, ..release() };
    assert_eq!(service(&release, &content()), None);
    assert_eq!(pull(&release), None);
}

#[test]
fn config_wins_over_the_file_and_the_file_over_the_platform() {
    let mut release = release();
    let env = [("PORT", "from the file"), ("A", "from the file"), ("B", "from the file")];
    release.settings.env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let mut content = content();
    content.config = Environment(vec!["B=x=y".to_owned(), "C=".to_owned()]);
    let variables = variables(&service(&release, &content).unwrap());
    let expected = [
        ("A", "from the file"),
        ("B", "x=y"),
        ("C", ""),
        ("FUTUSWARM_APP", "hello"),
        ("FUTUSWARM_URL", "https://hello.apps.example.com"),
        ("PORT", "from the file"),
    ];
    assert_eq!(variables, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
}

#[test]
fn no_label_of_an_app_makes_it_another_one() {
    let mut release = release();
    let labels = [
        ("com.df.serviceDomain", "mainpage.apps.example.com"),
        ("com.df.serviceDomain.1", "other.apps.example.com"),
        ("com.df.serviceDomainAlgo", "hdr_end(host)"),
        ("com.df.redirectFromDomain", "other.apps.example.com"),
        ("com.df.redirectFromDomain.1", "other.apps.example.com"),
        ("com.df.notify", "false"),
        ("com.df.servicePath", "/api"),
    ];
    release.settings.edge_labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let service = service(&release, &content()).unwrap();
    assert_eq!(service.labels["com.df.serviceDomain"], "hello.apps.example.com");
    assert_eq!(service.labels["com.df.servicePath"], "/api");
    assert_eq!(service.labels["com.df.notify"], "true");
    assert!(!service.labels.contains_key("com.df.serviceDomain.1"));
    assert!(!service.labels.contains_key("com.df.serviceDomainAlgo"));
    assert!(service.labels.keys().all(|label| !label.contains("redirectFromDomain")), "{:?}", service.labels);
    assert_eq!(service.labels[APP_LABEL], "hello");
}

#[test]
fn a_path_is_asked_by_the_platforms_own_program_within_the_task() {
    let mut release = release();
    release.settings.health = Health::Runs { seconds: 5 };
    let unasked = service(&release, &content()).unwrap();
    assert_eq!((unasked.mounts, unasked.health), (Vec::new(), HealthCheck::Image));
    let timing = Timing { interval: 5, timeout: 3, retries: 4, start: 30 };
    release.settings.health = Health::Http { path: "/health".to_owned(), timing };
    let service = service(&release, &content()).unwrap();
    assert_eq!(service.mounts, [PlatformMount::health_probe()]);
    let HealthCheck::Program(check) = service.health else { panic!("{:?}", service.health) };
    assert_eq!(check.argv, ["/.futuswarm-probe", "http", "8000", "/health", "3"]);
    assert_eq!((check.interval, check.timeout, check.retries), (Duration::from_secs(5), Duration::from_secs(4), 4));
}

#[test]
fn a_port_is_asked_unless_the_image_has_a_check_of_its_own_that_nobody_has_put_aside() {
    let mut release = release();
    release.settings.port = 9000;
    for (or_image, has_health_check) in [(true, Some(false)), (false, Some(true)), (false, None)] {
        let timing = Timing { interval: 5, timeout: 3, retries: 3, start: 60 };
        release.settings.health = Health::Port { timing, or_image };
        release.has_health_check = has_health_check;
        let asked = service(&release, &content()).unwrap();
        assert_eq!(asked.mounts, [PlatformMount::health_probe()]);
        let expected = ProgramCheck {
            argv: ["/.futuswarm-probe", "port", "9000", "3"].map(str::to_owned).to_vec(),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(4),
            retries: 3,
            start_period: Duration::from_secs(60),
            start_interval: Duration::from_secs(1),
        };
        assert_eq!(asked.health, HealthCheck::Program(expected));
    }
    release.settings.health = futuswarm_paas::settings::defaults().health;
    release.has_health_check = Some(true);
    let own = service(&release, &content()).unwrap();
    assert_eq!((own.mounts, own.health), (Vec::new(), HealthCheck::Image));
}

#[test]
fn a_hook_is_a_job_with_everything_of_the_app_but_its_place_at_the_edge() {
    let mut release = release();
    assert_eq!(hook(&release, &content()), None);
    release.settings.release_hook = Some(Hook { command: vec!["migrate".to_owned()], timeout: 60 });
    release.settings.memory = 64 << 20;
    let hook = hook(&release, &content()).unwrap();
    assert_eq!(hook.name, "hello_hook_7");
    assert!(hook.mode.is_job());
    assert_eq!(hook.command, ["migrate"]);
    assert!(hook.labels.keys().all(|label| !label.starts_with("com.df.")), "{:?}", hook.labels);
    assert_eq!(hook.networks.len(), 1);
    assert_eq!(hook.resources.memory_bytes, 64 << 20);
    assert!(futuswarm_model::app_name(&hook.name).is_err(), "no app can be called so");
}

#[test]
fn nobody_is_found_on_a_network_by_a_name_that_an_app_could_choose() {
    let mut release = release();
    release.settings.release_hook = Some(Hook { command: vec!["migrate".to_owned()], timeout: 60 });
    let content = Content { networks: ["own", "shared"].map(str::to_owned).to_vec(), ..content() };
    // A service is found by its own name and by `tasks.` before it, and only an alias could be the name of somebody else. The edge takes
    // the first network.
    let expected = ["own", "shared"].map(NetworkAttachment::new);
    assert!(expected.iter().all(|attachment| attachment.aliases.is_empty()));
    assert_eq!(service(&release, &content).unwrap().networks, expected);
    assert_eq!(hook(&release, &content).unwrap().networks, expected);
    assert_eq!(pull(&release).unwrap().networks, [], "what pulls an image reaches nobody");
}

#[test]
fn jobs_are_told_from_apps_by_their_names() {
    assert_eq!(job_of("hello_pull_12"), Some(("hello", 12)));
    assert_eq!(job_of("hello_hook_1"), Some(("hello", 1)));
    for name in ["hello", "hello_pull", "hello_pull_x", "hello_other_1", "_", ""] {
        assert_eq!(job_of(name), None, "{name}");
    }
}

#[test]
fn the_image_is_named_by_digest_at_the_nodes_own_registry() {
    let expected = format!("127.0.0.1:5000/hello@sha256:{}", "a".repeat(64));
    assert_eq!(image(&release()), Some(expected.clone()));
    assert_eq!(pull(&release()).unwrap().image, expected);
}
