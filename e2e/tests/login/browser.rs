//! Chromium, and the ways of people through it: `e2e/provider/browser.mjs`.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use futuswarm_testkit::Cluster;
use serde_json::{Value, json};

use super::programs::{Program, Programs};
use super::provider::{self, Provider};

pub struct Browser(Program);

impl Browser {
    pub fn start(cluster: &Cluster, programs: &Programs, provider: &Provider, screenshots: &Path) -> Self {
        let cloud: Value = serde_json::from_str(&cluster.local(&["cloud"])).unwrap();
        let text = |key: &str| cloud[key].as_str().unwrap().to_owned();
        let port: u16 = text("https_url").rsplit(':').next().unwrap().parse().unwrap();
        let folder = programs.folder();
        let profile = folder.join("profile");
        std::fs::create_dir(&profile).unwrap();
        let settings = json!({
            "chromium": folder.join("chromium.sh"),
            "profile": profile,
            "authority": std::fs::read_to_string(text("ca_certificate")).unwrap(),
            "ports": { "apps.localhost": port, "*.apps.localhost": port, "*.open.localhost": port },
            "sockets": { provider::NAME: provider.browsers },
            "screenshots": screenshots,
        });
        let file = folder.join("browser.json");
        std::fs::write(&file, settings.to_string()).unwrap();
        let mut command = Command::new("node");
        command.arg(folder.join("browser.mjs")).arg(&file).env("BROWSER_TREE", &programs.tree);
        let mut browser = Self(Program::start(command));
        browser.result().expect("Chromium starts");
        browser
    }

    /// Makes a journey; returns what came of it, or why it broke off.
    pub fn try_go(&mut self, person: &str, journey: &str, more: Value) -> Result<Value, String> {
        let mut job = more;
        (job["journey"], job["person"]) = (journey.into(), person.into());
        writeln!(self.0.input.as_mut().unwrap(), "{job}").expect("the browser reads");
        self.result()
    }

    /// The same, and it must not break off.
    pub fn go(&mut self, person: &str, journey: &str, more: Value) -> Value {
        let what = format!("{person}: {journey} {more}");
        self.try_go(person, journey, more).unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// Opens a URL, and signs in where the provider asks.
    pub fn sign_in(&mut self, person: &str, url: &str) -> Value {
        self.go(person, "signIn", json!({ "url": url }))
    }

    pub fn open(&mut self, person: &str, url: &str) -> Value {
        self.go(person, "open", json!({ "url": url }))
    }

    /// For somebody to look at.
    pub fn screenshot(&mut self, person: &str, name: &str) {
        self.go(person, "screenshot", json!({ "name": name }));
    }

    /// Somebody whose browser knows nothing of what was.
    pub fn forget(&mut self, person: &str) {
        self.go(person, "forget", json!({}));
    }

    fn result(&mut self) -> Result<Value, String> {
        let answer: Value = serde_json::from_str(&self.0.line()).expect("a line of JSON");
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["result"].clone()),
        }
    }
}
