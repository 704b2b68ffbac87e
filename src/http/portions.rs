//! A stream that hands out little at a time on a slow line: hyper reads into a buffer twice as large
//! whenever one was filled, and keeps it while it waits for more.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};
use tokio::time::Instant;

/// Less than the smallest buffer of hyper's, so that it is never filled.
const PORTION: u64 = 8 * 1024 - 1;
/// A line is slow at first, and after a pause as long as this...
const PAUSE: Duration = Duration::from_millis(20);
/// ...until so many bytes came without one.
const FAST_BYTES: usize = 64 * 1024;

/// Hands out portions while its line is slow, and all that fits while it is fast.
pub struct Portions<S> {
    stream: Take<S>,
    /// Bytes since the last pause.
    came: usize,
    waits_since: Option<Instant>,
}

impl<S: AsyncRead> Portions<S> {
    /// Reads `stream`; writing is passed on as it is.
    pub fn new(stream: S) -> Self {
        Self {
            stream: stream.take(0),
            came: 0,
            waits_since: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Portions<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = match self.came < FAST_BYTES {
            true => PORTION,
            false => u64::MAX,
        };
        self.stream.set_limit(most);
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_pending() {
            self.waits_since.get_or_insert_with(Instant::now);
        }
        ready!(read)?;
        let waited = self.waits_since.take().map(|since| since.elapsed());
        if waited.is_some_and(|waited| waited >= PAUSE) {
            self.came = 0;
        }
        let came = buffer.filled().len() - before;
        self.came = self.came.saturating_add(came);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Portions<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.stream.get_mut()).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.stream.get_mut()).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};
    use tokio::time::sleep;

    use super::*;

    const PLENTY: usize = 256 * 1024;

    #[tokio::test(start_paused = true)]
    async fn portions_are_small_until_a_line_shows_that_it_is_fast_and_again_after_a_pause() {
        let (ours, mut theirs) = duplex(PLENTY);
        let mut stream = Portions::new(ours);
        let mut buffer = vec![0; PLENTY];
        for _ in 0..2 {
            let sending = async {
                sleep(PAUSE).await;
                theirs.write_all(&vec![7; PLENTY]).await.unwrap();
            };
            let receiving = async {
                let mut sizes = Vec::new();
                while sizes.iter().sum::<usize>() < PLENTY {
                    sizes.push(stream.read(&mut buffer).await.unwrap());
                }
                sizes
            };
            let ((), sizes) = tokio::join!(sending, receiving);
            let (last, first) = sizes.split_last().unwrap();
            assert!(
                first.iter().all(|size| *size == PORTION as usize),
                "{sizes:?}"
            );
            assert!(*last > 128 * 1024, "{sizes:?}");
        }
        drop(theirs);
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 0);
    }
}
