//! When the logins of an app may change: which one its tasks have is known only while no release is on its way.

use std::time::Duration;

use futuswarm_model::Release;
use futuswarm_paas::access::{Actor, Verb};
use futuswarm_rpc::message::{RefusalClass, Wait};
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::refusal::Refused;
use crate::{Control, Platform, deploy};

/// Between two looks at a release that is waited for.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Waits until no release of the app is on its way, for so long and in such a way as one that is made waits for another.
pub(super) async fn until_free<P: Platform>(
    control: &Control<P>,
    actor: &Actor,
    verb: Verb,
    app: &str,
    wait: &Wait,
    client: &Client,
) -> Result<(), Refused> {
    let (began, limit) = (Instant::now(), deploy::longest(wait));
    loop {
        let record = control.existing(app).await?;
        let Some(deploying) = &record.deploying else { return Ok(()) };
        let other = &deploying.release;
        if began.elapsed() >= limit {
            return Err(on_its_way(other));
        }
        if wait.supersede && !other.superseded {
            deploy::supersede(control, actor, verb, app, other.number).await?;
        }
        client.progress(format!("waits for release {} of {app}", other.number), Some(limit));
        tokio::select! {
            () = sleep(POLL_INTERVAL) => {}
            () = client.gone() => return Err(Refused::gone()),
        }
    }
}

/// Why logins cannot change now.
pub(super) fn on_its_way(other: &Release) -> Refused {
    let Release { app, number, by, .. } = other;
    Refused::new(
        RefusalClass::Locked,
        format!(
            "release {number} of {app} is on its way, by {by}, and which login its tasks have is not known before its end: wait for it with `--wait SECONDS`, take its place with `--supersede`, or end it with `futuswarm cancel {app}`"
        ),
    )
}
