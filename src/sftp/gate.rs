//! Slowing a client down by TCP: a stream that is not read from while too much waits to be stored.
//!
//! russh acknowledges bytes to the client's SSH window as they arrive, so the window bounds
//! nothing; and its session loop must never be made to wait by us, or replies, key exchanges and
//! keep-alives stop. What is left is TCP below it. The gate closes only for what drains without
//! another byte from the client (writes and requests about names), never for reads or replies, which
//! may need a window adjustment that is still to be read: so it always opens again.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::domain::error::{Error, ErrorKind, Result};
use crate::net::budget::{Budget, Share};

/// What every connection may let wait without asking the budget, so that each goes on when the
/// budget is short.
const FREE_BYTES: usize = 64 * 1024;
/// How the rest is taken from the budget.
const STEP_BYTES: usize = 256 * 1024;
/// Most steps of one connection: 8 MiB, a fast line's worth while a store is slow.
const MAX_STEPS: usize = 32;
/// A client that has this much waiting got past a closed gate, by reading and writing one file
/// through one handle without taking what it reads.
const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;

/// Counts what a connection lets wait, and opens and closes its [`GatedStream`].
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    budget: Budget,
    state: Mutex<State>,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

struct State {
    waiting: usize,
    shares: Vec<Share>,
    exemptions: usize,
    stranger_bytes: Option<usize>,
    is_cut: bool,
}

impl Gate {
    /// A gate that is open, for a stranger who may send `stranger_bytes` before login.
    pub fn new(budget: Budget, stranger_bytes: usize) -> Self {
        Self(Arc::new(Inner {
            budget,
            state: Mutex::new(State {
                waiting: 0,
                shares: Vec::new(),
                exemptions: 0,
                stranger_bytes: Some(stranger_bytes),
                is_cut: false,
            }),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
        }))
    }

    /// Counts `bytes` that wait until they are stored; closes the gate when they are too many.
    ///
    /// # Errors
    /// Busy when far more waits than a closed gate lets through.
    pub fn hold(&self, bytes: usize) -> Result<Waiting> {
        let mut state = self.lock();
        if state.waiting.saturating_add(bytes) > MAX_WAITING_BYTES {
            return Err(Error::new(
                ErrorKind::Busy,
                "too much was written while replies were not taken",
            ));
        }
        state.waiting += bytes;
        while state.waiting > state.allowed() && state.shares.len() < MAX_STEPS {
            let Some(share) = self.0.budget.try_take(STEP_BYTES) else {
                break;
            };
            state.shares.push(share);
        }
        drop(state);
        Ok(Waiting {
            gate: self.clone(),
            bytes,
        })
    }

    /// Keeps the gate open while something that holds writes up waits for the client itself.
    pub fn exempt(&self) -> Exemption {
        self.lock().exemptions += 1;
        self.0.reader.wake();
        Exemption(self.clone())
    }

    /// Lifts the limit on bytes: the stranger has logged in.
    pub fn welcome(&self) {
        self.lock().stranger_bytes = None;
    }

    /// Breaks the connection: reading and writing fail from now on.
    pub fn cut(&self) {
        self.lock().is_cut = true;
        self.0.reader.wake();
        self.0.writer.wake();
    }

    fn release(&self, bytes: usize) {
        let mut state = self.lock();
        state.waiting -= bytes;
        let over = state.waiting.saturating_sub(FREE_BYTES);
        state.shares.truncate(over.div_ceil(STEP_BYTES));
        let opens = !state.is_closed();
        drop(state);
        if opens {
            self.0.reader.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn allowed(&self) -> usize {
        FREE_BYTES + self.shares.len() * STEP_BYTES
    }

    fn is_closed(&self) -> bool {
        self.exemptions == 0 && self.waiting > self.allowed()
    }
}

/// Bytes that wait; no longer when dropped.
#[must_use = "what is dropped does not count"]
pub struct Waiting {
    gate: Gate,
    bytes: usize,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.gate.release(self.bytes);
    }
}

/// Keeps a gate open until dropped.
#[must_use = "the gate may close when this is dropped"]
pub struct Exemption(Gate);

impl Drop for Exemption {
    fn drop(&mut self) {
        self.0.lock().exemptions -= 1;
    }
}

/// A stream behind a gate.
pub struct GatedStream<S> {
    stream: S,
    gate: Gate,
}

impl<S> GatedStream<S> {
    /// Puts `stream` behind `gate`.
    pub fn new(stream: S, gate: Gate) -> Self {
        Self { stream, gate }
    }

    fn check(&self) -> io::Result<()> {
        match self.gate.lock().is_cut {
            true => Err(io::ErrorKind::ConnectionAborted.into()),
            false => Ok(()),
        }
    }

