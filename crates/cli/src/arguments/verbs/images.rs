//! Commands of images.

use clap::Subcommand;

use crate::arguments::options::*;

/// What to do with the images of an app, or of all apps.
#[derive(Debug, Subcommand)]
pub enum ImageVerb {
    /// Send an image to the app's repository: only the layers that are not there yet
    #[command(
        name = "image:push",
        after_help = "Examples:\n  futuswarm image:push hello                      # the local image `hello:latest`\n  futuswarm image:push hello:1.2 shop/hello:1.2\n  futuswarm image:push hello --archive image.tar\n  podman save hello | futuswarm image:push hello -"
    )]
    Push(Push),
    /// List the tags of the app's repository
    #[command(name = "image:list", visible_alias = "images", after_help = "Examples:\n  futuswarm image:list hello")]
    List(App),

    /// Delete images that nothing needs: of one app with -a, for its owners, and of all apps otherwise, for admins
    #[command(
        name = "image:gc",
        after_help = "Examples:\n  futuswarm image:gc --plan\n  futuswarm image:gc -a hello --keep 5\n  futuswarm image:gc --wait 600 --json"
    )]
    Gc {
        #[command(flatten)]
        flag: AppFlag,
        /// The images of so many releases stay that each app ran with last (10 if it is not said)
        #[arg(long, value_name = "N")]
        keep: Option<u32>,
        /// Show what would go, and delete nothing
        #[arg(long)]
        plan: bool,
        /// Let pushes end first, for so long at most
        #[arg(long, value_name = "SECONDS")]
        wait: Option<u32>,
    },
}
