//! CreateLoadBalancer of one that is there: "This operation is idempotent, which means that it completes at most one time. If you
//! attempt to create multiple load balancers with the same settings, each call succeeds" (Elastic Load Balancing API Reference of
//! version 2015-12-01). The emulator would make another one under the same name.

use http::Response;

use super::answer::{Asked, Outcome, whole};
use super::{Call, classic};
use crate::front::Body;
use crate::front::form::Form;

const DESCRIBE: &str = "DescribeLoadBalancers";
const CREATE: &str = "CreateLoadBalancer";

/// The question whether the balancer of a call is there.
fn question(call: &Call) -> Option<Form> {
    let version = call.form.get("Version").filter(|version| *version != classic::VERSION)?;
    let name = call.form.get("Name").filter(|_| call.action == CREATE)?;
    let mut form = Form::default();
    form.set("Action", DESCRIBE);
    form.set("Version", version);
    form.set("Names.member.1", name);
    Some(form)
}

/// The answer to the creation of a balancer that is there, as it is; nothing when there is none.
fn as_created(described: &str) -> Option<String> {
    described.contains("<LoadBalancerArn>").then(|| described.replace(DESCRIBE, CREATE))
}

/// Answers the creation of a balancer that is there.
pub async fn answer(asked: &Asked<'_>) -> Outcome<Option<Response<Body>>> {
    let Some(question) = question(asked.call).filter(|_| asked.trusted) else { return Ok(None) };
    let (head, body) = asked.forward(question.encode()).await?;
    let created = as_created(&String::from_utf8_lossy(&body)).filter(|_| head.status.is_success());
    Ok(created.map(|created| whole(head, created)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_balancer_that_is_there_is_told_as_created() {
        let call = |action: &str, version: &str| Call {
            service: "elasticloadbalancing".to_owned(),
            action: action.to_owned(),
            form: Form::parse(&format!("Action={action}&Version={version}&Name=fsw-a")),
        };
        let asked = question(&call(CREATE, "2015-12-01")).unwrap();
        assert_eq!((asked.get("Action"), asked.get("Names.member.1")), (Some(DESCRIBE), Some("fsw-a")));
        assert!(
            question(&call(CREATE, classic::VERSION)).is_none() && question(&call(DESCRIBE, "2015-12-01")).is_none()
        );
        let described = |inner: &str| {
            format!(
                "<DescribeLoadBalancersResponse><DescribeLoadBalancersResult><LoadBalancers>{inner}</LoadBalancers></DescribeLoadBalancersResult></DescribeLoadBalancersResponse>"
            )
        };
        let there = as_created(&described("<member><LoadBalancerArn>arn</LoadBalancerArn></member>")).unwrap();
        assert!(
            there.starts_with("<CreateLoadBalancerResponse><CreateLoadBalancerResult><LoadBalancers><member>"),
            "{there}"
        );
        assert_eq!(as_created(&described("")), None);
    }
}
