//! What can be typed, and what each verb does.

mod publish;
mod retire;
mod show;

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use futuswarm_image_format::FAMILY;
use futuswarm_output::{eprintln, print, println};
use futuswarm_publish::cleanup::CleanupList;
use futuswarm_publish::image::LocalImage;
use futuswarm_publish::region::RegionClients;
use futuswarm_publish::retire::{Listed, list};
use futuswarm_publish::run_lock::LONGEST_UPLOAD;
use futuswarm_publish::{register, validate};
use serde_json::json;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Upload the baked image, register it as an AMI, and make it the one to use.
    Publish(Publish),
    /// List, check and retire published images.
    #[command(subcommand)]
    Image(ImageVerb),
}

#[derive(Debug, Subcommand)]
enum ImageVerb {
    /// List the account's images, newest first, with what uses them.
    List(List),
    /// Compare a published image with what was baked, field by field.
    Validate(Validate),
    /// Deregister old images that nothing uses, and delete their snapshots.
    Retire(Retire),
}

#[derive(Debug, Args)]
struct Target {
    /// Into the local cloud [handled by cargo xtask].
    #[arg(long)]
    local: bool,
    /// Spec of the local cloud [default: clusters/local.toml; handled by cargo xtask].
    #[arg(long, value_name = "SPEC")]
    spec: Option<PathBuf>,
    /// Region, may be repeated [default: that of the environment or profile].
    #[arg(long = "region", value_name = "REGION")]
    regions: Vec<String>,
    /// Print JSON on standard output.
    #[arg(long)]
    json: bool,
}

