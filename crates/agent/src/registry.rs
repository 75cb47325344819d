//! What the node's image registry must know of the cluster: its bucket, and whether the node may write to it.

use futuswarm_model::{Role, keys};
use futuswarm_node_files::Files;
use serde_json::{Value, json};

use crate::Error;
use crate::identity::Node;

/// Where it listens: every node reaches the same images by the same name, at its own loopback.
const ADDRESS: &str = "127.0.0.1:5000";

/// Writes the registry's configuration, which starts it (`futuswarm-registry.path`).
///
/// # Errors
/// When it cannot be written.
pub(crate) fn configure(node: &Node, files: &Files) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(&configuration(node)).unwrap_or_default();
    Ok(files.write_registry(&text)?)
}

/// As docker-registry 2.8 reads it; JSON is YAML.
fn configuration(node: &Node) -> Value {
    json!({
        "version": 0.1,
        "log": { "level": "error", "accesslog": { "disabled": true } },
        "storage": {
            "s3": {
                "region": node.config.region,
                "bucket": node.config.bucket,
                // Without a slash at either end: it becomes a part of each key.
                "rootdirectory": format!("/{}", keys::REGISTRY.trim_end_matches('/')),
                // The one ACL that a bucket takes whose objects are all its owner's, as those of new buckets are
                // (Amazon S3 User Guide, "Controlling ownership of objects and disabling ACLs"). The driver's default is none of them.
                "objectacl": "bucket-owner-full-control",
                "secure": true,
                "v4auth": true
            },
            // Blobs come through the registry: where they are is nobody's business, and S3 may not be reached from everywhere.
            "redirect": { "disable": true },
            "delete": { "enabled": node.config.role == Role::Manager },
            // What a worker's role may not do, its registry does not try.
            "maintenance": {
                "readonly": { "enabled": node.config.role == Role::Worker },
                "uploadpurging": { "enabled": false }
            }
        },
        // It signs where uploads are, and is the same on all managers, so that each of them carries on what another one has begun. It keeps
        // nobody out, and so is no secret: only this node's own programs reach the registry, which lets any of them begin an upload.
        "http": { "addr": ADDRESS, "secret": node.config.bucket }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_managers_write() {
        let manager = configuration(&crate::heartbeat::tests::node("i-1", Role::Manager));
        assert_eq!(manager["storage"]["maintenance"]["readonly"]["enabled"], false);
        assert_eq!(manager["storage"]["delete"]["enabled"], true);
        assert_eq!(manager["storage"]["s3"]["rootdirectory"], "/registry");
        let worker = configuration(&crate::heartbeat::tests::node("i-1", Role::Worker));
        assert_eq!(worker["storage"]["maintenance"]["readonly"]["enabled"], true);
        assert_eq!(worker["storage"]["delete"]["enabled"], false);
        assert_eq!(worker["http"]["addr"], "127.0.0.1:5000");
    }

    #[test]
    fn an_upload_is_where_the_registry_of_another_manager_says() {
        let [one, other] = ["i-1", "i-2"].map(|id| configuration(&crate::heartbeat::tests::node(id, Role::Manager)));
        assert!(one["http"]["secret"].as_str().is_some_and(|secret| !secret.is_empty()), "each would make up its own");
        assert_eq!(one, other);
    }
}
