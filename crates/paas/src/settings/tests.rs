//! Files of apps: what they may say, what is told of those that say something else.

use super::*;

fn problems(text: &str) -> Vec<String> {
    parse(text).unwrap_err().iter().map(ToString::to_string).collect()
}

const FULL: &str = r#"
app = "hello"
image = "hello:1.2"
command = ["serve", "--port", "9000"]
port = 9000
replicas = 3
memory = "1 GiB"
cpu = 0.25
stop_grace = "1m"
update_order = "stop-first"
read_only = true

[health]
path = "/healthz"
interval = 2
timeout = "1s"
retries = 5
start = "90s"

[release]
command = ["migrate"]
timeout = "5m"

[env]
LOG = "debug"

[placement]
"futuswarm.zone" = "eu-west-1a"

[edge]
"com.df.servicePath" = "/api"
"#;

#[test]
fn an_empty_file_is_an_app_with_defaults() {
    assert_eq!(parse("").unwrap(), AppFile { app: None, image: None, settings: defaults() });
}

#[test]
fn everything_that_a_file_may_say() {
    let file = parse(FULL).unwrap();
    assert_eq!((file.app.as_deref(), file.image.as_deref()), (Some("hello"), Some("hello:1.2")));
    let settings = file.settings;
    assert_eq!((settings.port, settings.replicas, settings.memory, settings.cpu_millis), (9000, 3, 1 << 30, 250));
    assert_eq!(settings.stop_grace, 60);
    let timing = Timing { interval: 2, timeout: 1, retries: 5, start: 90 };
    assert_eq!(settings.health, Health::Http { path: "/healthz".to_owned(), timing });
    assert_eq!(settings.release_hook, Some(Hook { command: vec!["migrate".to_owned()], timeout: 300 }));
    // Whatever differs from the defaults is told, so nothing that the file says is lost on the way.
    let told: Vec<String> = differences(&defaults(), &settings).into_iter().map(|difference| difference.name).collect();
    insta::assert_snapshot!(told.join(" "), @"command port replicas memory cpu health release stop_grace update_order read_only env.LOG placement.futuswarm.zone edge.com.df.servicePath");
    assert!(differences(&settings, &settings).is_empty());
}

#[test]
fn the_port_is_asked_unless_the_file_says_something_else() {
    let timing = |interval, start| Timing { interval, timeout: 3, retries: 3, start };
    let health = |text: &str| parse(text).unwrap().settings.health;
    assert_eq!(health("port = 9000\n"), Health::Port { timing: timing(10, 60), or_image: true });
    assert_eq!(health("[health]\nport = true\n"), Health::Port { timing: timing(10, 60), or_image: false });
    let slow = health("[health]\nport = true\ninterval = 2\nstart = \"2m\"\n");
    assert_eq!(slow, Health::Port { timing: timing(2, 120), or_image: false });
    let path = Health::Http { path: "/".to_owned(), timing: timing(10, 30) };
    assert_eq!(health("[health]\npath = \"/\"\n"), path);
    for wrong in
        ["port = false", "port = true\nimage = true", "port = true\nruns = 5", "port = true\npath = \"/\"", "start = 5"]
    {
        let told = problems(&format!("[health]\n{wrong}\n"));
        assert!(told.len() == 1 && told[0].contains("health has one of: path = \"/…\", port = true, "), "{told:?}");
    }
    // What only says so in words is a difference, too: the image's own check does not count any more.
    let said = Settings { health: health("[health]\nport = true\n"), ..defaults() };
    let told = differences(&defaults(), &said);
    let asked =
        "it accepts connections at its port, every 10 s, 3 s for an answer, 3 bad ones in a row, not in the first 60 s";
    assert_eq!((told.len(), told[0].name.as_str(), told[0].after.as_str()), (1, "health", asked));
    assert_eq!(told[0].before, format!("the image's own HEALTHCHECK, or without one: {asked}"));
}

