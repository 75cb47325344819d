//! What a set of identity policies says of a request. Default deny, an explicit deny wins, and whatever is not understood
//! neither allows nor keeps a deny from applying.

use serde_json::Value;

use crate::condition;
use crate::context::{Context, Match, list};
use crate::pattern::{Meaning, Pattern};

/// One action on one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// For example `s3:GetObject`.
    pub action: String,
    /// The ARN, or `*` where an action has no resource.
    pub resource: String,
    /// Condition keys of the request; also what policy variables stand for.
    pub context: Context,
}

/// What identity policies say of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// A statement allows it and none denies it.
    Allowed,
    /// No statement allows it.
    NotAllowed,
    /// A statement denies it.
    Denied,
}

/// Decides on a request by all policies of an identity, inline and attached.
pub fn decide(policies: &[Value], request: &Request) -> Decision {
    let mut decision = Decision::NotAllowed;
    for policy in policies {
        let variables = policy["Version"] == "2012-10-17";
        for statement in list(&policy["Statement"]) {
            let matches = statement_matches(statement, request, variables);
            match statement["Effect"].as_str() {
                Some("Allow") if matches == Match::Yes => decision = Decision::Allowed,
                Some("Allow") => {}
                // A deny, or an effect that is not understood.
                _ if matches > Match::No => return Decision::Denied,
                _ => {}
            }
        }
    }
    decision
}

/// Whether a resource's own policy denies a request of somebody with these ARNs, whatever the policies of identities say. What it
/// allows counts for nothing here: nodes get what they may do from their role.
pub fn forbids(policy: &Value, request: &Request, arns: &[&str]) -> bool {
    let variables = policy["Version"] == "2012-10-17";
    list(&policy["Statement"]).iter().filter(|statement| statement["Effect"] != "Allow").any(|statement| {
        let who = match (statement.get("Principal"), statement.get("NotPrincipal")) {
            (Some(named), None) => principal(named, arns),
            (None, Some(named)) => principal(named, arns).not(),
            _ => Match::Unknown,
        };
        let mut what = statement.clone();
        if let Some(elements) = what.as_object_mut() {
            elements.retain(|name, _| name != "Principal" && name != "NotPrincipal");
        }
        who.min(statement_matches(&what, request, variables)) > Match::No
    })
}

/// Whether an element that names principals names one of these.
fn principal(named: &Value, arns: &[&str]) -> Match {
    if named == "*" {
        return Match::Yes;
    }
    let Some(kinds) = named.as_object() else { return Match::Unknown };
    let of_kind = |(kind, values): (&String, &Value)| match kind.as_str() {
        "AWS" => list(values)
            .iter()
            .map(|value| value.as_str().map_or(Match::Unknown, |name| (name == "*" || arns.contains(&name)).into()))
            .max()
            .unwrap_or(Match::Unknown),
        // Nodes are none of these.
        "Service" | "Federated" => Match::No,
        _ => Match::Unknown,
    };
    kinds.iter().map(of_kind).max().unwrap_or(Match::Unknown)
}

fn statement_matches(statement: &Value, request: &Request, variables: bool) -> Match {
    let known = ["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"];
    let elements = statement.as_object().into_iter().flat_map(|elements| elements.keys());
    let understood =
        if elements.clone().all(|name| known.contains(&name.as_str())) { Match::Yes } else { Match::Unknown };
    let action = either(statement, "Action", "NotAction", |pattern| {
        let meaning = Meaning { wildcards: true, variables: false };
        let pattern = Pattern::parse(&pattern.to_lowercase(), meaning, &request.context);
        pattern.map_or(Match::Unknown, |pattern| pattern.matches(&request.action.to_lowercase()).into())
    });
    let resource = either(statement, "Resource", "NotResource", |pattern| {
        let pattern = Pattern::parse(pattern, Meaning { wildcards: true, variables }, &request.context);
        pattern.map_or(Match::Unknown, |pattern| pattern.matches(&request.resource).into())
    });
    let condition = match statement.get("Condition") {
        None => Match::Yes,
        Some(condition) => condition::matches(condition, &request.context, variables),
    };
    // The weakest of all.
    [understood, action, resource, condition].into_iter().min().unwrap_or(Match::Unknown)
}

