//! The login's record in the bucket, where leader and edges find it. It is there before anything else of the login is made, and goes after
//! it: so that a run without a login knows by it alone whether something of one is left.

use futuswarm_converge::Resource;
use futuswarm_model::{LoginRecord, keys};
use futuswarm_spec::Spec;
use serde_json::Value;

use super::{bucket, spec_object};
use crate::error::{Error, incomplete};
use crate::field::{Changed, Fields};
use crate::{Aws, Run, components};

/// The record; a login that is not desired has none.
pub(crate) struct LoginObject(Option<LoginRecord>);

/// What the specification says of the login, as leader and edges read it.
fn record(spec: &Spec) -> Option<LoginRecord> {
    let login = spec.login.as_ref()?;
    let seconds = |minutes: u32| 60 * u64::from(minutes);
    Some(LoginRecord {
        domain: spec.domain.clone(),
        issuer: login.issuer.clone(),
        client_id: login.client_id.clone(),
        scopes: login.scopes.clone(),
        user_claim: login.user_claim.clone(),
        groups_claim: login.groups_claim.clone(),
        inactivity_seconds: seconds(login.inactivity_minutes),
        longest_seconds: seconds(login.longest_minutes),
        contact: login.contact.clone(),
        balancers: spec.network.public_subnets.iter().map(ToString::to_string).collect(),
    })
}

/// What is there, whatever it is.
async fn read(aws: &Aws, run: &Run) -> Result<Option<Value>, Error> {
    match bucket::object::<Value>(aws, run, keys::LOGIN).await {
        Ok(observed) => Ok(observed.map(|observed| observed.value)),
        // Somebody wrote something else there.
        Err(futuswarm_store::Error::Malformed { .. }) => Ok(Some(Value::Null)),
        Err(error) => Err(error.into()),
    }
}

/// Whether something of a login may be left. For components that come after the bucket; a run asks once.
pub(super) async fn is_there(aws: &Aws, run: &Run) -> Result<bool, Error> {
    Ok(run.inventory.login(read(aws, run)).await?.is_some())
}

impl LoginObject {
    pub(crate) fn of(spec: &Spec) -> Self {
        Self(record(spec))
    }
}

impl Resource<Run> for LoginObject {
    type Observed = Value;

