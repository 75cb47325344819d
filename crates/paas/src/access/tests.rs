//! Every verb for everybody, as a table; and what must hold whatever the table says.

use super::*;

const NOW: u64 = 1_000;

fn person(name: &str, admin: bool, groups: &[&str]) -> Actor {
    Actor::User { name: name.to_owned(), admin, groups: groups.iter().map(|group| (*group).to_owned()).collect() }
}

fn with_token(app: &str, expires_at: u64) -> Actor {
    Actor::Token { name: "ci".to_owned(), app: app.to_owned(), expires_at }
}

fn list() -> AccessList {
    let mut list = AccessList::owned_by("owner");
    list.grant("deployer".parse().unwrap(), Deployer).unwrap();
    list.grant("@viewers".parse().unwrap(), Viewer).unwrap();
    list
}

/// Who asks, from nobody to everything.
fn actors() -> Vec<(&'static str, Actor)> {
    vec![
        ("stranger", person("stranger", false, &["others"])),
        ("viewer", person("viewer", false, &["viewers"])),
        ("deployer", person("deployer", false, &[])),
        ("owner", person("owner", false, &[])),
        ("admin", person("admin", true, &[])),
        ("token", with_token("hello", NOW + 1)),
        ("old token", with_token("hello", NOW)),
        ("token of another", with_token("other", NOW + 1)),
    ]
}

#[test]
fn every_verb_for_everybody() {
    let access = list();
    let mut table = String::new();
    for (title, target) in [
        ("of an app", Target::App { name: "hello", access: &access }),
        ("of a name that no app has", Target::NewApp { name: "hello" }),
        ("of an app of the platform", Target::App { name: "mainpage", access: &access }),
        ("of a name of the platform", Target::NewApp { name: "mainpage" }),
        ("of the cluster", Target::Cluster),
    ] {
        table.push_str(&format!("{title}\n"));
        for verb in Verb::ALL {
            let allowed: Vec<&str> = actors()
                .iter()
                .filter(|(_, actor)| decide(actor, *verb, target, NOW).is_ok())
                .map(|(name, _)| *name)
                .collect();
            table.push_str(&format!("  {:22} {}\n", verb.command(), allowed.join(", ")));
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_higher_role_may_never_less() {
    let access = list();
    let target = Target::App { name: "hello", access: &access };
    let people: Vec<Actor> = actors().into_iter().take(5).map(|(_, actor)| actor).collect();
    for verb in Verb::ALL.iter().filter(|verb| matches!(verb.requirement(), Role(_))) {
        let may: Vec<bool> = people.iter().map(|actor| decide(actor, *verb, target, NOW).is_ok()).collect();
        assert!(may.is_sorted(), "{}: {may:?}", verb.command());
        assert!(!may[0], "a stranger may {}", verb.command());
        assert!(may[4], "an admin may not {}", verb.command());
    }
}

#[test]
fn an_app_without_rows_is_nobodys_and_not_everybodys() {
    let nobody = AccessList::default();
    for verb in Verb::ALL {
        let target = Target::App { name: "hello", access: &nobody };
        assert!(decide(&person("owner", false, &["viewers"]), *verb, target, NOW).is_err(), "{}", verb.command());
    }
}

#[test]
fn no_app_takes_the_name_of_the_managers() {
    for actor in [person("joe", false, &[]), person("admin", true, &[])] {
        let denied = decide(&actor, Verb::Deploy, Target::NewApp { name: "ssh" }, NOW).unwrap_err().to_string();
        assert!(denied.contains("leads to the managers"), "{denied}");
        assert!(decide(&actor, Verb::Deploy, Target::NewApp { name: "ssh2" }, NOW).is_ok());
    }
}

#[test]
fn no_app_takes_the_name_of_a_service_of_the_platform() {
    let access = list();
    for actor in [person("joe", false, &[]), person("admin", true, &[])] {
        for verb in Verb::ALL.iter().filter(|verb| verb.begins_an_app()) {
            let denied = decide(&actor, *verb, Target::NewApp { name: "mainpage" }, NOW).unwrap_err().to_string();
            assert!(denied.contains("choose another name for an app"), "{denied}");
        }
        // One that is there from before gets no other release.
        let there = Target::App { name: "mainpage", access: &access };
        for verb in [Verb::Deploy, Verb::Rollback, Verb::Scale, Verb::Restart, Verb::WriteConfig, Verb::WriteSecrets] {
            assert!(decide(&actor, verb, there, NOW).is_err(), "{}", verb.command());
        }
    }
    let admin = person("admin", true, &[]);
    assert!(decide(&admin, Verb::Logs, Target::NewApp { name: "mainpage" }, NOW).is_ok());
    assert!(decide(&admin, Verb::Remove, Target::App { name: "mainpage", access: &access }, NOW).is_ok());
    assert!(decide(&person("joe", false, &[]), Verb::Logs, Target::NewApp { name: "mainpage" }, NOW).is_err());
}

#[test]
fn a_token_does_nothing_that_a_deployer_may_not_and_reads_no_value() {
    let access = list();
    let target = Target::App { name: "hello", access: &access };
    for verb in Verb::ALL {
        if decide(&with_token("hello", NOW + 1), *verb, target, NOW).is_ok() {
            assert!(decide(&person("deployer", false, &[]), *verb, target, NOW).is_ok(), "{}", verb.command());
            assert!(!matches!(verb, Verb::ReadConfig | Verb::ReadSecrets | Verb::Shell | Verb::Run));
        }
    }
    for target in [Target::Cluster, Target::NewApp { name: "hello" }] {
        for verb in Verb::ALL {
            assert!(decide(&with_token("hello", NOW + 1), *verb, target, NOW).is_err(), "{}", verb.command());
        }
    }
}

#[test]
fn whoever_is_denied_reads_what_is_missing_and_whom_to_ask() {
    let access = list();
    let target = Target::App { name: "hello", access: &access };
    let denied = decide(&person("joe", false, &["viewers"]), Verb::Deploy, target, NOW).unwrap_err().to_string();
    assert_eq!(
        denied,
        "app:deploy is not allowed with hello: it takes the role deployer, and you are viewer; ask an owner (owner) for `futuswarm acl:user:add joe --role deployer -a hello`"
    );
    let denied = decide(&person("joe", false, &[]), Verb::ChangeUsers, Target::Cluster, NOW).unwrap_err().to_string();
    assert_eq!(denied, "admin:user:add is not allowed: only admins may; `futuswarm admin:list` names them");
    let denied = decide(&person("joe", false, &[]), Verb::Logs, Target::NewApp { name: "helo" }, NOW);
    assert_eq!(denied.unwrap_err().to_string(), "app:logs is not allowed with helo: there is no app helo");
    let nobodys = Target::App { name: "hello", access: &AccessList::default() };
    let denied = decide(&person("joe", false, &[]), Verb::Scale, nobodys, NOW).unwrap_err().to_string();
    assert!(denied.contains("nobody owns it, so ask an admin (`futuswarm admin:list` names them) for"), "{denied}");
}

#[test]
fn the_command_that_was_given_is_refused_and_its_verb_decides() {
    let access = list();
    let target = Target::App { name: "hello", access: &access };
    let command = Command { verb: Verb::ChangeAccess, name: "acl:user:rm" };
    let denied = decide(&person("deployer", false, &[]), command, target, NOW).unwrap_err();
    assert_eq!(denied.command, "acl:user:rm");
    let denied = denied.to_string();
    assert!(denied.starts_with("acl:user:rm is not allowed with hello: it takes the role owner"), "{denied}");
    assert!(decide(&person("owner", false, &[]), command, target, NOW).is_ok());
}
