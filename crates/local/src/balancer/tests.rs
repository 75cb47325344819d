//! HAProxy's configuration: what is rendered, and that HAProxy takes it.

use futuswarm_tools::ToolsTree;

use super::*;
use crate::ca::Authority;

fn pool(name: &str, servers: &[(&str, &str)]) -> Pool {
    let check = Check {
        path: Some("/status".to_owned()),
        port: None,
        matcher: "200-299".to_owned(),
        interval: 5,
        timeout: 2,
        rise: 2,
        fall: 2,
    };
    let server =
        |(id, address): &(&str, &str)| Server { id: (*id).to_owned(), address: (*address).to_owned(), port: 80 };
    let servers: Vec<Server> = servers.iter().map(server).collect();
    Pool { name: name.to_owned(), check, tls: false, targets: servers.len(), servers }
}

fn to_https() -> Action {
    Action::Redirect(Redirect {
        protocol: "HTTPS".to_owned(),
        host: "#{host}".to_owned(),
        port: "443".to_owned(),
        path: "/#{path}".to_owned(),
        query: "#{query}".to_owned(),
        code: 301,
    })
}

fn model(certificates: &[&str]) -> Model {
    let forward = || Action::Forward("local-edge".to_owned());
    let fixed = Action::Fixed {
        status: "404".to_owned(),
        content_type: "text/plain".to_owned(),
        body: "\"no\" such $app: 100 %\n".to_owned(),
    };
    let elsewhere = Action::Redirect(Redirect {
        protocol: "#{protocol}".to_owned(),
        host: "www.#{host}".to_owned(),
        port: "#{port}".to_owned(),
        path: "/old/#{path}".to_owned(),
        query: "from=100%&#{query}".to_owned(),
        code: 302,
    });
    let rule = |hosts: &[&str], paths: &[&str], action| Rule {
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        action,
    };
    let http = Listener {
        balancer: "local".to_owned(),
        port: 80,
        certificates: Vec::new(),
        rules: Vec::new(),
        default: to_https(),
    };
    let https = Listener {
        port: 443,
        certificates: certificates.iter().map(|path| (*path).to_owned()).collect(),
        rules: vec![
            rule(&["*.Open.example.com", "a+b.example.com"], &["/x/*"], Action::Forward("second".to_owned())),
            rule(&[], &["/gone?"], fixed),
            rule(&["old.example.com"], &[], elsewhere),
        ],
        default: forward(),
        ..http.clone()
    };
    let mut second = pool("second", &[]);
    second.check = Check { path: None, port: Some(8080), ..second.check };
    second.tls = true;
    Model {
        http_port: 8080,
        https_port: 8443,
        netns: "fsw-local".to_owned(),
        socket: "/tmp/fsw.sock".to_owned(),
        listeners: vec![http, https],
        pools: vec![pool("local-edge", &[("i-1", "10.42.0.4"), ("i-2", "10.42.16.4")]), second],
    }
}

fn plain() -> Model {
    let mut plain = model(&[]);
    plain.listeners.truncate(1);
    plain.listeners[0].default = Action::Forward("local-edge".to_owned());
    plain.pools.truncate(1);
    plain
}

#[test]
fn the_configuration_of_a_cluster() {
    insta::assert_snapshot!(plain().render().unwrap());
}

#[test]
fn the_configuration_with_tls_rules_and_redirects() {
    insta::assert_snapshot!(model(&["/state/balancer/one.pem", "/state/balancer/two.pem"]).render().unwrap());
}

#[test]
fn the_configuration_before_there_is_a_cluster() {
    let nothing = Model { listeners: Vec::new(), pools: Vec::new(), ..plain() };
    insta::assert_snapshot!(nothing.render().unwrap());
}

#[test]
fn haproxy_accepts_the_configuration() {
    let tools = ToolsTree::locate().expect("`cargo xtask test` makes the tools tree");
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::make(dir.path(), "local").unwrap();
    let (certificate, key) = authority.issue(&["apps.localhost".to_owned(), "*.apps.localhost".to_owned()]).unwrap();
    let file = dir.path().join("one.pem");
    std::fs::write(&file, format!("{certificate}{key}")).unwrap();
    let mut other_default = model(&[&file.to_string_lossy()]);
    other_default.listeners[1].default = to_https();
    let nothing = Model { listeners: Vec::new(), pools: Vec::new(), ..plain() };
    for model in [plain(), model(&[&file.to_string_lossy()]), other_default, nothing] {
        let path = dir.path().join("haproxy.cfg");
        std::fs::write(&path, model.render().unwrap()).unwrap();
        let output = tools.command("haproxy").unwrap().arg("-c").arg("-f").arg(&path).output().unwrap();
        // The namespace of the golden configuration does not exist here, and HAProxy looks.
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(accepts(output.status.success(), &text), "{text}\n{}", model.render().unwrap());
        assert!(!text.contains("[WARNING]"), "{text}");
    }
}

/// Whether HAProxy has nothing against a configuration but that this machine lacks its namespace, which it must then name.
fn accepts(success: bool, text: &str) -> bool {
    let alerts: Vec<&str> = text.lines().filter(|line| line.contains("[ALERT]")).collect();
    let namespace = |line: &&&str| line.contains("namespace");
    let summary = |line: &&&str| line.contains("Error(s) found") || line.contains("Fatal errors");
    let others = alerts.iter().filter(|line| !namespace(line) && !summary(line)).count();
    success || (others == 0 && alerts.iter().any(|line| namespace(&line)))
}

#[test]
fn a_haproxy_that_did_not_run_has_accepted_nothing() {
    let namespace = "[ALERT] (1) : config : parsing [x:3] : 'server local/i-1' : Cannot open namespace 'fsw-local'.";
    let fatal = "[ALERT] (1) : config : Fatal errors found in configuration.";
    let other = "[ALERT] (1) : config : parsing [x:9] : unknown keyword 'x'";
    for (success, lines, accepted) in [
        (true, vec![], true),
        (false, vec![namespace, fatal], true),
        (false, vec![], false),
        (false, vec!["haproxy: error while loading shared libraries"], false),
        (false, vec![fatal], false),
        (false, vec![namespace, other, fatal], false),
    ] {
        assert_eq!(accepts(success, &lines.join("\n")), accepted, "{lines:?}");
    }
}
