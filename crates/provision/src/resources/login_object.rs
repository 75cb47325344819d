//! The login's record in the bucket, where leader and edges find it, and a mark on the VPC, which every run asks for anyway.
//!
//! Both are there before anything else of the login is made, and go after it. By the mark alone a run without a login knows whether something
//! of one is left, also when the run that made it, or the one that took it away, was killed.

use aws_sdk_ec2::types::Tag;
use futuswarm_converge::Resource;
use futuswarm_model::{LoginRecord, keys};
use futuswarm_spec::Spec;
use serde_json::Value;

use super::{bucket, fingerprint, spec_object};
use crate::error::{Error, failed, ignore_not_found, incomplete};
use crate::field::{Changed, Field, Fields};
use crate::{Aws, Run, components, ec2_tags, inventory};

/// The VPC's tag.
const MARK: &str = "futuswarm:login";
const MARKED: &str = "on";

/// The record; a login that is not desired has none.
pub(crate) struct LoginObject(Option<LoginRecord>);

/// What is there of record and mark.
pub(crate) struct Observed {
    /// Whatever it says.
    record: Option<Value>,
    marked: bool,
}

/// What the specification says of the login, as leader and edges read it.
fn record(spec: &Spec) -> Option<LoginRecord> {
    let login = spec.login.as_ref()?;
    let seconds = |minutes: u32| 60 * u64::from(minutes);
    Some(LoginRecord {
        domain: spec.domain.clone(),
        open_domain: spec.open_domain.clone(),
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

/// The record that is there; where there is no bucket, none.
async fn read(aws: &Aws) -> Result<Option<Value>, Error> {
    match aws.store.peek::<Value>(keys::LOGIN).await {
        Ok(observed) => Ok(observed.map(|observed| observed.value)),
        // Somebody wrote something else there.
        Err(futuswarm_store::Error::Malformed { .. }) => Ok(Some(Value::Null)),
        Err(futuswarm_store::Error::Service { source, .. }) if source.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether something of a login may be left.
pub(super) async fn is_there(aws: &Aws, run: &Run) -> Result<bool, Error> {
    Ok(fingerprint::vpc(aws, run).await?.is_some_and(|vpc| inventory::tag(vpc.tags(), MARK).is_some()))
}

impl LoginObject {
    pub(crate) fn of(spec: &Spec) -> Self {
        Self(record(spec))
    }
}

impl Resource<Run> for LoginObject {
    type Observed = Observed;

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
        [components::BUCKET, components::VPC].map(str::to_owned).to_vec()
    }

    fn is_desired(&self) -> bool {
        self.0.is_some()
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Observed>, Error> {
        let marked = is_there(aws, run).await?;
        // Of a cluster that never had one nothing is asked.
        let record = match self.0.is_some() || !run.mode().applies() {
            true => read(aws).await?,
            false => None,
        };
        Ok((marked || record.is_some()).then_some(Observed { record, marked }))
    }

    fn id(&self, _: &Observed) -> String {
        components::LOGIN.to_owned()
    }

    fn desired(&self, _: &Run) -> Result<Fields, Error> {
        let value = serde_json::to_value(&self.0).map_err(|_| incomplete("PutObject", "login")())?;
        Ok(spec_object::flatten("", &value, Fields::new()).with(Field::Fingerprint(MARK), MARKED))
    }

    fn current(&self, _: &Run, observed: &Observed) -> Fields {
        let fields = Fields::new().with_some(Field::Fingerprint(MARK), observed.marked.then_some(MARKED));
        match &observed.record {
            Some(record) => spec_object::flatten("", record, fields),
            None => fields,
        }
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let record = self.0.as_ref().ok_or_else(incomplete("PutObject", "login"))?;
        let mark = Tag::builder().key(MARK).value(MARKED).build();
        ec2_tags::put(&aws.ec2, &run.need(components::VPC)?, vec![mark]).await?;
        aws.store.put(keys::LOGIN, record).await?;
        Ok(components::LOGIN.to_owned())
    }

    async fn update(&self, aws: &Aws, run: &Run, _: &Observed, _: &Changed) -> Result<(), Error> {
        self.create(aws, run).await.map(|_| ())
    }

    /// A login that leaves the spec takes the client's secret along, which would be another provider's if a login came back. With a cluster
    /// that is destroyed the secret stays, as all data does; the record goes, so that the next cluster has a login only if its spec says so.
    async fn delete(&self, aws: &Aws, run: &Run, _: &Observed) -> Result<(), Error> {
        if run.mode().applies() {
            run.note(
                "the login's client secret goes with it: a login that comes back needs `cargo xtask login secret` again"
                    .to_owned(),
            );
            aws.store.delete(keys::LOGIN_CLIENT_SECRET).await?;
        }
        aws.store.delete(keys::LOGIN).await?;
        // Last: by it a run that comes after one that was killed finds that there is something to do.
        let Some(vpc) = fingerprint::vpc(aws, run).await?.and_then(|vpc| vpc.vpc_id) else { return Ok(()) };
        let mark = Tag::builder().key(MARK).build();
        let delete = aws.ec2.delete_tags().resources(vpc).tags(mark);
        Ok(ignore_not_found(delete.send().await.map_err(failed("DeleteTags")))?)
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
            open_domain: None,
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
        let differs = |record: Option<Value>, marked: bool| {
            let observed = Observed { record, marked };
            let differences = resource.desired(&run).unwrap().differences(&resource.current(&run, &observed));
            differences.for_people().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let observed = serde_json::to_value(record(&old.spec)).unwrap();
        assert_eq!(differs(Some(observed.clone()), true), ["contact: it@example.com → Ada"]);
        let unmarked = differs(Some(observed), false);
        assert_eq!(unmarked, ["contact: it@example.com → Ada", "futuswarm:login: on is missing"]);
        assert_eq!(differs(Some(Value::Null), true).len(), 10);
        // A run that was killed between the two.
        assert_eq!(differs(None, true).len(), 10);
    }

    /// An account that gives these answers.
    fn service(cluster: Cluster, mode: Mode, answers: Vec<Answer>) -> (Aws, Run, Receiver<String>) {
        let (endpoint, requests) = on_loopback(answers);
        let run = Run::of(cluster, mode);
        (Aws::at(&endpoint, &run.cluster), run, requests)
    }

    /// The one VPC of the cluster, with a mark or without.
    fn vpc(marked: bool) -> Answer {
        let tag = |key: &str, value: &str| format!("<item><key>{key}</key><value>{value}</value></item>");
        let mark = if marked { tag(MARK, MARKED) } else { String::new() };
        let tags = tag("futuswarm:cluster", "local") + &tag("futuswarm:part", "vpc") + &mark;
        let vpc = format!("<item><vpcId>vpc-1</vpcId><tagSet>{tags}</tagSet></item>");
        let body = format!("<DescribeVpcsResponse><vpcSet>{vpc}</vpcSet></DescribeVpcsResponse>");
        Answer { status: Some(200), body, ..Answer::default() }
    }

    fn gone() -> Answer {
        Answer { status: Some(204), ..Answer::default() }
    }

    fn untagged() -> Answer {
        let body = "<DeleteTagsResponse><return>true</return></DeleteTagsResponse>".to_owned();
        Answer { status: Some(200), body, ..Answer::default() }
    }

    /// What was asked for: the operation, or the method with the end of the path.
    fn asked(requests: &Receiver<String>) -> Vec<String> {
        let short = |asked: String| match asked.split("Action=").nth(1).and_then(|rest| rest.split('&').next()) {
            Some(operation) => operation.to_owned(),
            None => {
                let mut words = asked.split([' ', '?']);
                let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                format!("{method} {}", path.split_once("/cluster/").map_or(path, |(_, key)| key))
            }
        };
        requests.iter().map(short).collect()
    }

    #[tokio::test]
    async fn a_login_that_leaves_the_spec_takes_its_secret_along_and_the_mark_last() {
        let mode = Mode::Apply { plan: false };
        let (aws, run, requests) = service(Cluster::local(), mode, vec![gone(), gone(), vpc(true), untagged()]);
        let observed = Observed { record: None, marked: true };
        LoginObject::of(&run.cluster.spec).delete(&aws, &run, &observed).await.unwrap();
        assert_eq!(asked(&requests), ["DELETE login/client-secret", "DELETE login", "DescribeVpcs", "DeleteTags"]);
        let notes = futuswarm_converge::Context::ledger(&run).take_report().notes;
        assert!(notes[0].contains("`cargo xtask login secret` again"), "{notes:?}");
    }

    #[tokio::test]
    async fn a_cluster_that_is_destroyed_leaves_the_secret_and_not_the_record() {
        let mode = Mode::Destroy { plan: false, delete_data: false };
        let (aws, run, requests) = service(cluster(|_| {}), mode, vec![gone(), vpc(true), untagged()]);
        let observed = Observed { record: None, marked: true };
        LoginObject::of(&run.cluster.spec).delete(&aws, &run, &observed).await.unwrap();
        assert_eq!(asked(&requests), ["DELETE login", "DescribeVpcs", "DeleteTags"]);
    }

    #[tokio::test]
    async fn of_a_cluster_without_a_login_nothing_more_is_asked() {
        let mode = Mode::Apply { plan: true };
        for marked in [false, true] {
            let (aws, run, requests) = service(Cluster::local(), mode, vec![vpc(marked)]);
            let observed = LoginObject::of(&run.cluster.spec).observe(&aws, &run).await.unwrap();
            assert_eq!(observed.is_some_and(|observed| observed.marked), marked, "what is left of one goes");
            assert_eq!(is_there(&aws, &run).await.unwrap(), marked);
            assert_eq!(asked(&requests), ["DescribeVpcs"]);
        }
    }
}
