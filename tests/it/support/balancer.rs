//! A balancer that says by the PROXY protocol for whom it speaks.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

/// For the client 203.0.113.77.
pub(crate) const V1: &[u8] = b"PROXY TCP4 203.0.113.77 198.51.100.1 50000 22\r\n";
/// The same, by version 2.
pub(crate) const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x4d\xc6\x33\x64\x01\xc3\x50\x00\x16";

/// A port that puts a header before each connection to a server.
pub(crate) fn balancer(server: SocketAddr, header: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut server = TcpStream::connect(server).unwrap();
            server.write_all(header).unwrap();
            let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut client, &mut server);
                let _ = server.shutdown(Shutdown::Both);
            });
        }
    });
    address
}