    fn count_stranger(&self, bytes: usize) -> io::Result<()> {
        let mut state = self.gate.lock();
        let Some(left) = &mut state.stranger_bytes else {
            return Ok(());
        };
        match left.checked_sub(bytes) {
            Some(less) => {
                *left = less;
                Ok(())
            }
            None => Err(io::Error::other("too many bytes before login")),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for GatedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Registered before looking, so that an opening in between is not missed.
        self.gate.0.reader.register(context.waker());
        self.check()?;
        if self.gate.lock().is_closed() {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = &polled {
            self.count_stranger(buffer.filled().len() - before)?;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for GatedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.gate.0.writer.register(context.waker());
        self.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.gate.0.writer.register(context.waker());
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const MIB: usize = 1024 * 1024;

    fn gated(budget: usize) -> (GatedStream<DuplexStream>, DuplexStream, Gate) {
        let (ours, theirs) = duplex(64);
        let gate = Gate::new(Budget::new(budget), usize::MAX);
        (GatedStream::new(ours, gate.clone()), theirs, gate)
    }

    /// Whether a byte that has been sent is read now.
    async fn passes(stream: &mut GatedStream<DuplexStream>) -> bool {
        let mut byte = [0; 1];
        let read = stream.read_exact(&mut byte);
        tokio::select! {
            biased;
            read = read => read.is_ok(),
            () = tokio::task::yield_now() => false,
        }
    }

    #[tokio::test]
    async fn nothing_is_read_while_too_much_waits() {
        let (mut stream, mut client, gate) = gated(0);
        client.write_all(b"abc").await.unwrap();
        let small = gate.hold(FREE_BYTES).unwrap();
        assert!(passes(&mut stream).await);
        let more = gate.hold(1).unwrap();
        assert!(!passes(&mut stream).await);
        drop(small);
        assert!(passes(&mut stream).await);
        drop(more);
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken_when_the_gate_opens() {
        let (mut stream, mut client, gate) = gated(0);
        client.write_all(b"a").await.unwrap();
        let much = gate.hold(FREE_BYTES + 1).unwrap();
        let reading = async {
            let mut byte = [0; 1];
            stream.read_exact(&mut byte).await.unwrap();
        };
        let opening = async {
            tokio::task::yield_now().await;
            drop(much);
        };
        tokio::join!(reading, opening);
    }

    #[tokio::test]
    async fn the_budget_decides_how_much_may_wait() {
        let (mut stream, mut client, gate) = gated(64 * MIB);
        client.write_all(b"abc").await.unwrap();
        let held = gate.hold(8 * MIB).unwrap();
        assert!(passes(&mut stream).await);
        assert_eq!(gate.0.budget.used(), 8 * MIB);
        let more = gate.hold(MIB).unwrap();
        assert!(!passes(&mut stream).await);
        drop((held, more));
        assert_eq!(gate.0.budget.used(), 0);
    }

    #[tokio::test]
    async fn an_exemption_keeps_the_gate_open_up_to_a_limit() {
        let (mut stream, mut client, gate) = gated(0);
        client.write_all(b"abc").await.unwrap();
        let held = gate.hold(MIB).unwrap();
        let exemption = gate.exempt();
        assert!(passes(&mut stream).await);
        drop(exemption);
        assert!(!passes(&mut stream).await);
        assert!(gate.hold(MAX_WAITING_BYTES).is_err());
        drop(held);
    }

    #[tokio::test]
    async fn strangers_send_so_many_bytes_and_no_more() {
        let (ours, mut client) = duplex(64);
        let gate = Gate::new(Budget::new(0), 2);
        let mut stream = GatedStream::new(ours, gate.clone());
        client.write_all(b"ab").await.unwrap();
        let mut two = [0; 2];
        stream.read_exact(&mut two).await.unwrap();
        client.write_all(b"c").await.unwrap();
        assert!(stream.read_exact(&mut two).await.is_err());
        gate.welcome();
        client.write_all(b"de").await.unwrap();
        assert!(stream.read_exact(&mut two).await.is_ok());
    }

    #[tokio::test]
    async fn a_cut_ends_reading_and_writing_that_wait() {
        let (ours, _client) = duplex(1);
        let gate = Gate::new(Budget::new(0), usize::MAX);
        let (mut read, mut write) = tokio::io::split(GatedStream::new(ours, gate.clone()));
        let mut byte = [0; 1];
        let cutting = async {
            tokio::task::yield_now().await;
            gate.cut();
        };
        let (reading, writing, ()) =
            tokio::join!(read.read(&mut byte), write.write_all(b"long"), cutting);
        assert!(reading.is_err());
        assert!(writing.is_err());
    }
}
