//! `docker pull` and `docker image inspect` on the engine.

use std::time::Duration;

use bollard::models;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::DockerEngine;
use crate::{Error, Image, ImageApi, PullProgress};

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
}
