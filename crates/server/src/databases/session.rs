//! PostgreSQL's programs in containers: each as a role of its own that ends with it, with the node's programs and nothing else, on the
//! app's network. What somebody does from within psql (`\!`, `\copy`) they do in an empty container without rights.

use std::sync::Arc;

use futuswarm_database::{Command, Databases as _, Names, interactive, password, script};
use futuswarm_model::AppRecord;
use futuswarm_paas::access::Actor;
use futuswarm_rpc::message::{Answer, Terminal};
use futuswarm_secret::Secret;
use futuswarm_swarm::{
    APP_LABEL, Attached, Capabilities, ContainerApi as _, NetworkApi as _, NetworkAttachment, PlatformMount,
    ProgramApi as _, ProgramSpec, Resources,
};

use super::lease::refuse_dropping;
use crate::client::Client;
use crate::limits::{Place, What};
use crate::refusal::Refused;
use crate::run::{Guard, program};
use crate::{Control, Error, Platform, desired};

/// Results of a question are in psql's memory until they are shown.
const LIMITS: Resources =
    Resources { memory_bytes: 256 << 20, nano_cpus: 1_000_000_000, pids: 32, reserved_memory_bytes: 0 };

/// A role that ends with what it is for, also when the request was given up.
pub(super) struct Session<P: Platform> {
    control: Arc<Control<P>>,
    names: Names,
    pub(super) role: String,
    pub(super) secret: Secret,
    open: bool,
    /// Its program takes the memory of one.
    _place: Place,
}

impl<P: Platform> Session<P> {
    /// Makes a role for `actor` in a database of the app.
    pub(super) async fn open(
        control: &Arc<Control<P>>,
        names: &Names,
        database: &str,
        actor: &Actor,
    ) -> Result<Self, Refused> {
        let Actor::User { name, .. } = actor else {
            return Err(Refused::failed("a token has no role in a database"));
        };
        let place = control.connections.limits.take(What::Program, actor)?;
        let (role, secret) = (names.session(name, &super::random()), password().map_err(Error::from)?);
        let (control, names) = (Arc::clone(control), names.clone());
        // Before the role is made: of one whose answer was lost there is something to remove, too.
        let session = Self { control, names, role, secret, open: true, _place: place };
        let Self { control, names, role, secret, .. } = &session;
        control.databases.open_session(names, database, role, secret).await.map_err(Error::from)?;
        Ok(session)
    }

    pub(super) async fn close(mut self) {
        close(&self.control, &self.names, &self.role).await;
        self.open = false;
    }
}

impl<P: Platform> Drop for Session<P> {
    fn drop(&mut self) {
        if self.open {
            let (control, names, role) = (Arc::clone(&self.control), self.names.clone(), self.role.clone());
            tokio::spawn(async move { close(&control, &names, &role).await });
        }
    }
}

async fn close<P: Platform>(control: &Control<P>, names: &Names, role: &str) {
    if let Err(error) = control.databases.close_session(names, role).await {
        tracing::warn!(%error, role, "the role of a session lets nobody in after a day, and goes with a later session");
    }
}

/// The container of a program.
pub(super) async fn spec<P: Platform>(
    control: &Control<P>,
    app: &str,
    actor: &Actor,
    command: Command,
    terminal: bool,
) -> Result<ProgramSpec, Refused> {
    let engine = &control.engine;
    engine.ensure_image(&control.tools.image, &control.tools.archive).await.map_err(Error::from)?;
    let network = engine.ensure_overlay(&desired::network_name(app)).await.map_err(Error::from)?;
    let variables = command.environment.into_iter().map(|(name, value)| (name.to_owned(), value));
    Ok(ProgramSpec {
        name: format!("db-{app}-{}", super::random()),
        image: control.tools.image.clone(),
        argv: command.argv,
        environment: variables.collect(),
        labels: [(APP_LABEL.to_owned(), app.to_owned()), ("futuswarm.by".to_owned(), actor.to_string())].into(),
        mounts: vec![PlatformMount::node_programs()],
        networks: vec![NetworkAttachment::new(network)],
        resources: LIMITS,
        capabilities: Capabilities::None,
        read_only: true,
        terminal,
    })
}

/// Starts a program whose input and output are ours.
pub(super) async fn start<P: Platform>(
    control: &Arc<Control<P>>,
    spec: &ProgramSpec,
) -> Result<(Guard<P>, Attached), Refused> {
    let guard = Guard::of(control, &spec.name);
    let engine = &control.engine;
    engine.create_program(spec).await.map_err(Error::from)?;
    let attached = engine.attach_program(&spec.name, spec.terminal).await.map_err(Error::from)?;
    engine.start_container(&spec.name).await.map_err(Error::from)?;
    Ok((guard, attached))
}

/// Opens psql as a role of the user's own.
pub(crate) async fn open<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    record: &AppRecord,
    terminal: Option<Terminal>,
    client: &mut Client,
) -> Result<Answer, Refused> {
    let (app, names) = (&record.name, Names::of(&record.name));
    refuse_dropping(control, record)?;
    client.progress("opens a session", None);
    let endpoint = control.databases.endpoint().await.map_err(Error::from)?;
    control.databases.state(&names).await.map_err(Error::from)?.ok_or_else(|| super::none(app))?;
    let session = Session::open(control, &names, names.database(), actor).await?;
    // Whoever drops it takes the lease first, and then keeps out the roles that there are: this role is one of them, or sees the lease.
    let now = control.existing(app).await;
    if let Err(refused) = now.and_then(|record| refuse_dropping(control, &record)) {
        session.close().await;
        return Err(refused);
    }
    let (role, secret, database) = (&session.role, &session.secret, names.database());
    let command = match &terminal {
        Some(terminal) => {
            let plain = terminal.kind.bytes().all(|byte| byte.is_ascii_graphic());
            let kind = if plain { terminal.kind.as_str() } else { "dumb" };
            interactive(&endpoint, database, role, secret, kind)
        }
        None => script(&endpoint, database, role, secret),
    };
    let ended = async {
        let spec = spec(control, app, actor, command, terminal.is_some()).await?;
        client.still_there()?;
        let mut guard = Guard::of(control, &spec.name);
        let ended = program(control, &spec, terminal.as_ref(), client).await;
        guard.clear().await;
        ended
    };
    let ended = ended.await;
    session.close().await;
    ended.map(Answer::Exited)
}
