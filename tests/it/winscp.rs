//! What WinSCP sends, which runs on Windows only.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use crate::support::client::{paramiko, run, succeed};
use crate::support::folder::TempFolder;
use crate::support::server::Server;
use crate::support::wait::wait_for;

#[test]
fn an_upload_that_broke_off_is_resumed_and_renamed_into_place() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let mut client = paramiko("winscp.py", &server, &["first"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut output = BufReader::new(client.stdout.take().unwrap());
    output.read_line(&mut said).unwrap();
    assert_eq!(said, "half\n");
    client.kill().unwrap();
    client.wait().unwrap();
    wait_for("the session to end", Duration::from_secs(30), || {
        server.log().contains("session ended").then_some(())
    });
    succeed(&run(paramiko("winscp.py", &server, &["second"]), ""));
    server.stop();
}
