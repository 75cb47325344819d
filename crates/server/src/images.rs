//! Images of an app's own repository: what a name means, on which platforms it runs, and whether it has a health check of its own.

use futuswarm_rpc::message::RefusalClass;
use serde::Deserialize;

use crate::refusal::Refused;
use crate::registry::{Digest, Error, Registry};

/// What the nodes are.
const PLATFORM: &str = "linux/amd64";
/// The tag of a name without one.
const USUAL_TAG: &str = "latest";

/// An image that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) digest: Digest,
    /// As in `linux/arm64`; empty where the image does not say.
    pub(crate) platforms: Vec<String>,
    /// Whether it has a HEALTHCHECK that is not switched off, as the nodes run it.
    pub(crate) has_health_check: bool,
}

impl Found {
    /// Whether the nodes can run it. One that says nothing of its platform is given the benefit of the doubt.
    pub(crate) fn runs_here(&self) -> bool {
        self.platforms.is_empty() || self.platforms.iter().any(|platform| platform == PLATFORM)
    }
}

/// What is named within an app's repository: a tag or a digest.
pub(crate) fn reference<'a>(app: &str, image: &'a str) -> Result<&'a str, Refused> {
    let strange = |name: &str| {
        Refused::new(
            RefusalClass::Usage,
            format!(
                "{name:?} is not an image of {app}: each app has a repository of its own; push it with `futuswarm image:push {app} IMAGE`, and deploy it as {app}:TAG"
            ),
        )
    };
    if let Some(digest) = image.strip_prefix('@') {
        return Digest::parse(digest).map(|_| digest).ok_or_else(|| Refused::usage(no_digest(digest)));
    }
    if let Some((name, digest)) = image.split_once('@') {
        if name.split(':').next() != Some(app) {
            return Err(strange(name));
        }
        return Digest::parse(digest).map(|_| digest).ok_or_else(|| Refused::usage(no_digest(digest)));
    }
    let (name, tag) = image.split_once(':').unwrap_or((image, USUAL_TAG));
    if name != app {
        return Err(strange(image));
    }
    match is_tag(tag) {
        true => Ok(tag),
        false => Err(Refused::usage(format!(
            "{tag:?} is no tag: letters, digits, '_', '.' and '-', at most 128, not beginning with '.' or '-'"
        ))),
    }
}

fn no_digest(text: &str) -> String {
    format!("{text:?} is no digest: `sha256:` and 64 hexadecimal digits")
}

/// As the OCI distribution specification has it.
pub(crate) fn is_tag(tag: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= 128 && tag.starts_with(first) && tag.chars().all(inside)
}

