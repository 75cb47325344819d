//! What is known of databases beyond the emulator: passwords, and whether a server accepts connections. Shared by the
//! servers' reconciler and the front.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futuswarm_secret::Secret;

/// Letters that need no quoting anywhere.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
/// 192 bits.
const LENGTH: usize = 32;

/// What the front and the servers tell each other of databases; clones share it.
#[derive(Clone)]
pub struct Catalogue(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Whether instances get servers.
    served: bool,
    /// Instance → its master password.
    passwords: BTreeMap<String, Arc<Secret>>,
    /// Instances whose server accepts connections.
    ready: BTreeSet<String>,
    /// Instance → the snapshot that it begins with.
    origins: BTreeMap<String, String>,
    /// Snapshots that were deleted and whose files are still there.
    dropped: Vec<String>,
}

impl Catalogue {
    /// An empty catalogue. When instances are not `served`, they are available at once.
    pub fn new(served: bool) -> Self {
        Self(Arc::new(Mutex::new(State { served, ..State::default() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the password that a client has chosen.
    pub fn choose(&self, instance: &str, password: &str) {
        self.state().passwords.insert(instance.to_lowercase(), Arc::new(Secret::new(password.to_owned())));
    }

    /// A new random password.
    pub fn rotate(&self, instance: &str) {
        self.choose(instance, &random());
    }

    /// The password of an instance; made on the first question.
    pub fn password(&self, instance: &str) -> Arc<Secret> {
        let instance = instance.to_lowercase();
        Arc::clone(self.state().passwords.entry(instance).or_insert_with(|| Arc::new(Secret::new(random()))))
    }

    /// Notes that a server accepts connections.
    pub fn accepts(&self, instance: &str) {
        self.state().ready.insert(instance.to_lowercase());
    }

    /// Notes the snapshot that an instance is restored from.
    pub fn restore(&self, instance: &str, snapshot: &str) {
        self.state().origins.insert(instance.to_lowercase(), snapshot.to_owned());
    }

    /// The snapshot that an instance begins with.
    pub fn origin(&self, instance: &str) -> Option<String> {
        self.state().origins.get(&instance.to_lowercase()).cloned()
    }

    /// Notes that a snapshot was deleted.
    pub fn drop_snapshot(&self, snapshot: &str) {
        self.state().dropped.push(snapshot.to_owned());
    }

    /// The snapshots that were deleted since the last question.
    pub fn dropped(&self) -> Vec<String> {
        std::mem::take(&mut self.state().dropped)
    }

    /// Notes that a server accepts no connections any more.
    pub fn stops(&self, instance: &str) {
        self.state().ready.remove(&instance.to_lowercase());
    }

    /// Removes an instance that was deleted. At once, not when its server is gone: what is chosen for a new one of the same name
    /// must stay.
    pub fn remove(&self, instance: &str) {
        let (mut state, instance) = (self.state(), instance.to_lowercase());
        state.ready.remove(&instance);
        state.passwords.remove(&instance);
        state.origins.remove(&instance);
    }

    /// Whether instances have servers.
    pub fn served(&self) -> bool {
        self.state().served
    }

    /// Whether an instance can be used.
    pub fn available(&self, instance: &str) -> bool {
        let state = self.state();
        !state.served || state.ready.contains(&instance.to_lowercase())
    }
}

fn random() -> String {
    let mut bytes = [0_u8; LENGTH];
    // The kernel has it from Linux 3.17 on; without it nothing here could be secret.
    getrandom::fill(&mut bytes).unwrap_or_else(|error| panic!("the kernel gives no random numbers: {error}"));
    bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 64)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_stay_until_they_are_changed() {
        let catalogue = Catalogue::new(true);
        let first = catalogue.password("a");
        assert_eq!(first.expose().len(), LENGTH);
        assert_eq!(catalogue.password("A").expose(), first.expose(), "names are the same in any case");
        assert_ne!(catalogue.password("b").expose(), first.expose());
        catalogue.rotate("a");
        assert_ne!(catalogue.password("a").expose(), first.expose());
        catalogue.choose("a", "mine");
        assert_eq!(catalogue.password("a").expose(), "mine");
        catalogue.stops("a");
        assert_eq!(catalogue.password("a").expose(), "mine", "only its server stops");
        catalogue.remove("a");
        assert_ne!(catalogue.password("a").expose(), "mine");
    }

    #[test]
    fn a_dropped_snapshot_is_told_once() {
        let catalogue = Catalogue::new(true);
        catalogue.drop_snapshot("last");
        assert_eq!(catalogue.dropped(), ["last"]);
        assert!(catalogue.dropped().is_empty());
    }

    #[test]
    fn an_instance_is_available_when_its_server_is() {
        let served = Catalogue::new(true);
        assert!(!served.available("a"));
        served.accepts("a");
        assert!(served.available("a"));
        served.stops("a");
        assert!(!served.available("a"));
        served.accepts("a");
        served.remove("A");
        assert!(!served.available("a"));
        assert!(Catalogue::new(false).available("a"));
    }
}
