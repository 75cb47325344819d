//! The audit: a line is an object, written once.

use futuswarm_model::{AuditEntry, keys};
use futuswarm_store::Bucket;
use futuswarm_vault::DataKeys;

use super::{Error, Records, random};

impl<B: Bucket, K: DataKeys> Records<B, K> {
    /// Adds a line.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn audit(&self, entry: &AuditEntry) -> Result<(), Error> {
        self.documents.put(&keys::audit(entry.at, &random()), entry).await?;
        Ok(())
    }

    /// Adds the line of something that is told once, whoever tells it and however often: `what` names it, and the line is the same
    /// each time but for who tells it.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn audit_once(&self, entry: &AuditEntry, what: &str) -> Result<(), Error> {
        self.documents.put(&keys::audit(entry.at, what), entry).await?;
        Ok(())
    }

    /// The newest lines, newest first, so many at most: a request for the list of days, one for each day, and one for each line.
    ///
    /// # Errors
    /// When the bucket does not answer, or a line cannot be read.
    pub async fn audits(&self, limit: usize) -> Result<Vec<AuditEntry>, Error> {
        let mut lines = Vec::new();
        for day in self.documents.list_folders(keys::AUDIT).await?.iter().rev() {
            if lines.len() >= limit {
                break;
            }
            let mut day = self.documents.list(&format!("{}{day}/", keys::AUDIT)).await?;
            day.reverse();
            day.truncate(limit - lines.len());
            lines.extend(self.documents.look_at_all::<AuditEntry>(&day).await?);
        }
        Ok(lines)
    }
}
