//! What becomes of the objects of the old bucket: which value goes where, and why one does not.

use std::collections::BTreeSet;

use futuswarm_rpc::message::{ImportOutcome, ImportedObject, Kind};
use zeroize::Zeroizing;

use crate::values::{self, Content};

/// Where an object was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the environment that was asked for: the old tool gave its values to tasks as variables.
    Environment,
    /// Among the Docker secrets.
    DockerSecrets,
}

/// An object that was opened.
pub(super) struct Opened {
    /// Whether it was read from a file.
    pub(super) is_file: bool,
    pub(super) value: Zeroizing<Vec<u8>>,
}

/// An object, or why there is none of it.
pub(super) struct Found {
    /// Its whole key in the old bucket.
    pub(super) object: String,
    pub(super) place: Place,
    /// Behind service and environment.
    pub(super) name: String,
    pub(super) content: Result<Opened, String>,
}

/// What is to be set, and what is to be said of each object.
#[derive(Default)]
pub(super) struct Decision {
    pub(super) objects: Vec<ImportedObject>,
    pub(super) config: Content,
    pub(super) secrets: Content,
}

impl Found {
    /// A file in an environment was never a variable (the old tool left it out of the tasks), so it is a secret here, where files are.
    fn kind(&self) -> Kind {
        match (self.place, &self.content) {
            (Place::Environment, Ok(Opened { is_file: false, .. }) | Err(_)) => Kind::Config,
            (Place::Environment, Ok(Opened { is_file: true, .. })) | (Place::DockerSecrets, _) => Kind::Secrets,
        }
    }

    fn problem(&self) -> Option<String> {
        match &self.content {
            Ok(opened) => values::problem(self.kind(), &self.name, &opened.value),
            Err(reason) => Some(reason.clone()),
        }
    }
}

/// Decides on all of them, given what the app has.
pub(super) fn decide(mut found: Vec<Found>, config: &Content, secrets: &Content) -> Decision {
    found.sort_by(|one, other| one.object.cmp(&other.object));
    let docker: BTreeSet<String> = found
        .iter()
        .filter(|found| found.place == Place::DockerSecrets && found.problem().is_none())
        .map(|found| found.name.clone())
        .collect();
    let mut decision = Decision::default();
    for one in found {
        let (kind, problem) = (one.kind(), one.problem());
        let is_file = one.place == Place::Environment && kind == Kind::Secrets;
        let problem = problem.or_else(|| {
            let twice = is_file && docker.contains(&one.name);
            twice.then(|| format!("a file of this name is among the Docker secrets, too, and that one is taken: rename one of them and set it with `futuswarm secret:set {}=@FILE`", one.name))
        });
        let (before, set) = match kind {
            Kind::Config => (config, &mut decision.config),
            Kind::Secrets => (secrets, &mut decision.secrets),
        };
        let (outcome, reason) = match (problem, one.content) {
            (None, Ok(opened)) => {
                let outcome = match before.get(&one.name) {
                    None => ImportOutcome::Added,
                    Some(value) if *value == *opened.value => ImportOutcome::Unchanged,
                    Some(_) => ImportOutcome::Changed,
                };
                set.insert(one.name.clone(), opened.value.to_vec());
                (outcome, is_file.then(|| "a file, which is a secret here: /run/secrets has it".to_owned()))
            }
            (problem, _) => (ImportOutcome::NotTaken, problem),
        };
        decision.objects.push(ImportedObject { object: one.object, kind, key: one.name, outcome, reason });
    }
    decision
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(place: Place, name: &str, is_file: bool, value: &[u8]) -> Found {
        let folder = if place == Place::Environment { "default" } else { "docker-secret" };
        let content = Ok(Opened { is_file, value: Zeroizing::new(value.to_vec()) });
        Found { object: format!("shop/{folder}/{name}"), place, name: name.to_owned(), content }
    }

    fn outcomes(decision: &Decision) -> Vec<(&str, Kind, ImportOutcome)> {
        decision.objects.iter().map(|object| (object.object.as_str(), object.kind, object.outcome)).collect()
    }

    #[test]
    fn values_go_where_tasks_had_them_and_files_to_the_secrets() {
        let config = Content::from([("SAME".to_owned(), b"1".to_vec()), ("OTHER".to_owned(), b"1".to_vec())]);
        let all = vec![
            found(Place::DockerSecrets, "KEY", true, &[0xff, 0]),
            found(Place::Environment, "SAME", false, b"1"),
            found(Place::Environment, "OTHER", false, b"2"),
            found(Place::Environment, "NEW", false, b""),
            found(Place::Environment, "CERT", true, b"x"),
        ];
        let decision = decide(all, &config, &Content::new());
        use ImportOutcome::{Added, Changed, Unchanged};
        assert_eq!(
            outcomes(&decision),
            [
                ("shop/default/CERT", Kind::Secrets, Added),
                ("shop/default/NEW", Kind::Config, Added),
                ("shop/default/OTHER", Kind::Config, Changed),
                ("shop/default/SAME", Kind::Config, Unchanged),
                ("shop/docker-secret/KEY", Kind::Secrets, Added),
            ]
        );
        assert!(decision.objects[0].reason.as_ref().unwrap().contains("a secret here"));
        assert_eq!(decision.config.keys().collect::<Vec<_>>(), ["NEW", "OTHER", "SAME"]);
        assert_eq!(decision.secrets["KEY"], [0xff, 0]);
    }

    #[test]
    fn what_cannot_be_here_is_told_apart_and_takes_nothing_else_with_it() {
        let long = vec![b'x'; 600 << 10];
        let all = vec![
            found(Place::Environment, "GOOD", false, b"1"),
            found(Place::Environment, "a/nested", false, b"hush"),
            found(Place::Environment, "1ST", false, b"hush"),
            found(Place::Environment, "FUTUSWARM_APP", false, b"hush"),
            found(Place::Environment, "BINARY", false, b"hush\xff"),
            found(Place::Environment, "NUL", false, b"hush\0"),
            found(Place::Environment, "LONG", false, &long),
            found(Place::DockerSecrets, "LONG", true, &long),
            found(Place::DockerSecrets, "EMPTY", true, b""),
            found(Place::DockerSecrets, "TWICE", true, b"docker"),
            found(Place::Environment, "TWICE", true, b"file"),
            Found {
                object: "shop/default/BAD".to_owned(),
                place: Place::Environment,
                name: "BAD".to_owned(),
                content: Err("its HMAC is that of something else".to_owned()),
            },
        ];
        let decision = decide(all, &Content::new(), &Content::new());
        assert_eq!(decision.config.keys().collect::<Vec<_>>(), ["GOOD"]);
        assert_eq!(decision.secrets["TWICE"], b"docker");
        assert_eq!(decision.secrets.len(), 1);
        let refused: Vec<&ImportedObject> =
            decision.objects.iter().filter(|object| object.outcome == ImportOutcome::NotTaken).collect();
        assert_eq!(refused.len(), 10);
        for object in refused {
            let reason = object.reason.as_deref().unwrap();
            assert!(!reason.is_empty() && !reason.contains("hush"), "{object:?}");
        }
    }
}
