//! CreateLoadBalancer and CreateListener of one that is there: "This operation is idempotent, which means that it completes at most one
//! time. If you attempt to create multiple listeners with the same settings, each call succeeds" (Elastic Load Balancing API Reference of
//! version 2015-12-01, which says the same of balancers), and one with other settings at the same port is a DuplicateListener. The
//! emulator would make another one.

use http::Response;

use super::classic;
use super::request::{OperationRequest, Outcome, Refusal, whole};
use crate::call::Call;
use crate::form::Form;
use crate::server::Body;
use crate::xml::{self, Element, node};

/// What can be made, and how it is looked for.
struct Kind {
    create: &'static str,
    describe: &'static str,
    /// The field of the creation that is looked for, and its name in the question.
    key: (&'static str, &'static str),
    /// The element that lists what was found.
    set: &'static str,
}

const KINDS: [Kind; 2] = [
    Kind {
        create: "CreateLoadBalancer",
        describe: "DescribeLoadBalancers",
        key: ("Name", "Names.member.1"),
        set: "LoadBalancers",
    },
    Kind {
        create: "CreateListener",
        describe: "DescribeListeners",
        key: ("LoadBalancerArn", "LoadBalancerArn"),
        set: "Listeners",
    },
];
/// What makes two listeners at one port the same: each field of a creation, and the element that has its value.
const SETTINGS: [(&str, &str); 4] = [
    ("Protocol", "Protocol"),
    ("Certificates.member.1.CertificateArn", "CertificateArn"),
    ("DefaultActions.member.1.Type", "Type"),
    ("DefaultActions.member.1.TargetGroupArn", "TargetGroupArn"),
];

impl Kind {
    fn of(call: &Call) -> Option<&'static Self> {
        let version = call.form.get("Version")?;
        KINDS.iter().find(|kind| kind.create == call.action && version != classic::VERSION)
    }

    /// The question whether the one of a call is there.
    fn question(&self, call: &Call) -> Option<Form> {
        let mut form = Form::default();
        form.set("Action", self.describe);
        form.set("Version", call.form.get("Version")?);
        form.set(self.key.1, call.form.get(self.key.0)?);
        Some(form)
    }

    /// What the creation finds among what is there.
    fn found(&self, call: &Call, described: &Element) -> Found {
        let port = call.form.get("Port").filter(|_| self.set == "Listeners");
        let there = xml::find(described, self.set).into_iter().flat_map(xml::children);
        let there = there.into_iter().find(|member| port.is_none() || xml::text(member, "Port").as_deref() == port);
        let Some(there) = there else { return Found::Nothing };
        let differs =
            |(field, element): &(&str, &str)| call.form.get(field) != xml::find_text(there, element).as_deref();
        match port {
            Some(port) if SETTINGS.iter().any(differs) => {
                Found::Other(format!("A listener already exists on this port for this load balancer ({port})"))
            }
            _ => {
                let created = node(&format!("{}Result", self.create), [node(self.set, [there.clone()])]);
                Found::Same(node(&format!("{}Response", self.create), [created]))
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    /// With the answer to its creation.
    Same(Element),
    /// With what AWS says to that.
    Other(String),
}

/// Answers the creation of what is there.
pub async fn answer(asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
    let Some(kind) = Kind::of(asked.call).filter(|_| asked.trusted) else { return Ok(None) };
    let Some(question) = kind.question(asked.call) else { return Ok(None) };
    let (head, body) = asked.forward(question.encode()).await?;
    if !head.status.is_success() {
        return Ok(None);
    }
    let Ok(described) = xml::parse(&body) else { return Ok(None) };
    Ok(match kind.found(asked.call, &described) {
        Found::Nothing => None,
        Found::Same(created) => Some(whole(head, xml::write(&created))),
        Found::Other(message) => Some(asked.refuse(&Refusal::new("DuplicateListener", message))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Service;

    fn call(fields: &str) -> Call {
        let form = Form::parse(fields);
        Call { service: Service::ElasticLoadBalancing, action: form.get("Action").unwrap().to_owned(), form }
    }

    fn found(call: &Call, described: &str) -> Found {
        Kind::of(call).unwrap().found(call, &xml::parse(described.as_bytes()).unwrap())
    }

    #[test]
    fn only_a_balancer_that_is_there_is_told_as_created() {
        let created = call("Action=CreateLoadBalancer&Version=2015-12-01&Name=fsw-a");
        let question = Kind::of(&created).unwrap().question(&created).unwrap();
        assert_eq!(
            (question.get("Action"), question.get("Names.member.1")),
            (Some("DescribeLoadBalancers"), Some("fsw-a"))
        );
        for other in [
            format!("Action=CreateLoadBalancer&Version={}&Name=fsw-a", classic::VERSION),
            "Action=DescribeLoadBalancers&Version=2015-12-01&Name=fsw-a".to_owned(),
        ] {
            assert!(Kind::of(&call(&other)).is_none(), "{other}");
        }
        let there = "<R><LoadBalancers><member><LoadBalancerArn>arn</LoadBalancerArn></member></LoadBalancers></R>";
        assert_eq!(
            found(&created, there),
            Found::Same(
                xml::parse(b"<CreateLoadBalancerResponse><CreateLoadBalancerResult><LoadBalancers><member><LoadBalancerArn>arn</LoadBalancerArn></member></LoadBalancers></CreateLoadBalancerResult></CreateLoadBalancerResponse>")
                    .unwrap()
            )
        );
        assert_eq!(found(&created, "<R><LoadBalancers/></R>"), Found::Nothing);
    }

    #[test]
    fn a_port_has_one_listener() {
        let there = "<R><Listeners><member><ListenerArn>l</ListenerArn><Port>80</Port><Protocol>HTTP</Protocol><DefaultActions>\
                     <member><Type>forward</Type><TargetGroupArn>t</TargetGroupArn></member></DefaultActions></member></Listeners></R>";
        let create = |port: &str, group: &str| {
            call(&format!(
                "Action=CreateListener&Version=2015-12-01&LoadBalancerArn=b&Port={port}&Protocol=HTTP&DefaultActions.member.1.Type=forward&\
                 DefaultActions.member.1.TargetGroupArn={group}"
            ))
        };
        assert_eq!(found(&create("443", "t"), there), Found::Nothing);
        assert!(
            matches!(found(&create("80", "t"), there), Found::Same(answer) if xml::find_text(&answer, "ListenerArn").as_deref() == Some("l"))
        );
        assert!(matches!(found(&create("80", "other"), there), Found::Other(message) if message.contains("(80)")));
    }
}
