//! A profile that `AWS_PROFILE` names and nobody has written down: the SDK says only that there are no credentials.

use std::path::PathBuf;

/// Below this similarity (Jaro-Winkler, 0 to 1) a suggestion would only confuse.
const SIMILAR: f64 = 0.8;

/// What is wrong with the profile that the environment names, and the nearest that exists; `None` when nothing is.
///
/// The names of the variables and files are those of
/// <https://docs.aws.amazon.com/sdkref/latest/guide/file-location.html>.
pub(crate) fn problem() -> Option<String> {
    let name = std::env::var("AWS_PROFILE").ok().filter(|name| !name.is_empty())?;
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let path = |variable: &str, file: &str| {
        std::env::var_os(variable).map(PathBuf::from).or_else(|| Some(home.as_ref()?.join(".aws").join(file)))
    };
    let read = |path: &Option<PathBuf>| path.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
    let config = read(&path("AWS_CONFIG_FILE", "config")).unwrap_or_default();
    let credentials = read(&path("AWS_SHARED_CREDENTIALS_FILE", "credentials")).unwrap_or_default();
    missing(&name, &config, &credentials)
}

fn missing(name: &str, config: &str, credentials: &str) -> Option<String> {
    let mut profiles: Vec<&str> = sections(credentials).collect();
    profiles.extend(sections(config).filter_map(|section| match section {
        "default" => Some(section),
        section => section.strip_prefix("profile").map(str::trim),
    }));
    profiles.sort_unstable();
    profiles.dedup();
    if profiles.contains(&name) {
        return None;
    }
    let nearest =
        profiles.iter().max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
    let rest = match nearest {
        None => {
            "there are no profiles at all in the AWS configuration files; make one with `aws configure sso`".to_owned()
        }
        Some(nearest) if strsim::jaro_winkler(name, nearest) >= SIMILAR => format!("did you mean {nearest:?}?"),
        Some(_) => format!("the profiles are {}", profiles.join(", ")),
    };
    Some(format!("AWS_PROFILE names the profile {name:?}, which does not exist: {rest}"))
}

fn sections(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| Some(line.trim().strip_prefix('[')?.split(']').next()?.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_profile_is_named_with_the_nearest() {
        let config = "[default]\nregion = eu-west-1\n[profile prod]\nsso_session = x\n[sso-session x]\n";
        let credentials = "[staging]\naws_access_key_id = x\n";
        for known in ["default", "prod", "staging"] {
            assert_eq!(missing(known, config, credentials), None, "{known}");
        }
        assert_eq!(
            missing("prdo", config, credentials).unwrap(),
            "AWS_PROFILE names the profile \"prdo\", which does not exist: did you mean \"prod\"?"
        );
        let other = missing("office", config, credentials).unwrap();
        assert!(other.ends_with("the profiles are default, prod, staging"), "{other}");
        assert!(missing("x", config, credentials).is_some(), "an SSO session is no profile");
        assert!(missing("prod", "", "").unwrap().contains("no profiles at all"));
    }
}
