//! A stream that is read as far as its connection's standing allows: of strangers who speak HTTP/2, no more than
//! is read or answered soon.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::standing::Standing;

/// What HTTP/2 begins with (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The head of a frame, and the kinds that matter here (section 6).
const FRAME_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

/// Tells the standing what comes, and reads when that leaves room.
pub struct Ahead<S> {
    stream: S,
    standing: Standing,
    at: At,
}

/// Where in HTTP/2 what came last ends.
enum At {
    /// So many bytes into what it begins with.
    Preface(usize),
    /// Within the head of a frame.
    Frame {
        head: [u8; FRAME_BYTES],
        came: usize,
    },
    /// So many bytes before the end of a frame.
    Payload(usize),
    /// It is not looked at.
    Elsewhere,
}

impl<S> Ahead<S> {
    /// Reads `stream`; writing is passed on as it is.
    pub fn new(stream: S, standing: Standing) -> Self {
        Self {
            stream,
            standing,
            at: At::Preface(0),
        }
    }

    fn look(&mut self, mut bytes: &[u8]) {
        while let Some(first) = bytes.first() {
            let passed = match &mut self.at {
                At::Elsewhere => return,
                At::Preface(came) => {
                    if PREFACE.get(*came) != Some(first) {
                        self.at = At::Elsewhere;
                        return;
                    }
                    *came += 1;
                    if *came == PREFACE.len() {
                        self.standing.has_streams();
                        self.at = At::begin();
                    }
                    1
                }
                At::Frame { head, came } => {
                    if let Some(place) = head.get_mut(*came) {
                        *place = *first;
                    }
                    *came += 1;
                    if *came == FRAME_BYTES {
                        let [a, b, c, kind, ..] = *head;
                        let length = u32::from_be_bytes([0, a, b, c]) as usize;
                        match kind {
                            DATA => self.standing.body_came(length),
                            HEADERS | CONTINUATION => self.standing.head_came(length),
                            _ => {}
                        }
                        self.at = At::after(length);
                    }
                    1
                }
                At::Payload(left) => {
                    let passed = bytes.len().min(*left);
                    self.at = At::after(*left - passed);
                    passed
                }
            };
            bytes = bytes.get(passed..).unwrap_or_default();
        }
    }
}

impl At {
    fn begin() -> Self {
        Self::Frame {
            head: [0; FRAME_BYTES],
            came: 0,
        }
    }

    fn after(length: usize) -> Self {
        match length {
            0 => Self::begin(),
            _ => Self::Payload(length),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Ahead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !matches!(this.at, At::Elsewhere) && !ready!(this.standing.poll_room(context)) {
            this.at = At::Elsewhere;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        this.look(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Ahead<S> {
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
    use std::future::poll_fn;

    use axum::body::Body;
    use futures_util::FutureExt as _;
    use http_body_util::BodyExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::task::yield_now;

    use super::*;

    const PLENTY: usize = 4 << 20;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let [_, a, b, c] = u32::try_from(length).unwrap().to_be_bytes();
        let mut frame = vec![a, b, c, kind, 0, 0, 0, 0, 1];
        frame.resize(FRAME_BYTES + length, 7);
        frame
    }

    /// A connection on which all of this has been sent.
    async fn sent(frames: &[Vec<u8>]) -> (Ahead<DuplexStream>, Standing, DuplexStream) {
        let (ours, mut theirs) = duplex(PLENTY);
        theirs.write_all(PREFACE).await.unwrap();
        theirs.write_all(&frames.concat()).await.unwrap();
        let standing = Standing::fresh();
        (Ahead::new(ours, standing.clone()), standing, theirs)
    }

    /// Reads a little at a time until it would wait, over several turns; how much it was.
    async fn read(ahead: &mut Ahead<DuplexStream>, standing: &Standing) -> usize {
        let mut all = 0;
        for _ in 0..1000 {
            standing.turn();
            yield_now().await;
            let mut buffer = [0; 1000];
            while let Some(read) = ahead.read(&mut buffer).now_or_never() {
                all += read.unwrap();
            }
        }
        all
    }

    #[tokio::test]
    async fn bodies_of_strangers_are_taken_as_they_are_read() {
        let frames = vec![frame(DATA, 10_000); 100];
        let (mut ahead, standing, _theirs) = sent(&frames).await;
        let mut body = standing.body(Body::from("x".repeat(30_000)));
        let before = read(&mut ahead, &standing).await;
        assert!((60_000..80_000).contains(&before), "{before}");
        assert!(poll_fn(|context| Poll::Ready(standing.poll_room(context).is_pending())).await);
        body.frame().await.unwrap().unwrap();
        let more = read(&mut ahead, &standing).await;
        assert!((29_000..40_000).contains(&more), "{more}");
        // What nobody reads any more waits for nobody.
        drop(body);
        assert!(read(&mut ahead, &standing).await > 800_000);
    }

    #[tokio::test]
    async fn whoever_has_logged_in_sends_ahead_as_much_as_there_is_window_for() {
        let frames = vec![frame(DATA, 10_000); 100];
        let (mut ahead, standing, _theirs) = sent(&frames).await;
        let _body = standing.body(Body::from("x"));
        assert!(read(&mut ahead, &standing).await < 80_000);
        standing.admit();
        assert!(read(&mut ahead, &standing).await > 900_000);
    }

    #[tokio::test]
    async fn heads_of_strangers_are_taken_as_they_are_answered() {
        let frames = vec![frame(HEADERS, 10_000); 100];
        let (mut ahead, standing, _theirs) = sent(&frames).await;
        let mut buffer = [0; 1000];
        let mut all = 0;
        while let Some(read) = ahead.read(&mut buffer).now_or_never() {
            all += read.unwrap();
        }
        assert!((50_000..80_000).contains(&all), "{all}");
        let mut headers = axum::http::HeaderMap::new();
        headers.insert("x", "y".repeat(130_000).parse().unwrap());
        let head = standing.head(&"/".parse().unwrap(), &headers);
        assert_eq!(read(&mut ahead, &standing).await, 0);
        drop(head);
        assert!(read(&mut ahead, &standing).await > 900_000);
    }

    #[tokio::test]
    async fn what_is_not_http_2_is_not_looked_at() {
        let (ours, mut theirs) = duplex(PLENTY);
        theirs.write_all(b"PRINT / HTTP/1.1\r\n").await.unwrap();
        theirs.write_all(&vec![0; 1 << 20]).await.unwrap();
        let standing = Standing::fresh();
        let mut ahead = Ahead::new(ours, standing.clone());
        let _body = standing.body(Body::from("x"));
        assert_eq!(read(&mut ahead, &standing).await, 18 + (1 << 20));
    }
}
