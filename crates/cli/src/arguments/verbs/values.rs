//! Commands of config and secrets.

use clap::Subcommand;

use crate::arguments::options::*;

/// What to do with the config or the secrets of an app.
#[derive(Debug, Subcommand)]
pub enum ValueVerb {
    /// List the config of an app: variables of its tasks' environment
    #[command(after_help = "Examples:\n  futuswarm config hello\n  futuswarm config hello --show > .env")]
    Config(List),
    /// Print one value
    #[command(name = "config:get", after_help = "Examples:\n  futuswarm config:get hello LOG_LEVEL")]
    ConfigGet(Get),
    /// Set values, all at once, and make a release with them
    #[command(
        name = "config:set",
        after_help = "Examples:\n  futuswarm config:set hello LOG_LEVEL=debug GREETING='Hi there'\n  futuswarm config:set -a hello CERTIFICATE=@cert.pem\n  futuswarm config:set hello HANDLE=@@jane     # the value is @jane\n  futuswarm config:set hello - < .env"
    )]
    ConfigSet(Set),
    /// Remove values, and make a release without them
    #[command(name = "config:unset", after_help = "Examples:\n  futuswarm config:unset -a hello LOG_LEVEL GREETING")]
    ConfigUnset(Unset),
    /// Edit the config with $VISUAL or $EDITOR; only what you changed is sent
    #[command(name = "config:edit", after_help = "Examples:\n  EDITOR=vi futuswarm config:edit hello")]
    ConfigEdit(Edit),
    /// Set the values of a dotenv file, or take those of the old tool's bucket
    #[command(
        name = "config:import",
        after_help = "Examples:\n  futuswarm config:import hello .env --replace\n  futuswarm config:import hello --bucket com.futuswarm.app.secrets --plan\n  futuswarm config:import shop --bucket com.futuswarm.app.secrets --prefix old-shop --env staging --stage"
    )]
    ConfigImport(Import),
    /// List the versions of the config: who changed it, and when
    #[command(name = "config:history", after_help = "Examples:\n  futuswarm config:history hello")]
    ConfigHistory(Latest),
    /// List the keys that differ between two versions
    #[command(name = "config:diff", after_help = "Examples:\n  futuswarm config:diff -a hello VERSION")]
    ConfigDiff(Diff),

    /// List the secrets of an app: files under /run/secrets in its tasks
    #[command(visible_alias = "secrets", after_help = "Examples:\n  futuswarm secret hello")]
    Secret(List),
    /// Write one secret to standard output, byte for byte
    #[command(name = "secret:get", after_help = "Examples:\n  futuswarm secret:get hello KEYSTORE > keystore.p12")]
    SecretGet(Get),
    /// Set secrets, all at once, and make a release with them
    #[command(
        name = "secret:set",
        after_help = "Examples:\n  futuswarm secret:set hello KEYSTORE=@keystore.p12\n  pass show api-key | futuswarm secret:set hello API_KEY=@-"
    )]
    SecretSet(Set),
    /// Remove secrets, and make a release without them
    #[command(name = "secret:unset", after_help = "Examples:\n  futuswarm secret:unset -a hello API_KEY")]
    SecretUnset(Unset),
    /// List the versions of the secrets: who changed them, and when
    #[command(name = "secret:history", after_help = "Examples:\n  futuswarm secret:history hello")]
    SecretHistory(Latest),
}
