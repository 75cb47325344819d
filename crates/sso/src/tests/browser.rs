//! What a browser does: keeps cookies for each host, follows redirects, and is signed in at the provider.

use std::collections::BTreeMap;

use super::apache::{Answer, Apache};

/// Owns the cookies that go to every host of the domain.
const SHARED: &str = ".apps.example.com";

#[derive(Default)]
pub(super) struct Browser {
    /// Host → name → value.
    jar: BTreeMap<String, BTreeMap<String, String>>,
    /// Every `Set-Cookie` that came.
    pub(super) told: Vec<String>,
    /// Every URL that was opened.
    pub(super) went: Vec<String>,
}

impl Browser {
    /// Opens `https://HOST/PATH` and goes wherever it is sent, through the provider and back.
    pub(super) fn open(&mut self, apache: &Apache, url: &str) -> Answer {
        let mut url = url.to_owned();
        for _ in 0..10 {
            self.went.push(url.clone());
            if let Some(query) = url.strip_prefix("https://idp.example.com/auth?") {
                let value = |name: &str| {
                    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
                    pairs.find(|(one, _)| *one == name).map(|(_, value)| value.to_owned()).unwrap()
                };
                url =
                    format!("https://apps.example.com/.sso/callback?state={}&code={}", value("state"), value("nonce"));
                continue;
            }
            let answer = self.ask(apache, "GET", &url, "Accept: text/html\r\n");
            if answer.status != "302" || answer.location().starts_with("https://idp.example.com/session/end") {
                return answer;
            }
            url = answer.location().to_owned();
        }
        panic!("one redirect after the other: {:?}\n{}", self.went, apache.log())
    }

    /// One request with the cookies of its host.
    pub(super) fn ask(&mut self, apache: &Apache, method: &str, url: &str, headers: &str) -> Answer {
        let rest = url.strip_prefix("https://").unwrap();
        let (host, path) = rest.split_once('/').unwrap();
        let path = format!("/{path}");
        let answer = apache.ask(method, host, &path, &format!("{}{headers}", self.cookies(host, &path)));
        for line in answer.header("set-cookie") {
            self.told.push(line.to_owned());
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            let owner = if line.contains("domain=apps.example.com;") { SHARED } else { host };
            let jar = self.jar.entry(owner.to_owned()).or_default();
            match value {
                "" => jar.remove(name),
                _ => jar.insert(name.to_owned(), value.to_owned()),
            };
        }
        answer
    }

    /// What the script of some app can do to all others: a cookie of the domain's.
    pub(super) fn plant(&mut self, name: &str, value: &str) {
        self.jar.entry(SHARED.to_owned()).or_default().insert(name.to_owned(), value.to_owned());
    }

    /// The header that goes to an app at a host, with its line break; empty without cookies.
    pub(super) fn cookie(&self, host: &str) -> String {
        self.cookies(host, "/")
    }

    /// All cookies of the domain's are ones of the login's path.
    fn cookies(&self, host: &str, path: &str) -> String {
        let shared = path.starts_with("/.sso/").then_some(SHARED);
        let jars = [Some(host), shared].into_iter().flatten().filter_map(|owner| self.jar.get(owner));
        let pairs: Vec<String> = jars.flatten().map(|(name, value)| format!("{name}={value}")).collect();
        if pairs.is_empty() { String::new() } else { format!("Cookie: {}\r\n", pairs.join("; ")) }
    }
}
