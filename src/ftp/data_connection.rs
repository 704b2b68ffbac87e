//! Data connections: those that clients make to us, and those that we make to them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::time::{sleep, timeout};

use crate::domain::random;
use crate::ftp::reply::Reply;
use crate::ftp::settings::{Ends, PassiveSettings};
use crate::ftp::work::Family;
use crate::net::network::Network;

/// How long a data connection may take to be made.
pub const CONNECT: Duration = Duration::from_secs(10);
/// Ports that are tried when others are in use.
const MOST_TRIES: u32 = 2048;
/// Data connections that wait to be taken; all but one of them are strangers'.
const BACKLOG: u32 = 16;
/// Pause when connections cannot be taken, as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// A port at which a client's data connection is awaited.
#[derive(Debug)]
pub struct Passive {
    listener: TcpListener,
    peer: IpAddr,
    proxies: Arc<[Network]>,
    arrived: Option<TcpStream>,
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
                        arrived: None,
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

    /// Waits until the client's connection is there; never returns again after that. Others that come
    /// are hung up on at once, lest they keep the client from coming in. May be dropped at any time.
    pub async fn arrive(&mut self) {
        if self.arrived.is_some() {
            std::future::pending::<()>().await;
        }
        while self.arrived.is_none() {
            let Ok((stream, from)) = self.listener.accept().await else {
                sleep(PAUSE).await;
                continue;
            };
            let from = from.ip().to_canonical();
            if from == self.peer || self.proxies.iter().any(|proxy| proxy.contains(from)) {
                let _ = stream.set_nodelay(true);
                self.arrived = Some(stream);
                return;
            }
            tracing::info!(peer = %self.peer, stranger = %from, "somebody else came for a data connection and was sent away");
        }
    }

    /// The client's connection.
    ///
    /// # Errors
    /// TimedOut when it does not come within [`CONNECT`].
    pub async fn accept(mut self) -> io::Result<TcpStream> {
        if self.arrived.is_none() {
            timeout(CONNECT, self.arrive()).await?;
        }
        self.arrived.ok_or_else(|| io::ErrorKind::TimedOut.into())
    }
}

/// The reply to PASV or EPSV.
///
/// # Errors
/// 425 when the address that clients are to be told is not known.
pub async fn told(
    port: u16,
    family: Family,
    settings: &PassiveSettings,
    ends: Ends,
) -> Result<Reply, Reply> {
    match family {
        Family::Same => Ok(Reply::new(
            229,
            format!("Entering Extended Passive Mode (|||{port}|)"),
        )),
        Family::Four => {
            let ip = external(settings, ends).await?;
            let [a, b, c, d] = ip.octets();
            let [high, low] = port.to_be_bytes();
            // Old clients look for the digits, others for the bracket.
            let text = format!("Entering Passive Mode ({a},{b},{c},{d},{high},{low}).");
            Ok(Reply::new(227, text))
        }
    }
}

async fn external(settings: &PassiveSettings, ends: Ends) -> Result<Ipv4Addr, Reply> {
    let unknown = || Reply::new(425, "the address for PASV is not known; use EPSV");
    let is_private = settings.private.iter().any(|net| net.contains(ends.peer));
    if settings.address.is_empty() || is_private {
        return match ends.local.ip().to_canonical() {
            IpAddr::V4(ip) => Ok(ip),
            IpAddr::V6(_) => Err(unknown()),
        };
    }
    if let Ok(ip) = settings.address.parse() {
        return Ok(ip);
    }
    let found = timeout(CONNECT, lookup_host((settings.address.as_str(), 0))).await;
    let found = match found {
        Ok(Ok(found)) => found,
        Ok(Err(_)) | Err(_) => {
            tracing::error!(name = %settings.address, "passive_address cannot be looked up; write an address, or mend the name");
            return Err(unknown());
        }
    };
    let four = found.filter_map(|address| match address.ip().to_canonical() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    });
    four.into_iter().next().ok_or_else(unknown)
}

/// Connects to a client.
///
/// # Errors
/// TimedOut after [`CONNECT`], and those of sockets.
pub async fn connect(to: SocketAddr, ends: Ends) -> io::Result<TcpStream> {
    let to = SocketAddr::new(to.ip().to_canonical(), to.port());
    let socket = match to.ip() {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // From where the client knows us, or its firewall may not let us in.
    let from = ends.local.ip().to_canonical();
    if from.is_ipv4() == to.is_ipv4() {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    let stream = timeout(CONNECT, socket.connect(to)).await??;
    let _ = stream.set_nodelay(true);
    Ok(stream)
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
