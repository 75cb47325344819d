//! The bytes of a layer as its client sends them: whole pieces, and no more and no fewer bytes than were announced.

use std::time::Duration;

use futuswarm_rpc::LONGEST_CHUNK;
use futuswarm_rpc::message::RefusalClass;
use tokio::time::{Instant, timeout};

use super::{AGAIN, PIECE, TELL};
use crate::client::{Client, Input};
use crate::refusal::Refused;

/// Within so much time that it is waited for ... A line may stall so long and go on. Bytes count once their frame has come: command lines
/// once sent frames of 256 KiB.
pub(super) const IDLE: Duration = Duration::from_secs(60);
/// ... so many bytes have to come: a slow line sends far more, and who sends nothing keeps a place from others. That is two frames of the
/// command line; `ssh` hands over up to 32 KiB at a time, in which at least two are whole.
const LEAST: usize = 16 << 10;

/// How far it is.
#[derive(Debug)]
pub(super) struct Feed {
    /// As was announced, of the whole layer, in bytes.
    length: u64,
    /// So many of them are still to come.
    left: u64,
    /// So long the client was waited for since [`LEAST`] bytes came. Only that counts: the registry may be the slow one.
    waited: Duration,
    /// So many bytes came in that time.
    arrived: usize,
    /// When the client was told last how far it is.
    told: Instant,
}

impl Feed {
    /// Of a layer of so many bytes, of which so many are there.
    pub(super) fn new(length: u64, offset: u64) -> Self {
        let left = length.saturating_sub(offset);
        Self { length, left, waited: Duration::ZERO, arrived: 0, told: Instant::now() }
    }

    /// The next bytes, [`PIECE`] of them at least unless they are the last ones; none after the end. `text` is told to the client from
    /// time to time: on a slow line it has handed over everything long before it has come.
    ///
    /// # Errors
    /// When the client is gone or sends nothing, or other bytes than it has announced.
    pub(super) async fn piece(&mut self, client: &mut Client, text: &str) -> Result<Vec<u8>, Refused> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(PIECE + LONGEST_CHUNK);
        let mut piece = Vec::with_capacity(most);
        while piece.len() < PIECE && (self.left > 0 || piece.is_empty()) {
            match self.input(client, text).await? {
                Input::Bytes(bytes) => {
                    let came = bytes.len() as u64;
                    self.left = self.left.checked_sub(came).ok_or_else(|| {
                        let length = self.length;
                        Refused::usage(format!("the layer is longer than the {length} bytes that were announced"))
                    })?;
                    piece.extend_from_slice(&bytes);
                }
                Input::End if self.left == 0 => break,
                Input::End => {
                    let Self { left, length, .. } = self;
                    return Err(Refused::usage(format!(
                        "the layer ended {left} bytes before the {length} that were announced"
                    )));
                }
                Input::Notice(_) => {}
            }
        }
        Ok(piece)
    }

    /// What the client sends next.
    async fn input(&mut self, client: &mut Client, text: &str) -> Result<Input, Refused> {
        loop {
            let began = Instant::now();
            let patience = IDLE.saturating_sub(self.waited).min(TELL.saturating_sub(self.told.elapsed()));
            let input = timeout(patience, client.input()).await;
            self.waited += began.elapsed();
            if self.told.elapsed() >= TELL {
                client.progress(text, None);
                self.told = Instant::now();
            }
            match input {
                Ok(Some(input)) => {
                    if let Input::Bytes(bytes) = &input {
                        self.arrived += bytes.len();
                    }
                    if self.arrived >= LEAST {
                        (self.waited, self.arrived) = (Duration::ZERO, 0);
                    }
                    return Ok(input);
                }
                Ok(None) => return Err(Refused::failed(format!("the connection was cut; {AGAIN}"))),
                Err(_) if self.waited < IDLE => {}
                Err(_) => {
                    let (arrived, seconds) = (self.arrived, IDLE.as_secs());
                    return Err(Refused::new(
                        RefusalClass::TimedOut,
                        format!("{arrived} bytes came in {seconds} s, and {LEAST} are the least: {AGAIN}"),
                    ));
                }
            }
        }
    }
}
