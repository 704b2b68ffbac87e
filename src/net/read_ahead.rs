//! A stream that takes from the socket what is there, however little is asked for: SSH and TLS read
//! a few bytes or a record at a time, and each call of the system costs as much as many bytes.

use std::future::Future as _;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use crate::net::budget::{Budget, Share};

/// How much is read at once.
const AHEAD_BYTES: usize = 64 << 10;

/// Reads ahead while bytes come and the budget spares the memory; while none come it holds none.
pub struct ReadAhead<S> {
    stream: S,
    budget: Budget,
    ahead: BytesMut,
    share: Option<Share>,
}

impl<S> ReadAhead<S> {
    /// Reads `stream`, with memory from `budget`.
    pub fn new(stream: S, budget: Budget) -> Self {
        Self {
            stream,
            budget,
            ahead: BytesMut::new(),
            share: None,
        }
    }

    fn make_room(&mut self) -> bool {
        if self.share.is_none() {
            self.share = self.budget.try_take_spare(AHEAD_BYTES);
        }
        if self.share.is_some() {
            self.ahead.reserve(AHEAD_BYTES);
        }
        self.share.is_some()
    }

    fn release(&mut self) {
        self.ahead = BytesMut::new();
        self.share = None;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            if buffer.remaining() >= AHEAD_BYTES || !this.make_room() {
                this.release();
                return Pin::new(&mut this.stream).poll_read(context, buffer);
            }
            let polled = pin!(this.stream.read_buf(&mut this.ahead)).poll(context);
            if !matches!(polled, Poll::Ready(Ok(1..))) {
                this.release();
            }
            ready!(polled)?;
        }
        let count = buffer.remaining().min(this.ahead.len());
        buffer.put_slice(this.ahead.get(..count).unwrap_or_default());
        this.ahead.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn bytes_are_the_same_with_and_without_memory() {
        let mut sent = vec![0; 300_000];
        fastrand::Rng::with_seed(5).fill(&mut sent);
        for memory in [0, 1 << 20] {
            let budget = Budget::new(memory);
            let (ours, mut theirs) = duplex(100_000);
            let mut stream = ReadAhead::new(ours, budget.clone());
            let sending = async {
                theirs.write_all(&sent).await.unwrap();
                drop(theirs);
            };
            let receiving = async {
                let mut got = Vec::new();
                for size in [1, 4, 70_000, 30_000, 5].into_iter().cycle() {
                    let mut piece = vec![0; size];
                    let count = stream.read(&mut piece).await.unwrap();
                    got.extend_from_slice(&piece[..count]);
                    if count == 0 {
                        return got;
                    }
                }
                got
            };
            let ((), got) = tokio::join!(sending, receiving);
            assert!(got == sent);
            assert_eq!(budget.used(), 0);
        }
    }

    #[tokio::test]
    async fn a_connection_that_waits_holds_no_memory() {
        let budget = Budget::new(1 << 20);
        let (ours, mut theirs) = duplex(64);
        let mut stream = ReadAhead::new(ours, budget.clone());
        theirs.write_all(b"abc").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'a');
        assert_eq!(budget.used(), AHEAD_BYTES);
        assert_eq!(stream.read_u16().await.unwrap(), 0x6263);
        assert!(stream.read_u8().now_or_never().is_none());
        assert_eq!(budget.used(), 0);
    }
}
