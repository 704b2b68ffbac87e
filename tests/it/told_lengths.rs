//! What broke off of a file that is published: its length is shown, and no client takes as much of the old version
//! for all of it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use bytes::Bytes;
use sealift::db::sql::Dialect;
use sealift::domain::error::ErrorKind;
use sealift::domain::path::VfsPath;
use sealift::vfs::rename::Overwrite;
use sealift::vfs::session::Session;

use crate::sftp_raw::{CLOSE, Channel, FAILURE, OK, READING, WRITING, world};
use crate::support::client::{SshOptions, paramiko, python, quote, run, sftp, sftp_ok, succeed};
use crate::support::dialects::on_both;
use crate::support::folder::{TempFolder, write_random};
use crate::support::https_door::ask;
use crate::support::mount::Mount;
use crate::support::server::{DEMO, Server};
use crate::support::wait::wait_for;
use crate::support::world::{World, clean, get, path, put, replace, update};

on_both!(
    a_file_is_not_read_while_the_length_of_another_is_shown,
    what_broke_off_is_not_there_for_who_sees_what_is_published,
);

/// How long what is kept of an upload shows itself.
async fn break_off(session: &Session, at: &VfsPath, bytes: usize) -> u64 {
    let mut writer = session.open_write(at, replace()).await.unwrap();
    let part = Bytes::from(vec![b'n'; bytes]);
    writer.write_at(0, part).await.unwrap();
    writer.keep().await;
    session.stat(at).await.unwrap().size
}

async fn a_file_is_not_read_while_the_length_of_another_is_shown(dialect: Dialect) {
    let world = World::new(dialect).await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let at = path("/f");
    let old = vec![b'o'; 2_000_000];
    put(&ann, &at, &old).await.unwrap();
    for sent in [1 << 20, 300_000, 1] {
        let kept = break_off(&ann, &at, sent).await;
        assert!(kept < sent as u64);
        let refused = ann.open_shown(&at).await.err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Busy);
        for told in [kept.to_string().as_str(), "2000000"] {
            assert!(refused.context().contains(told), "{refused}");
        }
        // Who tells the length with what is sent sends what is published.
        assert_eq!(ann.open_read(&at).await.unwrap().entry().size, 2_000_000);
        assert_eq!(bob.open_shown(&at).await.unwrap().entry().size, 2_000_000);
        let published = ann.as_published();
        assert_eq!(published.stat(&at).await.unwrap().size, 2_000_000);
        assert_eq!(
            published.open_shown(&at).await.unwrap().entry().size,
            2_000_000
        );
    }
    let mut rest = ann.open_write(&at, update()).await.unwrap();
    rest.write_at(0, Bytes::from_static(b"new")).await.unwrap();
    rest.commit().await.unwrap();
    assert_eq!(ann.open_shown(&at).await.unwrap().entry().size, 3);
    // A change that leaves the length as it was tells nobody a wrong one.
    let mut change = ann.open_write(&at, update()).await.unwrap();
    change.write_at(0, Bytes::from_static(b"NE")).await.unwrap();
    change.keep().await;
    assert_eq!(ann.stat(&at).await.unwrap().size, 3);
    assert_eq!(get(&ann, &at).await.unwrap(), b"new");
    assert_eq!(ann.open_shown(&at).await.unwrap().entry().size, 3);
    clean(&world).await;
}

async fn what_broke_off_is_not_there_for_who_sees_what_is_published(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let (at, to) = (path("/f"), path("/g"));
    let kept = break_off(&ann, &at, 1 << 20).await;
    let published = ann.as_published();
    let absent = |done: sealift::domain::error::Result<()>| {
        assert_eq!(done.unwrap_err().kind(), ErrorKind::NotFound);
    };
    absent(published.stat(&at).await.map(drop));
    absent(published.open_read(&at).await.map(drop));
    absent(published.rename(&at, &to, Overwrite::Allow).await);
    absent(published.copy_file(&at, &to, Overwrite::Allow).await);
    absent(published.remove_file(&at).await);
    absent(published.remove_tree(&at).await);
    let root = VfsPath::root();
    assert!(
        published
            .list(&root)
            .await
            .unwrap()
            .next_page()
            .await
            .unwrap()
            .is_empty()
    );
    // Nobody's copy makes half a file of it that all see.
    absent(ann.copy_file(&at, &to, Overwrite::Allow).await);
    assert_eq!(ann.stat(&at).await.unwrap().size, kept);
    ann.rename(&at, &to, Overwrite::Allow).await.unwrap();
    ann.remove_file(&to).await.unwrap();
    clean(&world).await;
}

