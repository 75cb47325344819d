//! Launch templates: the emulator puts the tags of a template itself among those of its instances, and cannot start an instance from
//! a version that was added with user data. Such user data is kept here: versions tell it, and machines get it from there.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::Response;

use super::request::{OperationRequest, Outcome, whole};
use crate::server::Body;
use crate::xml::{content, map_items};

const USER_DATA: &str = "LaunchTemplateData.UserData";

/// The user data of versions that were added: template id and version number → base64.
#[derive(Default)]
pub struct Added(Mutex<BTreeMap<(String, String), String>>);

impl Added {
    /// The answer to a call about versions.
    pub async fn answer(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let form = &asked.call.form;
        let (head, body) = match (asked.call.action.as_str(), form.get(USER_DATA)) {
            ("DescribeLaunchTemplateVersions", _) => asked.forward_unchanged().await?,
            ("CreateLaunchTemplateVersion", Some(user_data)) if asked.trusted => {
                let mut without = form.clone();
                without.remove(USER_DATA);
                let (head, body) = asked.forward(without.encode()).await?;
                if head.status.is_success() {
                    self.note(&String::from_utf8_lossy(&body), user_data);
                }
                (head, body)
            }
            _ => return Ok(None),
        };
        Ok(Some(whole(head, self.complete(&String::from_utf8_lossy(&body)))))
    }

    fn note(&self, answer: &str, user_data: &str) {
        if let Some(version) = named(answer) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(version, user_data.to_owned());
        }
    }

    /// Leaves the template's own tags out of every version's data, and puts its user data into it.
    fn complete(&self, answer: &str) -> String {
        let added = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map_items(&without_own_tags(answer), "launchTemplateVersionSet", |version| {
            let Some(user_data) = named(version).and_then(|version| added.get(&version)) else {
                return Some(version.to_owned());
            };
            // It was made without any.
            let version = version.replacen("<userData/>", "", 1);
            const END: &str = "</launchTemplateData>";
            Some(version.replacen(END, &format!("<userData>{user_data}</userData>{END}"), 1))
        })
    }
}

/// The template and number of a version.
fn named(version: &str) -> Option<(String, String)> {
    Some((content(version, "launchTemplateId")?.to_owned(), content(version, "versionNumber")?.to_owned()))
}

/// Leaves the template's own tags out of every version's data.
fn without_own_tags(answer: &str) -> String {
    map_items(answer, "launchTemplateVersionSet", |version| {
        let Some(set) = content(version, "tagSpecificationSet") else { return Some(version.to_owned()) };
        let whole = format!("<tagSpecificationSet>{set}</tagSpecificationSet>");
        let own = |item: &str| content(item, "resourceType") == Some("launch-template");
        let others = map_items(&whole, "tagSpecificationSet", |item| (!own(item)).then(|| item.to_owned()));
        Some(version.replacen(&whole, &others, 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tags_of_what_a_template_makes_are_in_it() {
        let item = |kind: &str| {
            format!("<item><resourceType>{kind}</resourceType><tagSet><item><key>a</key></item></tagSet></item>")
        };
        let answer = |items: &str| {
            format!(
                "<launchTemplateVersionSet><item><d><tagSpecificationSet>{items}</tagSpecificationSet></d></item><item><d/></item></launchTemplateVersionSet>"
            )
        };
        let before = answer(&(item("instance") + &item("launch-template") + &item("volume")));
        assert_eq!(without_own_tags(&before), answer(&(item("instance") + &item("volume"))));
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
        added.note("<launchTemplateId>lt-1</launchTemplateId><versionNumber>2</versionNumber>", "YQ==");
        let before = answer(&(version(1, "<userData>Yg==</userData>") + &version(2, "")));
        let after = answer(&(version(1, "<userData>Yg==</userData>") + &version(2, "<userData>YQ==</userData>")));
        assert_eq!(added.complete(&before), after);
    }
}
