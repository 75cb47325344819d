//! Documents under faults, in the hands of many, and in numbers of requests.

mod apps;
mod counts;
mod crowd;
mod every_fault;
mod many_clients;
mod values;

use futuswarm_faults::Faults;
use futuswarm_model::{AppToken, Failure, Health, Outcome, Progress, Release, Settings, UpdateOrder, User};
use futuswarm_store::{FaultyBucket, MemoryBucket};
use futuswarm_vault::MemoryVault;

use super::*;

const NOW: u64 = 1_796_000_000_000;
const DEFAULT: &str = "default";

type Clean = Records<MemoryBucket, MemoryVault>;
type Faulty = Records<FaultyBucket<MemoryBucket>, MemoryVault>;

fn clean(bucket: &MemoryBucket) -> Clean {
    Records::new(bucket.clone(), MemoryVault::new(Faults::none()), "prod", "alias/managers")
}

fn faulty(bucket: &MemoryBucket, faults: Faults) -> Faulty {
    Records::new(FaultyBucket::new(bucket.clone(), faults.clone()), MemoryVault::new(faults), "prod", "alias/managers")
}

fn set(key: &str, value: &str) -> impl FnMut(&Values) -> Result<Values, Error> + Send + use<> {
    let (key, value) = (key.to_owned(), Value::from(value));
    move |values| {
        let mut values = values.clone();
        values.insert(key.clone(), value.clone());
        Ok(values)
    }
}

fn texts(values: &Values) -> Vec<String> {
    values.iter().map(|(key, value)| format!("{key}={}", value.text().unwrap_or("?"))).collect()
}

fn settings() -> Settings {
    Settings {
        command: Vec::new(),
        port: 80,
        replicas: 1,
        memory: 1 << 27,
        cpu_millis: 250,
        health: Health::Image,
        release_hook: None,
        env: Default::default(),
        placement: Default::default(),
        stop_grace: 10,
        update_order: UpdateOrder::StartFirst,
        open: false,
        edge_labels: Default::default(),
        read_only: false,
    }
}

fn release(app: &str, number: u64) -> Release {
    Release {
        app: app.to_owned(),
        number,
        image: format!("{app}:{number}"),
        digest: None,
        has_health_check: None,
        settings: settings(),
        config: None,
        secrets: None,
        of: None,
        by: "jane".to_owned(),
        created_at: NOW + number,
        deadline: NOW + 600_000,
        restart: false,
        cancelled: false,
        superseded: false,
        progress: Progress::Ended { outcome: Outcome::Deployed, failure: None::<Failure>, at: NOW },
    }
}

fn token(digit: char) -> AppToken {
    AppToken {
        hash: digit.to_string().repeat(64),
        fingerprint: format!("SHA256:{digit}"),
        by: "jane".to_owned(),
        created_at: NOW,
        expires_at: NOW + 1,
    }
}

fn user(name: &str) -> User {
    User { name: name.to_owned(), admin: false, groups: Default::default(), keys: Default::default(), created_at: NOW }
}
