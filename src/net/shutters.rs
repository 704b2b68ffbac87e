//! Ports that are closed while an instance cannot serve, and opened again.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};

use socket2::{SockRef, Socket};
use tokio::net::TcpListener;

use crate::domain::error::{Error, Result};
use crate::net::listen::BACKLOG;

/// Listening sockets of which others accept. Closed, they refuse connections as if nobody listened, and
/// keep their ports.
#[derive(Default)]
pub struct Shutters {
    sockets: Vec<Socket>,
}

impl Shutters {
    /// Over these ports.
    ///
    /// # Errors
    /// Internal when the process has no descriptors left.
    pub fn over<'a>(listeners: impl IntoIterator<Item = &'a TcpListener>) -> Result<Self> {
        let copied = |listener: &TcpListener| listener.as_fd().try_clone_to_owned();
        let sockets = listeners.into_iter().map(copied);
        let sockets: io::Result<Vec<OwnedFd>> = sockets.collect();
        let sockets = sockets.map_err(Error::internal)?;
        Ok(Self {
            sockets: sockets.into_iter().map(Socket::from).collect(),
        })
    }

    /// Refuses connections from now on, also those that nobody has accepted yet.
    ///
    /// # Errors
    /// The system's.
    pub fn close(&self) -> io::Result<()> {
        for socket in &self.sockets {
            // Linux takes a listening socket out of service by this, bound as it is (shutdown(2) says
            // nothing of it; inet_shutdown in the kernel's net/ipv4/af_inet.c does).
            match SockRef::from(socket).shutdown(Shutdown::Read) {
                Err(error) if error.kind() != io::ErrorKind::NotConnected => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes connections again.
    ///
    /// # Errors
    /// The system's; some ports may be open then.
    pub fn open(&self) -> io::Result<()> {
        let mut sockets = self.sockets.iter();
        sockets.try_for_each(|socket| socket.listen(BACKLOG))
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;
    use crate::net::listen;

    #[tokio::test]
    async fn a_closed_port_refuses_and_an_opened_one_takes_connections_again() {
        let listener = listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let shutters = Shutters::over([&listener]).unwrap();
        for _ in 0..3 {
            let waiting = TcpStream::connect(address).await.unwrap();
            shutters.close().unwrap();
            shutters.close().unwrap();
            let refused = TcpStream::connect(address).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            drop(waiting);
            shutters.open().unwrap();
            let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
            assert_eq!(accepted.unwrap().1, client.unwrap().local_addr().unwrap());
        }
    }
}