#[test]
fn every_problem_is_told_with_its_line() {
    let text = "app = \"He llo\"\nport = 0\nreplicas = -1\nmemory = \"1 kB\"\ncpu = \"much\"\nstop_grace = \"1d\"\nupdate_order = \"both\"\n\
        image = \"a b\"\ncommand = [\"\"]\n[env]\n\"A B\" = \"x\"\n[edge]\n\"traefik.enable\" = \"true\"\n[health]\npath = \"no\"\nimage = true\n[release]\ncommand = []\n";
    insta::assert_snapshot!(problems(text).join("\n"));
}

#[test]
fn what_the_edge_is_asked_for_begins_in_one_of_two_ways() {
    let file = parse("[edge]\n\"com.df.httpsOnly\" = \"true\"\n\"com.futuswarm.maintenance\" = \"true\"\n").unwrap();
    let labels: Vec<&String> = file.settings.edge_labels.keys().collect();
    assert_eq!(labels, ["com.df.httpsOnly", "com.futuswarm.maintenance"]);
    let told = problems("[edge]\n\"com.futuswar.maintenance\" = \"true\"\n");
    assert!(told.len() == 1 && told[0].starts_with("line 2: \"com.futuswar.maintenance\""), "{told:?}");
}

#[test]
fn options_of_docker_are_none_of_an_apps() {
    for option in [
        "privileged = true",
        "volumes = [\"/:/host\"]",
        "network = \"host\"",
        "cap_add = [\"ALL\"]",
        "extra = \"-v /:/h\"",
    ] {
        let told = problems(&format!("port = 1\n{option}\n"));
        assert!(told.len() == 1 && told[0].starts_with("line 2: unknown field"), "{told:?}");
        assert!(told[0].contains("no mounts, no host network, no capabilities"), "{told:?}");
    }
    assert!(problems("port = \n")[0].starts_with("line 1: "));
    assert!(problems("[health]\n")[0].contains("health has one of"));
}

#[test]
fn a_file_can_neither_open_an_app_nor_close_it_and_says_what_does() {
    for value in ["true", "false", "1"] {
        let told = problems(&format!("port = 80\nopen = {value}\n"));
        assert!(told.len() == 1 && told[0].starts_with("line 2: `open` is no key of the file"), "{told:?}");
        assert!(told[0].contains("`futuswarm app:open APP`"), "{told:?}");
    }
    let told = problems("[health]\nopen = true\n");
    assert!(told.len() == 1 && told[0].contains("unknown field `open`"), "{told:?}");
}

#[test]
fn whatever_a_file_says_is_read_or_refused() {
    let words = [
        "app", "=", "\"", "[health]", "\n", "path", "9", "env", "[", "]", "{", "}", "'", ".", "-1", "🦀", "\0", "true",
        "[[env]]",
    ];
    for seed in 0..20_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let text: String = (0..random.usize(0..14)).map(|_| words[random.usize(..words.len())]).collect();
        if let Err(problems) = parse(&text) {
            assert!(
                !problems.is_empty() && problems.iter().all(|problem| problem.line <= text.lines().count().max(1) + 1),
                "{text:?}"
            );
        }
    }
}

#[test]
fn a_file_that_no_service_could_hold_is_refused() {
    let long = problems(&format!("[env]\nA = \"{}\"\n", "x".repeat(crate::config::LONGEST_ENTRY)));
    assert!(long.len() == 1 && long[0].starts_with("line 2: A: "), "{long:?}");
    let whole = problems(&"#".repeat(LONGEST_FILE + 1));
    assert!(whole.len() == 1 && whole[0].contains("bytes long"), "{whole:?}");
    parse(&"#".repeat(LONGEST_FILE)).unwrap();
}

#[test]
fn many_variables_are_compared_and_many_problems_told_in_no_time() {
    let began = std::time::Instant::now();
    let file = |first: u32| -> String {
        "[env]\n".to_owned() + &(first..first + 50_000).map(|key| format!("A{key} = ''\n")).collect::<String>()
    };
    let (one, other) = (parse(&file(0)).unwrap().settings, parse(&file(50_000)).unwrap().settings);
    assert_eq!(differences(&one, &other).len(), 100_000);
    let wrong = "[env]\n".to_owned() + &(0..50_000).map(|key| format!("{key} = ''\n")).collect::<String>();
    assert_eq!(problems(&wrong).len(), MOST_PROBLEMS);
    // Each with each would take minutes.
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}
