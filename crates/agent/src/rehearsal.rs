//! The authority of a rehearsal: in the local cloud AWS's names lead to a server whose certificates come from it. It reaches a
//! machine through its firmware's tables, which on EC2 only AWS itself writes, so a node of AWS has none.

use std::path::{Path, PathBuf};

use futuswarm_aws::SdkConfig;
use futuswarm_node_files as files;

use crate::Error;

const CREDENTIAL: &str = files::REHEARSAL_AUTHORITY;

/// Makes clients trust the authority in the folder of the unit's credentials, beside those of the image, if there is one.
///
/// # Errors
/// When it is there and cannot be read, or is no authority.
pub fn trust(sdk: SdkConfig, credentials: Option<&Path>) -> Result<SdkConfig, Error> {
    let Some((path, authority)) = read(credentials)? else { return Ok(sdk) };
    let trusting = futuswarm_aws::trusting(sdk, &authority).map_err(|error| files::Error::new(&path, error))?;
    tracing::warn!("a rehearsal: trusts the local cloud's authority beside those of the image");
    Ok(trusting)
}

/// The authority itself, in PEM, for a client that is none of AWS; `None` where there is none.
pub(crate) fn authority(credentials: Option<&Path>) -> Result<Option<Vec<u8>>, Error> {
    Ok(read(credentials)?.map(|(_, authority)| authority))
}

fn read(credentials: Option<&Path>) -> Result<Option<(PathBuf, Vec<u8>)>, Error> {
    let Some(path) = credentials.map(|dir| dir.join(CREDENTIAL)) else { return Ok(None) };
    match std::fs::read(&path) {
        Ok(authority) => Ok(Some((path, authority))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(files::Error::of(&path)(error).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sdk() -> SdkConfig {
        SdkConfig::builder().behavior_version(futuswarm_aws::BehaviorVersion::latest()).build()
    }

    #[test]
    fn nothing_is_trusted_unless_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let absent = dir.path().join("absent");
        for credentials in [None, Some(dir.path()), Some(absent.as_path())] {
            let trusting = trust(sdk(), credentials).unwrap();
            assert!(trusting.http_client().is_none(), "the SDK's own client, which trusts the image's authorities");
        }
        std::fs::write(dir.path().join("other"), include_str!("../../aws/src/trust/authority.pem")).unwrap();
        assert!(trust(sdk(), Some(dir.path())).unwrap().http_client().is_none());
        std::fs::write(dir.path().join(CREDENTIAL), include_str!("../../aws/src/trust/authority.pem")).unwrap();
        assert!(trust(sdk(), Some(dir.path())).unwrap().http_client().is_some());
    }

    #[test]
    fn what_is_no_authority_is_named_with_its_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(CREDENTIAL), "garbage").unwrap();
        let message = trust(sdk(), Some(dir.path())).unwrap_err().to_string();
        assert!(message.contains(CREDENTIAL) && message.contains("no certificate authority"), "{message}");
    }

    #[test]
    fn the_unit_asks_for_the_credential_by_this_name() {
        let unit = include_str!("../../../images/node/rootfs/usr/lib/systemd/system/futuswarm-agent.service");
        assert!(unit.lines().any(|line| line == format!("ImportCredential={CREDENTIAL}")), "{unit}");
    }
}
