//! What the edges of all nodes read of whom apps admit: one document, which follows from the apps' records.

use futuswarm_model::{Admission, Admissions, AppRecord, keys};
use futuswarm_store::Bucket;
use futuswarm_vault::DataKeys;

use super::documents::{Turn, Writing};
use super::{Error, Records};

impl<B: Bucket, K: DataKeys> Records<B, K> {
    /// Brings what edges read of an app up to date with its record. Of an app that is not there, or is being removed, nothing is left.
    ///
    /// # Errors
    /// When the bucket does not answer, or the document cannot be read. It is not made again then: what edges have read of it is safer
    /// than what an older program would write.
    pub async fn publish_admission(&self, name: &str) -> Result<(), Error> {
        let mut writing: Writing<'_, B, Admissions, ()> = Writing::repeatable(&self.documents, keys::ADMISSIONS);
        loop {
            let base = match writing.turn().await? {
                Turn::Written(_) => return Ok(()),
                Turn::Decide(Some(base)) => base,
                Turn::Decide(None) => {
                    // Somebody else may be at that, too, who has not seen the newest record: so it is looked at again.
                    self.ensure_admissions().await?;
                    continue;
                }
            };
            let mut admissions = base.value.clone();
            // Read after the document: of two who are at it at once, the later one has seen the newest record.
            let record = self.app(name).await?;
            match record.map(|record| record.admission).filter(|admission| *admission != Admission::default()) {
                Some(admission) => drop(admissions.apps.insert(name.to_owned(), admission)),
                None => drop(admissions.apps.remove(name)),
            }
            if admissions == base.value || writing.write(admissions, (), Some(&base)).await?.is_some() {
                return Ok(());
            }
        }
    }

    /// Makes the document out of the apps' records where there is none: edges know of no list without it, and let nobody in.
    ///
    /// # Errors
    /// When the bucket does not answer, or the record of an app cannot be read.
    pub async fn ensure_admissions(&self) -> Result<(), Error> {
        let mut writing: Writing<'_, B, Admissions, ()> = Writing::repeatable(&self.documents, keys::ADMISSIONS);
        loop {
            // The document before the records: who changes one of them later brings it up to date after us.
            match writing.turn().await? {
                Turn::Written(_) | Turn::Decide(Some(_)) => return Ok(()),
                Turn::Decide(None) => {}
            }
            let names = self.documents.list_folders(keys::APPS).await?;
            let records: Vec<String> = names.iter().map(|name| keys::app(name)).collect();
            let mut admissions = Admissions::default();
            for record in self.documents.look_at_all::<AppRecord>(&records).await? {
                if record.removing.is_none() && record.admission != Admission::default() {
                    admissions.apps.insert(record.name, record.admission);
                }
            }
            if writing.write(admissions, (), None).await?.is_some() {
                return Ok(());
            }
        }
    }
}
