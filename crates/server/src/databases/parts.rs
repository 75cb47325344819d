//! Long objects of the bucket, written and read piece by piece, each with its own retries: memory stays bounded however long they are.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futuswarm_retry::{Failure, Policy, retry};
use futuswarm_store::{Blobs, Part, Upload};

use crate::refusal::Refused;

/// One call about one piece.
const CALLS: Policy = Policy {
    first: Duration::from_millis(100),
    cap: Duration::from_secs(5),
    total: Duration::from_secs(180),
    attempt: Duration::from_secs(75),
};
/// The first parts, in bytes.
const SMALLEST: usize = 8 << 20;
/// The last ones.
const LARGEST: usize = 64 << 20;
/// After so many parts they are twice as long: S3 takes 10,000 of them, which are more than 300 GiB so.
const PARTS: u32 = 2000;
/// So much is read at once.
pub(super) const PIECE: u64 = 4 << 20;

/// How long a part is.
fn length(number: u32) -> usize {
    (SMALLEST << (number.saturating_sub(1) / PARTS).min(8)).min(LARGEST)
}

async fn again<T, Fut>(what: &str, call: impl Fn() -> Fut) -> Result<T, Refused>
where
    Fut: Future<Output = Result<T, futuswarm_store::Error>>,
{
    let attempt = || async {
        call()
            .await
            .map_err(|error| if error.is_transient() { Failure::Transient(error) } else { Failure::Permanent(error) })
    };
    retry(what, CALLS, attempt).await.map_err(|error| Refused::unavailable(error.to_string()))
}

/// An object that is being written. It is there once it is finished; dropped before, its parts go after some days.
pub(super) struct Writer<'a, B> {
    bucket: &'a B,
    upload: Upload,
    parts: Vec<Part>,
    rest: BytesMut,
    written: u64,
}

impl<'a, B: Blobs> Writer<'a, B> {
    pub(super) async fn begin(bucket: &'a B, key: &str) -> Result<Self, Refused> {
        let upload = again(key, || bucket.begin_upload(key)).await?;
        Ok(Self { bucket, upload, parts: Vec::new(), rest: BytesMut::new(), written: 0 })
    }

    /// So many bytes were written.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        self.rest.extend_from_slice(bytes);
        self.written += bytes.len() as u64;
        loop {
            let length = length(self.next());
            if self.rest.len() < length {
                return Ok(());
            }
            let part = self.rest.split_to(length).freeze();
            self.send(part).await?;
        }
    }

    fn next(&self) -> u32 {
        u32::try_from(self.parts.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    async fn send(&mut self, part: Bytes) -> Result<(), Refused> {
        let number = self.next();
        let sent = again(&self.upload.key, || self.bucket.upload_part(&self.upload, number, part.clone())).await?;
        self.parts.push(sent);
        Ok(())
    }

    /// Makes the object of what was written.
    pub(super) async fn finish(mut self) -> Result<u64, Refused> {
        if !self.rest.is_empty() || self.parts.is_empty() {
            let rest = self.rest.split().freeze();
            self.send(rest).await?;
        }
        again(&self.upload.key, || self.bucket.complete_upload(&self.upload, &self.parts)).await?;
        Ok(self.written)
    }

    /// Makes none.
    pub(super) async fn abandon(self) {
        if let Err(error) = again(&self.upload.key, || self.bucket.abort_upload(&self.upload)).await {
            tracing::warn!(%error, key = self.upload.key, "parts of an upload stay for some days");
        }
    }
}

/// The next piece of an object; `None` at its end, and when there is no such object.
pub(super) async fn read<B: Blobs>(bucket: &B, key: &str, offset: u64) -> Result<Option<Vec<u8>>, Refused> {
    again(key, || bucket.get_range(key, offset, PIECE)).await
}

#[cfg(test)]
mod tests {
    use futuswarm_faults::{Fault, Faults};
    use futuswarm_store::{FaultyBucket, MemoryBucket};

    use super::*;

    #[test]
    fn parts_grow_so_that_all_of_them_hold_a_large_database() {
        assert_eq!((length(1), length(2000), length(2001), length(4001)), (8 << 20, 8 << 20, 16 << 20, 32 << 20));
        assert_eq!((length(10_000), length(u32::MAX)), (LARGEST, LARGEST));
        let all: usize = (1..=10_000).map(length).sum();
        assert!(all > 300 << 30, "{all}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_written_in_pieces_is_read_in_pieces_through_faults() {
        let memory = MemoryBucket::default();
        let script = [Fault::Fail, Fault::Lose, Fault::Repeat, Fault::Lose, Fault::None, Fault::Lose, Fault::Lose];
        let bucket = FaultyBucket::new(memory.clone(), Faults::script(script));
        let bytes: Vec<u8> = (0..20_u32 << 20).map(|at| (at % 251) as u8).collect();
        let mut writer = Writer::begin(&bucket, "backup/a").await.unwrap();
        for piece in bytes.chunks(300_001) {
            writer.write(piece).await.unwrap();
        }
        assert_eq!(writer.parts.len(), 2, "the rest waits");
        assert_eq!(writer.finish().await.unwrap(), bytes.len() as u64);
        let mut read_back = Vec::new();
        let bucket = FaultyBucket::new(memory.clone(), Faults::script([Fault::Fail, Fault::None, Fault::Lose]));
        while let Some(piece) = read(&bucket, "backup/a", read_back.len() as u64).await.unwrap() {
            assert!(piece.len() as u64 <= PIECE);
            read_back.extend(piece);
        }
        assert!(read_back == bytes);
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_object_is_one_and_an_abandoned_one_is_none() {
        let bucket = MemoryBucket::default();
        assert_eq!(Writer::begin(&bucket, "backup/a").await.unwrap().finish().await.unwrap(), 0);
        let mut writer = Writer::begin(&bucket, "backup/b").await.unwrap();
        writer.write(b"x").await.unwrap();
        writer.abandon().await;
        let there = bucket.list_blobs("backup/").await.unwrap();
        assert_eq!(there.iter().map(|blob| (blob.key.as_str(), blob.length)).collect::<Vec<_>>(), [("backup/a", 0)]);
        assert_eq!(bucket.unfinished_uploads(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_that_does_not_answer_is_said() {
        let bucket = FaultyBucket::new(MemoryBucket::default(), Faults::script([Fault::Fail; 1000]));
        let refused = Writer::begin(&bucket, "backup/a").await.err().unwrap();
        assert!(refused.to_string().contains("backup/a") && refused.to_string().contains("attempts"), "{refused}");
    }
}
