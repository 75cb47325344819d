//! Where the config and secrets of the old tool are.

use serde::{Deserialize, Serialize};

/// The old tool's bucket and the key that opens its objects: the specification's `[import]`. Managers may read it for as long as the
/// specification says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportSource {
    /// Name of the S3 bucket.
    pub bucket: String,
    /// ARN of the KMS key, `arn:aws:kms:REGION:ACCOUNT:key/ID`. Policies know keys by no alias.
    pub key: String,
}

impl ImportSource {
    /// The region that the key is in, and the bucket with it: the old tool had one region for both.
    #[must_use]
    pub fn region(&self) -> &str {
        self.key.split(':').nth(3).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_that_of_the_key() {
        let key = "arn:aws:kms:eu-central-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef".to_owned();
        assert_eq!(ImportSource { bucket: "old".to_owned(), key }.region(), "eu-central-1");
        assert_eq!(ImportSource { bucket: "old".to_owned(), key: "alias/old".to_owned() }.region(), "");
    }
}
