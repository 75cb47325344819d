//! `docker secret` on the engine.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::query_parameters::ListSecretsOptionsBuilder;
use serde_json::json;

use super::DockerEngine;
use super::raw::Request;
use crate::{Error, SecretApi, SwarmSecret};

impl SecretApi for DockerEngine {
    async fn list_secrets(&self, label: &str, value: &str) -> Result<Vec<SwarmSecret>, Error> {
        let filters = HashMap::from([("label", vec![format!("{label}={value}")])]);
        let options = ListSecretsOptionsBuilder::default().filters(&filters).build();
        let secrets = self.docker().await?.list_secrets(Some(options)).await;
        let secrets = secrets.map_err(|error| Error::call("secret ls", error))?;
        let secret = |secret: bollard::models::Secret| {
            let spec = secret.spec?;
            let (labels, created_at) = (spec.labels.unwrap_or_default(), secret.created_at.unwrap_or_default());
            Some(SwarmSecret { id: secret.id?, name: spec.name?, labels, created_at })
        };
        Ok(secrets.into_iter().filter_map(secret).collect())
    }

    async fn create_secret(
        &self,
        name: &str,
        labels: &HashMap<String, String>,
        content: &[u8],
    ) -> Result<String, Error> {
        let operation = "secret create";
        // Not with bollard, which writes the body of each request into its debug log.
        let body = json!({ "Name": name, "Labels": labels, "Data": STANDARD.encode(content) }).to_string();
        let request =
            Request { operation, method: "POST", path: "/secrets/create", body: body.as_bytes(), upgrade: false };
        let created = self.send(request).await?.json().await?;
        created["ID"].as_str().map(str::to_owned).ok_or(Error::Incomplete { operation, field: "ID" })
    }

    async fn remove_secret(&self, id: &str) -> Result<(), Error> {
        let removed = self.docker().await?.delete_secret(id).await;
        match removed.map_err(|error| Error::call("secret rm", error)) {
            Err(error) if error.is_not_found() => Ok(()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use futuswarm_testkit::answers::{Answer, on_socket};

    use super::*;

    #[tokio::test]
    async fn a_secret_of_any_bytes_is_sent_and_only_its_id_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let conflict = r#"{"message":"rpc error: code = AlreadyExists desc = secret hello-1 already exists"}"#;
        let told = on_socket(&socket, vec![Answer::json(201, r#"{"ID":"s1"}"#), Answer::json(409, conflict)]);
        let engine = DockerEngine::at_default_version(socket.to_str().unwrap());
        let labels = HashMap::from([("futuswarm.app".to_owned(), "hello".to_owned())]);
        assert_eq!(engine.create_secret("hello-1", &labels, &[0xff, 0, b'\n']).await.unwrap(), "s1");
        let asked = told.recv().unwrap();
        assert!(asked.starts_with("POST /v1.53/secrets/create HTTP/1.0\r\n"), "{asked}");
        let sent: serde_json::Value = serde_json::from_str(asked.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(sent, json!({"Name": "hello-1", "Labels": {"futuswarm.app": "hello"}, "Data": "/wAK"}));
        let error = engine.create_secret("hello-1", &labels, b"topsecret").await.unwrap_err();
        assert!(error.is_conflict() && !format!("{error} {error:?}").contains("topsecret"), "{error}");
    }

    #[tokio::test]
    async fn one_in_use_is_told_apart_and_one_that_is_gone_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let used = r#"{"message":"rpc error: code = InvalidArgument desc = secret 'a' is in use by the following service: hello"}"#;
        let gone = r#"{"message":"rpc error: code = NotFound desc = secret s1 not found"}"#;
        let _told = on_socket(&socket, vec![Answer::json(400, used), Answer::json(404, gone)]);
        let engine = DockerEngine::at_default_version(socket.to_str().unwrap());
        assert!(engine.remove_secret("s1").await.unwrap_err().is_in_use());
        engine.remove_secret("s1").await.unwrap();
    }

    #[tokio::test]
    async fn secrets_are_listed_by_a_label() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let listed = r#"[{"ID":"s1","Version":{"Index":11},"CreatedAt":"2026-05-01T10:00:00Z","UpdatedAt":"2026-05-01T10:00:00Z","Spec":{"Name":"hello-1","Labels":{"futuswarm.app":"hello"}}}]"#;
        let told = on_socket(&socket, vec![Answer::json(200, listed)]);
        let engine = DockerEngine::at_default_version(socket.to_str().unwrap());
        let secrets = engine.list_secrets("futuswarm.app", "hello").await.unwrap();
        assert_eq!((secrets[0].id.as_str(), secrets[0].name.as_str()), ("s1", "hello-1"));
        assert!(told.recv().unwrap().contains("%22label%22%3A%5B%22futuswarm.app%3Dhello%22%5D"));
    }
}
