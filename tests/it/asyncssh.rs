//! asyncssh, which newer Python programs use.

use crate::support::client::{paramiko, run, succeed};
use crate::support::folder::TempFolder;
use crate::support::server::Server;

#[test]
fn trees_patterns_and_parallel_channels_work() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let scratch = folder.folder("scratch");
    let words = [scratch.to_str().unwrap()];
    succeed(&run(paramiko("asyncssh_client.py", &server, &words), ""));
    server.stop();
}
