//! RDS instances: the emulator's are available at once and have one password for all; here they are when a server accepts
//! connections, and the secret holds the password that the server really has.

use aws_sdk_rds::types::DbInstance;
use futuswarm_aws::Error as AwsError;
use http::Response;
use serde_json::{Value, json};

use super::request::{OperationRequest, Outcome, refused, whole};
use crate::catalogue::Catalogue;
use crate::clients::Clients;
use crate::server::Body;
use crate::xml::content;

/// What an instance gets whose version is not said: the newest of the major version that the tools tree has.
const DEFAULT_VERSION: &str = "17.6";

/// The databases as the front knows them.
pub struct DatabaseCalls {
    /// Straight to the emulator.
    inner: Clients,
    catalogue: Catalogue,
}

impl DatabaseCalls {
    /// Databases with this catalogue.
    pub fn new(inner: Clients, catalogue: Catalogue) -> Self {
        Self { inner, catalogue }
    }

    /// The answer to a call to RDS.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn answer(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let form = &asked.call.form;
        let id = form.get("DBInstanceIdentifier").unwrap_or_default();
        match asked.call.action.as_str() {
            "CreateDBInstance" if asked.trusted => {
                let mut whole_form = form.clone();
                if form.get("EngineVersion").is_none() && form.get("Engine") == Some("postgres") {
                    whole_form.set("EngineVersion", DEFAULT_VERSION);
                }
                if form.get("PubliclyAccessible").is_none() {
                    whole_form.set("PubliclyAccessible", "false");
                }
                let (head, body) = asked.forward(whole_form.encode()).await?;
                if head.status.is_success() {
                    self.remember(id, form.get("MasterUserPassword"));
                }
                Ok(Some(whole(head, self.complete(&String::from_utf8_lossy(&body)))))
            }
            "RestoreDBInstanceFromDBSnapshot" => {
                let (head, body) = asked.forward_unchanged().await?;
                if let Some(snapshot) = form.get("DBSnapshotIdentifier").filter(|_| head.status.is_success()) {
                    self.catalogue.restore(id, snapshot.rsplit(':').next().unwrap_or(snapshot));
                }
                Ok(Some(whole(head, self.complete(&String::from_utf8_lossy(&body)))))
            }
            "ModifyDBInstance" if form.mentions("NewDBInstanceIdentifier") => {
                Ok(Some(refused("InvalidParameterCombination", "the local cloud does not rename databases")))
            }
            "ModifyDBInstance" => {
                let is = |field: &str| form.get(field) == Some("true");
                let rotates = asked.trusted && is("RotateMasterUserPassword") && is("ApplyImmediately");
                let (head, body) = if rotates {
                    // The emulator would ask a function for the new secret, find none, and lose the old one.
                    let mut rest = form.clone();
                    rest.remove("RotateMasterUserPassword");
                    asked.forward(rest.encode()).await?
                } else {
                    asked.forward_unchanged().await?
                };
                if head.status.is_success() {
                    self.remember(id, form.get("MasterUserPassword"));
                    if rotates {
                        self.catalogue.rotate(id);
                    }
                }
                Ok(Some(whole(head, self.complete(&String::from_utf8_lossy(&body)))))
            }
            // What a server holds goes into a snapshot when it stops for good; a snapshot of one that runs would be empty.
            "CreateDBSnapshot" if self.catalogue.served() => {
                let message = "the local cloud takes a snapshot only of a database that is deleted: name one with FinalDBSnapshotIdentifier";
                Ok(Some(refused("InvalidParameterCombination", message)))
            }
            "DeleteDBSnapshot" => {
                let (head, body) = asked.forward_unchanged().await?;
                if let Some(snapshot) = form.get("DBSnapshotIdentifier").filter(|_| head.status.is_success()) {
                    self.catalogue.drop_snapshot(snapshot);
                }
                Ok(Some(whole(head, body)))
            }
            "DeleteDBInstance"
                if form.get("SkipFinalSnapshot") != Some("true") && !form.mentions("FinalDBSnapshotIdentifier") =>
            {
                let message = "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.";
                Ok(Some(refused("InvalidParameterCombination", message)))
            }
            "DeleteDBInstance" => {
                let (head, body) = asked.forward_unchanged().await?;
                if head.status.is_success() {
                    self.catalogue.forget(id);
                }
                Ok(Some(whole(head, body)))
            }
            "DescribeDBInstances" => {
                let (head, body) = asked.forward_unchanged().await?;
                Ok(Some(whole(head, self.complete(&String::from_utf8_lossy(&body)))))
            }
            _ => Ok(None),
        }
    }

    fn remember(&self, id: &str, password: Option<&str>) {
        if let Some(password) = password {
            self.catalogue.choose(id, password);
        }
    }

    /// An instance that cannot be used yet is being created, and has no endpoint.
    fn complete(&self, answer: &str) -> String {
        const OPEN: &str = "<DBInstance>";
        const CLOSE: &str = "</DBInstance>";
        let mut out = String::new();
        let mut rest = answer;
        while let Some(start) = rest.find(OPEN) {
            let length = rest[start..].find(CLOSE).map_or(rest.len() - start, |at| at + CLOSE.len());
            let (before, instance) = rest[..start + length].split_at(start);
            out.push_str(before);
            if self.catalogue.available(content(instance, "DBInstanceIdentifier").unwrap_or_default()) {
                out.push_str(instance);
            } else {
                let status = |status: &str| format!("<DBInstanceStatus>{status}</DBInstanceStatus>");
                let mut instance = instance.replacen(&status("available"), &status("creating"), 1);
                if let Some(endpoint) =
                    content(&instance, "Endpoint").map(|found| format!("<Endpoint>{found}</Endpoint>"))
                {
                    instance = instance.replacen(&endpoint, "", 1);
                }
                out.push_str(&instance);
            }
            rest = &rest[start + length..];
        }
        out + rest
    }

    /// The answer to a call to Secrets Manager.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn secret(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        if asked.call.action != "GetSecretValue" {
            return Ok(None);
        }
        // Whether the caller may read it is for the emulator to decide.
        let (head, body) = asked.forward_unchanged().await?;
        let Ok(mut answer) = serde_json::from_slice::<Value>(&body) else { return Ok(Some(whole(head, body))) };
        if let Some(arn) = answer["ARN"].as_str().filter(|_| head.status.is_success())
            && let Some(instance) = self.owner(arn).await?
        {
            let id = instance.db_instance_identifier().unwrap_or_default();
            let password = self.catalogue.password(id);
            let secret = json!({ "username": instance.master_username(), "password": password.expose() });
            answer["SecretString"] = secret.to_string().into();
        }
        Ok(Some(whole(head, answer.to_string())))
    }

    /// The instance whose master password is in a secret.
    async fn owner(&self, secret: &str) -> Result<Option<DbInstance>, AwsError> {
        let mut pages = self.inner.rds.describe_db_instances().into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| AwsError::new("DescribeDBInstances", error))?;
            let owns = |instance: &DbInstance| {
                instance.master_user_secret().and_then(|found| found.secret_arn()) == Some(secret)
            };
            if let Some(found) = page.db_instances.unwrap_or_default().into_iter().find(owns) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::{self, Keys};

    #[tokio::test]
    async fn an_instance_has_no_endpoint_until_its_server_accepts_connections() {
        let keys = Keys { id: "a".to_owned(), secret: "b".to_owned() };
        let inner = Clients::new(&clients::config("http://127.0.0.1:9", "eu-west-1", &keys).await);
        let catalogue = Catalogue::new(true);
        catalogue.accepts("two");
        let calls = DatabaseCalls::new(inner, catalogue);
        let instance = |id: &str, status: &str, endpoint: &str| {
            format!(
                "<DBInstance><DBInstanceIdentifier>{id}</DBInstanceIdentifier><DBInstanceStatus>{status}</DBInstanceStatus>{endpoint}</DBInstance>"
            )
        };
        let endpoint = "<Endpoint><Address>a</Address><Port>5432</Port></Endpoint>";
        let all = |first: &str| format!("<DBInstances>{first}{}</DBInstances>", instance("two", "available", endpoint));
        assert_eq!(
            calls.complete(&all(&instance("one", "available", endpoint))),
            all(&instance("one", "creating", ""))
        );
    }
}
