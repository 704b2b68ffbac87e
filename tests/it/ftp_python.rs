//! Python's ftplib as it is, over FTP and AUTH TLS.

use std::path::Path;
use std::process::Command;

use crate::support::client::{python, run, succeed};
use crate::support::folder::TempFolder;
use crate::support::ftp_client::{Way, on_ipv6};
use crate::support::server::{DEMO, Server};

#[test]
fn ftplib_does_all_it_can() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    ftplib(&server);
    server.stop();
}

#[test]
fn ftplib_does_all_it_can_over_ipv6() {
    let folder = TempFolder::new();
    let server = Server::up_with(&folder.join("data"), &on_ipv6());
    ftplib(&server);
    server.stop();
}

fn ftplib(server: &Server) {
    for tls in ["clear", "tls"] {
        for mode in ["passive", "active"] {
            let address = Way::Clear.address(server);
            let script =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/paramiko/ftplib_client.py");
            let mut command = Command::new(python("python3"));
            command
                .arg("-B")
                .arg(script)
                .args([&address.ip().to_string(), &address.port().to_string()])
                .args([DEMO, &server.password(), tls, mode]);
            succeed(&run(command, ""));
        }
    }
}
