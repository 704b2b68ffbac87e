//! restic with its repository on a server: backups are verified and restored.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::client::{SshOptions, run, succeed, write_odd_files};
use crate::support::folder::{TempFolder, sums, write_random};
use crate::support::server::Server;

#[test]
fn backups_are_checked_restored_and_pruned() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let options = SshOptions::with_new_key(&server, folder.path());
    let config = options.config(&server, &folder.join("ssh"));
    let out = folder.folder("out");
    write_odd_files(&out);
    for number in 0..100 {
        write_random(&out.join(format!("file {number}")), number * 700);
    }
    write_random(&out.join("large"), 40_000_000);
    let restic = |words: &[&str]| {
        let mut command = Command::new("restic");
        command
            .current_dir(&out)
            .env("RESTIC_PASSWORD", "of the repository")
            .args(["--no-cache", "-q", "-r", "sftp:sealift:/repository", "-o"])
            .arg(format!(
                "sftp.command=ssh -F {} sealift -s sftp",
                config.display()
            ))
            .args(words);
        succeed(&run(command, ""))
    };
    restic(&["init"]);
    restic(&["backup", "."]);
    let first = sums(&out);
    fs::remove_file(out.join("file 7")).unwrap();
    write_random(&out.join("file 8"), 3_000_000);
    restic(&["backup", "."]);
    restic(&["check", "--read-data"]);
    let restored = |snapshot: &str, to: &Path| {
        restic(&["restore", snapshot, "--target", to.to_str().unwrap()]);
        sums(to)
    };
    assert_eq!(restored("latest", &folder.join("second")), sums(&out));
    restic(&["forget", "--keep-last", "1", "--prune"]);
    restic(&["check", "--read-data"]);
    assert_eq!(restored("latest", &folder.join("third")), sums(&out));
    assert_ne!(first, sums(&out));
    server.stop();
}