#[derive(Deserialize)]
struct Manifest {
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Layer>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

/// An image's config, as far as it says how the image is run.
#[derive(Deserialize)]
struct Config {
    config: Option<Runs>,
}

#[derive(Deserialize)]
struct Runs {
    #[serde(rename = "Healthcheck")]
    health_check: Option<HealthCheck>,
}

#[derive(Deserialize)]
struct HealthCheck {
    #[serde(rename = "Test")]
    test: Option<Vec<String>>,
}

/// As an engine takes it: a check without words is none, and that of the image before it is in here already.
fn has_health_check(config: &[u8]) -> bool {
    let config = serde_json::from_slice::<Config>(config).ok();
    let test = config.and_then(|config| config.config?.health_check?.test);
    test.is_some_and(|words| words.first().is_some_and(|word| word != "NONE"))
}

#[derive(Deserialize)]
struct Layer {
    #[serde(default)]
    size: u64,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    os: Option<String>,
    architecture: Option<String>,
}

impl Platform {
    fn text(&self) -> Option<String> {
        let (os, architecture) = (self.os.as_deref()?, self.architecture.as_deref()?);
        (!os.is_empty() && !architecture.is_empty() && os != "unknown").then(|| format!("{os}/{architecture}"))
    }
}

/// Looks an image of an app up. `image` is one that [`reference`] has taken; `None` when there is none of that name.
pub(crate) async fn find<R: Registry>(registry: &R, app: &str, image: &str) -> Result<Option<Found>, Error> {
    let Ok(reference) = reference(app, image) else { return Ok(None) };
    let Some(manifest) = registry.manifest(app, reference).await? else { return Ok(None) };
    let unreadable = Error::Incomplete { operation: "GET manifest", what: "a manifest that can be read" };
    let parsed: Manifest = serde_json::from_slice(&manifest.body).map_err(|_| unreadable)?;
    let mut platforms: Vec<String> =
        parsed.manifests.iter().filter_map(|entry| entry.platform.as_ref()?.text()).collect();
    // Where it is for several platforms, the nodes run the one of theirs.
    let is_ours = |entry: &&Descriptor| {
        entry.platform.as_ref().and_then(Platform::text).is_some_and(|platform| platform == PLATFORM)
    };
    let ours = parsed.manifests.iter().find(is_ours).and_then(|entry| Digest::parse(&entry.digest));
    let ours = match ours {
        Some(digest) => registry.manifest(app, digest.as_str()).await?,
        None => None,
    };
    let ours = ours.and_then(|manifest| serde_json::from_slice::<Manifest>(&manifest.body).ok()).unwrap_or(parsed);
    let mut has_check = false;
    if let Some(config) = ours.config.as_ref().and_then(|config| Digest::parse(&config.digest)) {
        let config = registry.blob(app, &config).await?.unwrap_or_default();
        let platform = serde_json::from_slice::<Platform>(&config).ok();
        platforms.extend(platform.and_then(|platform| platform.text()));
        has_check = has_health_check(&config);
    }
    platforms.sort();
    platforms.dedup();
    Ok(Some(Found { digest: manifest.digest, platforms, has_health_check: has_check }))
}

/// What all layers of an image take as the registry has them, in bytes; zero where it does not say.
pub(crate) async fn packed_size<R: Registry>(registry: &R, app: &str, digest: &str) -> Result<u64, Error> {
    let manifest = registry.manifest(app, digest).await?;
    let parsed = manifest.and_then(|manifest| serde_json::from_slice::<Manifest>(&manifest.body).ok());
    Ok(parsed.map_or(0, |manifest| manifest.layers.iter().fold(0, |sum, layer| layer.size.saturating_add(sum))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::memory::MemoryRegistry;

    #[tokio::test]
    async fn an_image_has_a_check_of_its_own_unless_that_is_switched_off() {
        let registry = MemoryRegistry::default();
        for (tag, runs, expected) in [
            ("none", "{}", false),
            ("null", "null", false),
            ("program", r#"{"Healthcheck":{"Test":["CMD","/app","health"],"Interval":1000000000}}"#, true),
            ("shell", r#"{"Healthcheck":{"Test":["CMD-SHELL","true"]}}"#, true),
            ("off", r#"{"Healthcheck":{"Test":["NONE"]}}"#, false),
            ("empty", r#"{"Healthcheck":{"Interval":1000000000}}"#, false),
            ("strange", r#"{"Healthcheck":7}"#, false),
        ] {
            let config = format!(r#"{{"os":"linux","architecture":"amd64","config":{runs}}}"#);
            registry.push_config("hello", tag, &config, &[]);
            let found = find(&registry, "hello", &format!("hello:{tag}")).await.unwrap().unwrap();
            assert_eq!((found.has_health_check, found.platforms), (expected, vec![PLATFORM.to_owned()]), "{tag}");
        }
        // Of several platforms the one of the nodes counts.
        for (ours, other, expected) in [("shell", "none", true), ("none", "shell", false)] {
            let mut manifests = Vec::new();
            for (tag, architecture) in [(other, "arm64"), (ours, "amd64")] {
                let digest = registry.manifest("hello", tag).await.unwrap().unwrap().digest;
                let platform = serde_json::json!({ "os": "linux", "architecture": architecture });
                manifests.push(serde_json::json!({ "digest": digest.as_str(), "platform": platform }));
            }
            let index = serde_json::json!({ "schemaVersion": 2, "manifests": manifests }).to_string();
            let digest = registry.put_manifest("hello", "both", "application/json", index.into()).await.unwrap();
            for image in ["hello:both".to_owned(), format!("@{digest}")] {
                let found = find(&registry, "hello", &image).await.unwrap().unwrap();
                assert_eq!((found.has_health_check, found.runs_here(), &found.digest), (expected, true, &digest));
            }
        }
    }

    #[test]
    fn images_are_those_of_the_apps_own_repository() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (image, expected) in [
            ("hello", "latest"),
            ("hello:1.0", "1.0"),
            ("hello:_x", "_x"),
            (&format!("@{digest}"), &digest),
            (&format!("hello@{digest}"), &digest),
            (&format!("hello:1@{digest}"), &digest),
        ] {
            assert_eq!(reference("hello", image), Ok(expected), "{image}");
        }
        for image in [
            "",
            "other",
            "other:1",
            "hello:",
            "hello:.x",
            "hello:a b",
            "hello:a/b",
            "hello:..",
            "library/hello",
            "@",
            "@sha256:a",
            "other@sha256:a",
            "hello@x",
            "localhost:5000/hello:1",
            "hello:a\n",
            "hello:🦀",
        ] {
            assert!(reference("hello", image).is_err(), "{image:?}");
        }
    }
}
