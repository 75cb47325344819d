//! The login's two secrets, opened.

use futuswarm_model::{
    LOGIN_CLIENT_SECRET_NAME, LOGIN_KIND, LOGIN_PASSPHRASE_NAME, LoginClientSecret, LoginPassphrases, PassphraseStep,
};
use futuswarm_sso::Passphrases;
use futuswarm_vault::{Context, Secret, Vault};

use crate::{Cluster, Error};

/// What was opened, by what it was sealed as, so that KMS is asked once for each.
#[derive(Default)]
pub(super) struct Opened(Vec<(String, Secret)>);

impl Opened {
    /// The content of Apache's file of secrets.
    pub(super) async fn file(
        &mut self,
        vault: &impl Vault,
        cluster: &Cluster,
        client: &LoginClientSecret,
        passphrases: &LoginPassphrases,
    ) -> Result<Secret, Error> {
        let LoginPassphrases { current, previous, step, .. } = passphrases;
        let mut needed = vec![(LOGIN_CLIENT_SECRET_NAME, &client.ciphertext), (LOGIN_PASSPHRASE_NAME, current)];
        needed.extend(previous.as_ref().map(|previous| (LOGIN_PASSPHRASE_NAME, previous)));
        for (name, sealed) in &needed {
            if self.get(sealed).is_none() {
                let (kind, name) = (LOGIN_KIND.to_owned(), (*name).to_owned());
                let context = Context { cluster: cluster.name.clone(), kind, name };
                let secret = vault.open(&cluster.key, &context, sealed).await?;
                self.0.push(((*sealed).clone(), secret));
            }
        }
        self.0.retain(|(sealed, _)| needed.iter().any(|(_, needed)| *needed == sealed));
        let lacking =
            |what: &str| Error::Described(format!("cluster/login/passphrases is at the step {step:?} without {what}"));
        let client = self.get(&client.ciphertext).ok_or_else(|| lacking("the client's secret"))?;
        let new = self.get(current).ok_or_else(|| lacking("a passphrase"))?;
        let old = previous.as_ref().and_then(|previous| self.get(previous));
        // Of the steps only the first needs the one before.
        let old = match (step, old) {
            (PassphraseStep::Switched, None) => return Err(lacking("the passphrase before it")),
            (_, old) => old.unwrap_or(new),
        };
        Ok(futuswarm_sso::secrets(client, Passphrases::of(*step, old, new))?)
    }

    fn get(&self, sealed: &str) -> Option<&Secret> {
        self.0.iter().find(|(one, _)| one == sealed).map(|(_, secret)| secret)
    }
}
