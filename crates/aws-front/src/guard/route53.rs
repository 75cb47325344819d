//! The actions of Route 53 that nodes need: which one a request is, on which zone, and what a change of records says of itself.

use futuswarm_iam::Context;
use http::Method;
use http::request::Parts;

use crate::xml::{self, Element};

/// An action on a resource, with what only this action has in its context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// For example `route53:ChangeResourceRecordSets`.
    pub action: &'static str,
    /// The ARN of a zone, or `*`.
    pub resource: String,
    /// `route53:ChangeResourceRecordSets…`.
    pub context: Context,
}

/// The version of the API that paths begin with.
const VERSION: &str = "2013-04-01";

/// What a request needs; `None` when it is not known, or can be read in more than one way, so that it must be refused.
pub fn need(parts: &Parts, body: &[u8]) -> Option<Need> {
    let path = parts.uri.path().strip_prefix('/')?;
    let words: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
    match (&parts.method, &words[..]) {
        (&Method::GET, [VERSION, "hostedzone"]) => {
            Some(Need { action: "route53:ListHostedZones", resource: "*".to_owned(), context: Context::default() })
        }
        (&Method::GET, [VERSION, "hostedzone", zone, "rrset"]) => {
            on_zone("route53:ListResourceRecordSets", zone, Context::default())
        }
        (&Method::POST, [VERSION, "hostedzone", zone, "rrset"]) => {
            on_zone("route53:ChangeResourceRecordSets", zone, changes(body)?)
        }
        _ => None,
    }
}

fn on_zone(action: &'static str, zone: &str, context: Context) -> Option<Need> {
    let plain = !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain.then(|| Need { action, resource: format!("arn:aws:route53:::hostedzone/{zone}"), context })
}

/// What conditions are told of a change: every name, every type, every action (Amazon Route 53 Developer Guide, "Using IAM policy
/// conditions for fine-grained access control").
fn changes(body: &[u8]) -> Option<Context> {
    const KEY: &str = "route53:ChangeResourceRecordSets";
    let root = xml::parse(body).ok()?;
    if root.name != "ChangeResourceRecordSetsRequest" || root.prefix.is_some() {
        return None;
    }
    let all = only(only(&root, "ChangeBatch")?, "Changes")?;
    let mut context = Context::default();
    let mut count = 0;
    for change in xml::children(all) {
        if change.name != "Change" || change.prefix.is_some() {
            return None;
        }
        let set = only(change, "ResourceRecordSet")?;
        context.add(&format!("{KEY}Actions"), text(change, "Action")?);
        context.add(&format!("{KEY}NormalizedRecordNames"), normalized(&text(set, "Name")?));
        context.add(&format!("{KEY}RecordTypes"), text(set, "Type")?);
        count += 1;
    }
    (count > 0).then_some(context)
}

/// The one child of this name. With a prefix it would be another element to whoever reads no namespaces.
fn only<'a>(element: &'a Element, name: &str) -> Option<&'a Element> {
    let mut found = xml::children(element).filter(|child| child.name == name);
    let (one, another) = (found.next()?, found.next());
    (another.is_none() && one.prefix.is_none()).then_some(one)
}

/// The text of the one child of this name, which has nothing else in it.
fn text(element: &Element, name: &str) -> Option<String> {
    let child = only(element, name)?;
    let plain = xml::children(child).next().is_none();
    let text = child.get_text()?.into_owned();
    (plain && text.trim() == text && !text.is_empty()).then_some(text)
}

