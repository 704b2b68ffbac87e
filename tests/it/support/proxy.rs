//! A TCP proxy that harms what passes, on command: for whatever a server talks to (S3, KMS).

use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener as AsyncListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the server.
    Answers,
    /// To the server.
    Requests,
}

/// What is done to the bytes that pass from now on, on all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// Connections stay, and nothing arrives at either end any more once so many bytes of answers did.
    BlackHole { after: u64 },
    /// The byte number `at` that goes this way, counted over all connections, is changed.
    Corrupt { way: Way, at: u64 },
    /// After so many bytes this way the connection breaks; `times` times, counting anew each time.
    Cut { way: Way, after: u64, times: u32 },
    /// Answers come that much later, however many are on their way.
    Delay(Duration),
    /// None.
    Off,
    /// Connections, also those that are there, break at once.
    Refuse,
}

/// Between a client and a server on a port of this machine. Ends with the last reference.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    _stop: oneshot::Sender<()>,
}

struct Shared {
    state: Mutex<State>,
    /// Wakes the connections when the harm changes.
    changed: watch::Sender<()>,
    harmed: AtomicU64,
}

struct State {
    harm: Harm,
    counted: u64,
}

/// What becomes of some bytes.
enum Fate {
    /// The connection breaks after so many of them.
    Cut(usize),
    /// They go on that much later.
    Pass(Duration),
    /// They vanish, but for so many.
    Vanish(usize),
}

/// A piece on its way, and when it may arrive. An empty one is the end.
type Piece = (Instant, Vec<u8>);

impl Proxy {
    /// Stands before a port of 127.0.0.1, harmless at first. Needs no runtime.
    pub(crate) fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                harm: Harm::Off,
                counted: 0,
            }),
            changed: watch::Sender::new(()),
            harmed: AtomicU64::new(0),
        });
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = serving.serve(listener, server) => {}
                }
            });
        });
        Self {
            port,
            shared,
            _stop: stop,
        }
    }

    /// Where it listens on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its address for clients that speak HTTP.
    pub(crate) fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// Its address for clients that speak HTTPS, which goes through unread.
    pub(crate) fn https(&self) -> String {
        format!("https://127.0.0.1:{}", self.port())
    }

    /// Does this from now on, and nothing else.
    pub(crate) fn set(&self, harm: Harm) {
        *self.shared.state.lock().unwrap() = State { harm, counted: 0 };
        self.shared.changed.send_replace(());
    }

    /// How often bytes were changed or vanished, or connections were broken.
    pub(crate) fn harmed(&self) -> u64 {
        self.shared.harmed.load(Ordering::SeqCst)
    }
}

impl Shared {
    async fn serve(self: Arc<Self>, listener: TcpListener, server: u16) {
        let listener = AsyncListener::from_std(listener).unwrap();
        let mut tasks = JoinSet::new();
        loop {
            let (client, _) = listener.accept().await.unwrap();
            while tasks.try_join_next().is_some() {}
            tasks.spawn(Arc::clone(&self).connect(client, server));
        }
    }

    async fn connect(self: Arc<Self>, client: TcpStream, server: u16) {
        if self.refuses() {
            return;
        }
        let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else {
            return;
        };
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let cut = CancellationToken::new();
        let both = async {
            tokio::join!(
                self.way(Way::Requests, from_client, to_server, &cut),
                self.way(Way::Answers, from_server, to_client, &cut),
            );
        };
        tokio::select! {
            () = cut.cancelled() => {}
            () = both => {}
        }
    }

    async fn way(
        &self,
        way: Way,
        from: OwnedReadHalf,
        to: OwnedWriteHalf,
        cut: &CancellationToken,
    ) {
        let (pieces, arriving) = mpsc::channel(256);
        tokio::join!(
            self.take(way, from, pieces, cut),
            deliver(arriving, to, cut)
        );
    }

