//! The classic load balancer, for those who have one: the same place in the cluster as the application load balancer.

use aws_sdk_elasticloadbalancing::types::{
    ConnectionSettings, CrossZoneLoadBalancing, HealthCheck, Listener, LoadBalancerAttributes, LoadBalancerDescription,
    PolicyAttribute, PolicyDescription, Tag,
};
use futuswarm_converge::Resource;

use super::load_balancer;
use super::security_group::EDGE_PORT;
use super::target_group::{HEALTH_PATH, INTERVAL, THRESHOLD, TIMEOUT};
use super::{certificate, fingerprint};
use crate::consistency::until_visible;
use crate::error::{Error, failed, incomplete};
use crate::field::{Changed, Field, Fields, sorted};
use crate::{Aws, Cluster, Run, components};

const HTTPS_PORT: i32 = 443;
/// TLS 1.2 and nothing older. "If you create an HTTPS/SSL listener without associating a security policy, Elastic Load Balancing
/// associates the default predefined security policy, ELBSecurityPolicy-2016-08", which still speaks TLS 1.0 (User Guide for
/// Classic Load Balancers, "Update the SSL negotiation configuration"). This is the newest that a classic balancer knows.
const TLS_POLICY: &str = "ELBSecurityPolicy-TLS-1-2-2017-01";
/// Our policy, which refers to the predefined one. A policy cannot be changed, so another reference needs another name.
const POLICY_NAME: &str = "futuswarm-ELBSecurityPolicy-TLS-1-2-2017-01";
const POLICY_TYPE: &str = "SSLNegotiationPolicyType";
const POLICY_REFERENCE: &str = "Reference-Security-Policy";

/// The balancer, with the components of its subnets.
pub(crate) struct ClassicBalancer {
    pub(crate) subnets: Vec<String>,
    /// The component of its certificate.
    pub(crate) certificate: &'static str,
}

/// As AWS describes it.
pub(crate) struct Observed {
    balancer: LoadBalancerDescription,
    attributes: Option<LoadBalancerAttributes>,
    /// Its policies; not asked for while no listener speaks TLS.
    policies: Vec<PolicyDescription>,
}

/// The predefined policies that a listener's policies refer to; AWS gives its default the name of what it refers to.
fn tls_in_words(names: &[String], policies: &[PolicyDescription]) -> String {
    let reference = |name: &String| {
        let policy = policies.iter().find(|policy| policy.policy_name() == Some(name));
        let attributes = policy.map(PolicyDescription::policy_attribute_descriptions).unwrap_or_default();
        let reference = attributes.iter().find(|attribute| attribute.attribute_name() == Some(POLICY_REFERENCE));
        reference.and_then(|reference| reference.attribute_value()).unwrap_or(name).to_owned()
    };
    match names.is_empty() {
        true => "no policy".to_owned(),
        false => sorted(names.iter().map(reference)),
    }
}

/// Whether a listener becomes another one by a certificate alone.
fn is_but_for_its_certificate(previous: &Listener, desired: &Listener) -> bool {
    desired.ssl_certificate_id().is_some()
        && previous.protocol().eq_ignore_ascii_case(desired.protocol())
        && previous.instance_port() == desired.instance_port()
        && previous.instance_protocol().map(str::to_ascii_uppercase)
            == desired.instance_protocol().map(str::to_ascii_uppercase)
}

fn builder_error<E>(_: E) -> Error {
    incomplete("a request about the load balancer", "required field")()
}

fn check() -> Result<HealthCheck, Error> {
    HealthCheck::builder()
        .target(format!("HTTP:{EDGE_PORT}{HEALTH_PATH}"))
        .interval(INTERVAL)
        .timeout(TIMEOUT)
        .healthy_threshold(THRESHOLD)
        .unhealthy_threshold(THRESHOLD)
        .build()
        .map_err(builder_error)
}

fn check_in_words(check: &HealthCheck) -> String {
    format!(
        "{} every {} s within {} s, {} up {} down",
        check.target(),
        check.interval(),
        check.timeout(),
        check.healthy_threshold(),
        check.unhealthy_threshold()
    )
}

