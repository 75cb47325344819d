//! EC2's calls about images, snapshots and consoles, of which the emulator forgets most.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use aws_sdk_ec2::types::Tag;
use futuswarm_aws::Error as AwsError;
use http::{Response, response};

use super::request::{OperationRequest, Outcome, Refusal, whole};
use super::{console_output, describe_images, register_image, snapshots};
use crate::ebs::Ebs;
use crate::form::Form;
use crate::images::{Image, Images};
use crate::server::Body;
use crate::xml;

/// What is known of images and snapshots beyond the emulator.
pub struct ImageCalls {
    images: Arc<RwLock<Images>>,
    ebs: Ebs,
    /// The folder with one folder per machine.
    machines: PathBuf,
    /// One registration at a time: each looks whether the name is free.
    turn: tokio::sync::Mutex<()>,
}

impl ImageCalls {
    /// Calls about these images and snapshots, and the consoles of the machines in a folder.
    pub fn new(images: Arc<RwLock<Images>>, ebs: Ebs, machines: PathBuf) -> Self {
        Self { images, ebs, machines, turn: tokio::sync::Mutex::default() }
    }

    /// Completes the images that are listed.
    pub async fn describe(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        asked.completed(|answer| describe_images::complete(answer, &self.images())).await.map(Some)
    }

    /// Completes the snapshots that are listed.
    pub async fn describe_snapshots(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        asked.completed(|answer| snapshots::complete(answer, &mut self.ebs.snapshots())).await.map(Some)
    }

    fn images(&self) -> Images {
        self.images.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, image: Image) {
        self.images.write().unwrap_or_else(PoisonError::into_inner).images.push(image);
    }

    /// Answers with the console of the machine.
    pub async fn console(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        // The emulator says whether there is such an instance, so the name is one of a folder and no way out of it.
        let instance = asked.call.form.get("InstanceId").unwrap_or_default().to_owned();
        let log = self.machines.join(instance).join("console.log");
        asked.completed(|answer| console_output::complete(answer, &log)).await.map(Some)
    }

    /// Registers an image over a snapshot of the EBS direct APIs.
    pub async fn register(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let form = &asked.call.form;
        let _turn = self.turn.lock().await;
        let read = register_image::read(form, &asked.scope.region, &self.ebs.snapshots(), &self.images());
        let image = match read {
            Ok(image) => image,
            Err(refusal) => return Ok(Some(asked.refuse(&refusal))),
        };
        let (head, body) = asked.forward_unchanged().await?;
        if let Some(id) = image_id(&head, &body) {
            self.tag(&asked.scope.region, &id, tags(form, "image")).await?;
            self.add(Image { ami: id, ..image });
        }
        Ok(Some(whole(head, body)))
    }

    /// Copies an image, with its snapshot, to another region.
    pub async fn copy(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let (form, region) = (&asked.call.form, &asked.scope.region);
        let _turn = self.turn.lock().await;
        let id = form.get("SourceImageId").unwrap_or_default();
        let Some(source) = self.images().by_ami(id).cloned() else { return Ok(None) };
        if self.images().named(form.get("Name").unwrap_or_default(), region).is_some() {
            return Ok(Some(asked.refuse(&Refusal::new("InvalidAMIName.Duplicate", "The AMI name is already in use"))));
        }
        let (head, body) = asked.forward_unchanged().await?;
        let Some(id) = image_id(&head, &body) else { return Ok(Some(whole(head, body))) };
        let snapshot = self.ebs.copy(&source.snapshot, &source.region, region).await?;
        let (mut of_image, of_snapshot) = (tags(form, "image"), tags(form, "snapshot"));
        if form.get("CopyImageTags") == Some("true") {
            of_image.extend(self.tags_of(&source).await?);
        }
        self.tag(region, &id, of_image).await?;
        self.tag(region, &snapshot, of_snapshot).await?;
        self.add(Image {
            ami: id,
            name: form.get("Name").unwrap_or(&source.name).to_owned(),
            region: region.to_owned(),
            disk: self.ebs.snapshots().file_of(&snapshot),
            snapshot,
            ..source
        });
        Ok(Some(whole(head, body)))
    }

    /// Deregisters an image.
    pub async fn deregister(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let (head, body) = asked.forward_unchanged().await?;
        if head.status.is_success()
            && let Some(id) = asked.call.form.get("ImageId")
        {
            self.images.write().unwrap_or_else(PoisonError::into_inner).images.retain(|image| image.ami != id);
        }
        Ok(Some(whole(head, body)))
    }

    /// Deletes a snapshot that no image is made of.
    pub async fn delete_snapshot(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let id = asked.call.form.get("SnapshotId").unwrap_or_default();
        if let Some(refusal) = snapshots::in_use(id, &self.images()) {
            return Ok(Some(asked.refuse(&refusal)));
        }
        let (head, body) = asked.forward_unchanged().await?;
        if head.status.is_success() {
            self.ebs.snapshots().remove(id);
        }
        Ok(Some(whole(head, body)))
    }

    async fn tag(&self, region: &str, id: &str, tags: Vec<Tag>) -> Result<(), AwsError> {
        if tags.is_empty() {
            return Ok(());
        }
        let create = self.ebs.ec2(region).create_tags().resources(id).set_tags(Some(tags));
        create.send().await.map(|_| ()).map_err(|error| AwsError::new("CreateTags", error))
    }

    async fn tags_of(&self, image: &Image) -> Result<Vec<Tag>, AwsError> {
        let found = self.ebs.ec2(&image.region).describe_images().image_ids(&image.ami).send().await;
        let found = found.map_err(|error| AwsError::new("DescribeImages", error))?;
        Ok(found.images().first().map(|image| image.tags().to_vec()).unwrap_or_default())
    }
}

/// Tags that a call asks for on resources of a kind.
fn tags(form: &Form, kind: &str) -> Vec<Tag> {
    let specifications = form.structures("TagSpecification").into_iter();
    let of_kind = specifications.filter(|specification| specification.get("ResourceType") == Some(kind));
    let tags = of_kind.flat_map(|specification| specification.structures("Tag"));
    tags.map(|tag| {
        Tag::builder().set_key(tag.get("Key").map(str::to_owned)).value(tag.get("Value").unwrap_or_default())
    })
    .map(aws_sdk_ec2::types::builders::TagBuilder::build)
    .collect()
}

/// The image that the emulator has made.
fn image_id(head: &response::Parts, body: &[u8]) -> Option<String> {
    let answer = xml::parse(body).ok().filter(|_| head.status.is_success())?;
    xml::find_text(&answer, "imageId")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_per_kind() {
        let form = Form::parse(
            "Action=RegisterImage&TagSpecification.1.ResourceType=snapshot&TagSpecification.1.Tag.1.Key=no\
             &TagSpecification.2.ResourceType=image&TagSpecification.2.Tag.1.Key=futuswarm%3Aimage&TagSpecification.2.Tag.1.Value=a+b",
        );
        let read = tags(&form, "image");
        assert_eq!(read.len(), 1);
        assert_eq!((read[0].key(), read[0].value()), (Some("futuswarm:image"), Some("a b")));
        assert_eq!(tags(&form, "volume"), []);
    }
}
