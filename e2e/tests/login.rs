//! The login of the private domain from end to end: a certified provider, Chromium, and the edges of two virtual machines.
#![expect(clippy::print_stderr, reason = "where the screenshots are, and how fast a change was seen")]

mod login {
    pub mod browser;
    pub mod programs;
    pub mod provider;
}

#[expect(dead_code, reason = "the steps of bats are for other tests")]
#[path = "apps/developers.rs"]
mod developers;

use std::time::{Duration, Instant};

use developers::Developers;
use futuswarm_testkit::{Cluster, texts};
use login::browser::Browser;
use login::programs::Programs;
use login::provider::{Provider, SECRET};
use serde_json::{Value, json};

/// Emulated machines take minutes to serve an app, and longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);
/// A change of an app's list is on every edge 2 s after it was answered; this is for the browser and for processors that are shared.
const LIVE: Duration = Duration::from_secs(20);
/// Everybody is let in; Ada alone; the world.
const ONE: &str = "https://one.apps.localhost";
const TWO: &str = "https://two.apps.localhost";
const THREE: &str = "https://three.apps.localhost";
/// The third one where no login is in front.
const OPEN: &str = "https://three.open.localhost";
const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";

struct Rehearsal<'cluster> {
    cluster: &'cluster Cluster,
    developers: &'cluster Developers<'cluster>,
    provider: Provider,
    browser: Browser,
}

#[test]
#[ignore = "boots two virtual machines: `cargo xtask test --long` runs it"]
fn people_come_in_by_the_companys_login() {
    let cluster = Cluster::of("local-login");
    cluster.must(&["destroy-cluster"]);
    // What is compiled or fetched is there before machines run.
    let developers = Developers::of(&cluster);
    let programs = Programs::ready(cluster.root());
    // The provider is in the world before the cluster is.
    cluster.local(&["up"]);
    let provider = Provider::start(&cluster, &programs);
    cluster.must(&["deploy-cluster"]);
    cluster.must_with_input(&["login", "secret"], SECRET);
    let screenshots = cluster.root().join("target/login");
    let browser = Browser::start(&cluster, &programs, &provider, &screenshots);
    let mut rehearsal = Rehearsal { cluster: &cluster, developers: &developers, provider, browser };
    rehearsal.deploy_apps();
    rehearsal.wait_for_every_edge();

    rehearsal.somebody_signs_in_and_the_app_sees_who_it_is();
    rehearsal.the_session_is_a_cookie_of_one_host_that_no_script_reads();
    rehearsal.a_second_app_asks_nobody_again_and_takes_no_session_of_another();
    rehearsal.who_is_off_the_list_is_refused_and_sees_why();
    rehearsal.pages_of_another_app_change_nothing();
    rehearsal.web_sockets_echo_on_both_domains();
    rehearsal.what_is_open_is_open_and_nothing_else();
    rehearsal.who_is_locked_out_is_refused_with_a_session_from_before();
    rehearsal.a_provider_that_fails_disturbs_nobody_who_is_signed_in();
    rehearsal.who_signs_out_is_asked_again();
    rehearsal.a_sign_in_goes_on_while_an_edge_that_began_it_is_killed();
    eprintln!("screenshots are in {}", screenshots.display());
    drop(rehearsal);
    cluster.must(&["destroy-cluster"]);
}

/// What an app says that it got under a header: every value.
fn got(seen: &Value, header: &str) -> Value {
    seen["says"]["headers"][header].clone()
}

fn assert_visitor(seen: &Value, email: &str) {
    assert_eq!(seen["status"], 200, "{email} is let in: {seen}");
    assert_eq!(got(seen, "remote-user"), json!([email]), "the app is told once who asks: {seen}");
    assert_eq!(got(seen, "remote-email"), json!([email]), "and the address: {seen}");
}

fn visitor(app: &str) -> String {
    format!("{app}/visitor")
}

