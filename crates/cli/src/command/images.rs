//! The app's repository of images.

use std::io::{BufWriter, Read as _, Write as _};

use futuswarm_output::{eprintln, println};
use futuswarm_rpc::message::Request;

use super::push::{self, Push};
use super::{Context, app_name, content};
use crate::arguments::{App, Push as Options};
use crate::engine;
use crate::failure::{Failure, Result};
use crate::home::Home;
use crate::output::{self, size};

/// `image:list`.
pub fn list(context: &Context, app: &App) -> Result<u8> {
    let images = content!(context.ask(&Request::Images { app: app_name::app(app)? })?, Images);
    if context.json {
        output::json(&images)?;
        return Ok(0);
    }
    let rows: Vec<Vec<String>> = images.iter().map(|(tag, digest)| vec![tag.clone(), digest.clone()]).collect();
    output::table(&["TAG", "DIGEST"], &rows, "No images.");
    Ok(0)
}

/// Takes `APP[:TAG]` apart; without a tag it is `latest`.
fn app_and_tag(options: &Options) -> Result<(String, String)> {
    let (word, tag) = match options
        .target
        .as_deref()
        .map(|word| word.split_once(':').map_or((word, None), |(app, tag)| (app, Some(tag))))
    {
        Some((word, tag)) => (Some(word), tag),
        None => (None, None),
    };
    let tag = match (tag, options.tag.as_deref()) {
        (Some(one), Some(other)) if one != other => {
            return Err(Failure::usage(format!("which tag is meant: {one} or {other}?")));
        }
        (Some(tag), _) | (None, Some(tag)) => tag,
        (None, None) => "latest",
    };
    // As registries have it (OCI distribution specification).
    let inside = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if tag.is_empty() || tag.len() > 128 || tag.starts_with(['.', '-']) || !tag.chars().all(inside) {
        return Err(Failure::usage(format!("{tag:?} is no tag: letters, digits, '_', '.' and '-', at most 128")));
    }
    Ok((app_name::chosen(word, &options.flag)?, tag.to_owned()))
}

/// `image:push`.
pub fn push(context: &Context, home: &Home, options: &Options) -> Result<u8> {
    let (app, tag) = app_and_tag(options)?;
    let local = options.image.as_deref().or(options.local.as_deref());
    let failure = |error: std::io::Error| {
        Failure::failed(format!("the image cannot be kept for sending: {error}; TMPDIR names another folder"))
    };
    let (file, wanted) = match (&options.archive, local) {
        (Some(path), _) => {
            let file = std::fs::File::open(path)
                .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
            if !file.metadata().is_ok_and(|data| data.is_file()) {
                return Err(Failure::usage(format!(
                    "{} is no file: `-` reads an archive from standard input",
                    path.display()
                )));
            }
            (file, Some(format!("{app}:{tag}")))
        }
        (None, Some("-")) => {
            let mut spool = push::temporary()?;
            std::io::copy(&mut std::io::stdin().lock().take(push::LARGEST), &mut spool).map_err(failure)?;
            (spool, Some(format!("{app}:{tag}")))
        }
        (None, image) => {
            let image = image.map_or_else(|| format!("{app}:{tag}"), str::to_owned);
            // A cluster that is not known is told before a gigabyte is read.
            context.cluster()?;
            if !context.quiet {
                eprintln!("reading {image} from the Docker Engine on this machine");
            }
            let spool = push::temporary()?;
            let mut writer = BufWriter::new(spool);
            engine::save(&image, &mut writer)?;
            writer.flush().map_err(failure)?;
            (writer.into_inner().map_err(|error| failure(error.into_error()))?, Some(image))
        }
    };
    let file = push::unpacked(file)?;
    let pushed =
        Push::open(context, &app, file, push::remembered(home))?.run(wanted.as_deref(), &options.platform, &tag)?;
    match context.json {
        true => output::json(&pushed)?,
        false => {
            eprintln!(
                "{app}:{tag}: {} layers, {} sent, {} were there already",
                pushed.layers,
                size(pushed.sent_bytes),
                size(pushed.skipped_bytes)
            );
            println!("{}", pushed.digest);
        }
    }
    Ok(0)
}
