//! The command line in the bucket, from where nodes bring it to the main page. First the program, under a key that no other has, and then
//! what names it: who reads that in between gets the one or the other, and never a mixture.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::ByteStream;
use futuswarm_converge::Resource;
use futuswarm_model::{CliRelease, keys};

use super::bucket;
use crate::cli_program::CliProgram;
use crate::error::{Error, failed};
use crate::field::{Changed, Field, Fields};
use crate::{Aws, Run, components};

/// A few megabytes over the line of whoever deploys, which may be a slow one.
const ATTEMPT: Duration = Duration::from_secs(120);
const UPLOAD: Duration = Duration::from_secs(600);

pub(crate) struct CliObject(pub(crate) Arc<CliProgram>);

fn fields(release: &CliRelease) -> Fields {
    Fields::new()
        .with(Field::Program("version"), &release.version)
        .with(Field::Program("SHA-256"), &release.sha256)
        .with(Field::Program("bytes"), release.bytes)
}

/// Keys of programs that nobody needs any more: neither the one that is offered nor the one before it, which a node may be fetching.
fn unneeded(mut all: Vec<String>, now: &CliRelease, before: Option<&CliRelease>) -> Vec<String> {
    let key = |release: &CliRelease| keys::cli_program(&release.version, &release.sha256);
    let (now, before) = (key(now), before.map(key));
    all.retain(|one| *one != now && Some(one) != before.as_ref() && one != keys::CLI_RELEASE);
    all
}

impl CliObject {
    async fn put(&self, aws: &Aws, run: &Run, before: Option<&CliRelease>) -> Result<(), Error> {
        let CliProgram { release, content } = &*self.0;
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(UPLOAD).build();
        let put = aws.s3.put_object().bucket(run.cluster.names.bucket());
        put.key(keys::cli_program(&release.version, &release.sha256))
            .content_type("application/octet-stream")
            .body(ByteStream::from(content.clone()))
            .customize()
            .config_override(aws_sdk_s3::config::Builder::new().timeout_config(timeouts))
            .send()
            .await
            .map_err(failed("PutObject"))?;
        aws.store.put(keys::CLI_RELEASE, release).await?;
        let tidied = async {
            let old = unneeded(aws.store.list(keys::CLI).await?, release, before);
            if old.is_empty() { Ok(()) } else { aws.store.delete_all(&old).await }
        };
        if let Err(error) = tidied.await {
            run.note(format!("older programs of the command line stay in the bucket: {error}"));
        }
        Ok(())
    }
}

impl Resource<Run> for CliObject {
    type Observed = CliRelease;

    fn kind(&self) -> &'static str {
        "command line"
    }

    fn name(&self, run: &Run) -> String {
        bucket::object_name(&run.cluster, keys::CLI_RELEASE)
    }

    fn component(&self) -> String {
        components::CLI.to_owned()
    }

    fn depends_on(&self) -> Vec<String> {
        vec![components::BUCKET.to_owned()]
    }

    fn holds_data(&self) -> bool {
        true
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<CliRelease>, Error> {
        match bucket::object::<CliRelease>(aws, run, keys::CLI_RELEASE).await {
            Ok(observed) => Ok(observed.map(|observed| observed.value)),
            // Somebody wrote something else there.
            Err(futuswarm_store::Error::Malformed { .. }) => {
                Ok(Some(CliRelease { version: String::new(), sha256: String::new(), bytes: 0 }))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn id(&self, _: &CliRelease) -> String {
        components::CLI.to_owned()
    }

    fn desired(&self, _: &Run) -> Result<Fields, Error> {
        Ok(fields(&self.0.release))
    }

    fn current(&self, _: &Run, observed: &CliRelease) -> Fields {
        fields(observed)
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        self.put(aws, run, None).await?;
        Ok(components::CLI.to_owned())
    }

    async fn update(&self, aws: &Aws, run: &Run, observed: &CliRelease, _: &Changed) -> Result<(), Error> {
        self.put(aws, run, Some(observed)).await
    }

    async fn delete(&self, aws: &Aws, _: &Run, _: &CliRelease) -> Result<(), Error> {
        Ok(aws.store.delete(keys::CLI_RELEASE).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(version: &str, digit: &str) -> CliRelease {
        CliRelease { version: version.to_owned(), sha256: digit.repeat(64), bytes: 7 }
    }

    #[test]
    fn another_build_is_a_change_and_the_same_one_is_none() {
        let before = fields(&release("0.1.0", "a"));
        let texts: Vec<String> =
            fields(&release("0.1.0", "b")).differences(&before).for_people().iter().map(ToString::to_string).collect();
        assert_eq!(texts, [format!("SHA-256: {} → {}", "a".repeat(64), "b".repeat(64))]);
        assert!(before.differences(&fields(&release("0.1.0", "a"))).for_people().is_empty());
    }

    #[test]
    fn what_is_offered_and_the_one_before_it_stay() {
        let (now, before, old) = (release("0.2.0", "b"), release("0.1.0", "a"), release("0.1.0", "c"));
        let key = |release: &CliRelease| keys::cli_program(&release.version, &release.sha256);
        let all = vec![key(&before), key(&old), key(&now), keys::CLI_RELEASE.to_owned()];
        assert_eq!(unneeded(all.clone(), &now, Some(&before)), [key(&old)]);
        assert_eq!(unneeded(all, &now, None), [key(&before), key(&old)]);
    }
}
