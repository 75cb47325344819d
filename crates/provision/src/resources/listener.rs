//! Listeners of the application load balancer: plain HTTP, and HTTPS with the certificates. With a login they lead there, but for the open
//! domain, which a rule leads past it.

mod open_rule;

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, Certificate as ListenerCertificate, Listener as Described, ProtocolEnum,
    RedirectActionConfig, RedirectActionStatusCodeEnum, Rule,
};
use futuswarm_converge::{Resource, UNKNOWN};
use futuswarm_spec::PlainHttp;

use super::{certificate, fingerprint, load_balancer, login_object, tags};
use crate::consistency::until_visible;
use crate::error::{Error, failed, incomplete};
use crate::field::{Changed, Field, Fields, sorted};
use crate::{Aws, Cluster, Run, components};

/// TLS 1.2 and 1.3, forward secrecy only.
const TLS: &str = "ELBSecurityPolicy-TLS13-1-2-Res-2021-06";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listener {
    protocol: Protocol,
    /// Whether requests go to the login.
    login: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Protocol {
    /// Port 80.
    Http,
    /// Port 443; with the components of its certificates, the default one first.
    Https(Vec<String>),
}

/// As AWS describes it.
pub(crate) struct Observed {
    listener: Described,
    /// Certificates beside the default one.
    others: Vec<String>,
    /// Those of them that are for domains of a previous spec.
    to_delete: Vec<String>,
    /// The rule of the open domain, where there may be one.
    open_rule: Option<Rule>,
}

impl Listener {
    pub(crate) fn http(login: bool) -> Self {
        Self { protocol: Protocol::Http, login }
    }

    /// With the components of its certificates, the default one first.
    pub(crate) fn https(certificates: Vec<String>, login: bool) -> Self {
        Self { protocol: Protocol::Https(certificates), login }
    }

    fn port(&self) -> i32 {
        match self.protocol {
            Protocol::Http => 80,
            Protocol::Https(_) => 443,
        }
    }

    fn redirects(&self, cluster: &Cluster) -> bool {
        self.protocol == Protocol::Http && cluster.spec.load_balancer.http == PlainHttp::Redirect
    }

    /// The target group that gets every request that no rule is for.
    fn target(&self) -> &'static str {
        if self.login { components::LOGIN_TARGET_GROUP } else { components::TARGET_GROUP }
    }

    /// The domain that a rule leads past the login.
    fn open_domain<'a>(&self, cluster: &'a Cluster) -> Option<&'a str> {
        cluster.spec.open_domain.as_deref().filter(|_| self.login && !self.redirects(cluster))
    }

    fn action_in_words(&self, run: &Run) -> String {
        match self.redirects(&run.cluster) {
            true => "redirect to HTTPS on port 443".to_owned(),
            false => format!("forward to {}", run.id_or_unknown(self.target())),
        }
    }

    fn action(&self, run: &Run) -> Result<Action, Error> {
        if !self.redirects(&run.cluster) {
            return Ok(forward(run.need(self.target())?));
        }
        let redirect = RedirectActionConfig::builder()
            .protocol("HTTPS")
            .port("443")
            .status_code(RedirectActionStatusCodeEnum::Http301)
            .build();
        Ok(Action::builder().r#type(ActionTypeEnum::Redirect).redirect_config(redirect).build())
    }

    /// ARNs of the certificates that were issued, the default one first. A plan has those, too, that the run is going to get.
    fn certificates(&self, run: &Run) -> Vec<String> {
        match &self.protocol {
            Protocol::Http => Vec::new(),
            Protocol::Https(certificates) => {
                certificates.iter().filter_map(|component| certificate::issued_by_then(run, component)).collect()
            }
        }
    }

    async fn add_certificates(&self, aws: &Aws, run: &Run, arn: &str, there: &[String]) -> Result<(), Error> {
        for other in self.certificates(run).into_iter().skip(1).filter(|other| !there.contains(other)) {
            // A certificate that was just issued is unknown for a while (hashicorp/terraform-provider-aws pull request 10294).
            until_visible("the certificate", || async {
                let certificate = ListenerCertificate::builder().certificate_arn(&other).build();
                let add = aws.balancing.add_listener_certificates().listener_arn(arn).certificates(certificate);
                add.send().await.map_err(failed("AddListenerCertificates"))
            })
            .await?;
        }
        Ok(())
    }
}

fn forward(target: String) -> Action {
    Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(target).build()
}