/// The balancer of the cluster, if there is one.
pub(crate) async fn find(aws: &Aws, cluster: &Cluster) -> Result<Option<LoadBalancerDescription>, Error> {
    let ask = aws.classic.describe_load_balancers().load_balancer_names(cluster.names.balancer());
    match ask.send().await.map_err(failed("DescribeLoadBalancers")) {
        Ok(observed) => Ok(observed.load_balancer_descriptions.unwrap_or_default().into_iter().next()),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl ClassicBalancer {
    /// Port → listener. HTTPS comes with the certificate.
    fn listeners(&self, run: &Run) -> Result<Vec<Listener>, Error> {
        let listener = |protocol: &str, port: i32| {
            let listener = Listener::builder().protocol(protocol).load_balancer_port(port);
            listener.instance_protocol("HTTP").instance_port(EDGE_PORT)
        };
        let mut all = vec![listener("HTTP", 80).build().map_err(builder_error)?];
        if let Some(arn) = certificate::issued_by_then(run, self.certificate) {
            all.push(listener("HTTPS", HTTPS_PORT).ssl_certificate_id(arn).build().map_err(builder_error)?);
        }
        Ok(all)
    }

    fn serves_tls(&self, run: &Run) -> Result<bool, Error> {
        Ok(self.listeners(run)?.iter().any(|listener| listener.load_balancer_port() == HTTPS_PORT))
    }

    /// Gives the HTTPS listener, if there is one, our policy instead of AWS's default.
    async fn restrict_tls(&self, aws: &Aws, run: &Run) -> Result<(), Error> {
        if !self.serves_tls(run)? {
            return Ok(());
        }
        let name = run.cluster.names.balancer();
        let made = until_visible("the load balancer", || async {
            let attribute =
                PolicyAttribute::builder().attribute_name(POLICY_REFERENCE).attribute_value(TLS_POLICY).build();
            let create = aws.classic.create_load_balancer_policy().load_balancer_name(&name);
            let create = create.policy_name(POLICY_NAME).policy_type_name(POLICY_TYPE).policy_attributes(attribute);
            create.send().await.map_err(failed("CreateLoadBalancerPolicy"))
        });
        match made.await {
            // A run that was killed has made it.
            Err(error) if !error.is(&["DuplicatePolicyName"]) => return Err(error.into()),
            _ => {}
        }
        until_visible("the listener and its policy", || async {
            let set = aws.classic.set_load_balancer_policies_of_listener().load_balancer_name(&name);
            let set = set.load_balancer_port(HTTPS_PORT).policy_names(POLICY_NAME);
            set.send().await.map_err(failed("SetLoadBalancerPoliciesOfListener"))
        })
        .await?;
        Ok(())
    }

    /// Brings what listens at a port about. AWS changes nothing but the certificate of a listener: another one takes its place,
    /// and when AWS refuses that, the previous one is put back.
    async fn put_listener(&self, aws: &Aws, run: &Run, observed: &Observed, port: i32) -> Result<(), Error> {
        let name = run.cluster.names.balancer();
        let there = observed.balancer.listener_descriptions().iter().filter_map(|one| one.listener());
        let mut there = there.filter(|one| one.load_balancer_port() == port);
        let previous = there.next().cloned();
        let desired = self.listeners(run)?.into_iter().find(|one| one.load_balancer_port() == port);
        if let (Some(previous), Some(desired)) = (&previous, &desired)
            && is_but_for_its_certificate(previous, desired)
        {
            until_visible("the certificate", || async {
                let set = aws.classic.set_load_balancer_listener_ssl_certificate().load_balancer_name(&name);
                let set = set.load_balancer_port(port).set_ssl_certificate_id(desired.ssl_certificate_id.clone());
                set.send().await.map_err(failed("SetLoadBalancerListenerSSLCertificate"))
            })
            .await?;
            return Ok(());
        }
        let create = async |listener: &Listener| {
            until_visible("the certificate", || async {
                let create = aws.classic.create_load_balancer_listeners().load_balancer_name(&name);
                create.listeners(listener.clone()).send().await.map_err(failed("CreateLoadBalancerListeners"))
            })
            .await
        };
        if previous.is_some() {
            let delete = aws.classic.delete_load_balancer_listeners().load_balancer_name(&name);
            delete.load_balancer_ports(port).send().await.map_err(failed("DeleteLoadBalancerListeners"))?;
        }
        let Some(desired) = desired else { return Ok(()) };
        let Err(refused) = create(&desired).await else { return Ok(()) };
        if let Some(previous) = &previous
            && let Err(error) = create(previous).await
        {
            run.note(format!("the previous listener at port {port} could not be put back: {error}"));
        }
        Err(refused.into())
    }

    fn ids(&self, run: &Run) -> Result<Vec<String>, Error> {
        self.subnets.iter().map(|component| run.need(component)).collect()
    }

    async fn configure(&self, aws: &Aws, cluster: &Cluster) -> Result<(), Error> {
        let name = cluster.names.balancer();
        until_visible("the load balancer", || async {
            let idle = i32::try_from(cluster.spec.load_balancer.idle_timeout_seconds).unwrap_or(60);
            let attributes = LoadBalancerAttributes::builder()
                .cross_zone_load_balancing(CrossZoneLoadBalancing::builder().enabled(true).build())
                .connection_settings(
                    ConnectionSettings::builder().idle_timeout(idle).build().map_err(|_| idle_error())?,
                )
                .build();
            let modify = aws.classic.modify_load_balancer_attributes().load_balancer_name(&name);
            let modify = modify.load_balancer_attributes(attributes);
            modify.send().await.map_err(failed("ModifyLoadBalancerAttributes"))
        })
        .await?;
        let configure = aws.classic.configure_health_check().load_balancer_name(&name).health_check(check()?);
        configure.send().await.map_err(failed("ConfigureHealthCheck"))?;
        Ok(())
    }
}

fn tags(cluster: &Cluster) -> Result<Vec<Tag>, Error> {
    let tag = |(key, value): (String, String)| Tag::builder().key(key).value(value).build();
    cluster.tags(components::LOAD_BALANCER).into_iter().map(tag).collect::<Result<_, _>>().map_err(builder_error)
}

fn idle_error() -> futuswarm_aws::Error {
    futuswarm_aws::Failure {
        operation: "ModifyLoadBalancerAttributes",
        code: None,
        message: "the idle timeout is not one".to_owned(),
        request_id: None,
        status: None,
    }
    .into()
}

fn listener_in_words(listener: &Listener) -> (Field, String) {
    let field = Field::Listener(listener.load_balancer_port());
    let certificate = listener.ssl_certificate_id().map(|arn| format!(" with {arn}")).unwrap_or_default();
    (field, format!("{} to port {}{certificate}", listener.protocol(), listener.instance_port()))
}

impl Resource<Run> for ClassicBalancer {
    type Observed = Observed;

    fn kind(&self) -> &'static str {
        "classic load balancer"
    }

    fn name(&self, run: &Run) -> String {
        run.cluster.names.balancer()
    }

    fn component(&self) -> String {
        components::LOAD_BALANCER.to_owned()
    }

    fn depends_on(&self) -> Vec<String> {
        let mut depends_on = self.subnets.clone();
        depends_on.extend([components::SECURITY_BALANCER, components::INTERNET_GATEWAY].map(str::to_owned));
        depends_on.push(components::validation(self.certificate));
        depends_on
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Observed>, Error> {
        let Some(balancer) = find(aws, &run.cluster).await? else { return Ok(None) };
        load_balancer::note_address(run, balancer.dns_name(), balancer.canonical_hosted_zone_name_id());
        let ask = aws.classic.describe_load_balancer_attributes().load_balancer_name(run.cluster.names.balancer());
        let attributes = ask.send().await.map_err(failed("DescribeLoadBalancerAttributes"))?.load_balancer_attributes;
        let speaks_tls = balancer.listener_descriptions().iter().filter_map(|one| one.listener());
        let speaks_tls = speaks_tls.map(Listener::load_balancer_port).any(|port| port == HTTPS_PORT);
        let policies = match speaks_tls {
            true => {
                let ask =
                    aws.classic.describe_load_balancer_policies().load_balancer_name(run.cluster.names.balancer());
                let answer = ask.send().await.map_err(failed("DescribeLoadBalancerPolicies"))?;
                answer.policy_descriptions.unwrap_or_default()
            }
            false => Vec::new(),
        };
        Ok(Some(Observed { balancer, attributes, policies }))
    }

    /// Auto Scaling groups know it by its name.
    fn id(&self, observed: &Observed) -> String {
        observed.balancer.load_balancer_name().unwrap_or_default().to_owned()
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        let fields = Fields::new()
            .with(Field::Scheme, load_balancer::scheme(&run.cluster).as_str())
            .with(Field::Subnets, sorted(self.subnets.iter().map(|component| run.id_or_unknown(component))))
            .with(Field::SecurityGroup, run.id_or_unknown(components::SECURITY_BALANCER))
            .with(Field::IdleTimeout, run.cluster.spec.load_balancer.idle_timeout_seconds)
            .with(Field::CrossZone, true)
            .with(Field::HealthCheck, check_in_words(&check()?))
            .with_some(Field::Tls, self.serves_tls(run)?.then_some(TLS_POLICY));
        let listeners = self.listeners(run)?;
        let listeners = listeners.iter().map(listener_in_words);
        Ok(fingerprint::desired(listeners.fold(fields, |fields, (field, words)| fields.with(field, words))))
    }

    fn current(&self, run: &Run, observed: &Observed) -> Fields {
        let attributes = observed.attributes.as_ref();
        let idle = attributes.and_then(|all| all.connection_settings()).map(|settings| settings.idle_timeout());
        let across = attributes.and_then(|all| all.cross_zone_load_balancing()).map(|across| across.enabled());
        let fields = Fields::new()
            .with(Field::Scheme, observed.balancer.scheme().unwrap_or_default())
            .with(Field::Subnets, sorted(observed.balancer.subnets().to_vec()))
            .with(Field::SecurityGroup, observed.balancer.security_groups().join(" "))
            .with_some(Field::IdleTimeout, idle)
            .with_some(Field::CrossZone, across)
            .with_some(Field::HealthCheck, observed.balancer.health_check().map(check_in_words));
        let https = observed
            .balancer
            .listener_descriptions()
            .iter()
            .find(|one| one.listener().is_some_and(|listener| listener.load_balancer_port() == HTTPS_PORT));
        let fields =
            fields.with_some(Field::Tls, https.map(|one| tls_in_words(one.policy_names(), &observed.policies)));
        let listeners = observed.balancer.listener_descriptions().iter().filter_map(|one| one.listener());
        let fields = listeners.map(listener_in_words).fold(fields, |fields, (field, words)| fields.with(field, words));
        fingerprint::current(run, fields)
    }

    fn immutable(&self) -> &'static [Field] {
        const { &[Field::Scheme] }
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let (subnets, listeners) = (self.ids(run)?, self.listeners(run)?);
        let group = run.need(components::SECURITY_BALANCER)?;
        let tags = tags(&run.cluster)?;
        let made = until_visible("the subnets and the security group", || async {
            let create = aws.classic.create_load_balancer().load_balancer_name(run.cluster.names.balancer());
            let create = create.set_listeners(Some(listeners.clone())).set_subnets(Some(subnets.clone()));
            let create = create.security_groups(&group).set_tags(Some(tags.clone()));
            let create = create.set_scheme(run.cluster.spec.load_balancer.internal.then(|| "internal".to_owned()));
            create.send().await.map_err(failed("CreateLoadBalancer"))
        });
        made.await?;
        self.restrict_tls(aws, run).await?;
        self.configure(aws, &run.cluster).await?;
        // Its zone is in the answer only when it is described.
        let observed = find(aws, &run.cluster).await?;
        let observed = observed.ok_or_else(incomplete("DescribeLoadBalancers", "the balancer just made"))?;
        load_balancer::note_address(run, observed.dns_name(), observed.canonical_hosted_zone_name_id());
        Ok(run.cluster.names.balancer())
    }

    async fn update(&self, aws: &Aws, run: &Run, observed: &Observed, changed: &Changed) -> Result<(), Error> {
        let name = run.cluster.names.balancer();
        if changed.any(&[Field::Subnets]) {
            let (desired, there) = (self.ids(run)?, observed.balancer.subnets());
            let missing: Vec<String> = desired.iter().filter(|id| !there.contains(id)).cloned().collect();
            let extra: Vec<String> = there.iter().filter(|id| !desired.contains(id)).cloned().collect();
            if !missing.is_empty() {
                let attach = aws.classic.attach_load_balancer_to_subnets().load_balancer_name(&name);
                attach.set_subnets(Some(missing)).send().await.map_err(failed("AttachLoadBalancerToSubnets"))?;
            }
            if !extra.is_empty() {
                let detach = aws.classic.detach_load_balancer_from_subnets().load_balancer_name(&name);
                detach.set_subnets(Some(extra)).send().await.map_err(failed("DetachLoadBalancerFromSubnets"))?;
            }
        }
        if changed.any(&[Field::SecurityGroup]) {
            let apply = aws.classic.apply_security_groups_to_load_balancer().load_balancer_name(&name);
            let apply = apply.security_groups(run.need(components::SECURITY_BALANCER)?);
            apply.send().await.map_err(failed("ApplySecurityGroupsToLoadBalancer"))?;
        }
        let ports: Vec<i32> = changed.keys().filter_map(|field| field.listener_port()).collect();
        if !ports.is_empty() {
            for port in &ports {
                self.put_listener(aws, run, observed, *port).await?;
            }
        }
        // A listener that was made again has AWS's default policy.
        if changed.any(&[Field::Tls]) || !ports.is_empty() {
            self.restrict_tls(aws, run).await?;
        }
        if changed.any(&[Field::IdleTimeout, Field::CrossZone, Field::HealthCheck]) {
            self.configure(aws, &run.cluster).await?;
        }
        if fingerprint::differs(changed) {
            let add = aws.classic.add_tags().load_balancer_names(&name).set_tags(Some(tags(&run.cluster)?));
            add.send().await.map_err(failed("AddTags"))?;
        }
        Ok(())
    }

    async fn delete(&self, aws: &Aws, _: &Run, observed: &Observed) -> Result<(), Error> {
        let delete = aws.classic.delete_load_balancer().load_balancer_name(self.id(observed));
        delete.send().await.map_err(failed("DeleteLoadBalancer"))?;
        Ok(())
    }
}

/// The certificate that the balancer serves: it can have only one.
pub(crate) fn certificate_part(spec: &futuswarm_spec::Spec) -> &'static str {
    certificate::all(spec).first().map_or("certificate", |(component, _)| component)
}

