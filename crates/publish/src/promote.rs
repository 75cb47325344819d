//! SSM parameters that say which image is the one to use.

use std::time::Duration;

use futuswarm_image_format::Registration;
use futuswarm_retry::{Failure, Policy, retry};
use serde_json::{Value, json};

use crate::error::{Error, Result, failure, gave_up};
use crate::region::RegionClients;

/// What SSM checks a value against: only the id of an image that the account can see is taken.
const IMAGE: &str = "aws:ec2:image";
/// SSM checks an image's id after it has answered, and takes it only then; that is a matter of seconds.
const TAKEN: Policy = Policy {
    first: Duration::from_millis(300),
    cap: Duration::from_secs(5),
    total: Duration::from_secs(60),
    attempt: Duration::from_secs(60),
};

/// Below this are the parameters of all images.
pub const ROOT: &str = "/futuswarm/images";

/// The parameter of one image, which never changes.
#[must_use]
pub fn of_image(architecture: &str, name: &str) -> String {
    format!("{ROOT}/{architecture}/{name}/image_id")
}

/// The parameter that always names the image to use.
#[must_use]
pub fn latest(architecture: &str) -> String {
    of_image(architecture, "latest")
}

/// Makes an image the one to use; returns the parameters that were set. The image's own comes first, so that `latest` never
/// names an image that has none.
///
/// # Errors
/// When SSM refuses, or does not take the image.
pub async fn promote(clients: &RegionClients, registration: &Registration, image: &str) -> Result<Vec<String>> {
    let architecture = &registration.architecture;
    let names = vec![of_image(architecture, &registration.name), latest(architecture)];
    for name in &names {
        if value(clients, name).await?.as_deref() != Some(image) {
            put(clients, name, image).await?;
            taken(clients, name, image).await?;
        }
    }
    Ok(names)
}

async fn put(clients: &RegionClients, name: &str, image: &str) -> Result<()> {
    let members = json!({ "Value": image, "Type": "String", "DataType": IMAGE, "Overwrite": true });
    call(clients, "PutParameter", name, members).await.map(|_| ())
}

/// A call about one parameter.
async fn call(clients: &RegionClients, operation: &'static str, name: &str, mut members: Value) -> Result<Value> {
    members["Name"] = name.into();
    let answer = clients.ssm.call(operation, members).await;
    answer.map_err(|source| Error::Aws { region: clients.region.clone(), resource: name.to_owned(), source })
}

/// Waits until a parameter names the image.
async fn taken(clients: &RegionClients, name: &str, image: &str) -> Result<()> {
    retry(&format!("waiting until {name} is {image}"), TAKEN, || async {
        match value(clients, name).await.map_err(|error| failure(error, &[]))? {
            Some(current) if current == image => Ok(()),
            current => {
                let current = current.unwrap_or_else(|| "not there".to_owned());
                Err(Failure::Transient(Error::Wrong(format!("it is {current}"))))
            }
        }
    })
    .await
    .map_err(gave_up(
        &clients.region,
        "SSM takes only an image that is available, and only when the credentials have ec2:DescribeImages: see to that, then repeat",
    ))
}

/// The value of a parameter, or `None` when there is no such parameter.
///
/// # Errors
/// When SSM cannot be asked.
pub async fn value(clients: &RegionClients, name: &str) -> Result<Option<String>> {
    match call(clients, "GetParameter", name, json!({})).await {
        Ok(answer) => Ok(answer["Parameter"]["Value"].as_str().map(str::to_owned)),
        Err(error) if error.is(&["ParameterNotFound", "ParameterVersionNotFound"]) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Deletes a parameter; that it is gone already is as good.
///
/// # Errors
/// When SSM refuses.
pub async fn forget(clients: &RegionClients, name: &str) -> Result<()> {
    match call(clients, "DeleteParameter", name, json!({})).await {
        Err(error) if !error.is(&["ParameterNotFound"]) => Err(error),
        _ => Ok(()),
    }
}