/// An element or its negation: exactly one of them must be there.
fn either(statement: &Value, element: &str, negation: &str, matches: impl Fn(&str) -> Match) -> Match {
    let any = |patterns: &Value| {
        let each = list(patterns).iter().map(|pattern| pattern.as_str().map_or(Match::Unknown, &matches));
        // The strongest of all.
        each.max().unwrap_or(Match::Unknown)
    };
    match (statement.get(element), statement.get(negation)) {
        (Some(patterns), None) => any(patterns),
        (None, Some(patterns)) => any(patterns).not(),
        _ => Match::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(action: &str, resource: &str) -> Request {
        let mut context = Context::default();
        context.set("aws:userid", "AROA1:i-1");
        Request { action: action.to_owned(), resource: resource.to_owned(), context }
    }

    fn decision(statements: Value, action: &str, resource: &str) -> Decision {
        decide(&[json!({ "Version": "2012-10-17", "Statement": statements })], &request(action, resource))
    }

    #[test]
    fn actions_and_resources() {
        use Decision::{Allowed, Denied, NotAllowed};
        let get = "s3:GetObject";
        let object = "arn:aws:s3:::b/k";
        for (statements, action, resource, expected) in [
            (json!([]), get, object, NotAllowed),
            (json!({ "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*" }), get, object, Allowed),
            (json!([{ "Effect": "Allow", "Action": "S3:getobject", "Resource": "*" }]), get, object, Allowed),
            (json!([{ "Effect": "Allow", "Action": ["s3:Put*", "s3:Get*"], "Resource": "*" }]), get, object, Allowed),
            (json!([{ "Effect": "Allow", "Action": "s3:Get?bject", "Resource": object }]), get, object, Allowed),
            (json!([{ "Effect": "Allow", "Action": "s3:Put*", "Resource": "*" }]), get, object, NotAllowed),
            (json!([{ "Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::c/*" }]), get, object, NotAllowed),
            (json!([{ "Effect": "Allow", "Action": "*", "Resource": "ARN:aws:s3:::b/k" }]), get, object, NotAllowed),
            (json!([{ "Effect": "Allow", "NotAction": "iam:*", "Resource": "*" }]), get, object, Allowed),
            (json!([{ "Effect": "Allow", "NotAction": ["iam:*", "s3:*"], "Resource": "*" }]), get, object, NotAllowed),
            (json!([{ "Effect": "Allow", "Action": "*", "NotResource": "arn:aws:s3:::c/*" }]), get, object, Allowed),
            (json!([{ "Effect": "Allow", "Action": "*", "NotResource": object }]), get, object, NotAllowed),
            (json!([{ "Effect": "Allow", "Resource": "*" }]), get, object, NotAllowed),
            (json!([{ "Effect": "Allow", "Action": "*" }]), get, object, NotAllowed),
            (json!([{ "Effect": "Allow", "Action": "*", "NotAction": "x", "Resource": "*" }]), get, object, NotAllowed),
            (json!([{ "Effect": "Allow", "Action": [], "Resource": "*" }]), get, object, NotAllowed),
            (json!([{ "Effect": "Allow", "Action": [1], "Resource": "*" }]), get, object, NotAllowed),
            (json!([{ "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*" }]), get, object, NotAllowed),
            (json!([{ "Effect": "allow", "Action": "*", "Resource": "*" }]), get, object, Denied),
            (
                json!([{ "Effect": "Allow", "Action": "*", "Resource": "*" }, { "Effect": "Deny", "Action": get, "Resource": "*" }]),
                get,
                object,
                Denied,
            ),
            (
                json!([{ "Effect": "Deny", "Action": get, "Resource": "*" }, { "Effect": "Allow", "Action": "*", "Resource": "*" }]),
                get,
                object,
                Denied,
            ),
            (
                json!([{ "Effect": "Deny", "NotAction": get, "Resource": "*" }, { "Effect": "Allow", "Action": "*", "Resource": "*" }]),
                get,
                object,
                Allowed,
            ),
            (
                json!([{ "Effect": "Deny", "Action": "*", "NotResource": object }, { "Effect": "Allow", "Action": "*", "Resource": "*" }]),
                get,
                "arn:aws:s3:::b/other",
                Denied,
            ),
            (
                json!([{ "Effect": "Deny", "Action": "*" }, { "Effect": "Allow", "Action": "*", "Resource": "*" }]),
                get,
                object,
                Denied,
            ),
        ] {
            assert_eq!(decision(statements.clone(), action, resource), expected, "{statements} {action} {resource}");
        }
    }

    #[test]
    fn a_resource_may_name_its_caller() {
        let own =
            json!([{ "Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::b/nodes/${aws:userid}" }]);
        let put = |resource| decision(own.clone(), "s3:PutObject", resource);
        assert_eq!(put("arn:aws:s3:::b/nodes/AROA1:i-1"), Decision::Allowed);
        assert_eq!(put("arn:aws:s3:::b/nodes/AROA1:i-2"), Decision::NotAllowed);
        let unknown = json!([
            { "Effect": "Allow", "Action": "*", "Resource": "*" },
            { "Effect": "Deny", "Action": "*", "Resource": "arn:aws:s3:::b/${aws:username}" }
        ]);
        assert_eq!(decision(unknown, "s3:PutObject", "arn:aws:s3:::b/x"), Decision::Denied, "fails closed");
    }

    #[test]
    fn a_resource_denies_whom_its_policy_names() {
        let arns = ["arn:aws:iam::1:role/node", "1"];
        let forbids = |statement: Value| {
            let policy = json!({ "Version": "2012-10-17", "Statement": [statement] });
            super::forbids(&policy, &request("s3:ListBucket", "arn:aws:s3:::b"), &arns)
        };
        let deny = |principal: Value| json!({ "Effect": "Deny", "Principal": principal, "Action": "s3:List*", "Resource": "arn:aws:s3:::b" });
        for principal in [
            json!("*"),
            json!({ "AWS": "*" }),
            json!({ "AWS": ["arn:aws:iam::1:role/other", "arn:aws:iam::1:role/node"] }),
            json!({ "AWS": "1" }),
            json!({ "CanonicalUser": "x" }),
            json!(1),
        ] {
            assert!(forbids(deny(principal.clone())), "{principal}");
        }
        for principal in [json!({ "AWS": "arn:aws:iam::1:role/other" }), json!({ "Service": "ec2.amazonaws.com" })] {
            assert!(!forbids(deny(principal.clone())), "{principal}");
        }
        let all_but =
            |arn: &str| json!({ "Effect": "Deny", "NotPrincipal": { "AWS": arn }, "Action": "*", "Resource": "*" });
        assert!(forbids(all_but("arn:aws:iam::1:role/other")) && !forbids(all_but("arn:aws:iam::1:role/node")));
        assert!(!forbids(json!({ "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*" })));
        let mut own = deny(json!("*"));
        own["Condition"] = json!({ "StringEquals": { "aws:userid": "AROA2:i-2" } });
        assert!(!forbids(own.clone()));
        own["Condition"] = json!({ "IpAddress": { "aws:SourceIp": "10.0.0.0/8" } });
        assert!(forbids(own), "what is not understood forbids");
    }

    #[test]
    fn statements_of_several_policies_add_up() {
        let allow =
            json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow", "Action": "*", "Resource": "*" } });
        let deny =
            json!({ "Version": "2012-10-17", "Statement": { "Effect": "Deny", "Action": "iam:*", "Resource": "*" } });
        let of = |action| decide(&[allow.clone(), deny.clone()], &request(action, "*"));
        assert_eq!(of("iam:ListRoles"), Decision::Denied);
        assert_eq!(of("s3:ListAllMyBuckets"), Decision::Allowed);
        assert_eq!(decide(&[], &request("s3:GetObject", "*")), Decision::NotAllowed);
    }
}
