//! Waiting until a cluster is what it should be: every node Ready, and the page answers.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::status::Status;
use crate::{Aws, Cluster, Error, status};

/// Between two observations.
const POLL_INTERVAL: Duration = Duration::from_millis(1000);
/// Between two questions about why instances are missing.
const REFUSAL_INTERVAL: Duration = Duration::from_secs(5);
/// Once every node is Ready the page answers within seconds, and after a minute or two where DNS is new.
const PAGE_PATIENCE: Duration = Duration::from_secs(300);
/// For one request for the page.
const PAGE_DEADLINE: Duration = Duration::from_secs(5);

/// Waits; `progress` is told of every observation, whether the page answers, and why AWS starts no instances. Without a `page` only the nodes are waited for.
///
/// # Errors
/// When `deadline` has passed; the message says what is still missing.
pub async fn until_ready(
    aws: &Aws,
    cluster: &Cluster,
    page: Option<&str>,
    deadline: Duration,
    mut progress: impl FnMut(&Status, bool, Option<&str>),
) -> Result<Status, Error> {
    let started = Instant::now();
    let desired: u32 = cluster.spec.groups.values().map(|group| group.min).sum();
    let url = page.unwrap_or_default();
    let page = page.map(|url| Page::new(url, &cluster.spec.domain, cluster.spec.login.is_some())).transpose()?;
    let mut last;
    let (mut refused, mut asked) = (None, None::<Instant>);
    let mut all_since = None::<Instant>;
    loop {
        match status::observe(aws, cluster, url).await {
            Ok(observed) => {
                let ready = observed.nodes.iter().filter(|node| node.ready).count();
                let all = u32::try_from(ready).is_ok_and(|ready| ready >= desired)
                    && observed.nodes.iter().all(|node| node.ready);
                let page = match (all, &page) {
                    (true, Some(page)) => page.answers_everywhere(desired).await,
                    (true, None) => Ok(()),
                    (false, _) => Err("not asked yet".to_owned()),
                };
                all_since = all.then(|| all_since.unwrap_or_else(Instant::now));
                // An instance that dies at launch is there for some seconds of each try: a reason stands until a launch has
                // gone well or every node is Ready.
                let too_few = u32::try_from(observed.nodes.len()).is_ok_and(|there| there < desired);
                if all {
                    refused = None;
                } else if (too_few || refused.is_some()) && asked.is_none_or(|asked| asked.elapsed() > REFUSAL_INTERVAL)
                {
                    refused = status::refusal(aws, cluster).await;
                    asked = Some(Instant::now());
                }
                progress(&observed, page.is_ok(), refused.as_deref());
                last = match page {
                    Ok(()) => return Ok(observed),
                    Err(reason) if all => format!("every node is Ready, but {url} does not answer here: {reason}"),
                    Err(_) => missing(&observed, desired, refused.as_deref()),
                };
            }
            Err(error) => last = error.to_string(),
        }
        if all_since.is_some_and(|since| since.elapsed() > PAGE_PATIENCE) {
            return Err(Error::NotReady(format!(
                "{last}; if this machine is not in load_balancer.allowed_cidrs, or DNS leads elsewhere, that is as it should be: `--no-wait-for-nodes` does not ask"
            )));
        }
        if started.elapsed() > deadline {
            let advice = match aws.endpoint().is_some() {
                true => "look at a node with `cargo xtask console NODE`",
                false => "look at a node with `aws ec2 get-console-output --latest --instance-id NODE`",
            };
            return Err(Error::NotReady(format!(
                "the cluster is not ready after {} s: {last}; {advice}",
                deadline.as_secs()
            )));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn missing(observed: &Status, desired: u32, refused: Option<&str>) -> String {
    let waiting: Vec<String> = observed
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
    let ready = observed.nodes.iter().filter(|node| node.ready).count();
    let reasons: Vec<String> = refused.map(str::to_owned).into_iter().chain(waiting).collect();
    match reasons.is_empty() {
        true => format!("{ready} of {desired} nodes are ready, and no others were started"),
        false => format!("{ready} of {desired} nodes are ready; {}", reasons.join(", ")),
    }
}

/// The page, and the one client that asks for it: reading the machine's root certificates for each of hundreds of questions
/// would be most of the work.
struct Page {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    url: String,
    /// The cluster's own domain, under which it is asked for.
    domain: String,
    /// Whether the login answers there. It has no page at the bare domain, so that any answer of its own is a good one.
    login: bool,
}

impl Page {
    /// # Errors
    /// When this machine has no root certificates.
    fn new(url: &str, domain: &str, login: bool) -> Result<Self, Error> {
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
            .map_err(|error| Error::Missing(format!("the page cannot be asked for: {error}")))?;
        let connector = tls.https_or_http().enable_http1().build();
        // A connection that is kept leads to the address that DNS once had.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self { client, url: format!("{}/", url.trim_end_matches('/')), domain: domain.to_owned(), login })
    }

    /// The load balancer takes its targets in turn, and a node's edge may be up before it knows the page's tasks: so as many
    /// answers in a row as there are nodes.
    async fn answers_everywhere(&self, nodes: u32) -> Result<(), String> {
        for _ in 0..nodes.max(1) {
            self.answers().await?;
        }
        Ok(())
    }

    async fn answers(&self) -> Result<(), String> {
        let request = http::Request::builder().uri(&self.url).header("host", &self.domain);
        let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|error| error.to_string())?;
            let status = answer.status();
            let body = answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
            // The load balancer's own are 502 to 504.
            match status.is_success() || (self.login && !status.is_server_error()) {
                true => Ok(()),
                false => {
                    Err(format!("{status}: {}", String::from_utf8_lossy(&body).lines().next().unwrap_or_default()))
                }
            }
        };
        tokio::time::timeout(PAGE_DEADLINE, exchange)
            .await
            .map_err(|_| format!("no answer within {} s", PAGE_DEADLINE.as_secs()))?
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers each connection with the next of these; returns where it is and what it was asked.
    async fn server(answers: &'static [&'static str]) -> (String, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = tokio::spawn(async move {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 2048];
                let length = stream.read(&mut request).await.unwrap();
                asked.push(String::from_utf8_lossy(&request[..length]).into_owned());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            asked
        });
        (url, asked)
    }

    const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno";
    const BAD: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 18\r\n\r\nno task\nof the page";

    #[tokio::test]
    async fn the_page_is_asked_for_as_often_as_there_are_nodes_under_its_domain() {
        let (url, asked) = server(&[GOOD, GOOD, GOOD]).await;
        let page = Page::new(&format!("{url}/"), "apps.example.com", false).unwrap();
        assert_eq!(page.answers_everywhere(3).await, Ok(()));
        let asked = asked.await.unwrap();
        assert_eq!(asked.len(), 3);
        for request in asked {
            let request = request.to_lowercase();
            assert!(
                request.starts_with("get / http/1.1") && request.contains("host: apps.example.com\r\n"),
                "{request}"
            );
        }
    }

    #[tokio::test]
    async fn one_node_that_does_not_serve_it_is_enough_to_wait_on() {
        let (url, _asked) = server(&[GOOD, BAD]).await;
        let page = Page::new(&url, "apps.example.com", false).unwrap();
        assert_eq!(page.answers_everywhere(3).await.unwrap_err(), "503 Service Unavailable: no task");
        let (url, _asked) = server(&[NOT_FOUND, BAD]).await;
        let login = Page::new(&url, "apps.example.com", true).unwrap();
        assert_eq!(login.answers().await, Ok(()), "the login has no page there");
        assert!(login.answers().await.unwrap_err().starts_with("503"), "the load balancer reaches nobody");
        let nobody = Page::new("http://127.0.0.1:9", "apps.example.com", false).unwrap();
        assert!(nobody.answers().await.is_err());
    }
}
