//! The provider of the login: a certified one, in the world around the local cloud.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use futuswarm_local_api::http::{self, Endpoint};
use futuswarm_local_api::{Client, WorldName};
use futuswarm_testkit::Cluster;
use serde_json::{Value, json};

use super::programs::{Program, Programs};

/// As in the spec.
const CLIENT: &str = "futuswarm";
const DOMAIN: &str = "apps.localhost";
/// Of its issuer in the spec.
pub const NAME: &str = "login.company.example";
const ADDRESS: &str = "203.0.113.20";
/// Opens a provider that lives as long as a test.
pub const SECRET: &str = "a-secret-of-the-rehearsal-of-the-login";
const DEADLINE: Duration = Duration::from_secs(10);

pub struct Provider {
    _program: Program,
    control: PathBuf,
    /// Where browsers outside of the network namespace find it.
    pub browsers: PathBuf,
}

impl Provider {
    /// The local cloud has to run.
    pub fn start(cluster: &Cluster, programs: &Programs) -> Self {
        let control = Client::of(&cluster.state_dir());
        let name = WorldName { name: NAME.to_owned(), address: ADDRESS.parse().unwrap() };
        control.set_world(&[name]).unwrap();
        let issued = control.issue(&[NAME]).unwrap();
        let folder = programs.folder();
        let (browsers, control) = (folder.join("browsers.sock"), folder.join("control.sock"));
        let settings = json!({
            "issuer": format!("https://{NAME}"),
            "certificate": issued.certificate,
            "key": issued.key,
            "address": ADDRESS,
            "port": 443,
            "browsers": browsers,
            "control": control,
            "client": {
                "id": CLIENT,
                "secret": SECRET,
                "redirect": format!("https://{DOMAIN}/.sso/callback"),
                "afterLogout": format!("https://{DOMAIN}/.sso/signed-out"),
            },
        });
        let file = folder.join("provider.json");
        let mut private = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&file).unwrap();
        private.write_all(settings.to_string().as_bytes()).unwrap();
        let cloud: Value = serde_json::from_str(&cluster.local(&["cloud"])).unwrap();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", cloud["netns"].as_str().unwrap(), "node"]);
        command.arg(folder.join("provider.mjs")).arg(&file);
        let mut program = Program::start(command);
        // Before that it says what it thinks of Node's version.
        while program.line() != "ready" {}
        Self { _program: program, control, browsers }
    }

    /// Replaces what is wrong with it.
    pub fn faults(&self, faults: &Value) {
        self.ask("POST", "/faults", &faults.to_string());
    }

    /// Has it sign with other keys.
    pub fn rotate(&self) {
        self.ask("POST", "/rotate", "");
    }

    /// How often each of its paths was asked since the last time.
    pub fn asked(&self) -> Value {
        self.ask("GET", "/asked", "")
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let answer = http::exchange(Endpoint::Unix(&self.control), method, path, body.as_bytes(), DEADLINE).unwrap();
        assert!(answer.is_success(), "{path} {body}: {}", String::from_utf8_lossy(&answer.body));
        serde_json::from_slice(&answer.body).unwrap()
    }
}
