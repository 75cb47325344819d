//! The tags that load balancers take: fewer characters than those of EC2, and of classic ones fewer tags. The emulator takes any.

use super::classic;
use super::request::Refusal;
use crate::call::Call;

/// In characters: "Maximum key length—127 Unicode characters", "Maximum value length—255 Unicode characters", "Do not use leading or
/// trailing spaces" (Elastic Load Balancing User Guides, "Tag your Application Load Balancer" and "Tag your Classic Load Balancer").
const LONGEST: (usize, usize) = (127, 255);
/// "Each load balancer can have a maximum of 10 tags" (API Reference of version 2012-06-01, AddTags).
const MOST_OF_CLASSIC: usize = 10;
/// "Maximum number of tags per resource—50" (the same guides).
const MOST: usize = 50;

/// The refusal of a call whose tags AWS would not take.
pub fn refusal(call: &Call) -> Option<Refusal> {
    let tags = call.form.structures("Tags.member");
    let most = if classic::is_classic(&call.form) { MOST_OF_CLASSIC } else { MOST };
    if tags.len() > most {
        let message = "The quota for the number of tags that can be assigned to a load balancer has been reached";
        return Some(Refusal::new("TooManyTags", message));
    }
    tags.iter().find_map(|tag| {
        let (key, value) = (tag.get("Key").unwrap_or_default(), tag.get("Value").unwrap_or_default());
        let fits = |text: &str, longest: usize| text.chars().count() <= longest && text.trim() == text;
        let good = fits(key, LONGEST.0) && fits(value, LONGEST.1);
        let message = || format!("The tag '{key}' = '{value}' is not one that a load balancer takes");
        (!good).then(|| Refusal::new("ValidationError", message()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::Form;
    use crate::service::Service;

    fn code(version: &str, tags: &[(&str, &str)]) -> Option<&'static str> {
        let mut form = Form::default();
        form.set("Version", version);
        for (index, (key, value)) in tags.iter().enumerate() {
            form.set(&format!("Tags.member.{}.Key", index + 1), *key);
            form.set(&format!("Tags.member.{}.Value", index + 1), *value);
        }
        let call = Call { service: Service::ElasticLoadBalancing, action: "AddTags".to_owned(), form };
        refusal(&call).map(|refusal| refusal.code)
    }

    #[test]
    fn tags_are_as_long_and_as_many_as_the_guides_say() {
        let (classic, application) = (classic::VERSION, "2015-12-01");
        let (key, value) = ("ä".repeat(127), "ß".repeat(255));
        assert_eq!(code(application, &[(&key, &value), ("empty", "")]), None);
        for bad in [(format!("{key}a").as_str(), ""), ("a", format!("{value}a").as_str()), (" a", ""), ("a", "b ")] {
            assert_eq!(code(application, &[bad]), Some("ValidationError"), "{bad:?}");
            assert_eq!(code(classic, &[bad]), Some("ValidationError"), "{bad:?}");
        }
        let keys: Vec<String> = (0..11).map(|index| format!("k{index}")).collect();
        let tags: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "v")).collect();
        assert_eq!((code(classic, &tags[..10]), code(classic, &tags)), (None, Some("TooManyTags")));
        assert_eq!(code(application, &tags), None);
    }
}
