//! Data connections: where clients are told to make theirs, and those that we make to them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;

use crate::ftp::reply::Reply;
use crate::ftp::settings::{Ends, PassiveSettings};
use crate::ftp::work::Family;

/// How long a data connection may take to be made.
pub const CONNECT: Duration = Duration::from_secs(10);

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
    four.into_iter().next().ok_or_else(|| {
        tracing::error!(name = %settings.address, "passive_address has no IPv4 address, which PASV needs; write one, or mend the name");
        unknown()
    })
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
