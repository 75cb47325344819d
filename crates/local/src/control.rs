//! The daemon's control socket: small JSON answers over HTTP on a unix socket that only its owner can open.

use std::path::Path;
use std::sync::Arc;

use futuswarm_aws_front::faults::Injected;
use futuswarm_aws_front::record::Recorder;
use futuswarm_aws_front::server::{self, Body, full};
use futuswarm_local_api::{VmStatus, WorldName, faults, metadata_faults};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

use crate::error::{Result, file};
use crate::imds::Imds;
use crate::world::World;

/// Of a request; a list of faults is the longest.
const LIMIT: usize = 1 << 16;

/// What the daemon's loop is asked to do.
pub enum Ask {
    /// Which machines there are.
    Machines(oneshot::Sender<Vec<VmStatus>>),
    /// Cut a machine's power.
    Kill(String, oneshot::Sender<bool>),
    /// End.
    Shutdown(oneshot::Sender<()>),
}

/// What the socket's requests are about.
pub struct Subjects {
    /// The daemon's loop.
    pub asks: mpsc::Sender<Ask>,
    /// The metadata service.
    pub imds: Arc<Imds>,
    /// Faults of the API.
    pub faults: Arc<Injected>,
    /// The record of the API's requests.
    pub recorder: Arc<Recorder>,
    /// What is around the VPC.
    pub world: World,
}

/// Takes the socket.
pub fn listen(socket: &Path) -> Result<UnixListener> {
    // A socket of a daemon that was killed; ours is the only one, because we hold the lock.
    match std::fs::remove_file(socket) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(file("cannot remove", socket)(error)),
    }
    UnixListener::bind(socket).map_err(file("cannot listen on", socket))
}

/// Serves the socket until the daemon ends.
pub async fn serve(listener: UnixListener, subjects: Subjects) {
    const WHAT: &str = "the control socket";
    let subjects = Arc::new(subjects);
    let serve = move |stream, ()| {
        let subjects = Arc::clone(&subjects);
        let answer = move |request| {
            let subjects = Arc::clone(&subjects);
            async move { Ok::<_, std::convert::Infallible>(answer(request, &subjects).await) }
        };
        server::connection(stream, WHAT, answer)
    };
    server::accept(listener, WHAT, serve).await;
}

async fn answer(request: Request<Incoming>, subjects: &Subjects) -> Response<Body> {
    let (status, body) = match route(request, subjects).await {
        Ok(value) => (StatusCode::OK, value),
        Err(detail) => (StatusCode::BAD_REQUEST, serde_json::Value::String(detail)),
    };
    let mut response = Response::new(full(body.to_string()));
    *response.status_mut() = status;
    response
}

async fn route(request: Request<Incoming>, subjects: &Subjects) -> Result<serde_json::Value, String> {
    let Subjects { asks, imds, faults: api, recorder, world } = subjects;
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, LIMIT).collect().await.map_err(|error| error.to_string())?.to_bytes();
    let text = || String::from_utf8(body.to_vec()).map_err(|error| error.to_string());
    match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/machines") => json(&ask(asks, Ask::Machines).await?),
        (&Method::POST, "/kill") => {
            let instance = text()?;
            json(&ask(asks, |reply| Ask::Kill(instance, reply)).await?)
        }
        (&Method::POST, "/faults") => {
            imds.inject(metadata_faults::parse(&body).map_err(|error| error.to_string())?);
            Ok(serde_json::Value::Null)
        }
        (&Method::POST, "/api-faults") => {
            api.set(faults::parse(&body).map_err(|error| error.to_string())?);
            Ok(serde_json::Value::Null)
        }
        (&Method::GET, "/api-faults") => json(&api.progress()),
        (&Method::POST, "/record") => {
            let path = text()?;
            recorder
                .write_to(Some(Path::new(&path)).filter(|path| !path.as_os_str().is_empty()))
                .map_err(|error| format!("cannot record into {path}: {error}"))?;
            Ok(serde_json::Value::Null)
        }
        (&Method::POST, "/world") => {
            let names: Vec<WorldName> = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
            world.replace(names).await.map_err(|error| error.to_string())?;
            Ok(serde_json::Value::Null)
        }
        (&Method::POST, "/certificate") => {
            let names: Vec<String> = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
            json(&world.issue(&names).map_err(|error| error.to_string())?)
        }
        (&Method::POST, "/shutdown") => json(&ask(asks, Ask::Shutdown).await?),
        (method, path) => Err(format!("the daemon knows no {method} {path}")),
    }
}

fn json(value: &impl serde::Serialize) -> Result<serde_json::Value, String> {
    serde_json::to_value(value).map_err(|error| error.to_string())
}

async fn ask<T>(asks: &mpsc::Sender<Ask>, question: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, String> {
    let ending = |_| "the daemon is ending".to_owned();
    let (sender, receiver) = oneshot::channel();
    asks.send(question(sender)).await.map_err(|_| "the daemon is ending".to_owned())?;
    receiver.await.map_err(ending)
}
