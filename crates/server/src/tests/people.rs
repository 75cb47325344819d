//! Keys that are taken, and admins of whom one has to be left.

use std::collections::BTreeSet;

use base64::Engine as _;
use futuswarm_faults::{Faults, Rates};
use futuswarm_rpc::message::{Answer, Refusal, RefusalClass, Request};
use futuswarm_ssh_keys::PublicKey;

use super::world::*;

/// A public key like no other number's.
pub(super) fn key(number: u8) -> String {
    let mut blob = Vec::new();
    for part in [b"ssh-ed25519".as_slice(), &[number; 32]] {
        blob.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
        blob.extend(part);
    }
    format!("ssh-ed25519 {}", base64::engine::general_purpose::STANDARD.encode(blob))
}

/// As sessions say it.
pub(super) fn hash(key: &str) -> String {
    PublicKey::parse(key).unwrap().hash()
}

/// As `admin:user:add` asks for it.
pub(super) fn put(name: &str, keys: Option<&[String]>, admin: Option<bool>) -> Request {
    let keys = keys.map(<[String]>::to_vec);
    Request::PutUser { name: name.to_owned(), create: true, keys, admin, groups: None }
}

/// As `admin:user:set` and `admin:user:key:set` ask for it.
pub(super) fn alter(name: &str, keys: Option<&[String]>, admin: Option<bool>) -> Request {
    let keys = keys.map(<[String]>::to_vec);
    Request::PutUser { name: name.to_owned(), create: false, keys, admin, groups: None }
}

async fn admins(world: &World) -> BTreeSet<String> {
    let users = world.records(Faults::none()).users().await.unwrap();
    users.into_iter().filter(|user| user.admin && !user.keys.is_empty()).map(|user| user.name).collect()
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_somebodys_already_is_refused_and_it_is_said_whose() {
    let (world, control) = World::with_hello().await;
    let token = Request::CreateToken { app: "hello".to_owned(), name: "ci".to_owned(), key: key(1), days: 1 };
    ask(&control, "jane", &token).await.end().unwrap();
    ask(&control, "root", &put("jane", Some(&[key(2)]), None)).await.end().unwrap();
    for (taken, whose) in [(key(1), "the token ci of hello"), (key(2), "that of jane")] {
        let refused = ask(&control, "root", &put("joe", Some(&[key(3), taken]), None)).await.end().unwrap_err();
        assert_eq!(refused.class, RefusalClass::Usage);
        assert!(refused.message.contains(whose), "{}", refused.message);
    }
    assert!(world.records(Faults::none()).user("joe").await.unwrap().unwrap().keys.is_empty(), "nothing was changed");
    // And the other way round.
    let token = Request::CreateToken { app: "hello".to_owned(), name: "cd".to_owned(), key: key(2), days: 1 };
    let refused = ask(&control, "jane", &token).await.end().unwrap_err();
    assert!(refused.message.contains("that of jane"), "{}", refused.message);
}

#[tokio::test(start_paused = true)]
async fn the_last_admin_who_can_log_in_stays_one() {
    let world = World::new().await;
    let control = world.manager("i-1");
    ask(&control, "root", &put("ann", Some(&[key(1)]), Some(true))).await.end().unwrap();
    let refused = |refusal: Refusal| assert!(refusal.message.contains("ann is the only admin"), "{refusal:?}");
    refused(ask(&control, "root", &alter("ann", None, Some(false))).await.end().unwrap_err());
    refused(ask(&control, "ann", &alter("ann", None, Some(false))).await.end().unwrap_err());
    refused(ask(&control, "root", &alter("ann", Some(&[]), None)).await.end().unwrap_err());
    refused(ask(&control, "root", &Request::RemoveUser { name: "ann".to_owned() }).await.end().unwrap_err());
    assert_eq!(admins(&world).await, BTreeSet::from(["ann".to_owned()]));
    // Everything else may be changed, and one of two may go.
    ask(&control, "ann", &alter("ann", Some(&[key(2)]), None)).await.end().unwrap();
    ask(&control, "ann", &put("bob", Some(&[key(3)]), Some(true))).await.end().unwrap();
    ask(&control, "bob", &alter("ann", None, Some(false))).await.end().unwrap();
    ask(&control, "bob", &alter("ann", None, Some(true))).await.end().unwrap();
    let removed = ask(&control, "ann", &Request::RemoveUser { name: "bob".to_owned() }).await.end().unwrap();
    assert!(matches!(removed, Answer::Done(_)));
    assert_eq!(admins(&world).await, BTreeSet::from(["ann".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn of_two_admins_who_take_each_others_rights_at_once_one_stays() {
    let mut both_refused_or_one = 0;
    for seed in 0..40 {
        let world = World::new().await;
        let control = world.manager("i-1");
        ask(&control, "root", &put("ann", Some(&[key(1)]), Some(true))).await.end().unwrap();
        ask(&control, "root", &put("bob", Some(&[key(2)]), Some(true))).await.end().unwrap();
        let asks = [("ann", "bob"), ("bob", "ann")].map(|(asker, other)| {
            let rates = Rates { delay_millis: 40, ..Rates::default() };
            let control = world.control(asker, Faults::seeded(seed, rates));
            let request = match seed % 2 {
                0 => alter(other, None, Some(false)),
                _ => Request::RemoveUser { name: other.to_owned() },
            };
            tokio::spawn(async move { ask(&control, asker, &request).await.end() })
        });
        let mut refused = 0;
        for asked in asks {
            refused += usize::from(asked.await.unwrap().is_err());
        }
        let left = admins(&world).await;
        assert!(!left.is_empty(), "seed {seed}: nobody is left");
        assert!(refused >= 1, "seed {seed}: both were told that it is done, and {left:?} are left");
        both_refused_or_one += usize::from(left.len() == 2);
    }
    // Otherwise the two never met, and this showed nothing.
    assert!(both_refused_or_one > 0);
}
