//! Ports at which clients make their data connections (PASV, EPSV).
//!
//! Only the client's address may come in. Others may share it: who else lives behind the same router, or
//! all whom a balancer brings. So some that came are kept, and the transfer chooses among them.

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::domain::random;
use crate::ftp::data_connection::CONNECT;
use crate::ftp::reply::Reply;
use crate::ftp::settings::{Ends, PassiveSettings};
use crate::net::network::Network;

/// Ports that are tried when others are in use.
const MOST_TRIES: u32 = 2048;
/// Data connections that wait to be taken; all but one of them are strangers'.
const BACKLOG: u32 = 16;
/// Those that are kept of the client's address.
pub const MOST_KEPT: usize = 4;
/// Pause when connections cannot be taken, as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// A port at which a client's data connection is awaited.
#[derive(Debug)]
pub struct Passive {
    listener: TcpListener,
    peer: IpAddr,
    proxies: Arc<[Network]>,
    /// In the order in which they came.
    arrived: VecDeque<TcpStream>,
}

impl Passive {
    /// Listens on a free port.
    ///
    /// # Errors
    /// 425 when none is free.
    pub fn listen(
        settings: &PassiveSettings,
        ends: Ends,
        proxies: Arc<[Network]>,
    ) -> Result<Self, Reply> {
        let (first, last) = (*settings.ports.start(), *settings.ports.end());
        let count = u32::from(last.saturating_sub(first)) + 1;
        let start = random::below(u64::from(count));
        let ip = ends.local.ip().to_canonical();
        for step in 0..count.min(MOST_TRIES) {
            let at = (start + u64::from(step)) % u64::from(count);
            let port = first.saturating_add(u16::try_from(at).unwrap_or(0));
            match bind(SocketAddr::new(ip, port)) {
                Ok(listener) => {
                    return Ok(Self {
                        listener,
                        peer: ends.peer,
                        proxies,
                        arrived: VecDeque::new(),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => {
                    tracing::warn!(port, error = %error, "a port for data cannot be opened");
                    break;
                }
            }
        }
        tracing::warn!(first, last, "no port for data is free");
        Err(Reply::new(
            425,
            "no port is free for data; try again in a moment",
        ))
    }

    /// The port.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// Waits until one more connection of the client's address is there. Others that come are hung up on
    /// at once, lest they keep the client from coming in. May be dropped at any time.
    pub async fn arrive(&mut self) {
        loop {
            let Ok((stream, from)) = self.listener.accept().await else {
                sleep(PAUSE).await;
                continue;
            };
            if self.keep(stream, from) {
                return;
            }
        }
    }

    /// Waits until one is there at all.
    ///
    /// # Errors
    /// TimedOut when none comes within [`CONNECT`].
    pub async fn wait(&mut self) -> io::Result<()> {
        if self.arrived.is_empty() {
            timeout(CONNECT, self.arrive()).await?;
        }
        Ok(())
    }

    /// The next of those that are there, also those that nobody has taken in yet.
    pub fn take_next(&mut self) -> Option<TcpStream> {
        self.take_in();
        self.arrived.pop_front()
    }

    /// The one for a transfer in the clear. Whoever hung up without a byte gives way to others: it may
    /// be the client with nothing to send, and anybody who looked which ports are open.
    pub fn choose(mut self) -> Option<TcpStream> {
        self.take_in();
        let open = self.arrived.iter().position(|other| !has_hung_up(other));
        self.arrived.remove(open.unwrap_or(0))
    }

    /// Takes in who waits at the port. Asks the system, which knows before a wait is woken.
    fn take_in(&mut self) {
        for _ in 0..BACKLOG {
            let Ok((socket, from)) = SockRef::from(&self.listener).accept() else {
                return;
            };
            let stream = socket.set_nonblocking(true);
            let stream = stream.and_then(|()| TcpStream::from_std(socket.into()));
            if let (Ok(stream), Some(from)) = (stream, from.as_socket()) {
                self.keep(stream, from);
            }
        }
    }

    /// Whether it is kept.
    fn keep(&mut self, stream: TcpStream, from: SocketAddr) -> bool {
        let from = from.ip().to_canonical();
        if from != self.peer && !self.proxies.iter().any(|proxy| proxy.contains(from)) {
            tracing::info!(peer = %self.peer, stranger = %from, "somebody else came for a data connection and was sent away");
            return false;
        }
        if self.arrived.len() >= MOST_KEPT {
            let Some(gone) = self.arrived.iter().position(has_hung_up) else {
                tracing::info!(peer = %self.peer, "too many came for one data connection; the last was sent away");
                return false;
            };
            self.arrived.remove(gone);
        }
        let _ = stream.set_nodelay(true);
        self.arrived.push_back(stream);
        true
    }
}

/// Whether the other end is closed, and has sent nothing.
fn has_hung_up(stream: &TcpStream) -> bool {
    let mut one = [MaybeUninit::uninit()];
    match SockRef::from(stream).peek(&mut one) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address.ip() {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Connections of before that are not quite over do not keep a port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
