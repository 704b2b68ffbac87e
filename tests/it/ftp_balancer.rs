//! FTP behind a balancer that says for whom it speaks (PROXY protocol), and what clients are told to
//! connect to for data.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::balancer::{V1, V2, balancer};
use crate::support::folder::TempFolder;
use crate::support::ftp_door::{FtpDoor, ask, code, put};
use crate::support::ftp_raw::{FtpRaw, passive_address};
use crate::support::server::{DEMO, Server};

/// For a client inside of the balancer's own network.
const V1_INSIDE: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 22\r\n";

#[test]
fn a_balancer_speaks_for_its_clients_on_both_ports() {
    let door = FtpDoor::up_with(&[
        ("PROXIES", "127.0.0.0/8"),
        ("PASSIVE_ADDRESS", "198.51.100.9"),
    ]);
    let password = door.server.password();
    for header in [V1, V2] {
        let (mut explicit, _) = FtpRaw::connect(balancer(door.address(), header)).unwrap();
        explicit.secure();
        let implicit = FtpDoor::implicit_at(balancer(door.implicit(), header));
        for mut client in [explicit, implicit] {
            client.login(DEMO, &password);
            // The port for data comes in through the balancer, too.
            assert_eq!(put(&mut client, "STOR a", b"x"), 226);
            // Data goes to the client for whom it speaks, not to the balancer.
            assert_eq!(code(&mut client, "PORT 127,0,0,1,200,1"), 501);
            assert_eq!(code(&mut client, "PORT 203,0,113,77,200,1"), 200);
        }
    }
    door.server.audit_with("their logins", |log| {
        log.contains("\"address\":\"203.0.113.77\"")
    });
    let mut bare = TcpStream::connect(door.address()).unwrap();
    bare.write_all(b"NOOP\r\n").unwrap();
    let mut got = Vec::new();
    let _ = bare.read_to_end(&mut got);
    assert!(got.is_empty());
}

#[test]
fn pasv_tells_the_address_of_the_balancer_to_clients_beyond_it() {
    let folder = TempFolder::new();
    let variables = [
        ("FTP__PROXIES", "127.0.0.0/8"),
        ("FTP__PASSIVE_ADDRESS", "198.51.100.9"),
        ("FTP__PASSIVE_PRIVATE", "192.0.2.0/24"),
        // A name, for the other port; it is looked up when it is needed.
        ("FTPS__PASSIVE_ADDRESS", "localhost"),
        ("FTPS__PASSIVE_PRIVATE", "203.0.113.0/24"),
    ];
    let variables = variables.map(|(name, value)| (format!("SEALIFT__{name}"), value.to_owned()));
    let door = FtpDoor::over(Server::up_with(&folder.join("data"), &variables));
    let password = door.server.password();
    let told = |mut client: FtpRaw, verb: &str| {
        client.login(DEMO, &password);
        let reply = ask(&mut client, verb);
        let address = passive_address(&reply, door.address()).unwrap();
        // Wherever it is said to be, it is here that the balancer brings it.
        assert_eq!(code(&mut client, "TYPE I"), 200);
        TcpStream::connect(("127.0.0.1", address.port())).unwrap();
        address.ip().to_string()
    };
    for (header, clear, sealed) in [
        (V1, "198.51.100.9", "127.0.0.1"),
        (V2, "198.51.100.9", "127.0.0.1"),
        (V1_INSIDE, "127.0.0.1", "127.0.0.1"),
    ] {
        let explicit = FtpRaw::connect(balancer(door.address(), header)).unwrap().0;
        assert_eq!(told(explicit, "PASV"), clear);
        let implicit = FtpDoor::implicit_at(balancer(door.implicit(), header));
        assert_eq!(told(implicit, "PASV"), sealed);
    }
}