    /// Takes what comes; ends the queue when there is no more.
    async fn take(
        &self,
        way: Way,
        mut from: OwnedReadHalf,
        pieces: mpsc::Sender<Piece>,
        cut: &CancellationToken,
    ) {
        let mut changed = self.changed.subscribe();
        let mut bytes = vec![0; 65_536];
        let mut vanished = false;
        loop {
            let length = tokio::select! {
                _ = changed.changed() => {
                    // What follows a hole would make no sense.
                    if vanished || self.refuses() {
                        return cut.cancel();
                    }
                    continue;
                }
                read = from.read(&mut bytes) => match read {
                    Ok(length @ 1..) => length,
                    Ok(_) => {
                        let _ = pieces.send((Instant::now(), Vec::new())).await;
                        return;
                    }
                    Err(_) => return cut.cancel(),
                },
            };
            let passing = &mut bytes[..length];
            let (release, passing) = match self.fate(way, passing) {
                Fate::Cut(after) => (None, &passing[..after]),
                Fate::Pass(later) => (Some(later), &*passing),
                Fate::Vanish(after) => {
                    vanished = true;
                    (Some(Duration::ZERO), &passing[..after])
                }
            };
            let at = Instant::now() + release.unwrap_or_default();
            if !passing.is_empty() && pieces.send((at, passing.to_vec())).await.is_err() {
                return;
            }
            if release.is_none() {
                // What came before the cut arrives.
                drop(pieces);
                return;
            }
        }
    }

    fn fate(&self, way: Way, bytes: &mut [u8]) -> Fate {
        let mut state = self.state.lock().unwrap();
        let state = &mut *state;
        let length = bytes.len() as u64;
        let before = state.counted;
        let fate = match &mut state.harm {
            Harm::BlackHole { after } => {
                let left = after.saturating_sub(before);
                let counts = way == Way::Answers;
                if left > 0 && (!counts || length <= left) {
                    state.counted += if counts { length } else { 0 };
                    return Fate::Pass(Duration::ZERO);
                }
                state.counted = *after;
                self.harmed.fetch_add(1, Ordering::SeqCst);
                return Fate::Vanish(left as usize);
            }
            Harm::Corrupt { way: harmed, at } if *harmed == way => {
                state.counted += length;
                if (before..before + length).contains(at) {
                    bytes[(*at - before) as usize] ^= 1;
                    self.harmed.fetch_add(1, Ordering::SeqCst);
                }
                return Fate::Pass(Duration::ZERO);
            }
            Harm::Cut {
                way: harmed,
                after,
                times,
            } if *harmed == way && *times > 0 => {
                if before + length <= *after {
                    state.counted += length;
                    return Fate::Pass(Duration::ZERO);
                }
                *times -= 1;
                Fate::Cut((*after - before) as usize)
            }
            Harm::Delay(by) if way == Way::Answers => return Fate::Pass(*by),
            Harm::Corrupt { .. } | Harm::Cut { .. } | Harm::Delay(_) | Harm::Off => {
                return Fate::Pass(Duration::ZERO);
            }
            Harm::Refuse => Fate::Cut(0),
        };
        state.counted = 0;
        self.harmed.fetch_add(1, Ordering::SeqCst);
        fate
    }

    fn refuses(&self) -> bool {
        self.state.lock().unwrap().harm == Harm::Refuse
    }
}

/// Hands on what is due. When the queue ends without the end of the stream, the connection breaks.
async fn deliver(
    mut arriving: mpsc::Receiver<Piece>,
    mut to: OwnedWriteHalf,
    cut: &CancellationToken,
) {
    while let Some((at, bytes)) = arriving.recv().await {
        tokio::time::sleep_until(at).await;
        if bytes.is_empty() {
            let _ = to.shutdown().await;
            return;
        }
        if to.write_all(&bytes).await.is_err() {
            break;
        }
    }
    cut.cancel();
}
