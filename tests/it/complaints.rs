//! Sentences about failures that OpenSSH's programs show as `Failure`, and the programs that run OpenSSH's.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::client::{SshOptions, paramiko, python, quote, run, sftp, succeed};
use crate::support::folder::{TempFolder, sha256, write_random};
use crate::support::mount::Mount;
use crate::support::server::{DEMO, Server};

const REASON: &str = "quota of account reached";

/// A server on which there is no room for `large`.
struct Full {
    folder: TempFolder,
    server: Server,
    options: SshOptions,
    large: PathBuf,
}

impl Full {
    fn new() -> Self {
        let folder = TempFolder::new();
        let server = Server::up(&folder.join("data"));
        let options = SshOptions::with_new_key(&server, folder.path());
        server.admin(&["account", "set", DEMO, "--quota", "50KiB"], "");
        let large = folder.join("large");
        write_random(&large, 3_000_000);
        Self {
            folder,
            server,
            options,
            large,
        }
    }

    fn config(&self) -> PathBuf {
        self.options.config(&self.server, &self.folder.join("ssh"))
    }

    fn make_room(&self) {
        self.server
            .admin(&["account", "set", DEMO, "--quota", "none"], "");
    }
}

#[track_caller]
fn told(failed: &Output) -> String {
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(!failed.status.success(), "{said}");
    assert!(said.contains(REASON), "{said}");
    said
}

#[test]
fn sftp_says_why_there_is_no_room() {
    let full = Full::new();
    let put = format!("put {} large\n", quote(&full.large));
    let said = told(&sftp(&full.server, &full.options, &[], &put));
    assert!(said.contains("Failure"), "{said}");
    // What is asked to learn what is there is not told, nor what the client's own words say.
    let batch = "mkdir there\n-mkdir there\n-rename missing there\n-rmdir missing\n-ls missing\n";
    let tried = sftp(&full.server, &full.options, &[], batch);
    succeed(&tried);
    let said = String::from_utf8_lossy(&tried.stderr);
    for line in said.lines() {
        assert!(
            line.contains("remote") || line.contains("Can't ls"),
            "{said}"
        );
    }
    full.make_room();
    succeed(&sftp(&full.server, &full.options, &[], &put));
    full.server.stop();
}

#[test]
fn scp_says_why_there_is_no_room() {
    let full = Full::new();
    let copy = |protocol: &str| {
        let mut command = Command::new("scp");
        command.args([protocol, "-F"]).arg(full.config());
        command.arg(&full.large).arg("sealift:large");
        run(command, "")
    };
    told(&copy("-s"));
    told(&copy("-O"));
    full.make_room();
    succeed(&copy("-s"));
    full.server.stop();
}

#[test]
fn other_clients_are_told_by_the_status_alone() {
    let full = Full::new();
    succeed(&run(
        paramiko("limits.py", &full.server, &["no_complaints"]),
        "",
    ));
    full.server.stop();
}

#[test]
fn sshfs_goes_on_where_there_was_no_room() {
    let full = Full::new();
    let there = full.folder.join("there");
    let mut command = Command::new("sshfs");
    command.args(["-f", "-F"]).arg(full.config());
    command.arg("sealift:/").arg(&there);
    let mount = Mount::new(command, &there);
    let large = fs::read(&full.large).unwrap();
    for number in 0..20 {
        let mut file = File::create(there.join(format!("large {number}"))).unwrap();
        let stored = file.write_all(&large).and_then(|()| file.sync_all());
        assert!(stored.is_err());
    }
    full.make_room();
    fs::copy(&full.large, there.join("large")).unwrap();
    assert_eq!(sha256(&there.join("large")), sha256(&full.large));
    mount.unmount();
    full.server.stop();
}

/// By OpenSSH's program instead of its own SSH.
fn rclone(config: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(python("rclone"));
    command
        .args(["--config", "/dev/null", "--retries", "1", "-v"])
        .args(["--low-level-retries", "1"])
        .args(words)
        .env("RCLONE_CONFIG_SEALIFT_TYPE", "sftp")
        .env("RCLONE_CONFIG_SEALIFT_SHELL_TYPE", "none")
        .env(
            "RCLONE_CONFIG_SEALIFT_SSH",
            format!("ssh -F {} sealift", config.display()),
        );
    run(command, "")
}

#[test]
fn rclone_goes_on_where_there_was_no_room() {
    let full = Full::new();
    let (config, large) = (full.config(), full.large.to_str().unwrap());
    let copy = ["copyto", large, "sealift:large"];
    let failed = rclone(&config, &copy);
    let said = String::from_utf8_lossy(&failed.stderr);
    assert!(!failed.status.success(), "{said}");
    assert!(said.contains(REASON), "{said}");
    full.make_room();
    succeed(&rclone(&config, &copy));
    let back = full.folder.join("back");
    succeed(&rclone(
        &config,
        &["copyto", "sealift:large", back.to_str().unwrap()],
    ));
    assert_eq!(sha256(&back), sha256(&full.large));
    full.server.stop();
}
