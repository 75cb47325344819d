//! Patterns of IAM policies: `*`, `?` and policy variables such as `${aws:userid}`.

use crate::context::Context;

/// One step of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// Any text.
    Any,
    /// Any one character.
    One,
    /// This character. What a variable stands for is always literal: a star in it is a star.
    Literal(char),
}

/// A pattern with its variables filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Token>);

/// A variable that the request has no value for, or more than one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unresolved;

/// What in a pattern is more than itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meaning {
    /// `*` for any characters, `?` for one.
    pub(crate) wildcards: bool,
    /// `${…}`: since the policy language of 2012.
    pub(crate) variables: bool,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When a variable has no value.
    pub(crate) fn parse(text: &str, meaning: Meaning, context: &Context) -> Result<Self, Unresolved> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            if meaning.variables
                && let Some((name, after)) = rest.strip_prefix("${").and_then(|inside| inside.split_once('}'))
            {
                tokens.extend(value(name, context)?.chars().map(Token::Literal));
                rest = after;
                continue;
            }
            tokens.push(match next {
                '*' if meaning.wildcards => Token::Any,
                '?' if meaning.wildcards => Token::One,
                other => Token::Literal(other),
            });
            rest = &rest[next.len_utf8()..];
        }
        Ok(Self(tokens))
    }

    /// Whether the pattern matches all of a text.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut at, mut token) = (0, 0);
        // Where to go on when the text after a star does not match: the star's place, and how much it has swallowed.
        let mut retry: Option<(usize, usize)> = None;
        while at < text.len() {
            match self.0.get(token) {
                Some(Token::Any) => {
                    retry = Some((token, at));
                    token += 1;
                }
                Some(Token::One) => (at, token) = (at + 1, token + 1),
                Some(Token::Literal(literal)) if *literal == text[at] => (at, token) = (at + 1, token + 1),
                _ => match retry {
                    Some((star, swallowed)) => {
                        retry = Some((star, swallowed + 1));
                        (at, token) = (swallowed + 1, star + 1);
                    }
                    None => return false,
                },
            }
        }
        self.0[token..].iter().all(|token| *token == Token::Any)
    }
}

/// What a variable stands for: `key`, `key, 'default'`, or one of the three characters that cannot be written otherwise.
fn value(name: &str, context: &Context) -> Result<String, Unresolved> {
    if ["*", "?", "$"].contains(&name) {
        return Ok(name.to_owned());
    }
    let (key, default) = match name.split_once(',') {
        Some((key, default)) => {
            (key.trim(), default.trim().strip_prefix('\'').and_then(|text| text.strip_suffix('\'')))
        }
        None => (name.trim(), None),
    };
    match (context.get(key), default) {
        (Some([only]), _) => Ok(only.clone()),
        (None, Some(default)) => Ok(default.to_owned()),
        _ => Err(Unresolved),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Meaning = Meaning { wildcards: true, variables: true };

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "anything", true),
            ("a*", "a", true),
            ("a*c", "abbc", true),
            ("a*c", "abbcd", false),
            ("a*b*c", "a-b-b-c", true),
            ("*ab", "aaab", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a?", "a", false),
            ("?*", "", false),
            ("abc", "ABC", false),
            ("ü?", "üö", true),
            ("a/*", "a/b/c", true),
            ("*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            let parsed = Pattern::parse(pattern, ALL, &Context::default()).unwrap();
            assert_eq!(parsed.matches(text), expected, "{pattern} {text}");
        }
        let literal = Pattern::parse("a*", Meaning { wildcards: false, variables: true }, &Context::default()).unwrap();
        assert!(literal.matches("a*") && !literal.matches("ab"));
    }

    #[test]
    fn variables() {
        let mut context = Context::default();
        context.set("aws:userid", "AROA1:i-1");
        context.set("s3:prefix", "a*b");
        context.add("many", "1");
        context.add("many", "2");
        for (pattern, text, outcome) in [
            ("nodes/${aws:userid}", "nodes/AROA1:i-1", Ok(true)),
            ("nodes/${aws:userid}", "nodes/AROA1:i-2", Ok(false)),
            ("nodes/${AWS:UserId}/*", "nodes/AROA1:i-1/x", Ok(true)),
            ("${s3:prefix}", "a*b", Ok(true)),
            ("${s3:prefix}", "axb", Ok(false)),
            ("${aws:username}", "", Err(Unresolved)),
            ("${aws:username, 'nobody'}", "nobody", Ok(true)),
            ("${aws:userid, 'nobody'}", "nobody", Ok(false)),
            ("${many}", "1", Err(Unresolved)),
            ("${*}${?}${$}", "*?$", Ok(true)),
            ("${*}", "x", Ok(false)),
            ("${open", "${open", Ok(true)),
            ("$x", "$x", Ok(true)),
        ] {
            let parsed = Pattern::parse(pattern, ALL, &context).map(|parsed| parsed.matches(text));
            assert_eq!(parsed, outcome, "{pattern} {text}");
        }
        let old = Pattern::parse("${aws:userid}", Meaning { wildcards: true, variables: false }, &context).unwrap();
        assert!(old.matches("${aws:userid}"), "policies of the older language have no variables");
    }
}
