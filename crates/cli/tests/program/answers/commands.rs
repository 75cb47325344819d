//! What every command asks for, and what it makes of the answer.

use super::{answer, cluster};

/// Every command that asks one thing: what it asks, as JSON names it, and words of what it prints for people.
const COMMANDS: &[(&str, &str, &str)] = &[
    ("whoami", "whoami", "apps.example.com"),
    ("cli version-check", "whoami", "offers another build of it: https://apps.example.com/cli/futuswarm"),
    ("app list", "apps", "not all tasks run"),
    ("acl:user:services joe", "apps-of", "hello"),
    ("app:inspect hello", "app", "sha256:aa"),
    ("ps hello", "app", "hello.1"),
    ("swarm node location -n hello", "app", "i-1"),
    ("browse hello", "app", "https://hello.apps.example.com"),
    ("open hello", "app", "https://hello.apps.example.com"),
    ("deploy hello -i hello:1 --plan", "deploy", "8000"),
    ("deploy hello -i hello:1", "deploy", "https://hello.apps.example.com"),
    ("app restart hello", "restart", "https://hello.apps.example.com"),
    ("scale hello 3", "scale", "https://hello.apps.example.com"),
    ("rollback hello", "rollback", "https://hello.apps.example.com"),
    ("watch hello", "watch", "https://hello.apps.example.com"),
    ("cancel hello", "cancel", "it is done"),
    ("app:remove hello --confirm hello", "remove", "it is done"),
    ("app:link hello shop", "link", "hello and shop are linked"),
    ("app link -a hello shop --detach", "link", "hello and shop are linked"),
    ("app:unlink hello shop", "link", "not linked any more"),
    ("app links hello", "links", "an owner of shop: futuswarm app:link shop hello"),
    ("app access list hello", "admit", "only these may use hello"),
    ("app:access:add user:joe@example.com -n hello", "admit", "user:ada@example.com"),
    ("app access rm hello group:ops", "admit", "group:staff"),
    ("app:open hello --confirm hello", "admit", "hello is open: the world may use it"),
    ("app private -a hello", "admit", "only these may use hello"),
    ("releases hello", "releases", "(of 5)"),
    ("why hello", "why", "look at its last lines"),
    ("config hello", "values", "KEY"),
    ("config hello --show", "values", "B=\"x \\\"\\n= 🦀\""),
    ("config:get hello A", "values", "a value \"🦀\""),
    ("config:set hello A=1", "change", "changed"),
    ("config:unset -a hello A", "change", "changed"),
    ("config:import hello --bucket old --plan", "import", "shop/docker-secret/KEY"),
    ("config:history hello", "history", "v2"),
    ("config:diff -a hello v1", "compare-versions", "removed"),
    ("secret hello", "values", "KEY"),
    ("secret:set hello A=1", "change", "changed"),
    ("secret:unset -a hello A", "change", "changed"),
    ("secret:history hello", "history", "v2"),
    ("acl user list -a hello", "access", "@ops"),
    ("acl:user:add joe -a hello --role viewer", "grant", "@ops"),
    ("acl:user:rm @ops -a hello", "revoke", "@ops"),
    ("tokens hello", "tokens", "ci"),
    ("tokens:revoke ci -a hello", "revoke-token", "ci"),
    ("users", "users", "SHA256:abc"),
    ("admin:list", "users", "SHA256:abc"),
    ("admin:user:set joe --admin true", "put-user", "SHA256:abc"),
    ("admin:user:rm joe", "remove-user", "it is done"),
    ("admin login", "login", "https://idp.example.com"),
    ("admin login locked", "login", "user:ada@example.com"),
    ("admin:login:lock user:ada@example.com group:staff", "login", "It counts at every edge within 2 s"),
    ("admin login unlock user:ada@example.com", "login", "until 8 hours after the provider"),
    ("admin:login:rotate", "login", "another one was asked for"),
    ("admin login rotate --now --confirm everybody", "login", "done since 1970-01-01"),
    ("admin:swarm:usage", "audit", "198.51.100.7"),
    ("admin:swarm:restart --yes", "restart-all", "it is done"),
    ("swarm:nodes", "nodes", "manager (leader)"),
    ("swarm:node:label:add disk=ssd --node i-1", "label-node", "disk=ssd"),
    ("swarm:node:label:rm disk --node i-1", "label-node", "disk=ssd"),
    ("image:list hello", "images", "sha256:aa"),
    ("image:gc --plan", "collect-images", "3 parts of images, 2.0 MB would go; 4 parts, 9 B stay"),
    ("image gc -a hello --keep 3 --wait 60", "collect-images", "0.9"),
    ("swarm:stats", "stats", "ready (drain)"),
    ("swarm network health", "networks", "10.128.3.0/24"),
    ("swarm:network:health -a hello", "networks", "none"),
    ("db list hello", "database", "7.5 MB"),
    ("db:create:postgres -n hello", "create-database", "DATABASE_URL"),
    ("db create hello --detach", "create-database", "DATABASE_URL"),
    ("db:rotate hello", "rotate-database", "DATABASE_URL"),
    ("db:backup hello", "back-up-database", "1796000000000-1f2e3d4c"),
    ("db:restore hello --confirm hello", "restore-database", "it is done"),
    ("db:drop:postgres -n hello --confirm hello", "drop-database", "it is done"),
];

#[test]
fn every_command_asks_for_what_it_says_and_shows_the_answer() {
    for (line, asked, part) in COMMANDS {
        let fake = cluster();
        let words: Vec<&str> = line.split(' ').collect();
        let said = fake.run(&words).ended(0);
        assert!(said.text().contains(part), "{line}: {part:?} is not in {said:?}");
        assert!(!said.text().contains('\u{1b}'), "{line}: {said:?}");
        let requests = fake.requests();
        assert_eq!(requests.len(), 1, "{line}: {requests:?}");
        assert_eq!(serde_json::to_value(&requests[0]).unwrap()["request"], *asked, "{line}");
    }
}

#[test]
fn every_command_prints_one_document_when_asked_to() {
    for (line, ..) in COMMANDS {
        let fake = cluster();
        let mut words = vec!["--json"];
        words.extend(line.split(' '));
        let said = fake.run(&words).ended(0);
        let document = said.json();
        // What is not made of several answers is the answer's own document.
        let wanted = serde_json::to_value(answer(&fake.requests()[0])).unwrap();
        if document != wanted["content"] {
            let own = [
                "deploy hello -i hello:1",
                "app restart",
                "scale",
                "rollback",
                "watch",
                "why",
                "browse",
                "open",
                "ps",
                "swarm node",
                "cli",
                "cancel",
                "app:remove",
                "admin:user:rm",
                "admin:swarm:restart",
                "db:restore",
                "db:drop",
            ];
            assert!(own.iter().any(|own| line.starts_with(own)), "{line}: {document} is not {wanted}");
        }
    }
}

#[test]
fn a_node_is_a_line_of_json() {
    let said = cluster().run(&["node", "json"]).ended(0);
    let lines: Vec<&str> = said.text().lines().collect();
    assert_eq!(lines.len(), 1);
    assert_eq!(serde_json::from_str::<serde_json::Value>(lines[0]).unwrap()["name"], "i-1");
}