#[tokio::test]
async fn what_broke_off_is_copied_through_handles_alone() {
    let (_world, files) = world().await;
    let kept = break_off(&files, &path("/half"), 1 << 20).await;
    let mut channel = Channel::open(&files).await;
    let words: [&[u8]; 3] = [b"copy-file", b"/half", b"/copy"];
    let refused = channel.ask(200, &words, &[1]).await;
    assert_eq!(refused.code(), FAILURE);
    assert!(refused.message().contains("broke off"), "{refused:?}");
    // As reading and writing it would.
    let (read, write) = (
        channel.open_file("/half", READING).await,
        channel.open_file("/copy", WRITING).await,
    );
    let length = u32::try_from(write.len()).unwrap().to_be_bytes();
    let rest = [&[0; 16][..], &length, &write, &[0; 8]].concat();
    let words: [&[u8]; 2] = [b"copy-data", &read];
    assert_eq!(channel.ask(200, &words, &rest).await.code(), OK);
    assert_eq!(channel.ask(CLOSE, &[&write], b"").await.code(), OK);
    assert_eq!(files.stat(&path("/copy")).await.unwrap().size, kept);
}

const OLD: u64 = 2_000_000;
const NEW: u64 = 1_500_000;
const SENT: usize = 700_000;

/// A published file of which its account has broken off a new version.
struct Replaced {
    server: Server,
    options: SshOptions,
    folder: TempFolder,
    old: PathBuf,
    new: PathBuf,
    kept: u64,
}

impl Replaced {
    fn new() -> Self {
        let folder = TempFolder::new();
        let server = Server::up(&folder.join("data"));
        let options = SshOptions::with_new_key(&server, folder.path());
        let (old, new) = (folder.join("old"), folder.join("new"));
        write_random(&old, OLD);
        write_random(&new, NEW);
        sftp_ok(&server, &options, &format!("put {} held\n", quote(&old)));
        break_off_by_paramiko(&server, "held", &new);
        let kept = wait_for("what broke off", Duration::from_secs(30), || {
            size_of(&server, &options, "held").filter(|size| *size != OLD)
        });
        assert!(kept < SENT as u64, "{kept}");
        Self {
            server,
            options,
            folder,
            old,
            new,
            kept,
        }
    }

    fn back(&self) -> PathBuf {
        self.folder.join("back")
    }

    /// Fails, and leaves nothing that could be taken for the file.
    #[track_caller]
    fn refused(&self, said: &Output) {
        assert!(!said.status.success(), "{said:?}");
        let left = fs::read(self.back()).unwrap_or_default();
        assert!(left.is_empty(), "{} bytes are there: {said:?}", left.len());
        let _ = fs::remove_file(self.back());
    }

    /// Goes on with the upload, and fetches all of it.
    fn go_on(self, batch: &str) {
        let words = format!("{batch} {} held\n", quote(&self.new));
        sftp_ok(&self.server, &self.options, &words);
        let fetch = format!("get held {}\n", quote(self.back()));
        sftp_ok(&self.server, &self.options, &fetch);
        assert!(fs::read(self.back()).unwrap() == fs::read(&self.new).unwrap());
        self.server.stop();
    }
}

fn break_off_by_paramiko(server: &Server, name: &str, local: &Path) {
    let words = [name, local.to_str().unwrap(), &SENT.to_string()];
    let mut client = paramiko("break_off.py", server, &words)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(client.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "sent\n");
    client.kill().unwrap();
    client.wait().unwrap();
}

/// As OpenSSH's client lists it.
fn size_of(server: &Server, options: &SshOptions, name: &str) -> Option<u64> {
    let listed = sftp(server, options, &[], &format!("ls -ln {name}\n"));
    let listed = String::from_utf8(listed.stdout).unwrap();
    let size = listed.lines().find(|line| line.starts_with('-'))?;
    size.split_whitespace().nth(4)?.parse().ok()
}

fn scp(replaced: &Replaced, protocol: &str) -> Output {
    let mut command = Command::new("scp");
    command
        .args([protocol, "-P", &replaced.server.port().to_string()])
        .args(replaced.options.words())
        .args(["-o", &format!("User={DEMO}"), "127.0.0.1:held"])
        .arg(replaced.back());
    run(command, "")
}

#[test]
fn openssh_fetches_no_part_of_the_old_file() {
    let replaced = Replaced::new();
    let (server, options) = (&replaced.server, &replaced.options);
    let back = replaced.back();
    for _ in 0..2 {
        let got = sftp(
            server,
            options,
            &[],
            &format!("get held {}\n", quote(&back)),
        );
        let said = String::from_utf8_lossy(&got.stderr).into_owned();
        assert!(said.contains("broke off"), "{said}");
        replaced.refused(&got);
    }
    // In one session as well.
    let tries = format!("-get held {0}\n-stat held\n-get held {0}\n", quote(&back));
    sftp(server, options, &[], &tries);
    assert!(!back.exists());
    replaced.refused(&scp(&replaced, "-s"));
    let part = &fs::read(&replaced.new).unwrap()[..1000];
    fs::write(&back, part).unwrap();
    let got = sftp(
        server,
        options,
        &[],
        &format!("reget held {}\n", quote(&back)),
    );
    assert!(!got.status.success(), "{got:?}");
    assert!(fs::read(&back).unwrap() == part);
    // Where the length comes with the bytes, they are those of what is published.
    succeed(&scp(&replaced, "-O"));
    assert!(fs::read(&back).unwrap() == fs::read(&replaced.old).unwrap());
    assert_eq!(size_of(server, options, "held"), Some(replaced.kept));
    replaced.go_on("reput");
}