    fn kind(&self) -> &'static str {
        "login"
    }

    fn name(&self, run: &Run) -> String {
        bucket::object_name(&run.cluster, keys::LOGIN)
    }

    fn component(&self) -> String {
        components::LOGIN.to_owned()
    }

    fn depends_on(&self) -> Vec<String> {
        vec![components::BUCKET.to_owned()]
    }

    fn is_desired(&self) -> bool {
        self.0.is_some()
    }

    fn holds_data(&self) -> bool {
        true
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Value>, Error> {
        Ok(run.inventory.login(read(aws, run)).await?.cloned())
    }

    fn id(&self, _: &Value) -> String {
        components::LOGIN.to_owned()
    }

    fn desired(&self, _: &Run) -> Result<Fields, Error> {
        let value = serde_json::to_value(&self.0).map_err(|_| incomplete("PutObject", "login")())?;
        Ok(spec_object::flatten("", &value, Fields::new()))
    }

    fn current(&self, _: &Run, observed: &Value) -> Fields {
        spec_object::flatten("", observed, Fields::new())
    }

    async fn create(&self, aws: &Aws, _: &Run) -> Result<String, Error> {
        let record = self.0.as_ref().ok_or_else(incomplete("PutObject", "login"))?;
        aws.store.put(keys::LOGIN, record).await?;
        Ok(components::LOGIN.to_owned())
    }

    async fn update(&self, aws: &Aws, run: &Run, _: &Value, _: &Changed) -> Result<(), Error> {
        self.create(aws, run).await.map(|_| ())
    }

    /// With the client's secret, which would be another provider's if a login came back. The secret goes first: a run that is killed in
    /// between leaves the record, by which the next one finds that there is something to do.
    async fn delete(&self, aws: &Aws, run: &Run, _: &Value) -> Result<(), Error> {
        if run.mode().applies() {
            run.note(
                "the login's client secret goes with it: a login that comes back needs `cargo xtask login secret` again"
                    .to_owned(),
            );
        }
        aws.store.delete(keys::LOGIN_CLIENT_SECRET).await?;
        Ok(aws.store.delete(keys::LOGIN).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Receiver;

    use futuswarm_converge::Mode;
    use futuswarm_testkit::answers::{Answer, on_loopback};

    use super::*;
    use crate::Cluster;
    use crate::resources::tests::some_login;

    fn cluster(change: impl FnOnce(&mut Spec)) -> Cluster {
        Cluster::of(|spec| {
            spec.login = Some(some_login());
            change(spec);
        })
    }

    #[test]
    fn the_record_says_what_the_spec_says() {
        assert_eq!(record(&Cluster::local().spec), None);
        let found = record(&cluster(|_| {}).spec).unwrap();
        let expected = LoginRecord {
            domain: "apps.localhost".to_owned(),
            issuer: "https://login.example.com".to_owned(),
            client_id: "futuswarm".to_owned(),
            scopes: vec!["email".to_owned()],
            user_claim: "email".to_owned(),
            groups_claim: Some("groups".to_owned()),
            inactivity_seconds: 3600,
            longest_seconds: 28_800,
            contact: "it@example.com".to_owned(),
            balancers: ["10.42.0.0/20", "10.42.16.0/20", "10.42.32.0/20"].map(str::to_owned).to_vec(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn a_changed_login_is_shown_key_by_key_and_what_is_no_record_becomes_one() {
        let (old, new) = (cluster(|_| {}), cluster(|spec| spec.login.as_mut().unwrap().contact = "Ada".to_owned()));
        let run = Run::of(new, Mode::Apply { plan: true });
        let resource = LoginObject::of(&run.cluster.spec);
        let differs = |observed: &Value| {
            let differences = resource.desired(&run).unwrap().differences(&resource.current(&run, observed));
            differences.for_people().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let observed = serde_json::to_value(record(&old.spec)).unwrap();
        assert_eq!(differs(&observed), ["contact: it@example.com → Ada"]);
        assert_eq!(differs(&Value::Null).len(), 10);
    }

    /// A bucket that gives these answers, and a run that knows it.
    fn service(cluster: Cluster, answers: Vec<Answer>) -> (Aws, Run, Receiver<String>) {
        let (endpoint, requests) = on_loopback(answers);
        let run = Run::of(cluster, Mode::Apply { plan: false });
        run.note_id(components::BUCKET, components::BUCKET);
        (Aws::at(&endpoint, &run.cluster), run, requests)
    }

    #[tokio::test]
    async fn a_login_that_goes_takes_its_secret_along_and_the_record_last() {
        let gone = || Answer { status: Some(204), ..Answer::default() };
        let (aws, run, requests) = service(Cluster::local(), vec![gone(), gone()]);
        LoginObject::of(&run.cluster.spec).delete(&aws, &run, &Value::Null).await.unwrap();
        drop(aws);
        let asked: Vec<String> =
            requests.iter().map(|asked| asked.lines().next().unwrap_or_default().to_owned()).collect();
        assert_eq!(asked.len(), 2, "{asked:?}");
        for (asked, key) in asked.iter().zip(["cluster/login/client-secret", "cluster/login"]) {
            let path = asked.split(['?', ' ']).nth(1).unwrap_or_default();
            assert!(asked.starts_with("DELETE ") && path.ends_with(key), "{asked}");
        }
        let notes = futuswarm_converge::Context::ledger(&run).take_report().notes;
        assert!(notes[0].contains("`cargo xtask login secret` again"), "{notes:?}");
    }
}