impl Target {
    async fn connect(&self) -> anyhow::Result<Vec<RegionClients>> {
        if self.regions.is_empty() {
            return Ok(vec![RegionClients::connect(None).await?]);
        }
        let mut regions = Vec::new();
        for region in &self.regions {
            regions.push(RegionClients::connect(Some(region)).await?);
        }
        Ok(regions)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask publish                                   upload what changed, register, compare
  cargo xtask publish --promote                         boot it once, then make it the one to use
  cargo xtask publish --region eu-west-1 --copy-to eu-north-1 --share-with 123456789012
  cargo xtask publish --copy-to eu-north-1 --promote --smoke-subnet subnet-0a1 --smoke-subnet eu-north-1=subnet-0b2
  cargo xtask publish --local --json | jq -r .images[0].image_id")]
struct Publish {
    #[command(flatten)]
    target: Target,
    /// Folder of the image [default: bakes, then target/images/latest].
    #[arg(long, value_name = "DIR")]
    image: Option<PathBuf>,
    /// Copy the image of the first region to this one, too; may be repeated.
    #[arg(long, value_name = "REGION")]
    copy_to: Vec<String>,
    /// Let this account use the image; may be repeated.
    #[arg(long, value_name = "ACCOUNT")]
    share_with: Vec<String>,
    /// Boot one instance of the image and wait until its agent speaks.
    #[arg(long)]
    smoke: bool,
    /// Make the image the one to use (SSM parameters below /futuswarm/images), after a smoke boot in each region.
    #[arg(long)]
    promote: bool,
    /// Promote without a smoke boot.
    #[arg(long, requires = "promote", conflicts_with = "smoke")]
    no_smoke: bool,
    /// Subnet of the smoke boot in a region, may be repeated; without REGION= it is one of the first region [default: one of the
    /// default VPC].
    #[arg(long = "smoke-subnet", value_name = "[REGION=]SUBNET")]
    smoke_subnets: Vec<String>,
    /// Instance type of the smoke boot.
    #[arg(long, value_name = "TYPE", default_value = "t3.small")]
    smoke_type: String,
    /// Seconds until the agent must have spoken.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=LONGEST_UPLOAD))]
    smoke_deadline: u64,
    /// Send every block, even when an earlier image has most of them.
    #[arg(long)]
    full: bool,
    /// Publish an image with packages newer than the lock; for rehearsals.
    #[arg(long)]
    rehearsal: bool,
    /// Seconds that one upload may take; after six hours others take it for dead.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=LONGEST_UPLOAD))]
    deadline: u64,
    /// Set where the local cloud is meant, whose images are rehearsals, all of them.
    #[arg(long, env = "FUTUSWARM_LOCAL_CLOUD", hide = true)]
    local_cloud: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask image list
  cargo xtask image list --region eu-west-1 --region eu-north-1 --json")]
struct List {
    #[command(flatten)]
    target: Target,
    /// Family of images.
    #[arg(long, default_value = FAMILY)]
    family: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask image validate
  cargo xtask image validate --image target/images/futuswarm-node-0123456789ab --json")]
struct Validate {
    #[command(flatten)]
    target: Target,
    /// Folder of the image [default: target/images/latest].
    #[arg(long, value_name = "DIR")]
    image: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask image retire                show what would go
  cargo xtask image retire --keep 5 --yes
  cargo xtask image retire --shared --yes do not spare what other accounts may use")]
struct Retire {
    #[command(flatten)]
    target: Target,
    /// How many of the newest of each architecture stay in any case.
    #[arg(long, value_name = "N", default_value_t = 3)]
    keep: usize,
    /// Retire images that are shared with other accounts, too; whether those use them cannot be known.
    #[arg(long)]
    shared: bool,
    /// Do it; without this it is only shown.
    #[arg(long)]
    yes: bool,
    /// Family of images.
    #[arg(long, default_value = FAMILY)]
    family: String,
}

/// Runs a verb.
pub async fn run(arguments: Arguments, cleanup: &CleanupList) -> anyhow::Result<()> {
    let target = match &arguments.verb {
        Verb::Publish(verb) => &verb.target,
        Verb::Image(ImageVerb::List(verb)) => &verb.target,
        Verb::Image(ImageVerb::Validate(verb)) => &verb.target,
        Verb::Image(ImageVerb::Retire(verb)) => &verb.target,
    };
    if target.local || target.spec.is_some() {
        bail!("--local and --spec are for `cargo xtask`, which finds the local cloud; run it instead of this program");
    }
    match arguments.verb {
        Verb::Publish(verb) => verb.run(cleanup).await,
        Verb::Image(ImageVerb::List(verb)) => verb.run().await,
        Verb::Image(ImageVerb::Validate(verb)) => verb.run().await,
        Verb::Image(ImageVerb::Retire(verb)) => verb.run().await,
    }
}

fn folder(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    Ok(match given {
        Some(dir) => dir,
        None => futuswarm_paths::workspace_root()?.join("target/images/latest"),
    })
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let mut images: Vec<Listed> = Vec::new();
        for clients in self.target.connect().await? {
            images.extend(list(&clients, &self.family).await?);
        }
        if self.target.json {
            println!("{}", serde_json::to_string_pretty(&images)?);
        } else if images.is_empty() {
            eprintln!("there are no images of the family {}; publish one with `cargo xtask publish`", self.family);
        } else {
            print!("{}", show::listed(&images));
        }
        Ok(())
    }
}

impl Validate {
    async fn run(self) -> anyhow::Result<()> {
        let dir = folder(self.image)?;
        let image = tokio::task::spawn_blocking(move || LocalImage::load(&dir, true)).await??;
        let name = &image.registration.name;
        let mut all = Vec::new();
        let mut wrong = 0;
        for clients in self.target.connect().await? {
            let registered = register::find(&clients, name).await?;
            let registered = registered
                .with_context(|| format!("{}: there is no image named {name}; publish it", clients.region))?;
            let checks = validate::compare(&registered, &image.registration);
            wrong += checks.iter().filter(|check| !check.good).count();
            if !self.target.json {
                println!("{} {} {name}", clients.region, registered.image_id().unwrap_or_default());
                print!("{}", show::checks(&checks));
            }
            all.push(json!({ "region": clients.region, "image_id": registered.image_id(), "checks": checks }));
        }
        if self.target.json {
            println!("{}", serde_json::to_string_pretty(&all)?);
        }
        if wrong > 0 {
            bail!("{wrong} field(s) are not what was baked; deregister the image and publish it again");
        }
        Ok(())
    }
}
