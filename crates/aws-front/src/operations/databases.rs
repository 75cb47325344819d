//! RDS instances: the emulator's are available at once and have one password for all; here they are when a server accepts
//! connections, and the secret holds the password that the server really has.

use aws_sdk_rds::types::DbInstance;
use futuswarm_aws::Error as AwsError;
use futuswarm_iam::Context;
use futuswarm_local_api::faults::Caller;
use http::Response;
use serde_json::{Value, json};

use super::request::{OperationRequest, Outcome, Refusal, whole};
use crate::catalogue::Catalogue;
use crate::clients::Clients;
use crate::form::Form;
use crate::server::Body;
use crate::xml::{self, Element, leaf};

/// What an instance gets whose version is not said: the newest of the major version that the tools tree has.
const DEFAULT_VERSION: &str = "17.6";

/// The databases as the front knows them.
pub struct DatabaseCalls {
    /// By the bypass, where nothing is completed.
    inner: Clients,
    catalogue: Catalogue,
}

impl DatabaseCalls {
    /// Databases with this catalogue.
    pub fn new(inner: Clients, catalogue: Catalogue) -> Self {
        Self { inner, catalogue }
    }

    /// Creates an instance with the defaults that the emulator lacks.
    ///
    /// # Errors
    /// When the emulator does not answer; so with every call below.
    pub async fn create(&self, request: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        if !request.trusted {
            return Ok(None);
        }
        let mut form = request.call.form.clone();
        if form.get("EngineVersion").is_none() && form.get("Engine") == Some("postgres") {
            form.set("EngineVersion", DEFAULT_VERSION);
        }
        if form.get("PubliclyAccessible").is_none() {
            form.set("PubliclyAccessible", "false");
        }
        let (head, body) = request.forward(form.encode()).await?;
        if head.status.is_success() {
            self.remember(id(&form), form.get("MasterUserPassword"));
        }
        Ok(Some(whole(head, xml::change(body, |answer| self.complete(answer)))))
    }

