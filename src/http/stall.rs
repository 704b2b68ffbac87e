//! A connection whose client takes nothing for too long, or says nothing at first, is broken off; one whose
//! client is still sending what is not wanted is read on for a moment, so that it gets to read why.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// What HTTP/2 begins with, and less than any request of HTTP/1.1: by so many bytes the versions are told
/// apart, which hyper waits for without a limit of its own.
const OPENING: usize = 24;

/// How long a client that was hung up on may go on sending, and how long it may pause, before what it has not
/// read of the answer is lost to it.
const LINGER: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);

/// A stream of which writing fails when nothing can be written for a time, and reading when its first bytes
/// do not come.
pub struct Stalling<S> {
    stream: S,
    most: Duration,
    /// How many of the first bytes are still to come, and until when.
    opening: Option<(usize, Pin<Box<Sleep>>)>,
    /// When it is over; none while nothing waits to be written.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Whether the last read brought bytes: who then hangs up did not want what follows, as with a head that
    /// is too long. (The rest of a body is read in `leftover`.)
    was_sending: bool,
    lingering: Option<Lingering>,
}

/// Reading on behind the end of what is written.
struct Lingering {
    end: Instant,
    pause: Pin<Box<Sleep>>,
}

impl<S> Stalling<S> {
    /// Breaks `stream` off when nothing can be written for `most`, or its first bytes take longer than
    /// `opening`.
    pub fn new(stream: S, most: Duration, opening: Duration) -> Self {
        Self {
            stream,
            most,
            opening: Some((OPENING, Box::pin(sleep(opening)))),
            deadline: None,
            was_sending: false,
            lingering: None,
        }
    }

    /// Reads on until the client ends too, pauses or has had its time.
    fn linger(&mut self, context: &mut Context<'_>) -> Poll<()>
    where
        S: AsyncRead + Unpin,
    {
        let now = Instant::now();
        let lingering = self.lingering.get_or_insert_with(|| Lingering {
            end: now + LINGER,
            pause: Box::pin(sleep(PAUSE)),
        });
        let mut scratch = [MaybeUninit::uninit(); 4096];
        loop {
            let mut unwanted = ReadBuf::uninit(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(context, &mut unwanted) {
                Poll::Ready(Ok(())) if !unwanted.filled().is_empty() && now < lingering.end => {
                    lingering.pause.as_mut().reset(now + PAUSE);
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return lingering.pause.as_mut().poll(context),
            }
        }
    }

    /// Passes on what came of writing, unless it waits for too long.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        wrote: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.deadline = None;
            return wrote;
        }
        let most = self.most;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(most)));
        ready!(deadline.as_mut().poll(context));
        deadline.as_mut().reset(Instant::now() + most);
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client took nothing for too long",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let came = buffer.filled().len() - before;
        self.was_sending = came > 0;
        let Some((missing, deadline)) = &mut self.opening else {
            return read;
        };
        if read.is_pending() {
            ready!(deadline.as_mut().poll(context));
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client said nothing for too long",
            )));
        }
        *missing = missing.saturating_sub(came);
        if *missing == 0 {
            self.opening = None;
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, wrote)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            let shut = Pin::new(&mut self.stream).poll_shutdown(context);
            ready!(self.watch(context, shut))?;
        }
        if self.was_sending {
            ready!(self.linger(context));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.watch(context, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
