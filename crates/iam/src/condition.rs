//! Conditions of IAM statements.

use serde_json::Value;

use crate::context::{Context, Match, list};
use crate::pattern::{Meaning, Pattern};

/// How a value of the request is compared with one of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equals,
    EqualsIgnoreCase,
    Like,
    Arn,
    Bool,
}

/// How the values of a key are taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    /// There is one value.
    One,
    /// Each value, also when there is none.
    All,
    /// At least one value.
    Any,
}

/// An operator such as `ForAllValues:StringNotEqualsIfExists`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Operator {
    comparison: Comparison,
    negated: bool,
    if_exists: bool,
    quantifier: Quantifier,
}

impl Operator {
    fn parse(name: &str) -> Option<Self> {
        let (quantifier, rest) = match name.split_once(':') {
            None => (Quantifier::One, name),
            Some(("ForAllValues", rest)) => (Quantifier::All, rest),
            Some(("ForAnyValue", rest)) => (Quantifier::Any, rest),
            Some(_) => return None,
        };
        let (rest, if_exists) = rest.strip_suffix("IfExists").map_or((rest, false), |rest| (rest, true));
        let (comparison, negated) = match rest {
            "StringEquals" => (Comparison::Equals, false),
            "StringNotEquals" => (Comparison::Equals, true),
            "StringEqualsIgnoreCase" => (Comparison::EqualsIgnoreCase, false),
            "StringNotEqualsIgnoreCase" => (Comparison::EqualsIgnoreCase, true),
            "StringLike" => (Comparison::Like, false),
            "StringNotLike" => (Comparison::Like, true),
            // The two are the same, on AWS as well: wildcards work in both.
            "ArnEquals" | "ArnLike" => (Comparison::Arn, false),
            "ArnNotEquals" | "ArnNotLike" => (Comparison::Arn, true),
            "Bool" => (Comparison::Bool, false),
            _ => return None,
        };
        Some(Self { comparison, negated, if_exists, quantifier })
    }
}

/// Whether all conditions hold.
pub(crate) fn matches(condition: &Value, context: &Context, variables: bool) -> Match {
    let Some(operators) = condition.as_object() else { return Match::Unknown };
    let mut weakest = Match::Yes;
    for (name, keys) in operators {
        let Some(keys) = keys.as_object() else { return Match::Unknown };
        for (key, values) in keys {
            let actual = context.get(key);
            let one = match (name.as_str(), Operator::parse(name)) {
                // It may be there on AWS and say anything.
                _ if actual.is_none() && !context.is_absent(key) => Match::Unknown,
                ("Null", _) => null(values, actual.is_none()),
                (_, Some(operator)) => holds(operator, actual, list(values), context, variables),
                (_, None) => Match::Unknown,
            };
            weakest = weakest.min(one);
        }
    }
    weakest
}

fn null(values: &Value, absent: bool) -> Match {
    let expected = match list(values) {
        [Value::Bool(expected)] => *expected,
        [Value::String(expected)] if expected == "true" => true,
        [Value::String(expected)] if expected == "false" => false,
        _ => return Match::Unknown,
    };
    (expected == absent).into()
}

fn holds(
    operator: Operator,
    actual: Option<&[String]>,
    expected: &[Value],
    context: &Context,
    variables: bool,
) -> Match {
    let actual = match (actual, operator.quantifier) {
        (Some(actual), _) => actual,
        (None, _) if operator.if_exists => return Match::Yes,
        (None, Quantifier::All) => return Match::Yes,
        (None, Quantifier::Any) => return Match::No,
        (None, Quantifier::One) => return operator.negated.into(),
    };
    if operator.quantifier == Quantifier::One && actual.len() != 1 {
        // AWS says only that policies should not do this.
        return Match::Unknown;
    }
    // Several values of the policy: equal to one of them, or, negated, to none.
    let compared = |actual: &String| {
        let each = expected.iter().map(|expected| compare(operator.comparison, actual, expected, context, variables));
        let strongest = each.max().unwrap_or(Match::Unknown);
        match (operator.negated, strongest) {
            (false, strongest) => strongest,
            (true, Match::Yes) => Match::No,
            (true, Match::No) => Match::Yes,
            (true, Match::Unknown) => Match::Unknown,
        }
    };
    let each = actual.iter().map(compared);
    match operator.quantifier {
        Quantifier::One | Quantifier::All => each.min().unwrap_or(Match::Yes),
        Quantifier::Any => each.max().unwrap_or(Match::No),
    }
}