    /// Restores an instance, and notes the snapshot that its server begins with.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn restore(&self, request: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let form = &request.call.form;
        let (head, body) = request.forward_unchanged().await?;
        if let Some(snapshot) = form.get("DBSnapshotIdentifier").filter(|_| head.status.is_success()) {
            self.catalogue.restore(id(form), snapshot.rsplit(':').next().unwrap_or(snapshot));
        }
        Ok(Some(whole(head, xml::change(body, |answer| self.complete(answer)))))
    }

    /// Modifies an instance; its password may be chosen or rotated.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn modify(&self, request: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let form = &request.call.form;
        if form.mentions("NewDBInstanceIdentifier") {
            let message = "the local cloud does not rename databases";
            return Ok(Some(request.refuse(&Refusal::new("InvalidParameterCombination", message))));
        }
        let is = |field: &str| form.get(field) == Some("true");
        let rotates = request.trusted && is("RotateMasterUserPassword") && is("ApplyImmediately");
        let (head, body) = if rotates {
            // The emulator would ask a function for the new secret, find none, and lose the old one.
            let mut rest = form.clone();
            rest.remove("RotateMasterUserPassword");
            request.forward(rest.encode()).await?
        } else {
            request.forward_unchanged().await?
        };
        if head.status.is_success() {
            self.remember(id(form), form.get("MasterUserPassword"));
            if rotates {
                self.catalogue.rotate(id(form));
            }
        }
        Ok(Some(whole(head, xml::change(body, |answer| self.complete(answer)))))
    }

    /// Refuses a snapshot of an instance that has a server: what a server holds goes into a snapshot when it stops for good, and
    /// one of a server that runs would be empty.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn create_snapshot(&self, request: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let message = "the local cloud takes a snapshot only of a database that is deleted: name one with FinalDBSnapshotIdentifier";
        let refusal = Refusal::new("InvalidParameterCombination", message);
        Ok(self.catalogue.served().then(|| request.refuse(&refusal)))
    }

    /// Deletes a snapshot, and its files.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn delete_snapshot(&self, request: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let (head, body) = request.forward_unchanged().await?;
        let snapshot = request.call.form.get("DBSnapshotIdentifier").filter(|_| head.status.is_success());
        if let Some(snapshot) = snapshot {
            self.catalogue.drop_snapshot(snapshot);
        }
        Ok(Some(whole(head, body)))
    }

    /// Deletes an instance, unless its last snapshot is neither named nor declined.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn delete(&self, request: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let form = &request.call.form;
        if form.get("SkipFinalSnapshot") != Some("true") && !form.mentions("FinalDBSnapshotIdentifier") {
            let message = "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.";
            return Ok(Some(request.refuse(&Refusal::new("InvalidParameterCombination", message))));
        }
        let (head, body) = request.forward_unchanged().await?;
        if head.status.is_success() {
            self.catalogue.remove(id(form));
        }
        Ok(Some(whole(head, body)))
    }

    /// Completes the instances that are listed. A node is asked about the one that it names: the emulator would look for a right to all.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn describe(&self, request: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        if request.caller != Caller::Node {
            return request.completed(|answer| self.complete(answer)).await.map(Some);
        }
        let name = Some(id(&request.call.form)).filter(|name| !name.is_empty()).unwrap_or("*");
        if let Err(refused) = request.authorise(&request.guard.arn("rds", &format!("db:{name}"))).await {
            return Ok(Some(refused));
        }
        let (head, body) = request.forward_as_owner().await?;
        let body = if head.status.is_success() { xml::change(body, |answer| self.complete(answer)) } else { body };
        Ok(Some(whole(head, body)))
    }

    fn remember(&self, id: &str, password: Option<&str>) {
        if let Some(password) = password {
            self.catalogue.choose(id, password);
        }
    }

    /// An instance that cannot be used yet is being created, and has no endpoint.
    fn complete(&self, answer: &mut Element) {
        xml::visit(answer, "DBInstance", &mut |instance| {
            if self.catalogue.available(&xml::text(instance, "DBInstanceIdentifier").unwrap_or_default()) {
                return;
            }
            if xml::text(instance, "DBInstanceStatus").as_deref() == Some("available") {
                xml::set(instance, leaf("DBInstanceStatus", "creating"));
            }
            instance.take_child("Endpoint");
        });
    }

    /// Tells the password that a server really has, in the secret that is an instance's.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn secret(&self, request: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        // Of a node that is decided here, by the instance that the secret is of: the emulator knows neither resources nor conditions.
        let (head, body) = match request.caller {
            Caller::Node => {
                if let Err(refused) = self.may_read(request).await? {
                    return Ok(Some(refused));
                }
                request.forward_as_owner().await?
            }
            _ => request.forward_unchanged().await?,
        };
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

    /// Whether a node may read the secret that it names; with the refusal otherwise.
    async fn may_read(&self, request: &OperationRequest<'_>) -> Outcome<Result<(), Response<Body>>> {
        let asked: Value = serde_json::from_slice(request.body).unwrap_or_default();
        let named = asked["SecretId"].as_str().unwrap_or_default();
        let mut known = Context::default();
        // One that is named otherwise than by its whole ARN is nobody's here, and what a policy allows of it is decided by the name.
        let resource = match named.starts_with("arn:") {
            true => named.to_owned(),
            false => request.guard.arn("secretsmanager", &format!("secret:{named}")),
        };
        if let Some(instance) = self.owner(named).await?.and_then(|instance| instance.db_instance_arn) {
            // The tag that RDS gives to it.
            known.set("aws:ResourceTag/aws:rds:primaryDBInstanceArn", instance);
        }
        Ok(request.authorise_in(&resource, known).await)
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

/// The instance that a call is about.
fn id(form: &Form) -> &str {
    form.get("DBInstanceIdentifier").unwrap_or_default()
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
        let mut answer = xml::parse(all(&instance("one", "available", endpoint)).as_bytes()).unwrap();
        calls.complete(&mut answer);
        assert_eq!(xml::write(&answer), all(&instance("one", "creating", "")));
    }
}
