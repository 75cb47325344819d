//! Classic load balancers: the emulator forgets how a listener speaks to its instances, and has no hosted zone for its names.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::Response;

use super::request::{OperationRequest, Outcome, whole};
use crate::form::Form;
use crate::server::Body;
use crate::xml::content;

/// The classic load balancer's version of the API.
pub const VERSION: &str = "2012-06-01";
/// What a listener with TLS has when nobody has given it another: "If you create an HTTPS/SSL listener without associating a security
/// policy, Elastic Load Balancing associates the default predefined security policy" (User Guide for Classic Load Balancers).
const DEFAULT_POLICY: &str = "ELBSecurityPolicy-2016-08";
/// As in the emulator's answers about the other load balancers.
const HOSTED_ZONE: &str = "Z2P70J7EXAMPLE";

/// As the emulator shows a listener without policies.
const NO_POLICIES: &str = "<PolicyNames/>";

/// What was said of listeners: load balancer and port → protocol of its instances.
#[derive(Default)]
pub struct Classic {
    protocols: Mutex<BTreeMap<(String, String), String>>,
}

impl Classic {
    /// The answer to a call about classic load balancers.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn answer(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let form = &asked.call.form;
        if form.get("Version") != Some(VERSION) {
            return Ok(None);
        }
        match asked.call.action.as_str() {
            "CreateLoadBalancer" | "CreateLoadBalancerListeners" => {
                let (head, body) = asked.forward_unchanged().await?;
                if head.status.is_success() {
                    self.note(form);
                }
                Ok(Some(whole(head, body)))
            }
            "DescribeLoadBalancers" => {
                let (head, body) = asked.forward_unchanged().await?;
                let text = self.complete(&String::from_utf8_lossy(&body));
                Ok(Some(whole(head, text)))
            }
            _ => Ok(None),
        }
    }

    fn note(&self, form: &Form) {
        let name = form.get("LoadBalancerName").unwrap_or_default();
        let mut protocols = self.protocols.lock().unwrap_or_else(PoisonError::into_inner);
        for listener in form.structures("Listeners.member") {
            let field = |field: &str| listener.get(field).unwrap_or_default().to_owned();
            let protocol = Some(field("InstanceProtocol")).filter(|protocol| !protocol.is_empty());
            // What is not said is what comes closest to the listener's own.
            let default = if ["HTTP", "HTTPS"].contains(&field("Protocol").as_str()) { "HTTP" } else { "TCP" };
            let key = (name.to_owned(), field("LoadBalancerPort"));
            protocols.insert(key, protocol.unwrap_or_else(|| default.to_owned()));
        }
    }

    fn complete(&self, answer: &str) -> String {
        let protocols = self.protocols.lock().unwrap_or_else(PoisonError::into_inner);
        let mut name = String::new();
        let mut out = String::new();
        let mut rest = answer;
        // Names and listeners follow each other in the order of the document.
        while let Some((at, element)) = ["LoadBalancerName", "Listener"]
            .iter()
            .filter_map(|element| Some((rest.find(&format!("<{element}>"))?, *element)))
            .min()
        {
            let (before, from) = rest.split_at(at);
            let end = format!("</{element}>");
            let length = from.find(&end).map_or(from.len(), |at| at + end.len());
            let (whole, later) = from.split_at(length);
            out.push_str(before);
            rest = later;
            if element == "LoadBalancerName" {
                content(whole, element).unwrap_or_default().clone_into(&mut name);
                out.push_str(whole);
                continue;
            }
            let port = content(whole, "LoadBalancerPort").unwrap_or_default().to_owned();
            match (protocols.get(&(name.clone(), port)), content(whole, "InstanceProtocol")) {
                (Some(right), Some(wrong)) => {
                    let element = |protocol: &str| format!("<InstanceProtocol>{protocol}</InstanceProtocol>");
                    out.push_str(&whole.replacen(&element(wrong), &element(right), 1));
                }
                _ => out.push_str(whole),
            }
            let speaks_tls = content(whole, "Protocol").is_some_and(|protocol| ["HTTPS", "SSL"].contains(&protocol));
            if let Some(later) = rest.strip_prefix(NO_POLICIES).filter(|_| speaks_tls) {
                out.push_str(&format!("<PolicyNames><member>{DEFAULT_POLICY}</member></PolicyNames>"));
                rest = later;
            }
        }
        out.push_str(rest);
        let zone =
            format!("</CanonicalHostedZoneName><CanonicalHostedZoneNameID>{HOSTED_ZONE}</CanonicalHostedZoneNameID>");
        if out.contains("<CanonicalHostedZoneNameID>") { out } else { out.replace("</CanonicalHostedZoneName>", &zone) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_speak_to_instances_as_they_were_told() {
        let classic = Classic::default();
        classic.note(&Form::parse(
            "LoadBalancerName=a&Listeners.member.1.Protocol=HTTPS&Listeners.member.1.LoadBalancerPort=443&Listeners.member.1.InstanceProtocol=HTTP\
             &Listeners.member.2.Protocol=SSL&Listeners.member.2.LoadBalancerPort=22",
        ));
        let listener = |port: &str, protocol: &str| {
            format!(
                "<Listener><LoadBalancerPort>{port}</LoadBalancerPort><InstanceProtocol>{protocol}</InstanceProtocol></Listener>"
            )
        };
        let answer = |first: &str, second: &str, zone: &str| {
            let (one, two) = (listener("443", first), listener("22", second));
            format!(
                "<m><LoadBalancerName>a</LoadBalancerName><CanonicalHostedZoneName>n</CanonicalHostedZoneName>{zone}{one}{two}</m><m><LoadBalancerName>b</LoadBalancerName>{}</m>",
                listener("443", "HTTPS")
            )
        };
        let zone = "<CanonicalHostedZoneNameID>Z2P70J7EXAMPLE</CanonicalHostedZoneNameID>";
        assert_eq!(classic.complete(&answer("HTTPS", "SSL", "")), answer("HTTP", "TCP", zone));
    }

    #[test]
    fn a_listener_with_tls_and_no_policy_has_the_default_of_aws() {
        let answer = |https: &str, http: &str, ours: &str| {
            let listener = |protocol: &str, policies: &str| {
                format!("<member><Listener><Protocol>{protocol}</Protocol></Listener>{policies}</member>")
            };
            listener("HTTPS", https) + &listener("HTTP", http) + &listener("SSL", ours)
        };
        let default = "<PolicyNames><member>ELBSecurityPolicy-2016-08</member></PolicyNames>";
        let ours = "<PolicyNames><member>ours</member></PolicyNames>";
        let zone = "<CanonicalHostedZoneNameID>";
        let complete = Classic::default().complete(&(answer(NO_POLICIES, NO_POLICIES, ours) + zone));
        assert_eq!(complete, answer(default, NO_POLICIES, ours) + zone);
    }
}
