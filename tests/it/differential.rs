//! The same random operations on OpenSSH's sftp-server and on ours.

use crate::support::client::{paramiko, run, succeed};
use crate::support::folder::TempFolder;
use crate::support::server::Server;

/// Rounds of operations, each from a seed of its own.
const SEQUENCES: u64 = 25;
const OPERATIONS: &str = "150";

/// A failure names its seed; `SEALIFT_SEED` begins with it.
#[test]
fn random_operations_end_as_with_openssh() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let theirs = folder.folder("theirs");
    let given = std::env::var_os("SEALIFT_SEED").and_then(|seed| seed.into_string().ok());
    let first = given.unwrap_or_else(|| fastrand::u32(..).to_string());
    let words = [
        theirs.to_str().unwrap(),
        &first,
        &SEQUENCES.to_string(),
        OPERATIONS,
    ];
    succeed(&run(paramiko("differential.py", &server, &words), ""));
    server.stop();
}