#[cfg(test)]
mod tests {
    use aws_sdk_elasticloadbalancing::types::PolicyAttributeDescription;

    use super::*;

    #[test]
    fn what_a_listener_speaks_is_what_its_policies_refer_to() {
        let policy = |name: &str, attribute: &str, value: &str| {
            let attribute =
                PolicyAttributeDescription::builder().attribute_name(attribute).attribute_value(value).build();
            PolicyDescription::builder().policy_name(name).policy_attribute_descriptions(attribute).build()
        };
        let policies = [
            policy(POLICY_NAME, POLICY_REFERENCE, TLS_POLICY),
            policy("old", POLICY_REFERENCE, "ELBSecurityPolicy-2016-08"),
            policy("custom", "Protocol-TLSv1", "true"),
        ];
        let words =
            |names: &[&str]| tls_in_words(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), &policies);
        assert_eq!(words(&[POLICY_NAME]), TLS_POLICY);
        assert_eq!(words(&["old"]), "ELBSecurityPolicy-2016-08");
        assert_eq!(words(&["ELBSecurityPolicy-2016-08"]), "ELBSecurityPolicy-2016-08", "as AWS names its default");
        assert_eq!(words(&["custom"]), "custom");
        assert_eq!(words(&[]), "no policy");
        // ELB: "Policy names must consist of alphanumeric characters and dashes (-)".
        assert!(POLICY_NAME.chars().all(|character| character.is_ascii_alphanumeric() || character == '-'));
    }
}
