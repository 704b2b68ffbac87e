//! Bytes of an upload as they come over its data connection, in pieces as large as memory allows.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

use crate::ftp::ending::Ending;
use crate::net::budget::{Budget, Share};

/// Bytes taken at a time when there is memory, and when there is not.
const PIECE_BYTES: usize = 256 * 1024;
const SMALL_PIECE_BYTES: usize = 16 * 1024;
/// A client that sends nothing for so long has what it sent written, and keeps no more memory than a
/// small piece.
const PAUSE: Duration = Duration::from_millis(500);

/// The bytes of one upload.
pub struct Intake {
    budget: Budget,
    /// Nothing may come for so long.
    stall: Duration,
    /// TLS that ends without close_notify is an end like another.
    abrupt_end: bool,
    buffer: BytesMut,
    /// What a buffer that is larger than a small piece counts.
    share: Option<Share>,
}

impl Intake {
    /// Nothing has come yet, and no memory is taken.
    pub fn new(budget: Budget, stall: Duration, abrupt_end: bool) -> Self {
        Self {
            budget,
            stall,
            abrupt_end,
            buffer: BytesMut::new(),
            share: None,
        }
    }

    /// What comes next, also what came before a connection broke; and whether that was all.
    pub async fn piece(
        &mut self,
        wire: &mut (impl AsyncRead + Unpin),
    ) -> (Bytes, Result<bool, Ending>) {
        let filled = self.fill(wire).await;
        (self.buffer.split().freeze(), filled)
    }

    /// Says whether that was all.
    async fn fill(&mut self, wire: &mut (impl AsyncRead + Unpin)) -> Result<bool, Ending> {
        self.buffer.reserve(SMALL_PIECE_BYTES);
        let first = match timeout(self.stall.min(PAUSE), wire.read_buf(&mut self.buffer)).await {
            Ok(read) => read,
            Err(_) => {
                self.share = None;
                self.buffer = BytesMut::with_capacity(SMALL_PIECE_BYTES);
                timeout(self.stall, wire.read_buf(&mut self.buffer))
                    .await
                    .map_err(|_| Ending::Stalled)?
            }
        };
        if self.is_end(first)? {
            return Ok(true);
        }
        if self.share.is_none() {
            self.share = self.budget.try_take_spare(PIECE_BYTES);
        }
        if self.share.is_none() {
            return Ok(false);
        }
        let missing = PIECE_BYTES.saturating_sub(self.buffer.len());
        self.buffer.reserve(missing);
        while self.buffer.len() < PIECE_BYTES {
            let Ok(read) = timeout(PAUSE, wire.read_buf(&mut self.buffer)).await else {
                return Ok(false);
            };
            if self.is_end(read)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_end(&self, read: io::Result<usize>) -> Result<bool, Ending> {
        match read {
            Ok(count) => Ok(count == 0),
            // TLS's word for a connection that ends without close_notify.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => match self.abrupt_end {
                true => Ok(true),
                false => Err(Ending::Truncated),
            },
            Err(_) => Err(Ending::Reset),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    const STALL: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn who_pauses_has_what_came_written_and_holds_no_memory() {
        let budget = Budget::new(8 * PIECE_BYTES);
        let mut intake = Intake::new(budget.clone(), STALL, false);
        let (mut client, mut wire) = duplex(4 * PIECE_BYTES);
        client.write_all(&vec![1; PIECE_BYTES + 5]).await.unwrap();
        let (bytes, end) = intake.piece(&mut wire).await;
        assert_eq!((bytes.len(), end.unwrap()), (PIECE_BYTES, false));
        let (bytes, end) = intake.piece(&mut wire).await;
        assert_eq!((bytes.len(), end.unwrap()), (5, false));
        assert_eq!(budget.used(), PIECE_BYTES);
        let later = async {
            tokio::time::sleep(PAUSE * 2).await;
            assert_eq!(budget.used(), 0);
            client.write_all(b"more").await.unwrap();
            drop(client);
        };
        let ((bytes, end), ()) = tokio::join!(intake.piece(&mut wire), later);
        assert_eq!((bytes, end.unwrap()), (Bytes::from_static(b"more"), true));
    }

    #[tokio::test(start_paused = true)]
    async fn pieces_are_small_without_memory_and_nothing_for_long_is_a_stall() {
        let budget = Budget::new(0);
        let mut intake = Intake::new(budget, STALL, false);
        let (mut client, mut wire) = duplex(PIECE_BYTES);
        client.write_all(&vec![1; PIECE_BYTES]).await.unwrap();
        let (bytes, end) = intake.piece(&mut wire).await;
        assert_eq!((bytes.len(), end.unwrap()), (SMALL_PIECE_BYTES, false));
        while !intake.piece(&mut wire).await.0.is_empty() {}
        let (bytes, end) = intake.piece(&mut wire).await;
        assert!(bytes.is_empty() && matches!(end, Err(Ending::Stalled)));
    }
}