impl Rehearsal<'_> {
    /// The command line of an owner of the apps, who is an admin as well.
    fn jane(&self, words: &[&str]) -> String {
        let output = self.developers.futuswarm("jane").args(words).output().unwrap();
        assert!(output.status.success(), "futuswarm {}: {:?}", words.join(" "), texts(&output));
        texts(&output).0
    }

    fn deploy_apps(&self) {
        self.developers.come();
        let dir = self.developers.folder();
        let key = dir.join("jane/key.pub");
        self.cluster.must(&["user", "add", "jane", "--key", key.to_str().unwrap(), "--admin"]);
        let archive = dir.join("hello-1.tar");
        // Of the first app each node may have a task, so that it is served when one of them dies.
        for (app, replicas) in [("one", 2), ("two", 1), ("three", 1)] {
            let settings = dir.join(format!("{app}.toml"));
            let text = format!(
                "app = \"{app}\"\nreplicas = {replicas}\nmemory = \"32 MiB\"\nstop_grace = 2\n\
                 [health]\npath = \"/health\"\ninterval = 30\nstart = 20\n"
            );
            std::fs::write(&settings, text).unwrap();
            let image = format!("{app}:1");
            self.jane(&["image:push", &image, "--archive", archive.to_str().unwrap()]);
            self.jane(&["deploy", app, "-i", &image, "-f", settings.to_str().unwrap()]);
        }
        self.jane(&["app:access:add", "two", &format!("user:{ADA}")]);
        self.jane(&["app:open", "three", "--confirm", "three"]);
    }

    /// Both edges: the load balancer asks them in turns.
    fn wait_for_every_edge(&mut self) {
        let browser = &mut self.browser;
        self.cluster.wait("the provider's question at an app, four times in a row", PATIENCE, || {
            (0..4).all(|_| {
                let asked = browser.try_go("nobody", "open", json!({ "url": ONE }));
                browser.forget("nobody");
                asked.is_ok_and(|seen| seen["asked"] == true)
            })
        });
        for app in [THREE, OPEN] {
            self.cluster.wait("the app that is open, four times in a row", PATIENCE, || {
                (0..4).all(|_| {
                    let seen = browser.try_go("nobody", "open", json!({ "url": visitor(app) }));
                    seen.is_ok_and(|seen| seen["status"] == 200)
                })
            });
        }
        browser.forget("nobody");
    }

    fn somebody_signs_in_and_the_app_sees_who_it_is(&mut self) {
        let url = format!("{}?x=1&y=%2F", visitor(ONE));
        let seen = self.browser.sign_in("ada", &url);
        assert_eq!(seen["asked"], true, "the provider asks who it is: {seen}");
        assert_eq!(seen["url"], url.as_str(), "who has signed in is where they wanted to be");
        assert_eq!(seen["says"]["path"], "/visitor?x=1&y=%2F", "to the letter: {seen}");
        assert_visitor(&seen, ADA);
        assert_eq!(got(&seen, "remote-groups"), json!(["staff|editors"]), "{seen}");
        for gone in ["cookie", "x-edge-user", "x-edge-groups"] {
            assert_eq!(got(&seen, gone), Value::Null, "the app does not get {gone}: {seen}");
        }
        self.browser.screenshot("ada", "signed-in");
        let again = self.browser.open("ada", &visitor(ONE));
        assert_eq!(again["asked"], false, "nobody is asked twice");
        assert_visitor(&again, ADA);
    }

    fn the_session_is_a_cookie_of_one_host_that_no_script_reads(&mut self) {
        let at = |browser: &mut Browser, app: &str| browser.go("ada", "cookies", json!({ "url": app }));
        let cookies = at(&mut self.browser, ONE);
        let [cookie] = &cookies.as_array().unwrap()[..] else {
            panic!("one cookie of the login, and none of a sign-in that is over: {cookies}")
        };
        for (key, expected) in [
            ("name", json!("__Host-sso")),
            // Without a dot before it: this host, and none below.
            ("domain", json!("one.apps.localhost")),
            ("path", json!("/")),
            ("secure", json!(true)),
            ("httpOnly", json!(true)),
            ("sameSite", json!("Lax")),
            // Gone with the browser.
            ("expires", json!(-1)),
        ] {
            assert_eq!(cookie[key], expected, "{key} of {cookie}");
        }
        assert_eq!(at(&mut self.browser, TWO), json!([]), "no other host has it");
        let script = self.browser.go("ada", "script", json!({}));
        assert_eq!(script["cookies"], "", "a script reads none of it");
        assert_eq!(at(&mut self.browser, TWO), json!([]), "nor does it make one for all apps");
        let seen = self.browser.open("ada", &visitor(ONE));
        assert_visitor(&seen, ADA);
    }

    fn a_second_app_asks_nobody_again_and_takes_no_session_of_another(&mut self) {
        let stolen = json!({ "from": ONE, "to": visitor(TWO) });
        let refused = self.browser.go("ada", "replay", stolen);
        assert_eq!(refused["cookies"], 1, "a session was shown: {refused}");
        assert_eq!(refused["status"], 401, "the session of one app is worth nothing at another: {refused}");
        assert_eq!(refused["says"], Value::Null, "the app was not asked: {refused}");
        let open = self.browser.go("ada", "replay", json!({ "from": ONE, "to": visitor(THREE) }));
        assert_eq!(open["status"], 200, "{open}");
        for gone in ["remote-user", "cookie"] {
            assert_eq!(got(&open, gone), Value::Null, "an open app gets neither a name nor the session: {open}");
        }
        // The same cookies where they are from: what was refused was refused for the host.
        let own = self.browser.go("ada", "replay", json!({ "from": ONE, "to": visitor(ONE) }));
        assert_visitor(&own, ADA);
        let seen = self.browser.open("ada", &visitor(TWO));
        assert_eq!(seen["asked"], false, "the provider knows her");
        assert_visitor(&seen, ADA);
    }

    fn who_is_off_the_list_is_refused_and_sees_why(&mut self) {
        let seen = self.browser.sign_in("bob", &visitor(TWO));
        assert_eq!((&seen["asked"], &seen["status"]), (&json!(true), &json!(403)), "{seen}");
        let text = seen["text"].as_str().unwrap();
        assert!(text.contains(BOB) && text.contains("it@company.example"), "who he is and whom to ask: {text}");
        assert_eq!(seen["says"], Value::Null, "the app was not asked: {seen}");
        self.browser.screenshot("bob", "refused");
        let elsewhere = self.browser.open("bob", &visitor(ONE));
        assert_visitor(&elsewhere, BOB);

        for (verb, status) in [("app:access:add", 200), ("app:access:rm", 403)] {
            self.jane(&[verb, "two", &format!("user:{BOB}")]);
            self.soon(verb, "bob", TWO, status);
        }
        let seen = self.browser.open("ada", &visitor(TWO));
        assert_visitor(&seen, ADA);
    }

    /// Waits until somebody gets this status four times in a row, so at each edge.
    fn soon(&mut self, what: &str, person: &str, app: &str, status: u16) {
        let (changed, url) = (Instant::now(), visitor(app));
        let mut seen = Value::Null;
        while !(0..4).all(|_| {
            seen = self.browser.open(person, &url);
            seen["status"] == status
        }) {
            assert!(changed.elapsed() < LIVE, "{what}: {person} still does not get {status}: {seen}");
        }
        eprintln!("{what}: seen after {:.1} s at the latest", changed.elapsed().as_secs_f64());
    }

    fn pages_of_another_app_change_nothing(&mut self) {
        // Of the second app there is one task, so that its count is one.
        let posts = |seen: &Value| seen["says"]["posts"].as_u64().unwrap();
        let before = posts(&self.browser.open("ada", &visitor(TWO)));
        self.browser.open("ada", &visitor(ONE));
        let own = self.browser.go("ada", "script", json!({ "other": TWO }));
        assert_eq!(own["own"], 200, "a page may ask its own app to change something: {own}");
        let seen = self.browser.open("ada", &visitor(TWO));
        assert_eq!(posts(&seen), before, "a page of another app may not: {seen}");
        let own = self.browser.go("ada", "script", json!({}));
        assert_eq!(own["own"], 200, "{own}");
        let seen = self.browser.open("ada", &visitor(TWO));
        assert_eq!(posts(&seen), before + 1, "the count is one of what arrives: {seen}");
    }

    fn web_sockets_echo_on_both_domains(&mut self) {
        let words = "to and fro";
        let socket = |app: &str| json!({ "url": format!("{}/ws", app.replacen("https", "wss", 1)), "words": words });
        self.browser.open("ada", &visitor(ONE));
        let said = self.browser.go("ada", "webSocket", socket(ONE));
        assert_eq!(said["heard"], json!([format!("user={ADA}"), words]), "the private domain: {said}");
        let foreign = self.browser.go("ada", "webSocket", socket(TWO));
        assert_eq!(foreign, json!({ "heard": [], "how": "refused" }), "a page of another app opens none");
        for app in [THREE, OPEN] {
            self.browser.open("nobody", &visitor(app));
            let said = self.browser.go("nobody", "webSocket", socket(app));
            assert_eq!(said["heard"], json!(["user=", words]), "{app}: {said}");
        }
        self.browser.forget("nobody");
    }

    fn what_is_open_is_open_and_nothing_else(&mut self) {
        let seen = self.browser.open("nobody", &visitor(OPEN));
        assert_eq!((&seen["status"], &got(&seen, "remote-user")), (&json!(200), &Value::Null), "{seen}");
        for closed in ["https://one.open.localhost", "https://nosuch.open.localhost", "https://nosuch.apps.localhost"] {
            let seen = self.browser.open("nobody", &visitor(closed));
            assert_eq!((&seen["status"], &seen["says"]), (&json!(404), &Value::Null), "{closed}: {seen}");
        }
        self.browser.screenshot("nobody", "no-such-app");
        self.browser.forget("nobody");
    }

    fn who_is_locked_out_is_refused_with_a_session_from_before(&mut self) {
        for (verb, status) in [("admin:login:lock", 403), ("admin:login:unlock", 200)] {
            self.jane(&[verb, &format!("user:{BOB}")]);
            self.soon(verb, "bob", ONE, status);
            let seen = self.browser.open("ada", &visitor(ONE));
            assert_visitor(&seen, ADA);
        }
    }

    fn a_provider_that_fails_disturbs_nobody_who_is_signed_in(&mut self) {
        let url = visitor(ONE);
        for fault in [json!({ "away": true }), json!({ "slowMilliseconds": 20_000 })] {
            self.provider.faults(&fault);
            self.provider.asked();
            let seen = self.browser.open("ada", &url);
            assert_visitor(&seen, ADA);
            assert_eq!(self.provider.asked(), json!({}), "nobody asks the provider about her ({fault})");
        }
        self.provider.faults(&json!({ "away": true }));
        self.browser.forget("bob");
        let away = self.browser.try_go("bob", "open", json!({ "url": url }));
        assert!(away.is_err(), "a browser is sent to a provider that is not there: {away:?}");

        // More than ten minutes are no matter of taste.
        self.provider.faults(&json!({ "skewSeconds": 660 }));
        self.browser.forget("bob");
        let skewed = self.browser.sign_in("bob", &url);
        assert_eq!(skewed["status"], 400, "{skewed}");
        assert_eq!(skewed["title"], "Sign-in not completed", "{skewed}");
        self.browser.screenshot("bob", "not-completed");

        self.provider.faults(&json!({}));
        self.provider.rotate();
        self.browser.forget("bob");
        let rotated = self.browser.sign_in("bob", &url);
        assert_visitor(&rotated, BOB);

        self.provider.faults(&json!({ "groups": 200 }));
        self.browser.forget("bob");
        let many = self.browser.sign_in("bob", &url);
        assert_visitor(&many, BOB);
        let groups = got(&many, "remote-groups");
        assert_eq!(groups[0].as_str().unwrap().split('|').count(), 201, "{groups}");
        self.provider.faults(&json!({}));
    }

    fn who_signs_out_is_asked_again(&mut self) {
        let left = self.browser.go("ada", "signOut", json!({ "url": ONE }));
        assert_eq!(left["status"], 200, "{left}");
        let passed = left["passed"].as_array().unwrap();
        let provider = json!("https://login.company.example/session/end");
        assert!(passed.contains(&provider), "the provider ends its session, too: {left}");
        self.browser.screenshot("ada", "signed-out");
        assert_eq!(self.browser.go("ada", "cookies", json!({ "url": ONE })), json!([]), "the session is gone");
        let seen = self.browser.sign_in("ada", &visitor(ONE));
        assert_eq!(seen["asked"], true, "the provider asks who it is: {seen}");
        assert_visitor(&seen, ADA);
    }

    /// Every way to the provider and back is more requests than there are edges, and the load balancer asks these in turns: both took part.
    fn a_sign_in_goes_on_while_an_edge_that_began_it_is_killed(&mut self) {
        let url = visitor(ONE);
        self.browser.forget("bob");
        self.browser.go("bob", "beginSignIn", json!({ "url": url }));
        let status = self.cluster.status();
        let nodes = status["nodes"].as_array().unwrap();
        let victim = nodes.iter().find(|node| node["role"] == "worker").expect("a worker");
        self.cluster.must(&["chaos", "kill", victim["instance"].as_str().unwrap()]);
        // The load balancer finds out, and of the app's tasks only one may be left.
        let browser = &mut self.browser;
        self.cluster.wait("the app by the other edge, three times in a row", PATIENCE, || {
            (0..3).all(|_| {
                let seen = browser.try_go("ada", "open", json!({ "url": url }));
                if let Ok(seen) = &seen {
                    assert_eq!(seen["asked"], false, "her session goes on: {seen}");
                }
                seen.is_ok_and(|seen| seen["status"] == 200)
            })
        });
        let seen = self.browser.go("bob", "finishSignIn", json!({}));
        assert_visitor(&seen, BOB);
        assert_eq!(seen["url"], url.as_str(), "{seen}");
    }
}
