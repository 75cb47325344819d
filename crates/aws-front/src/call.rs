//! Calls of services with small bodies: which operation a request names, and with which fields.

use http::Method;
use http::request::Parts;

use crate::form::Form;
use crate::service::Service;

/// One call of a service whose bodies are small.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    pub service: Service,
    /// The operation, for example `DescribeImages`.
    pub action: String,
    /// The fields of the query protocol; empty for the JSON protocol.
    pub form: Form,
}

impl Call {
    /// Reads the operation from the body, the query or the target header.
    pub fn parse(service: &Service, parts: &Parts, body: &[u8]) -> Option<Self> {
        if *service == Service::Route53 {
            let action = about_records(parts)?.to_owned();
            return Some(Self { service: Service::Route53, action, form: Form::default() });
        }
        let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok());
        let text = std::str::from_utf8(body).ok()?;
        let named = |text: &str| text.split('&').find_map(|pair| pair.strip_prefix("Action=").map(str::to_owned));
        let action = named(text)
            .or_else(|| named(parts.uri.query()?))
            .or_else(|| target.and_then(|target| target.rsplit('.').next()).map(str::to_owned))?;
        let form = if target.is_none() { Form::parse(text) } else { Form::default() };
        Some(Self { service: service.clone(), action, form })
    }

    /// Whether the account may look different after it.
    pub fn may_change(&self) -> bool {
        // To poll after every sealed secret would be for nothing.
        self.service != Service::Kms
            && !["Describe", "Get", "List"].iter().any(|prefix| self.action.starts_with(prefix))
    }
}

/// The operation of Route 53 on record sets that a method and path name; of all others the front needs no name.
fn about_records(parts: &Parts) -> Option<&'static str> {
    let path = parts.uri.path();
    let about_records = path.contains("/hostedzone/") && path.trim_end_matches('/').ends_with("/rrset");
    match parts.method {
        Method::GET if about_records => Some("ListResourceRecordSets"),
        Method::POST if about_records => Some("ChangeResourceRecordSets"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_sets_are_named_by_method_and_path() {
        let of = |method: &str, uri: &str| {
            let parts = http::Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0;
            Call::parse(&Service::Route53, &parts, b"").map(|call| call.action)
        };
        assert_eq!(of("GET", "/2013-04-01/hostedzone/Z1/rrset?maxitems=5").unwrap(), "ListResourceRecordSets");
        assert_eq!(of("POST", "/2013-04-01/hostedzone/Z1/rrset/").unwrap(), "ChangeResourceRecordSets");
        assert_eq!(of("GET", "/2013-04-01/hostedzone/Z1"), None);
    }
}
