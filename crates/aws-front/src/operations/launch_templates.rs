//! Launch templates: the emulator puts the tags of a template itself among those of its instances, and cannot start an instance from
//! a version that was added with user data. Such user data is kept here: versions tell it, and machines get it from there.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::Response;

use super::request::{OperationRequest, Outcome, whole};
use crate::server::Body;
use crate::xml::{self, Element};

const USER_DATA: &str = "LaunchTemplateData.UserData";

/// The user data of versions that were added: template id and version number → base64.
#[derive(Default)]
pub struct Added(Mutex<BTreeMap<(String, String), String>>);

impl Added {
    /// Completes the versions that are listed.
    pub async fn describe(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        asked.completed(|answer| self.complete(answer)).await.map(Some)
    }

    /// Adds a version without its user data, which is kept here.
    pub async fn add(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let Some(user_data) = asked.call.form.get(USER_DATA).filter(|_| asked.trusted) else { return Ok(None) };
        let mut without = asked.call.form.clone();
        without.remove(USER_DATA);
        let (head, body) = asked.forward(without.encode()).await?;
        let body = match head.status.is_success() {
            true => xml::change(body, |answer| self.note(answer, user_data)),
            false => body,
        };
        Ok(Some(whole(head, body)))
    }

    fn note(&self, answer: &Element, user_data: &str) {
        let found = |name| xml::find_text(answer, name);
        if let (Some(template), Some(version)) = (found("launchTemplateId"), found("versionNumber")) {
            let mut added = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            added.insert((template, version), user_data.to_owned());
        }
    }

    /// Leaves the template's own tags out of every version's data, and puts its user data into it.
    fn complete(&self, answer: &mut Element) {
        let added = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for version in xml::entries_mut(answer, "launchTemplateVersionSet") {
            let (template, number) = (xml::text(version, "launchTemplateId"), xml::text(version, "versionNumber"));
            let user_data = added.get(&(template.unwrap_or_default(), number.unwrap_or_default()));
            let Some(data) = version.get_mut_child("launchTemplateData") else { continue };
            if let Some(tags) = data.get_mut_child("tagSpecificationSet") {
                xml::retain(tags, |item| xml::text(item, "resourceType").as_deref() != Some("launch-template"));
            }
            if let Some(user_data) = user_data {
                xml::set(data, xml::leaf("userData", user_data));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(added: &Added, text: &str) -> String {
        let mut answer = xml::parse(text.as_bytes()).unwrap();
        added.complete(&mut answer);
        xml::write(&answer)
    }

    #[test]
    fn only_tags_of_what_a_template_makes_are_in_it() {
        let item = |kind: &str| {
            format!("<item><resourceType>{kind}</resourceType><tagSet><item><key>a</key></item></tagSet></item>")
        };
        let answer = |items: &str| {
            format!(
                "<r><launchTemplateVersionSet><item><launchTemplateData><tagSpecificationSet>{items}</tagSpecificationSet></launchTemplateData></item><item><d/></item></launchTemplateVersionSet></r>"
            )
        };
        let before = answer(&(item("instance") + &item("launch-template") + &item("volume")));
        assert_eq!(completed(&Added::default(), &before), answer(&(item("instance") + &item("volume"))));
    }

    #[test]
    fn a_version_that_was_added_tells_its_user_data() {
        let version = |number: u32, data: &str| {
            format!(
                "<item><launchTemplateData><imageId>ami-1</imageId>{data}</launchTemplateData>\
                 <launchTemplateId>lt-1</launchTemplateId><versionNumber>{number}</versionNumber></item>"
            )
        };
        let answer = |items: &str| format!("<r><launchTemplateVersionSet>{items}</launchTemplateVersionSet></r>");
        let added = Added::default();
        let made = "<r><v><launchTemplateId>lt-1</launchTemplateId><versionNumber>2</versionNumber></v></r>";
        added.note(&xml::parse(made.as_bytes()).unwrap(), "YQ==");
        let first = version(1, "<userData>Yg==</userData>");
        // It was made without any.
        for none in ["", "<userData/>"] {
            let before = answer(&(first.clone() + &version(2, none)));
            let after = answer(&(first.clone() + &version(2, "<userData>YQ==</userData>")));
            assert_eq!(completed(&added, &before), after);
        }
    }
}
