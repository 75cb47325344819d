//! The server on RDS, and its master password in Secrets Manager. Both are asked for each time: RDS changes the password by itself.

use aws_sdk_rds::Client;
use aws_sdk_rds::types::DbInstance;
use futuswarm_aws::json::{Json, SECRETS_MANAGER};
use futuswarm_aws::{Error as AwsError, SdkConfig};
use futuswarm_secret::Secret;
use serde::Deserialize;
use serde_json::json;

use crate::{Endpoint, Error, Locate, Located};

const DESCRIBE: &str = "DescribeDBInstances";
const GET_SECRET: &str = "GetSecretValue";

/// The instance of a cluster.
#[derive(Debug, Clone)]
pub struct Rds {
    client: Client,
    secrets: Json,
    instance: String,
}

/// What RDS writes into the secret of a master user.
#[derive(Deserialize)]
struct MasterUser {
    username: String,
    password: String,
}

impl Rds {
    /// The instance with this identifier.
    #[must_use]
    pub fn new(sdk: &SdkConfig, instance: &str) -> Self {
        let (client, secrets) = (Client::new(sdk), Json::new(&SECRETS_MANAGER, sdk));
        Self { client, secrets, instance: instance.to_owned() }
    }

    /// Looks for the instance. Its status is not asked for: one that is being backed up or changed serves, and whether it does is for
    /// the connection to say.
    async fn find(&self) -> Result<(Endpoint, DbInstance), Error> {
        let found = self.client.describe_db_instances().db_instance_identifier(&self.instance).send().await;
        let found = match found.map_err(|error| AwsError::new(DESCRIBE, error)) {
            Ok(found) => found.db_instances.unwrap_or_default().into_iter().next(),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error.into()),
        };
        let instance = found.ok_or(Error::NoServer)?;
        let endpoint = instance.endpoint().and_then(|endpoint| {
            let port = u16::try_from(endpoint.port()?).ok()?;
            Some(Endpoint { host: endpoint.address()?.to_owned(), port })
        });
        match endpoint {
            Some(endpoint) => Ok((endpoint, instance)),
            None => {
                Err(Error::NotAvailable { state: instance.db_instance_status().unwrap_or("being created").to_owned() })
            }
        }
    }
}

impl Locate for Rds {
    async fn endpoint(&self) -> Result<Endpoint, Error> {
        Ok(self.find().await?.0)
    }

    async fn locate(&self) -> Result<Located, Error> {
        let (endpoint, instance) = self.find().await?;
        let secret = instance.master_user_secret().and_then(|secret| secret.secret_arn());
        let secret = secret.ok_or(Error::Incomplete { operation: DESCRIBE, what: "the secret of its master user" })?;
        let answer = self.secrets.call(GET_SECRET, json!({ "SecretId": secret })).await?;
        let MasterUser { username, password } = master_user(answer["SecretString"].as_str())?;
        Ok(Located { endpoint, user: username, password: Secret::new(password) })
    }
}

/// Reads a secret. What is wrong with it is not said: that would quote it.
fn master_user(text: Option<&str>) -> Result<MasterUser, Error> {
    let unreadable = || Error::Incomplete { operation: GET_SECRET, what: "the name and the password of a master user" };
    text.and_then(|text| serde_json::from_str(text).ok()).ok_or_else(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_and_never_quoted() {
        let user = master_user(Some(r#"{"username":"futuswarm","password":"hush","more":1}"#)).ok().unwrap();
        assert_eq!((user.username.as_str(), user.password.as_str()), ("futuswarm", "hush"));
        for text in [None, Some("hush"), Some(r#"{"password":"hush"}"#), Some(r#"{"username":1,"password":"hush"}"#)] {
            let error = master_user(text).err().unwrap().to_string();
            assert!(!error.contains("hush") && error.contains(GET_SECRET), "{error}");
        }
    }
}
