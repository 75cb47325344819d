//! How what the old tool has left is reached.

use futuswarm_store::ForeignBucket;
use futuswarm_vault::LegacyKeys;

/// Clients for what the old tool has left.
pub trait OldTool: Send + Sync + 'static {
    /// Where its objects are.
    type Bucket: ForeignBucket;
    /// What opens its data keys.
    type Keys: LegacyKeys;

    /// The bucket `name` in `region`.
    fn bucket(&self, name: &str, region: &str) -> Self::Bucket;
    /// KMS in `region`.
    fn keys(&self, region: &str) -> Self::Keys;
}
