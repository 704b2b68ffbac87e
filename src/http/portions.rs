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
    /// What came of reading on when something had been read, to be told next.
    failed: Option<io::Error>,
}

impl<S: AsyncRead> Portions<S> {
    /// Reads `stream`; writing is passed on as it is.
    pub fn new(stream: S) -> Self {
        Self {
            stream: stream.take(0),
            came: 0,
            waits_since: None,
            failed: None,
        }
    }
}

impl<S: AsyncRead + Unpin> Portions<S> {
    /// Fills the buffer with what is there: TLS hands out a record at a time, and what is passed on costs as
    /// much for few bytes as for many.
    fn read_on(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) {
        while buffer.remaining() > 0 {
            let before = buffer.filled().len();
            match Pin::new(&mut self.stream).poll_read(context, buffer) {
                Poll::Ready(Ok(())) if buffer.filled().len() > before => {}
                // The end is told again.
                Poll::Ready(Ok(())) | Poll::Pending => return,
                Poll::Ready(Err(error)) => {
                    self.failed = Some(error);
                    return;
                }
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Portions<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        let is_fast = self.came >= FAST_BYTES;
        let most = match is_fast {
            true => u64::MAX,
            false => PORTION,
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
        if is_fast && buffer.filled().len() > before {
            self.read_on(context, buffer);
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

    /// Records of TLS, and then a line that breaks.
    struct Records(usize);

    impl AsyncRead for Records {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let Some(left) = self.0.checked_sub(1) else {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            };
            self.0 = left;
            let count = buffer.remaining().min(16 * 1024);
            buffer.put_slice(&vec![7; count]);
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_fast_line_fills_what_there_is_and_how_it_broke_is_told_afterwards() {
        const SLOW: usize = FAST_BYTES.div_ceil(PORTION as usize);
        let mut stream = Portions::new(Records(SLOW + 10));
        let mut buffer = vec![0; 64 * 1024];
        for _ in 0..SLOW {
            assert_eq!(stream.read(&mut buffer).await.unwrap(), PORTION as usize);
        }
        for size in [64, 64, 32] {
            assert_eq!(stream.read(&mut buffer).await.unwrap(), size * 1024);
        }
        let broken = stream.read(&mut buffer).await.unwrap_err();
        assert_eq!(broken.kind(), io::ErrorKind::ConnectionReset);
    }
}