/// A name as conditions know it: small letters, no last dot, and everything but letters, digits, `-`, `_` and `.` as its octal code.
fn normalized(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
            b'A'..=b'Z' => out.push(char::from(byte.to_ascii_lowercase())),
            // A code stays what it is.
            b'\\' => out.push('\\'),
            other => out.push_str(&format!("\\{other:03o}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONE: &str = "/2013-04-01/hostedzone/Z1/rrset";

    fn of(method: &str, uri: &str, body: &str) -> Option<Need> {
        need(&http::Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0, body.as_bytes())
    }

    fn change(action: &str, name: &str, kind: &str) -> String {
        format!(
            "<Change><Action>{action}</Action><ResourceRecordSet><Name>{name}</Name><Type>{kind}</Type><TTL>30</TTL></ResourceRecordSet></Change>"
        )
    }

    fn batch(changes: &str) -> String {
        format!(
            "<ChangeResourceRecordSetsRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeBatch><Changes>{changes}</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
        )
    }

    #[test]
    fn each_request_has_its_action() {
        for (method, uri, expected) in [
            ("GET", "/2013-04-01/hostedzone", Some(("route53:ListHostedZones", "*"))),
            ("GET", "/2013-04-01/hostedzone/?marker=x", Some(("route53:ListHostedZones", "*"))),
            (
                "GET",
                "/2013-04-01/hostedzone/Z1/rrset?name=a&type=A&maxitems=1",
                Some(("route53:ListResourceRecordSets", "arn:aws:route53:::hostedzone/Z1")),
            ),
            ("POST", "/2013-04-01/hostedzone", None),
            ("GET", "/2013-04-01/hostedzone/Z1", None),
            ("DELETE", "/2013-04-01/hostedzone/Z1", None),
            ("GET", "/2013-04-01/hostedzone/Z1%2Frrset", None),
            ("GET", "/2013-04-01/hostedzone//rrset", None),
            ("GET", "/2013-04-01/hostedzone/..%2FZ2/rrset", None),
            ("GET", "//2013-04-01/hostedzone", None),
            ("GET", "/2012-12-12/hostedzone", None),
            ("GET", "/2013-04-01/hostedzonesbyname", None),
        ] {
            let found = of(method, uri, "");
            assert_eq!(found.as_ref().map(|need| (need.action, need.resource.as_str())), expected, "{method} {uri}");
        }
    }

    #[test]
    fn a_change_says_every_name_type_and_action() {
        let body = batch(&(change("UPSERT", "SSH.Example.com.", "A") + &change("DELETE", "*.x", "TXT")));
        let need = of("POST", ZONE, &body).unwrap();
        assert_eq!(
            (need.action, need.resource.as_str()),
            ("route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/Z1")
        );
        let key = |name: &str| need.context.get(&format!("route53:ChangeResourceRecordSets{name}")).unwrap().to_vec();
        assert_eq!(key("NormalizedRecordNames"), ["ssh.example.com", "\\052.x"]);
        assert_eq!(key("RecordTypes"), ["A", "TXT"]);
        assert_eq!(key("Actions"), ["UPSERT", "DELETE"]);
        assert_eq!(normalized("\\052.Example.com"), "\\052.example.com");
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_not_read() {
        let good = change("UPSERT", "ssh.example.com", "A");
        assert!(of("POST", ZONE, &batch(&good)).is_some());
        for body in [
            String::new(),
            "<x/>".to_owned(),
            batch(""),
            batch(&good).replace("ChangeBatch", "Batch"),
            batch(&good).replace("</Name>", "</Name><Name>other.example.com</Name>"),
            batch(&good).replace("<Name>ssh", "<Name>ssh<b>x</b>"),
            batch(&good).replace("<Name>", "<Name> "),
            batch(&good).replace("<Type>A</Type>", ""),
            batch(&good).replace("<Type>A</Type>", "<Type/>"),
            batch(&good).replace("</Action>", "</Action><Action>DELETE</Action>"),
            batch(&good).replace("</Changes>", "</Changes><Changes/>"),
            batch(&format!("{good}<Other/>")),
            batch(&good).replace("<Name>", "<y:Name xmlns:y=\"z\">").replace("</Name>", "</y:Name>"),
            batch(&good).replace("</ChangeBatch>", "</ChangeBatch><ChangeBatch/>"),
        ] {
            assert_eq!(of("POST", ZONE, &body), None, "{body}");
        }
    }
}
