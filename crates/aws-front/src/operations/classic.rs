//! Classic load balancers: the emulator forgets how a listener speaks to its instances, and has no hosted zone for its names.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::Response;

use super::request::{OperationRequest, Outcome, whole};
use crate::form::Form;
use crate::server::Body;
use crate::xml::{self, Element, leaf, node};

/// The classic load balancer's version of the API.
pub const VERSION: &str = "2012-06-01";
/// What a listener with TLS has when nobody has given it another: "If you create an HTTPS/SSL listener without associating a security
/// policy, Elastic Load Balancing associates the default predefined security policy" (User Guide for Classic Load Balancers).
const DEFAULT_POLICY: &str = "ELBSecurityPolicy-2016-08";
/// As in the emulator's answers about the other load balancers.
const HOSTED_ZONE: &str = "Z2P70J7EXAMPLE";

/// What was said of listeners: load balancer and port → protocol of its instances.
#[derive(Default)]
pub struct Classic {
    protocols: Mutex<BTreeMap<(String, String), String>>,
}

impl Classic {
    /// Notes how the listeners of a call speak to their instances, when the emulator accepts it.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn create(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        if !is_classic(&asked.call.form) {
            return Ok(None);
        }
        let (head, body) = asked.forward_unchanged().await?;
        if head.status.is_success() {
            self.note(&asked.call.form);
        }
        Ok(Some(whole(head, body)))
    }

    /// Completes the load balancers that are listed.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn describe(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        if !is_classic(&asked.call.form) {
            return Ok(None);
        }
        asked.completed(|answer| self.complete(answer)).await.map(Some)
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

    fn complete(&self, answer: &mut Element) {
        let protocols = self.protocols.lock().unwrap_or_else(PoisonError::into_inner);
        let has_zone = xml::find(answer, "CanonicalHostedZoneNameID").is_some();
        for balancer in xml::entries_mut(answer, "LoadBalancerDescriptions") {
            let name = xml::text(balancer, "LoadBalancerName").unwrap_or_default();
            for described in xml::entries_mut(balancer, "ListenerDescriptions") {
                let Some(listener) = described.get_mut_child("Listener") else { continue };
                let port = xml::text(listener, "LoadBalancerPort").unwrap_or_default();
                if let Some(protocol) = protocols.get(&(name.clone(), port)) {
                    xml::set(listener, leaf("InstanceProtocol", protocol));
                }
                let speaks_tls = xml::text(listener, "Protocol")
                    .is_some_and(|protocol| ["HTTPS", "SSL"].contains(&protocol.as_str()));
                let has_policies =
                    described.get_child("PolicyNames").is_some_and(|names| xml::children(names).next().is_some());
                if speaks_tls && !has_policies {
                    xml::set(described, node("PolicyNames", [leaf("member", DEFAULT_POLICY)]));
                }
            }
            if !has_zone && balancer.get_child("CanonicalHostedZoneName").is_some() {
                xml::push(balancer, leaf("CanonicalHostedZoneNameID", HOSTED_ZONE));
            }
        }
    }
}

/// Whether a call is one of the classic load balancer's version of the API.
pub fn is_classic(form: &Form) -> bool {
    form.get("Version") == Some(VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(classic: &Classic, text: &str) -> String {
        let mut answer = xml::parse(text.as_bytes()).unwrap();
        classic.complete(&mut answer);
        xml::write(&answer)
    }

    fn balancers(each: &[String]) -> String {
        format!("<R><LoadBalancerDescriptions>{}</LoadBalancerDescriptions></R>", each.concat())
    }

    #[test]
    fn listeners_speak_to_instances_as_they_were_told() {
        let classic = Classic::default();
        classic.note(&Form::parse(
            "LoadBalancerName=a&Listeners.member.1.Protocol=HTTPS&Listeners.member.1.LoadBalancerPort=443&Listeners.member.1.InstanceProtocol=HTTP\
             &Listeners.member.2.Protocol=SSL&Listeners.member.2.LoadBalancerPort=22",
        ));
        let listener = |port: &str, protocol: &str| {
            format!(
                "<member><Listener><LoadBalancerPort>{port}</LoadBalancerPort><InstanceProtocol>{protocol}</InstanceProtocol></Listener></member>"
            )
        };
        let balancer = |name: &str, listeners: &str, zone: &str| {
            format!(
                "<member><LoadBalancerName>{name}</LoadBalancerName><ListenerDescriptions>{listeners}</ListenerDescriptions><CanonicalHostedZoneName>n</CanonicalHostedZoneName>{zone}</member>"
            )
        };
        let answer = |first: &str, second: &str, zone: &str| {
            let ours = listener("443", first) + &listener("22", second);
            balancers(&[balancer("a", &ours, zone), balancer("b", &listener("443", "HTTPS"), zone)])
        };
        let zone = "<CanonicalHostedZoneNameID>Z2P70J7EXAMPLE</CanonicalHostedZoneNameID>";
        assert_eq!(completed(&classic, &answer("HTTPS", "SSL", "")), answer("HTTP", "TCP", zone));
    }

    #[test]
    fn a_listener_with_tls_and_no_policy_has_the_default_of_aws() {
        let answer = |https: &str, http: &str, ours: &str| {
            let listener = |protocol: &str, policies: &str| {
                format!("<member><Listener><Protocol>{protocol}</Protocol></Listener>{policies}</member>")
            };
            let listeners = listener("HTTPS", https) + &listener("HTTP", http) + &listener("SSL", ours);
            balancers(&[format!("<member><ListenerDescriptions>{listeners}</ListenerDescriptions></member>")])
        };
        let (none, ours) = ("<PolicyNames/>", "<PolicyNames><member>ours</member></PolicyNames>");
        let default = "<PolicyNames><member>ELBSecurityPolicy-2016-08</member></PolicyNames>";
        assert_eq!(completed(&Classic::default(), &answer(none, none, ours)), answer(default, none, ours));
    }
}
