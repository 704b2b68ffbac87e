//! Listeners: binding with an error that says what to do, and the loop that accepts.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::net::limit::{Place, Places};
use crate::net::network::Network;
use crate::net::proxy_protocol::{self, Header};

/// Connections that may wait to be accepted.
pub(in crate::net) const BACKLOG: i32 = 1024;
/// Longest pause when the process or the machine is out of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(500);
/// How often it is looked whether more of a header has come.
const PIECES: Duration = Duration::from_millis(20);
/// How long a balancer may take to say for whom it speaks.
const INTRODUCTION: Duration = Duration::from_secs(5);

/// Binds a TCP port; port 0 takes a free one.
///
/// # Errors
/// Unavailable or Invalid, with what to do.
pub fn bind(address: SocketAddr) -> Result<TcpListener> {
    open(address).map_err(|error| refusal(address, error))
}

/// Checks that an address is one of this machine: takes it for a moment, and listens nowhere. That its port is in use,
/// perhaps by a server that runs by the same settings, is no error, nor that whoever asks may not open it.
///
/// # Errors
/// As [`bind`].
pub fn check(address: SocketAddr) -> Result<()> {
    match bound(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            Err(refusal(address, error))
        }
        _ => Ok(()),
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let mut socket = bound(address)?;
    if address.port() == 0 {
        // A port that was asked for by its number is kept while it is closed (`net/shutters.rs`).
        let chosen = socket.local_addr()?;
        socket = bound(chosen)?;
    }
    socket.listen(BACKLOG.unsigned_abs())
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it: peers that vanished are noticed in the end.
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn refusal(address: SocketAddr, error: io::Error) -> Error {
    let (ip, port) = (address.ip(), address.port());
    match error.kind() {
        io::ErrorKind::AddrInUse => Error::new(
            ErrorKind::Unavailable,
            format!("port {port} on {ip} is in use; stop the other program or choose another port"),
        ),
        io::ErrorKind::AddrNotAvailable => Error::invalid(format!(
            "{ip} is not an address of this machine; listen on one that is, or on 0.0.0.0 for all"
        )),
        io::ErrorKind::PermissionDenied => Error::invalid(format!(
            "port {port} on {ip} may not be opened; give the program CAP_NET_BIND_SERVICE or choose a port from 1024"
        )),
        _ => Error::new(
            ErrorKind::Unavailable,
            format!("port {port} on {ip} cannot be opened: {error}"),
        ),
    }
    .because(error)
}

/// A connection that was accepted.
pub struct Connection {
    /// The socket, with TCP_NODELAY set.
    pub stream: TcpStream,
    /// The other end, or for whom it speaks.
    pub peer: SocketAddr,
    /// Its place among the connections before login: drop it after login.
    pub place: Place,
}

/// Who is let in, and how many.
#[derive(Clone)]
pub struct Admission {
    /// The places before login.
    pub places: Places,
    /// Balancers that speak for others, and say for whom (PROXY protocol).
    pub proxies: Arc<[Network]>,
    /// Whether they must.
    pub introduction: Introduction,
}

/// Whether a balancer must say for whom it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Introduction {
    /// It must, and is hung up on otherwise.
    Demanded,
    /// It may: without a header it speaks for itself, as in checks of its own. Only for protocols of which nothing
    /// begins like a header.
    Optional,
}

/// Accepts until `stop`, each connection served by a task of `tasks`. The caller stops the tasks
/// and waits for them.
///
/// Connections above the limits of the places are closed at once. Running out of descriptors pauses
/// accepting and does not end it.
pub async fn accept<Serve, Serving>(
    mut listener: TcpListener,
    admission: Admission,
    tasks: TaskTracker,
    stop: CancellationToken,
    serve: Serve,
) where
    Serve: Fn(Connection) -> Serving + Clone + Send + 'static,
    Serving: Future<Output = ()> + Send + 'static,
{
    let Admission {
        places,
        proxies,
        introduction,
    } = admission;
    let mut out_of_resources = false;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                out_of_resources = false;
                let is_proxy = proxies.iter().any(|proxy| proxy.contains(peer.ip()));
                let place = match is_proxy {
                    true => places.try_take_unnamed(),
                    false => places.try_take(peer.ip()),
                };
                let place = match place {
                    Ok(place) => place,
                    Err(full) => {
                        tracing::debug!(peer = %peer, limit = ?full, "a connection was refused");
                        continue;
                    }
                };
                // Fails only for a connection that is gone already; its reader finds out.
                let _ = stream.set_nodelay(true);
                let connection = Connection {
                    stream,
                    peer,
                    place,
                };
                if !is_proxy {
                    tasks.spawn(serve(connection));
                    continue;
                }
                let (serve, stop) = (serve.clone(), stop.clone());
                tasks.spawn(async move {
                    let introduced = tokio::select! {
                        () = stop.cancelled() => None,
                        introduced = introduced(connection, introduction) => introduced,
                    };
                    if let Some(connection) = introduced {
                        serve(connection).await;
                    }
                });
            }
            Err(error) if of_one_connection(&error) => {}
            // The port is closed for now (`net/shutters.rs`).
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                let again = stop.run_until_cancelled(opened_again(listener));
                match again.await {
                    None => return,
                    Some(Ok(again)) => listener = again,
                    Some(Err(error)) => {
                        tracing::error!(error = %error, "a port cannot be used any more; restart the server");
                        return;
                    }
                }
            }
            Err(error) => {
                if !out_of_resources {
                    tracing::error!(error = %error, "connections cannot be accepted; trying again");
                    out_of_resources = true;
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = places.freed() => {}
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
    }
}

