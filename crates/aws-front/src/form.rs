//! Forms: the bodies of the query protocol, read and written.

/// The fields of a form, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads `name=value&…`, as the emulator does: what is not UTF-8 becomes U+FFFD.
    pub fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// A field's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A field's value as a number.
    pub fn number(&self, name: &str) -> Option<i32> {
        self.get(name)?.parse().ok()
    }

    /// Whether there is a field of this name, or below it.
    pub fn mentions(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|(known, _)| known.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    }

    /// Replaces a field.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.remove(name);
        self.0.push((name.to_owned(), value.into()));
    }

    /// Removes a field and all below it.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| {
            !known.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
    }

    /// The members of a list: `prefix.1`, `prefix.2`, …
    pub fn list(&self, prefix: &str) -> Vec<&str> {
        (1..).map_while(|index| self.get(&format!("{prefix}.{index}"))).collect()
    }

    /// The structures of a list: the fields below `prefix.1`, `prefix.2`, …, without that prefix.
    pub fn structures(&self, prefix: &str) -> Vec<Self> {
        let below = |index: u32| {
            let start = format!("{prefix}.{index}.");
            let fields =
                self.0.iter().filter_map(|(name, value)| Some((name.strip_prefix(&start)?.to_owned(), value.clone())));
            Self(fields.collect())
        };
        (1..).map(below).take_while(|form| !form.0.is_empty()).collect()
    }

    /// The form as a body.
    pub fn encode(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lists_and_structures() {
        let form =
            Form::parse("A=1&B.member.1=x+y&B.member.2=%26z&C.member.1.Name=n&C.member.1.Deep.D=d&A2=2&broken=%ff");
        assert_eq!(form.number("A"), Some(1));
        assert_eq!(form.list("B.member"), ["x y", "&z"]);
        let inner = &form.structures("C.member")[0];
        assert_eq!((inner.get("Name"), inner.get("Deep.D")), (Some("n"), Some("d")));
        assert!(form.mentions("C") && !form.mentions("C.mem"));
        assert_eq!(form.get("broken"), Some("\u{fffd}"), "as the emulator reads it");
        let mut changed = form.clone();
        changed.remove("C");
        changed.set("A", "3 4");
        assert_eq!(Form::parse(&changed.encode()).get("A"), Some("3 4"));
        assert!(!changed.mentions("C") && changed.get("A2") == Some("2"), "{changed:?}");
    }
}
