//! `docker pull` and `docker image inspect` on the engine.

use std::collections::BTreeSet;
use std::time::Duration;

use bollard::models;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptions, RemoveImageOptionsBuilder,
};
use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::DockerEngine;
use crate::{Error, Image, ImageApi, LocalImage, PullProgress};

/// So long a pull may say nothing: an engine that unpacks a large layer on a slow disk is silent for a while.
const SILENCE: Duration = Duration::from_secs(120);

impl ImageApi for DockerEngine {
    async fn pull_image(&self, reference: &str, progress: &mut (dyn FnMut(PullProgress) + Send)) -> Result<(), Error> {
        let operation = "image pull";
        let options = CreateImageOptionsBuilder::default().from_image(reference).build();
        let docker = self.docker().await?;
        let mut steps = std::pin::pin!(docker.create_image(Some(options), None, None));
        loop {
            let silent = |_| Error::Unreachable { operation, reason: "nothing happened for two minutes".to_owned() };
            match timeout(SILENCE, steps.next()).await.map_err(silent)? {
                None => return Ok(()),
                Some(Ok(step)) => progress(told(step)),
                Some(Err(error)) => return Err(pull_error(operation, error)),
            }
        }
    }

    async fn inspect_image(&self, reference: &str) -> Result<Option<Image>, Error> {
        let operation = "image inspect";
        match self.docker().await?.inspect_image(reference).await.map_err(|error| Error::call(operation, error)) {
            Ok(told) => image(told).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn list_images(&self) -> Result<Vec<LocalImage>, Error> {
        let images = self.docker().await?.list_images(None::<ListImagesOptions>).await;
        let images = images.map_err(|error| Error::call("image ls", error))?;
        Ok(images.into_iter().map(local).collect())
    }

    async fn images_in_use(&self) -> Result<BTreeSet<String>, Error> {
        let operation = "container ls";
        let options = ListContainersOptionsBuilder::default().all(true).build();
        let containers = self.docker().await?.list_containers(Some(options)).await;
        let containers = containers.map_err(|error| Error::call(operation, error))?;
        let image = |container: models::ContainerSummary| container.image_id.filter(|id| !id.is_empty());
        // One whose image is not told could be of any: nothing is concluded from such a list.
        let images: Option<BTreeSet<String>> = containers.into_iter().map(image).collect();
        images.ok_or(Error::Incomplete { operation, field: "ImageID" })
    }

    async fn remove_image(&self, reference: &str) -> Result<(), Error> {
        let options = RemoveImageOptionsBuilder::default().force(false).noprune(false).build();
        let removed = self.docker().await?.remove_image(reference, Some(options), None).await;
        match removed.map_err(|error| Error::call("image rm", error)) {
            Err(error) if error.is_not_found() => Ok(()),
            removed => removed.map(|_| ()),
        }
    }
}

fn local(told: models::ImageSummary) -> LocalImage {
    // What has no name is told as `<none>:<none>` and `<none>@<none>` by engines of before 2023.
    let names = told.repo_tags.into_iter().chain(told.repo_digests);
    LocalImage {
        id: told.id,
        references: names.filter(|name| !name.contains("<none>")).collect(),
        created_at: told.created,
        bytes: u64::try_from(told.size).unwrap_or_default(),
    }
}

fn told(step: models::CreateImageInfo) -> PullProgress {
    let amount = |amount: Option<i64>| amount.and_then(|amount| u64::try_from(amount).ok());
    let bytes = step.progress_detail.and_then(|detail| Some((amount(detail.current)?, amount(detail.total)?)));
    PullProgress { layer: step.id.unwrap_or_default(), status: step.status.unwrap_or_default(), bytes }
}

/// What goes wrong once the pull has begun comes in the stream of an answer that said 200.
fn pull_error(operation: &'static str, error: bollard::errors::Error) -> Error {
    match error {
        bollard::errors::Error::DockerStreamError { error } => {
            let missing = ["manifest unknown", "not found", "no such image"];
            let status = if missing.iter().any(|words| error.contains(words)) { 404 } else { 500 };
            Error::Refused { operation, status, message: error.replace('\n', " ") }
        }
        other => Error::call(operation, other),
    }
}

fn image(told: models::ImageInspect) -> Result<Image, Error> {
    let missing = |field| Error::Incomplete { operation: "image inspect", field };
    let config = told.config.unwrap_or_default();
    let test = config.healthcheck.and_then(|check| check.test).unwrap_or_default();
    let architecture = told.architecture.filter(|name| !name.is_empty()).ok_or_else(|| missing("Architecture"))?;
    let variant = told.variant.filter(|variant| !variant.is_empty());
    let mut exposed_ports: Vec<u16> =
        config.exposed_ports.unwrap_or_default().iter().filter_map(|port| tcp(port)).collect();
    exposed_ports.sort_unstable();
    Ok(Image {
        id: told.id.ok_or_else(|| missing("Id"))?,
        os: told.os.filter(|name| !name.is_empty()).ok_or_else(|| missing("Os"))?,
        architecture: variant.map_or(architecture.clone(), |variant| format!("{architecture}/{variant}")),
        has_health_check: test.first().is_some_and(|word| word != "NONE"),
        exposed_ports,
        bytes: told.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
    })
}

/// As in `8080/tcp`; without a protocol it is TCP.
fn tcp(port: &str) -> Option<u16> {
    let (port, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    if protocol == "tcp" { port.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use futuswarm_testkit::answers::{Answer, on_socket};

    use super::*;

    fn engine(answers: Vec<Answer>) -> (DockerEngine, std::sync::mpsc::Receiver<String>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let told = on_socket(&socket, answers);
        (DockerEngine::at_default_version(socket.to_str().unwrap()), told, folder)
    }

    const REFERENCE: &str =
        "127.0.0.1:5000/hello@sha256:0000000000000000000000000000000000000000000000000000000000000001";

    #[tokio::test]
    async fn a_pull_tells_its_progress_and_asks_for_the_very_digest() {
        let steps = [
            r#"{"status":"Pulling from hello","id":"sha256:0000"}"#,
            r#"{"status":"Downloading","progressDetail":{"current":1024,"total":4096},"progress":"[=> ]","id":"a1b2"}"#,
            r#"{"status":"Pull complete","progressDetail":{},"id":"a1b2"}"#,
        ];
        let (engine, told, _folder) = engine(vec![Answer::json(200, steps.join("\r\n") + "\r\n")]);
        let mut seen = Vec::new();
        engine.pull_image(REFERENCE, &mut |step| seen.push(step)).await.unwrap();
        assert_eq!(seen.len(), 3);
        assert_eq!(
            seen[1],
            PullProgress { layer: "a1b2".to_owned(), status: "Downloading".to_owned(), bytes: Some((1024, 4096)) }
        );
        assert_eq!(seen[2].bytes, None);
        let asked = told.recv().unwrap();
        assert!(asked.starts_with("POST /images/create?"), "{asked}");
        assert!(asked.contains("fromImage=127.0.0.1%3A5000%2Fhello%40sha256%3A0000"), "{asked}");
    }

    #[tokio::test]
    async fn an_image_that_is_missing_and_a_disk_that_is_full_are_told_apart() {
        let missing = r#"{"errorDetail":{"message":"manifest unknown: manifest unknown"},"error":"manifest unknown"}"#;
        let full = r#"{"errorDetail":{"message":"write /var/lib/docker/tmp/GetImageBlob1: no space left on device"},"error":"x"}"#;
        let refused =
            r#"{"message":"Get \"http://127.0.0.1:5000/v2/\": dial tcp 127.0.0.1:5000: connect: connection refused"}"#;
        let answers = vec![Answer::json(200, missing), Answer::json(200, full), Answer::json(500, refused)];
        let (engine, _told, _folder) = engine(answers);
        let mut errors = Vec::new();
        for _ in 0..3 {
            errors.push(engine.pull_image(REFERENCE, &mut |_| {}).await.unwrap_err());
        }
        assert!(errors[0].is_not_found(), "{}", errors[0]);
        assert!(!errors[1].is_not_found() && errors[1].to_string().contains("no space left"), "{}", errors[1]);
        assert!(errors[2].to_string().contains("connection refused"), "{}", errors[2]);
    }

    #[tokio::test]
    async fn an_image_says_for_what_it_is_and_what_it_offers() {
        let there = r#"{"Id":"sha256:c0","Architecture":"arm","Variant":"v7","Os":"linux","Size":1234,
            "Config":{"ExposedPorts":{"9090/udp":{},"8080/tcp":{},"80":{}},"Healthcheck":{"Test":["CMD","/check"]}}}"#;
        let off =
            r#"{"Id":"sha256:c1","Architecture":"amd64","Os":"linux","Config":{"Healthcheck":{"Test":["NONE"]}}}"#;
        let answers = vec![
            Answer::json(200, there),
            Answer::json(200, off),
            Answer::json(404, r#"{"message":"No such image"}"#),
            Answer::json(200, r#"{"Id":"sha256:c2","Os":"linux"}"#),
        ];
        let (engine, _told, _folder) = engine(answers);
        let image = engine.inspect_image(REFERENCE).await.unwrap().unwrap();
        assert_eq!((image.platform().as_str(), image.has_health_check), ("linux/arm/v7", true));
        assert_eq!((image.exposed_ports, image.bytes), (vec![80, 8080], 1234));
        let image = engine.inspect_image(REFERENCE).await.unwrap().unwrap();
        assert_eq!((image.platform().as_str(), image.has_health_check), ("linux/amd64", false));
        assert_eq!(engine.inspect_image(REFERENCE).await.unwrap(), None);
        let error = engine.inspect_image(REFERENCE).await.unwrap_err();
        assert!(error.to_string().contains("no Architecture"), "{error}");
    }
    #[tokio::test]
    async fn images_are_listed_with_all_their_names_and_removed_by_one() {
        let listed = r#"[{"Id":"sha256:c0","ParentId":"","RepoTags":[],"RepoDigests":["127.0.0.1:5000/hello@sha256:01"],
              "Created":1796000000,"Size":4096,"SharedSize":-1,"VirtualSize":4096,"Labels":null,"Containers":-1},
            {"Id":"sha256:c1","ParentId":"","RepoTags":["futuswarm/edge:1"],"RepoDigests":null,
              "Created":1796000001,"Size":1,"SharedSize":-1,"Labels":{},"Containers":-1}]"#;
        let containers =
            r#"[{"Id":"a","ImageID":"sha256:c1","State":"running"},{"Id":"b","ImageID":"sha256:c1","State":"exited"}]"#;
        let used = r#"{"message":"conflict: unable to remove repository reference \"x\" (must force) - container a is using its referenced image c1"}"#;
        let answers = vec![
            Answer::json(200, listed),
            Answer::json(200, containers),
            Answer::json(200, r#"[{"Id":"a","State":"running"}]"#),
            Answer::json(200, r#"[{"Untagged":"127.0.0.1:5000/hello@sha256:01"},{"Deleted":"sha256:c0"}]"#),
            Answer::json(404, r#"{"message":"No such image"}"#),
            Answer::json(409, used),
        ];
        let (engine, told, _folder) = engine(answers);
        let images = engine.list_images().await.unwrap();
        assert_eq!(images.len(), 2);
        assert_eq!(
            (images[0].references.as_slice(), images[0].bytes),
            (&["127.0.0.1:5000/hello@sha256:01".to_owned()][..], 4096)
        );
        assert_eq!(images[1].references, ["futuswarm/edge:1"]);
        assert_eq!(engine.images_in_use().await.unwrap(), BTreeSet::from(["sha256:c1".to_owned()]));
        assert!(told.iter().nth(1).unwrap().contains("all=true"));
        assert!(engine.images_in_use().await.unwrap_err().to_string().contains("no ImageID"));
        for _ in 0..2 {
            engine.remove_image(&images[0].references[0]).await.unwrap();
        }
        let asked = told.iter().nth(1).unwrap();
        assert!(
            asked.starts_with("DELETE /")
                && asked.contains("127.0.0.1:5000/hello@sha256:01")
                && asked.contains("force=false"),
            "{asked}"
        );
        assert!(engine.remove_image("futuswarm/edge:1").await.unwrap_err().is_conflict());
    }
}
