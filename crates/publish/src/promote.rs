//! SSM parameters that say which image is the one to use.

use aws_sdk_ssm::types::ParameterType;

use crate::error::{Result, aws};
use crate::image::Registration;
use crate::place::Place;

/// What SSM checks a value against, where it can.
const IMAGE: &str = "aws:ec2:image";

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
/// When SSM refuses.
pub async fn promote(place: &Place, registration: &Registration, image: &str) -> Result<Vec<String>> {
    let architecture = &registration.architecture;
    let names = vec![of_image(architecture, &registration.name), latest(architecture)];
    for name in &names {
        if value(place, name).await?.as_deref() != Some(image) {
            put(place, name, image).await?;
        }
    }
    Ok(names)
}

async fn put(place: &Place, name: &str, image: &str) -> Result<()> {
    let put = |kind: &str| {
        let put = place.ssm.put_parameter().name(name).value(image).r#type(ParameterType::String);
        put.data_type(kind).overwrite(true).send()
    };
    match put(IMAGE).await.map_err(aws(&place.region, "PutParameter")) {
        // A region, or an emulator, that knows texts only.
        Err(error) if error.is(&["ValidationException", "UnsupportedParameterType"]) => {
            put("text").await.map_err(aws(&place.region, "PutParameter")).map(|_| ())
        }
        other => other.map(|_| ()),
    }
}

/// A parameter's value.
///
/// # Errors
/// When SSM cannot be asked.
pub async fn value(place: &Place, name: &str) -> Result<Option<String>> {
    match place.ssm.get_parameter().name(name).send().await.map_err(aws(&place.region, "GetParameter")) {
        Ok(found) => Ok(found.parameter.and_then(|parameter| parameter.value)),
        Err(error) if error.is(&["ParameterNotFound"]) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Deletes a parameter; that it is gone already is as good.
///
/// # Errors
/// When SSM refuses.
pub async fn forget(place: &Place, name: &str) -> Result<()> {
    match place.ssm.delete_parameter().name(name).send().await.map_err(aws(&place.region, "DeleteParameter")) {
        Err(error) if !error.is(&["ParameterNotFound"]) => Err(error),
        _ => Ok(()),
    }
}