fn in_words(actions: &[Action]) -> String {
    let Some(action) = actions.first() else { return "nothing".to_owned() };
    let forwarded = action.forward_config().and_then(|config| config.target_groups().first());
    let target = action.target_group_arn().or_else(|| forwarded.and_then(|group| group.target_group_arn()));
    match (action.r#type(), action.redirect_config()) {
        (Some(ActionTypeEnum::Forward), _) => format!("forward to {}", target.unwrap_or_default()),
        (Some(ActionTypeEnum::Redirect), Some(to)) => {
            format!("redirect to {} on port {}", to.protocol().unwrap_or("?"), to.port().unwrap_or("?"))
        }
        (kind, _) => kind.map_or("?", ActionTypeEnum::as_str).to_owned(),
    }
}

impl Resource<Run> for Listener {
    type Observed = Observed;

    fn kind(&self) -> &'static str {
        "listener"
    }

    fn name(&self, run: &Run) -> String {
        format!("{} port {}", run.cluster.names.balancer(), self.port())
    }

    fn component(&self) -> String {
        match self.protocol {
            Protocol::Http => components::HTTP.to_owned(),
            Protocol::Https(_) => components::HTTPS.to_owned(),
        }
    }

    fn depends_on(&self) -> Vec<String> {
        let mut depends_on = [components::LOAD_BALANCER, components::TARGET_GROUP].map(str::to_owned).to_vec();
        depends_on.extend(self.login.then(|| components::LOGIN_TARGET_GROUP.to_owned()));
        if let Protocol::Https(certificates) = &self.protocol {
            depends_on.extend(certificates.iter().map(|component| components::validation(component)));
        }
        depends_on
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Observed>, Error> {
        // In a deletion the balancer is behind us in the graph, but its listeners are found only through it.
        // A classic balancer has a name for an id.
        let arn = match run.id(components::LOAD_BALANCER).filter(|id| id.starts_with("arn:")) {
            Some(arn) => arn,
            None => match load_balancer::find(aws, &run.cluster).await?.and_then(|observed| observed.load_balancer_arn)
            {
                Some(arn) => arn,
                None => return Ok(None),
            },
        };
        let all = match run.inventory.listeners(aws, &arn).await {
            Err(error) if error.is_not_found() => return Ok(None),
            all => all?,
        };
        let Some(listener) = all.iter().find(|listener| listener.port() == Some(self.port())).cloned() else {
            return Ok(None);
        };
        let mut others = Vec::new();
        let previous = fingerprint::previous(aws, run).await?.domains;
        if matches!(&self.protocol, Protocol::Https(certificates) if certificates.len() > 1 || !previous.is_empty()) {
            let ask = aws.balancing.describe_listener_certificates();
            let answer = ask.listener_arn(listener.listener_arn().unwrap_or_default()).send().await;
            let answer = answer.map_err(failed("DescribeListenerCertificates"))?.certificates.unwrap_or_default();
            let beside = answer.into_iter().filter(|certificate| certificate.is_default != Some(true));
            others.extend(beside.filter_map(|certificate| certificate.certificate_arn));
        }
        let mut previous_ones = Vec::new();
        for domain in &previous {
            previous_ones.extend(certificate::arns(aws, run, domain).await?);
        }
        let to_delete = others.iter().filter(|other| previous_ones.contains(other)).cloned().collect();
        // In a deletion it goes with the listener.
        let open_rule = match run.mode().applies() && (self.login || login_object::is_there(aws, run).await?) {
            true => open_rule::find(aws, listener.listener_arn().unwrap_or_default()).await?,
            false => None,
        };
        Ok(Some(Observed { listener, others, to_delete, open_rule }))
    }

    fn id(&self, observed: &Observed) -> String {
        observed.listener.listener_arn().unwrap_or_default().to_owned()
    }

    fn waits_for(&self, run: &Run) -> Option<String> {
        match &self.protocol {
            // In a plan our own validation may be about to be done.
            Protocol::Https(certificates)
                if certificates.first().is_some_and(|default| {
                    certificate::issued(run, default).is_none()
                        && (!run.mode().plans() || certificate::is_elsewhere(run, default))
                }) =>
            {
                Some("HTTPS waits for its certificate; run the command again once the certificate is issued".to_owned())
            }
            _ => None,
        }
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        let fields = Fields::new()
            .with(Field::Action, self.action_in_words(run))
            .with_some(Field::OpenRule, self.open_domain(&run.cluster).map(|domain| open_rule::desired(run, domain)));
        let fields = fingerprint::desired(fields);
        let Protocol::Https(components) = &self.protocol else { return Ok(fields) };
        let mut certificates = self.certificates(run).into_iter();
        let default = certificates.next().unwrap_or_else(|| UNKNOWN.to_owned());
        let fields = fields.with(Field::Certificate, default).with(Field::Tls, TLS);
        let others: Vec<String> = certificates.collect();
        Ok(if components.len() > 1 { fields.with(Field::FurtherCertificates, sorted(others)) } else { fields })
    }

    fn current(&self, run: &Run, observed: &Observed) -> Fields {
        let fields = Fields::new()
            .with(Field::Action, in_words(observed.listener.default_actions()))
            .with_some(Field::OpenRule, observed.open_rule.as_ref().map(open_rule::current));
        let fields = fingerprint::current(run, fields);
        let Protocol::Https(certificates) = &self.protocol else { return fields };
        let default = observed.listener.certificates().first().and_then(|certificate| certificate.certificate_arn());
        let fields =
            fields.with_some(Field::Certificate, default).with_some(Field::Tls, observed.listener.ssl_policy());
        let desired = self.certificates(run);
        // Somebody else's stay.
        let counts = |other: &&String| desired.contains(other) || observed.to_delete.contains(other);
        let others: Vec<String> = observed.others.iter().filter(counts).cloned().collect();
        match certificates.len() > 1 || !others.is_empty() {
            true => fields.with(Field::FurtherCertificates, sorted(others)),
            false => fields,
        }
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let (balancer, action) = (run.need(components::LOAD_BALANCER)?, self.action(run)?);
        let certificate = self.certificates(run).into_iter().next();
        let made = until_visible("the load balancer", || async {
            let create = aws.balancing.create_listener().load_balancer_arn(&balancer).port(self.port());
            let create = create.default_actions(action.clone());
            let create = create.set_tags(Some(tags::balancing(&run.cluster, &Resource::component(self))));
            let create = match &certificate {
                Some(arn) => {
                    let certificate = ListenerCertificate::builder().certificate_arn(arn).build();
                    create.protocol(ProtocolEnum::Https).certificates(certificate).ssl_policy(TLS)
                }
                None => create.protocol(ProtocolEnum::Http),
            };
            create.send().await.map_err(failed("CreateListener"))
        });
        let made = made.await?.listeners.unwrap_or_default().into_iter().next();
        let arn = made.and_then(|made| made.listener_arn).ok_or_else(incomplete("CreateListener", "ListenerArn"))?;
        self.add_certificates(aws, run, &arn, &[]).await?;
        if let Some(domain) = self.open_domain(&run.cluster) {
            open_rule::put(aws, run, &arn, &Resource::component(self), domain, None).await?;
        }
        Ok(arn)
    }

    async fn update(&self, aws: &Aws, run: &Run, observed: &Observed, changed: &Changed) -> Result<(), Error> {
        let (arn, component) = (self.id(observed), Resource::component(self));
        let open_rule = observed.open_rule.as_ref();
        // Nobody who asks for an open app is led to the login in between.
        if let Some(domain) = self.open_domain(&run.cluster).filter(|_| changed.any(&[Field::OpenRule])) {
            open_rule::put(aws, run, &arn, &component, domain, open_rule).await?;
        }
        if changed.any(&[Field::Action, Field::Certificate, Field::Tls]) {
            let modify = aws.balancing.modify_listener().listener_arn(&arn).default_actions(self.action(run)?);
            let modify = match self.certificates(run).into_iter().next() {
                Some(certificate) => {
                    let certificate = ListenerCertificate::builder().certificate_arn(certificate).build();
                    modify.certificates(certificate).ssl_policy(TLS)
                }
                None => modify,
            };
            until_visible("the certificate", || async {
                modify.clone().send().await.map_err(failed("ModifyListener"))
            })
            .await?;
        }
        if fingerprint::differs(changed) {
            tags::put_balancing(aws, &run.cluster, &arn, &component).await?;
        }
        match (self.open_domain(&run.cluster), open_rule) {
            (None, Some(left)) => open_rule::delete(aws, left).await?,
            (Some(_), Some(kept)) if fingerprint::differs(changed) => {
                open_rule::put_tags(aws, run, kept, &component).await?;
            }
            _ => {}
        }
        // What serves their successors' names comes first.
        self.add_certificates(aws, run, &arn, &observed.others).await?;
        for to_delete in &observed.to_delete {
            let certificate = ListenerCertificate::builder().certificate_arn(to_delete).build();
            let remove = aws.balancing.remove_listener_certificates().listener_arn(&arn).certificates(certificate);
            remove.send().await.map_err(failed("RemoveListenerCertificates"))?;
        }
        Ok(())
    }

    async fn delete(&self, aws: &Aws, _: &Run, observed: &Observed) -> Result<(), Error> {
        aws.balancing
            .delete_listener()
            .listener_arn(self.id(observed))
            .send()
            .await
            .map_err(failed("DeleteListener"))?;
        Ok(())
    }
}
