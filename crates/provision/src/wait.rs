//! Waiting until a cluster is what it should be: every node Ready, and the page answers.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::status::Status;
use crate::{Cloud, Error, status};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(1000);
/// Between two questions about why instances are missing.
const REFUSALS: Duration = Duration::from_secs(5);
/// Once every node is Ready the page answers within seconds, and after a minute or two where DNS is new.
const PAGE_PATIENCE: Duration = Duration::from_secs(300);
/// For one request for the page.
const PAGE_DEADLINE: Duration = Duration::from_secs(5);

/// Waits; `progress` is told of every look, whether the page answers, and why AWS starts no instances. Without a `page` only the nodes are waited for.
///
/// # Errors
/// When `deadline` has passed; the message says what is still missing.
pub async fn until_ready(
    cloud: &Cloud,
    page: Option<&str>,
    deadline: Duration,
    mut progress: impl FnMut(&Status, bool, Option<&str>),
) -> Result<Status, Error> {
    let started = Instant::now();
    let wanted: u32 = cloud.spec.groups.values().map(|group| group.min).sum();
    let url = page.unwrap_or_default();
    let mut last;
    let (mut refused, mut asked) = (None, None::<Instant>);
    let mut all_since = None::<Instant>;
    loop {
        match status::look(cloud, url).await {
            Ok(found) => {
                let ready = found.nodes.iter().filter(|node| node.ready).count();
                let all = u32::try_from(ready).is_ok_and(|ready| ready >= wanted)
                    && found.nodes.iter().all(|node| node.ready);
                let page = match (all, page) {
                    (true, Some(url)) => page_answers_everywhere(cloud, url, wanted).await,
                    (true, None) => Ok(()),
                    (false, _) => Err("not asked yet".to_owned()),
                };
                all_since = all.then(|| all_since.unwrap_or_else(Instant::now));
                // An instance that dies at launch is there for some seconds of each try: a reason stands until a launch has
                // gone well or every node is Ready.
                let too_few = u32::try_from(found.nodes.len()).is_ok_and(|there| there < wanted);
                if all {
                    refused = None;
                } else if (too_few || refused.is_some()) && asked.is_none_or(|asked| asked.elapsed() > REFUSALS) {
                    refused = status::refusal(cloud).await;
                    asked = Some(Instant::now());
                }
                progress(&found, page.is_ok(), refused.as_deref());
                last = match page {
                    Ok(()) => return Ok(found),
                    Err(reason) if all => format!("every node is Ready, but {url} does not answer here: {reason}"),
                    Err(_) => missing(&found, wanted, refused.as_deref()),
                };
            }
            Err(error) => last = error.to_string(),
        }
        if all_since.is_some_and(|since| since.elapsed() > PAGE_PATIENCE) {
            return Err(Error::Late(format!(
                "{last}; if this machine is not in load_balancer.allowed_cidrs, or DNS leads elsewhere, that is as it should be: `--no-wait-for-nodes` does not ask"
            )));
        }
        if started.elapsed() > deadline {
            let look = match cloud.endpoint.is_some() {
                true => "look at a node with `cargo xtask console NODE`",
                false => "look at a node with `aws ec2 get-console-output --latest --instance-id NODE`",
            };
            return Err(Error::Late(format!(
                "the cluster is not ready after {} s: {last}; {look}",
                deadline.as_secs()
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn missing(found: &Status, wanted: u32, refused: Option<&str>) -> String {
    let waiting: Vec<String> = found
        .nodes
        .iter()
        .filter(|node| !node.ready)
        .map(|node| {
            format!(
                "{} is {}{}",
                node.instance,
                node.state,
                node.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default()
            )
        })
        .collect();
    let ready = found.nodes.iter().filter(|node| node.ready).count();
    let reasons: Vec<String> = refused.map(str::to_owned).into_iter().chain(waiting).collect();
    match reasons.is_empty() {
        true => format!("{ready} of {wanted} nodes are ready, and no others were started"),
        false => format!("{ready} of {wanted} nodes are ready; {}", reasons.join(", ")),
    }
}

/// The load balancer takes its targets in turn, and a node's edge may be up before it knows the page's tasks: so as many
/// answers in a row as there are nodes.
async fn page_answers_everywhere(cloud: &Cloud, url: &str, nodes: u32) -> Result<(), String> {
    for _ in 0..nodes.max(1) {
        page_answers(cloud, url).await?;
    }
    Ok(())
}

/// Asks for the page under the cluster's own domain.
async fn page_answers(cloud: &Cloud, url: &str) -> Result<(), String> {
    let tls = hyper_rustls::HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
        .map_err(|error| error.to_string())?;
    let connector = tls.https_or_http().enable_http1().build();
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    let request =
        http::Request::builder().uri(format!("{}/", url.trim_end_matches('/'))).header("host", &cloud.spec.domain);
    let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
    let exchange = async {
        let answer = client.request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        match status.is_success() {
            true => Ok(()),
            false => Err(format!("{status}: {}", String::from_utf8_lossy(&body).lines().next().unwrap_or_default())),
        }
    };
    tokio::time::timeout(PAGE_DEADLINE, exchange)
        .await
        .map_err(|_| format!("no answer within {} s", PAGE_DEADLINE.as_secs()))?
}
