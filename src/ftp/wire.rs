//! A connection that may be encrypted.

use std::io;
use std::ops::RangeInclusive;
use std::os::fd::AsRawFd as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Token};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A connection that may be encrypted.
pub enum Wire<S> {
    /// Bytes as they are.
    Clear(S),
    /// TLS.
    Sealed(Box<TlsStream<S>>),
}

/// First bytes of TLS records (RFC 8446 section 5.1); no command begins with one.
const RECORDS: RangeInclusive<u8> = 20..=23;
/// Longest TLS record (RFC 8446 section 5.2).
const MAX_RECORD_BYTES: usize = 16_384 + 256;

impl Wire<TcpStream> {
    /// Goes back to clear text: says the end of TLS and waits for that of the client, or for its next words in
    /// the clear, since not all answer it (curl --ftp-ssl-ccc).
    ///
    /// # Errors
    /// When the client says anything else by TLS, or is gone.
    pub async fn unseal(self) -> io::Result<Self> {
        let stream = match self {
            Self::Clear(stream) => return Ok(Self::Clear(stream)),
            Self::Sealed(stream) => stream,
        };
        let (mut stream, mut connection) = stream.into_inner();
        connection.send_close_notify();
        let mut out = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut out)?;
        }
        stream.write_all(&out).await?;
        loop {
            let mut first = [0];
            if stream.peek(&mut first).await? > 0 && !RECORDS.contains(&first[0]) {
                return Ok(Self::Clear(stream));
            }
            // Record by record, lest what follows in the clear is taken for TLS.
            let mut record = vec![0; 5];
            stream.read_exact(&mut record).await?;
            let length = record.get(3..5).map_or(0, |length| {
                length
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
            });
            if length > MAX_RECORD_BYTES {
                return Err(io::ErrorKind::InvalidData.into());
            }
            record.resize(5 + length, 0);
            stream
                .read_exact(record.get_mut(5..).unwrap_or_default())
                .await?;
            let mut rest = record.as_slice();
            while !rest.is_empty() {
                connection.read_tls(&mut rest)?;
                let state = connection
                    .process_new_packets()
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                if state.peer_has_closed() {
                    return Ok(Self::Clear(stream));
                }
                if state.plaintext_bytes_to_read() > 0 {
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
        }
    }

    /// Whether the other end has closed the connection, also when what it sent before is still to be read.
    /// Asks the system, which knows before a read that waits is woken.
    pub fn has_ended(&self) -> bool {
        let stream = match self {
            Self::Clear(stream) => stream,
            Self::Sealed(stream) => stream.get_ref().0,
        };
        // When the system cannot tell, the upload in question is kept, and sent again.
        is_closed(stream).unwrap_or(true)
    }

    /// Reads what has come, like `read`, and minds urgent data: the kernel ends a read where it begins, and
    /// tokio would take the short read for a sign that nothing is left.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn read_command(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let stream = match self {
            Self::Clear(stream) => stream,
            Self::Sealed(stream) => return stream.read(bytes).await,
        };
        loop {
            stream.readable().await?;
            match stream.try_read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }
}

/// Whether the system has had the other end's last word. A look at what is to be read would not tell: it
/// stands behind all of that.
fn is_closed(stream: &TcpStream) -> io::Result<bool> {
    let mut poll = mio::Poll::new()?;
    let socket = stream.as_raw_fd();
    let mut socket = SourceFd(&socket);
    poll.registry()
        .register(&mut socket, Token(0), Interest::READABLE)?;
    let mut events = Events::with_capacity(1);
    while let Err(error) = poll.poll(&mut events, Some(Duration::ZERO)) {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(events.iter().any(|event| event.is_read_closed()))
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Sealed(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Sealed(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_flush(cx),
            Self::Sealed(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Sealed(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
