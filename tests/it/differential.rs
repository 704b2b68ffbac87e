//! The same random operations on OpenSSH's sftp-server and on ours.

use crate::support::client::{paramiko, run, succeed};
use crate::support::folder::TempFolder;
use crate::support::server::Server;

/// Rounds of operations, each from a seed of its own.
const SEQUENCES: u64 = 25;
const OPERATIONS: &str = "150";

/// Rounds of requests that nobody waits for.
const PIPELINED: u64 = 60;
const BURSTS: &str = "8";

#[test]
fn random_operations_end_as_with_openssh() {
    compare("differential.py", SEQUENCES, OPERATIONS);
}

#[test]
fn requests_sent_without_waiting_end_as_with_openssh() {
    compare("pipelined.py", PIPELINED, BURSTS);
}

/// A failure names its seed; `SEALIFT_SEED` begins with it.
fn compare(script: &str, sequences: u64, length: &str) {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let theirs = folder.folder("theirs");
    let given = std::env::var_os("SEALIFT_SEED").and_then(|seed| seed.into_string().ok());
    let first = given.unwrap_or_else(|| fastrand::u32(..).to_string());
    let words = [
        theirs.to_str().unwrap(),
        &first,
        &sequences.to_string(),
        length,
    ];
    succeed(&run(paramiko(script, &server, &words), ""));
    server.stop();
}