/// The same port, once it listens again. It is taken from the runtime meanwhile, which never forgets of
/// a socket that it was closed once.
async fn opened_again(listener: TcpListener) -> io::Result<TcpListener> {
    let listener = listener.into_std()?;
    while !SockRef::from(&listener).is_listener()? {
        tokio::time::sleep(PAUSE).await;
    }
    TcpListener::from_std(listener)
}

/// The same connection as that of the client for whom the balancer speaks.
async fn introduced(mut connection: Connection, introduction: Introduction) -> Option<Connection> {
    let balancer = connection.peer;
    let stream = &mut connection.stream;
    let reading = async {
        match introduction == Introduction::Optional && !begins_with_header(stream).await? {
            true => Ok(Header::Local),
            false => proxy_protocol::read(stream).await,
        }
    };
    match tokio::time::timeout(INTRODUCTION, reading).await {
        Ok(Ok(Header::For(client))) => connection.peer = client,
        Ok(Ok(Header::Local)) => {}
        Ok(Err(error)) => {
            // Checks of a balancer's own often just connect.
            match error.kind() {
                io::ErrorKind::InvalidData => {
                    tracing::warn!(peer = %balancer, error = %error, "a balancer did not say for whom it speaks; have it send the PROXY protocol, or take it off the list of proxies in the port's section (sftp.proxies, ftp.proxies, https.proxies)");
                }
                _ => tracing::debug!(peer = %balancer, error = %error, "a balancer hung up"),
            }
            return None;
        }
        Err(_) => {
            tracing::warn!(peer = %balancer, "a balancer did not say in time for whom it speaks");
            return None;
        }
    }
    let client = connection.peer;
    match connection.place.named(client.ip()) {
        Ok(place) => Some(Connection {
            place,
            ..connection
        }),
        Err(full) => {
            tracing::debug!(peer = %client, limit = ?full, "a connection was refused");
            None
        }
    }
}

/// Whether what comes is a header, without taking any of it.
async fn begins_with_header(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; proxy_protocol::LEAST_BYTES];
    loop {
        let count = stream.peek(&mut first).await?;
        let first = first.get(..count).unwrap_or_default();
        match proxy_protocol::may_begin(first) {
            false => return Ok(false),
            true if count == 0 => return Ok(false),
            true if count == proxy_protocol::LEAST_BYTES => return Ok(true),
            // A header in pieces; that there are bytes is no news.
            true => tokio::time::sleep(PIECES).await,
        }
    }
}

/// Errors of the connection that was to be accepted, not of the listener (accept(2)).
fn of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::TimedOut
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::mpsc;

    use super::*;
    use crate::net::limit::ConnectionLimits;

    const ANY: &str = "127.0.0.1:0";

    #[tokio::test]
    async fn a_port_in_use_says_what_to_do() {
        let first = bind(ANY.parse().unwrap()).unwrap();
        let taken = first.local_addr().unwrap();
        let error = bind(taken).unwrap_err();
        let wanted = format!(
            "port {} on 127.0.0.1 is in use; stop the other program or choose another port",
            taken.port()
        );
        assert_eq!(error.context(), wanted);
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_named() {
        let error = bind("192.0.2.1:0".parse().unwrap()).unwrap_err();
        assert!(error.context().contains("192.0.2.1"), "{error}");
    }

    #[tokio::test]
    async fn connections_above_the_limit_are_closed_until_a_place_is_free() {
        let listener = bind(ANY.parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let places = Places::new(ConnectionLimits {
            per_address: 1,
            total: 8,
        });
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let (arrived, mut arrivals) = mpsc::unbounded_channel();
        let serving = accept(
            listener,
            Admission {
                places: places.clone(),
                proxies: [].into(),
                introduction: Introduction::Demanded,
            },
            tasks.clone(),
            stop.clone(),
            move |connection| {
                arrived.send(connection).unwrap();
                async {}
            },
        );
        let client = async {
            let _first = TcpStream::connect(address).await.unwrap();
            let held = arrivals.recv().await.unwrap();
            let mut second = TcpStream::connect(address).await.unwrap();
            let ended = second.read(&mut [0; 1]).await;
            assert!(matches!(ended, Ok(0) | Err(_)), "closed at once");
            drop(held);
            let mut third = TcpStream::connect(address).await.unwrap();
            let mut served = arrivals.recv().await.unwrap();
            third.write_all(b"x").await.unwrap();
            assert_eq!(served.stream.read(&mut [0; 1]).await.unwrap(), 1);
            assert!(served.stream.nodelay().unwrap());
            stop.cancel();
        };
        tokio::join!(serving, client);
        tasks.close();
        tasks.wait().await;
    }
}