#[test]
fn asyncssh_and_rclone_fetch_no_part_of_the_old_file() {
    let replaced = Replaced::new();
    let (server, back) = (&replaced.server, replaced.back());
    let words = ["held", back.to_str().unwrap()];
    let got = run(paramiko("asyncssh_get.py", server, &words), "");
    let said = String::from_utf8_lossy(&got.stderr).into_owned();
    assert!(said.contains("broke off"), "{said}");
    replaced.refused(&got);
    let rclone = |words: &[&str]| {
        let mut command = Command::new(python("rclone"));
        command
            .args(["--config", "/dev/null", "--retries", "3"])
            .args(words);
        command
    };
    let obscured = succeed(&run(rclone(&["obscure", &server.password()]), ""));
    let mut copy = rclone(&["copyto", "sealift:held", back.to_str().unwrap()]);
    let port = server.port().to_string();
    for (name, value) in [
        ("TYPE", "sftp"),
        ("HOST", "127.0.0.1"),
        ("PORT", &port),
        ("USER", DEMO),
        ("PASS", obscured.trim()),
    ] {
        copy.env(format!("RCLONE_CONFIG_SEALIFT_{name}"), value);
    }
    replaced.refused(&run(copy, ""));
    replaced.go_on("put -a");
}

#[test]
fn programs_on_sshfs_read_no_part_of_the_old_file() {
    let replaced = Replaced::new();
    let config = replaced.folder.join("ssh");
    let config = replaced.options.config(&replaced.server, &config);
    let there = replaced.folder.join("there");
    let mut command = Command::new("sshfs");
    command
        .arg("-f")
        .arg("-F")
        .arg(&config)
        .arg("sealift:")
        .arg(&there)
        .args(["-o", "idmap=user"]);
    let mount = Mount::new(command, &there);
    let held = there.join("held");
    assert_eq!(fs::metadata(&held).unwrap().len(), replaced.kept);
    // Also at once again, while the kernel and sshfs remember what they were told.
    for _ in 0..3 {
        let mut copy = Command::new("cp");
        copy.arg(&held).arg(replaced.back());
        replaced.refused(&run(copy, ""));
        assert!(fs::read(&held).is_err());
    }
    mount.unmount();
    replaced.go_on("reput");
}

#[test]
fn https_acts_on_what_is_published_alone() {
    let replaced = Replaced::new();
    let (server, options) = (&replaced.server, &replaced.options);
    break_off_by_paramiko(server, "half", &replaced.new);
    let kept = wait_for("what broke off", Duration::from_secs(30), || {
        size_of(server, options, "half")
    });
    let user = format!("{DEMO}:{}", server.password());
    let base = format!("https://{}", server.ready.listeners.https.unwrap());
    let asked = |words: &[&str], path: &str| {
        ask(
            &[&["--user", user.as_str()], words].concat(),
            &format!("{base}{path}"),
        )
    };
    let home = sftp_ok(server, options, "pwd\n");
    let home = home.lines().last().unwrap();
    let home = home.rsplit_once(": ").unwrap().1.trim_end_matches('/');
    for path in ["/api/v1/files", "/dav"] {
        let got = asked(&[], &format!("{path}{home}/held"));
        assert_eq!((got.status, got.body.len() as u64), (200, OLD), "{path}");
    }
    let way = format!(r#"{{"from":"{home}/half","to":"{home}/other"}}"#);
    let json = ["-H", "Content-Type: application/json", "-d", &way];
    let destination = format!("Destination: /dav{home}/other");
    for (words, path) in [
        (&[][..], format!("/api/v1/entries{home}/half")),
        (&json, "/api/v1/copy".to_owned()),
        (&json, "/api/v1/move".to_owned()),
        (&["-X", "DELETE"], format!("/api/v1/entries{home}/half")),
        (
            &["-X", "DELETE"],
            format!("/api/v1/entries{home}/half?recursive=true"),
        ),
        (
            &["-X", "COPY", "-H", &destination],
            format!("/dav{home}/half"),
        ),
        (
            &["-X", "MOVE", "-H", &destination],
            format!("/dav{home}/half"),
        ),
        (&["-X", "DELETE"], format!("/dav{home}/half")),
    ] {
        let answer = asked(words, &path);
        assert_eq!(answer.status, 404, "{words:?} {path}: {}", answer.text());
    }
    // Those who are shown it may.
    assert_eq!(size_of(server, options, "half"), Some(kept));
    sftp_ok(server, options, "rename half other\n");
    assert_eq!(size_of(server, options, "other"), Some(kept));
    sftp_ok(server, options, "rm other\n");
    replaced.server.stop();
}
