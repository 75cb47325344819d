//! Launch templates: the emulator puts the tags of a template itself among those of its instances.

use super::xml::{content, map_items};

/// Leaves the template's own tags out of every version's data.
pub fn complete(answer: &str) -> String {
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
        assert_eq!(complete(&before), answer(&(item("instance") + &item("volume"))));
    }
}