fn compare(comparison: Comparison, actual: &str, expected: &Value, context: &Context, variables: bool) -> Match {
    let expected = match expected {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => expected.to_string(),
        _ => return Match::Unknown,
    };
    let matches = |pattern: &str, text: &str, wildcards: bool| {
        let pattern = Pattern::parse(pattern, Meaning { wildcards, variables }, context);
        pattern.map_or(Match::Unknown, |pattern| pattern.matches(text).into())
    };
    match comparison {
        Comparison::Equals => matches(&expected, actual, false),
        Comparison::EqualsIgnoreCase => matches(&expected.to_lowercase(), &actual.to_lowercase(), false),
        Comparison::Like => matches(&expected, actual, true),
        Comparison::Bool => expected.eq_ignore_ascii_case(actual).into(),
        // Each of the six parts for itself: a star does not reach over a colon, except in the last.
        Comparison::Arn => {
            let (expected, actual) = (arn(&expected), actual.splitn(6, ':').collect::<Vec<_>>());
            if expected.len() != 6 || actual.len() != 6 {
                return Match::No;
            }
            let parts = expected.iter().zip(actual).map(|(expected, actual)| matches(expected, actual, true));
            parts.min().unwrap_or(Match::No)
        }
    }
}

/// The parts of an ARN's pattern; a colon inside of a variable separates nothing.
fn arn(pattern: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut inside = false;
    for (index, character) in pattern.char_indices() {
        match character {
            '$' if pattern[index..].starts_with("${") => inside = true,
            '}' => inside = false,
            ':' if !inside && parts.len() < 6 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(character);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn context() -> Context {
        let mut context = Context::default();
        context.set("kms:EncryptionContext:futuswarm:cluster", "local");
        context.add("kms:EncryptionContextKeys", "futuswarm:cluster");
        context.add("kms:EncryptionContextKeys", "name");
        context.set("s3:prefix", "apps/shop/");
        context.set("aws:SecureTransport", "true");
        context.set("aws:userid", "AROA1:i-1");
        context.set("aws:PrincipalArn", "arn:aws:iam::1:role/futuswarm-local-worker");
        context
    }

    #[test]
    fn each_operator() {
        use Match::{No, Unknown, Yes};
        let cluster = "kms:EncryptionContext:futuswarm:cluster";
        for (operator, key, values, expected) in [
            ("StringEquals", cluster, json!("local"), Yes),
            ("StringEquals", cluster, json!(["other", "local"]), Yes),
            ("StringEquals", cluster, json!("loc*"), No),
            ("StringEquals", cluster, json!("LOCAL"), No),
            ("StringEquals", "KMS:encryptioncontext:FUTUSWARM:cluster", json!("local"), Yes),
            ("StringEquals", "s3:delimiter", json!("local"), No),
            ("StringEquals", "s3:delimiter", json!(""), No),
            ("StringEqualsIfExists", "s3:delimiter", json!("local"), Yes),
            ("StringEqualsIfExists", cluster, json!("other"), No),
            ("StringNotEquals", cluster, json!("local"), No),
            ("StringNotEquals", cluster, json!(["other", "local"]), No),
            ("StringNotEquals", cluster, json!("other"), Yes),
            ("StringNotEquals", "s3:delimiter", json!("other"), Yes),
            ("StringNotEqualsIfExists", "s3:delimiter", json!("other"), Yes),
            ("StringEqualsIgnoreCase", cluster, json!("LOCAL"), Yes),
            ("StringNotEqualsIgnoreCase", cluster, json!("LOCAL"), No),
            ("StringLike", "s3:prefix", json!("apps/*"), Yes),
            ("StringLike", "s3:prefix", json!("apps/????/"), Yes),
            ("StringLike", "s3:prefix", json!(["cluster/*", "users/*"]), No),
            ("StringLike", "s3:delimiter", json!("*"), No),
            ("StringLikeIfExists", "s3:delimiter", json!("x"), Yes),
            ("StringNotLike", "s3:prefix", json!("apps/*"), No),
            ("StringNotLike", "s3:delimiter", json!("*"), Yes),
            ("StringLike", "aws:userid", json!("*:i-1"), Yes),
            ("StringEquals", "aws:userid", json!("${aws:userid}"), Yes),
            ("StringEquals", "aws:userid", json!("${aws:username}"), Unknown),
            ("ArnEquals", "aws:PrincipalArn", json!("arn:aws:iam::1:role/futuswarm-*"), Yes),
            ("ArnLike", "aws:PrincipalArn", json!("arn:aws:iam::*:role/*"), Yes),
            ("ArnLike", "aws:PrincipalArn", json!("arn:*:role/futuswarm-local-worker"), No),
            ("ArnLike", "aws:PrincipalArn", json!("arn:aws:iam::1:user/*"), No),
            ("ArnLike", "aws:userid", json!("*"), No),
            ("ArnLike", "s3:delimiter", json!("*"), No),
            ("ArnNotLike", "aws:PrincipalArn", json!("arn:aws:iam::2:role/*"), Yes),
            ("ArnNotEquals", "aws:PrincipalArn", json!("arn:aws:iam::1:role/*"), No),
            ("Bool", "aws:SecureTransport", json!("true"), Yes),
            ("Bool", "aws:SecureTransport", json!(true), Yes),
            ("Bool", "aws:SecureTransport", json!("false"), No),
            ("Bool", "s3:delimiter", json!("false"), No),
            ("BoolIfExists", "s3:delimiter", json!("true"), Yes),
            ("Null", "s3:delimiter", json!("true"), Yes),
            ("Null", "s3:delimiter", json!(false), No),
            ("Null", cluster, json!("true"), No),
            ("Null", cluster, json!("false"), Yes),
            ("Null", cluster, json!("maybe"), Unknown),
            (
                "ForAllValues:StringEquals",
                "kms:EncryptionContextKeys",
                json!(["futuswarm:cluster", "name", "more"]),
                Yes,
            ),
            ("ForAllValues:StringEquals", "kms:EncryptionContextKeys", json!("name"), No),
            ("ForAllValues:StringEquals", "s3:delimiter", json!("name"), Yes),
            ("ForAllValues:StringLike", "kms:EncryptionContextKeys", json!("*"), Yes),
            ("ForAllValues:StringNotEquals", "kms:EncryptionContextKeys", json!("other"), Yes),
            ("ForAnyValue:StringEquals", "kms:EncryptionContextKeys", json!("name"), Yes),
            ("ForAnyValue:StringEquals", "kms:EncryptionContextKeys", json!("other"), No),
            ("ForAnyValue:StringEquals", "s3:delimiter", json!("name"), No),
            ("StringEquals", "kms:EncryptionContextKeys", json!("name"), Unknown),
            ("NumericLessThan", "s3:max-keys", json!("10"), Unknown),
            ("StringNotEquals", "aws:SourceIp", json!("10.0.0.1"), Unknown),
            ("StringEqualsIfExists", "aws:PrincipalTag/team", json!("a"), Unknown),
            ("ForAllValues:StringEquals", "aws:TagKeys", json!("a"), Unknown),
            ("Null", "aws:SourceIp", json!("true"), Unknown),
            ("StringNotEquals", "kms:EncryptionContext:other", json!("x"), Yes),
            ("Null", "KMS:ViaService", json!("true"), Yes),
            ("ForSomeValues:StringEquals", cluster, json!("local"), Unknown),
            ("StringEquals", cluster, json!([]), Unknown),
            ("StringEquals", cluster, json!({}), Unknown),
        ] {
            let condition = json!({ operator: { key: values } });
            assert_eq!(matches(&condition, &context(), true), expected, "{condition}");
        }
    }

    #[test]
    fn all_conditions_must_hold() {
        let both = |first: &str, second: &str| {
            json!({
                "StringEquals": { "s3:prefix": first, "aws:userid": "AROA1:i-1" },
                "Bool": { "aws:SecureTransport": second }
            })
        };
        assert_eq!(matches(&both("apps/shop/", "true"), &context(), true), Match::Yes);
        assert_eq!(matches(&both("apps/shop/", "false"), &context(), true), Match::No);
        assert_eq!(matches(&both("other", "true"), &context(), true), Match::No);
        assert_eq!(matches(&json!({}), &context(), true), Match::Yes);
        assert_eq!(matches(&json!("x"), &context(), true), Match::Unknown);
        assert_eq!(matches(&json!({ "Bool": "x" }), &context(), true), Match::Unknown);
        assert_eq!(
            matches(
                &json!({ "Unheard": { "s3:prefix": "b" }, "StringEquals": { "s3:prefix": "x" } }),
                &context(),
                true
            ),
            Match::No,
            "what certainly does not hold decides, whatever else is unknown"
        );
    }

    #[test]
    fn a_colon_inside_of_a_variable_separates_nothing() {
        assert_eq!(arn("arn:aws:s3:::b/${aws:userid}:x"), ["arn", "aws", "s3", "", "", "b/${aws:userid}:x"]);
    }
}
