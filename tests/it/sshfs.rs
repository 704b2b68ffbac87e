//! sshfs: programs that believe that they work on a disk.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::client::{SshOptions, run, succeed, write_odd_files};
use crate::support::folder::{TempFolder, sha256, walk, write_random};
use crate::support::mount::Mount;
use crate::support::server::Server;

#[test]
fn a_file_may_be_written_anywhere() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let config =
        SshOptions::with_new_key(&server, folder.path()).config(&server, &folder.join("ssh"));
    let there = folder.join("there");
    let seed = fastrand::u64(..);
    let mut dice = fastrand::Rng::with_seed(seed);

    let mount = sshfs(&config, &there);
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(there.join("file"))
        .unwrap();
    let mut expected = Vec::new();
    for _ in 0..150 {
        let at = dice.usize(..3_000_000);
        let mut bytes = vec![0; dice.usize(1..100_000)];
        dice.fill(&mut bytes);
        write_over(&mut expected, at, &bytes);
        file.write_all_at(&bytes, at as u64).unwrap();
        if dice.u8(..10) == 0 {
            let size = dice.usize(..3_000_000);
            expected.resize(size, 0);
            file.set_len(size as u64).unwrap();
        }
        if dice.u8(..10) == 0 && !expected.is_empty() {
            let from = dice.usize(..expected.len());
            let mut bytes = vec![0; 50_000.min(expected.len() - from)];
            file.read_exact_at(&mut bytes, from as u64).unwrap();
            assert!(bytes == expected[from..][..bytes.len()], "seed {seed}");
        }
    }
    drop(file);
    assert!(
        fs::read(there.join("file")).unwrap() == expected,
        "seed {seed}"
    );
    mount.unmount();

    let mount = sshfs(&config, &there);
    assert!(
        fs::read(there.join("file")).unwrap() == expected,
        "seed {seed}"
    );
    mount.unmount();
    server.stop();
}

#[test]
fn a_file_that_is_open_may_be_renamed_and_deleted() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let config =
        SshOptions::with_new_key(&server, folder.path()).config(&server, &folder.join("ssh"));
    let there = folder.join("there");
    let mount = sshfs(&config, &there);
    let (old, new) = (there.join("old"), there.join("new"));
    let file = File::create_new(&old).unwrap();
    file.write_all_at(b"before ", 0).unwrap();
    fs::rename(&old, &new).unwrap();
    file.write_all_at(b"after", 7).unwrap();
    drop(file);
    assert_eq!(fs::read(&new).unwrap(), b"before after");
    assert!(!old.exists());

    let file = File::options().read(true).write(true).open(&new).unwrap();
    fs::remove_file(&new).unwrap();
    file.write_all_at(b"BEFORE", 0).unwrap();
    drop(file);
    assert!(!new.exists());
    mount.unmount();
    let mount = sshfs(&config, &there);
    assert_eq!(fs::read_dir(&there).unwrap().count(), 0);
    mount.unmount();
    server.stop();
}

#[test]
fn git_clones_commits_and_checks_out() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let config =
        SshOptions::with_new_key(&server, folder.path()).config(&server, &folder.join("ssh"));
    let there = folder.join("there");
    let settings = "[user]\nname = Ann\nemail = ann@example.com\n[safe]\ndirectory = *\n\
                    [init]\ndefaultBranch = main\n[gc]\nauto = 0\n";
    let home = folder.folder("home");
    fs::write(home.join(".gitconfig"), settings).unwrap();
    let git = |inside: &Path, words: &[&str]| {
        let mut command = Command::new("git");
        command
            .arg("-C")
            .arg(inside)
            .args(words)
            .env("HOME", &home)
            .env("GIT_CONFIG_NOSYSTEM", "1");
        succeed(&run(command, ""))
    };
    let origin = folder.folder("origin");
    git(&origin, &["init", "-q"]);
    for number in 0..40 {
        let inside = origin.join(format!("folder {}", number % 5));
        fs::create_dir_all(&inside).unwrap();
        write_random(&inside.join(format!("file {number}")), 1000 * number);
    }
    git(&origin, &["add", "."]);
    git(&origin, &["commit", "-q", "-m", "first"]);
    fs::remove_dir_all(origin.join("folder 1")).unwrap();
    fs::write(origin.join("folder 2/file 2"), "changed").unwrap();
    git(&origin, &["add", "-A"]);
    git(&origin, &["commit", "-q", "-m", "second"]);

    let mount = sshfs(&config, &there);
    let clone = there.join("clone");
    let (from, to) = (origin.to_str().unwrap(), clone.to_str().unwrap());
    git(&there, &["clone", "-q", "--no-local", from, to]);
    assert_eq!(git(&clone, &["status", "--porcelain"]), "");
    git(&clone, &["checkout", "-q", "-b", "other", "HEAD~1"]);
    assert!(clone.join("folder 1/file 1").exists());
    fs::write(clone.join("new file"), "new").unwrap();
    git(&clone, &["add", "."]);
    git(&clone, &["commit", "-q", "-m", "third"]);
    git(&clone, &["checkout", "-q", "main"]);
    assert!(!clone.join("new file").exists() && !clone.join("folder 1").exists());
    git(&clone, &["merge", "-q", "--no-edit", "other"]);
    git(&clone, &["repack", "-q", "-a", "-d"]);
    mount.unmount();

    let mount = sshfs(&config, &there);
    git(&clone, &["fsck", "--full", "--strict"]);
    assert_eq!(git(&clone, &["status", "--porcelain"]), "");
    git(&origin, &["fetch", "-q", to, "other"]);
    fs::remove_dir_all(&clone).unwrap();
    assert_eq!(fs::read_dir(&there).unwrap().count(), 0);
    mount.unmount();
    server.stop();
}

#[test]
fn copies_keep_names_times_and_modes() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let config =
        SshOptions::with_new_key(&server, folder.path()).config(&server, &folder.join("ssh"));
    let (out, there) = (folder.folder("out"), folder.join("there"));
    let inside = out.join("a/b");
    fs::create_dir_all(&inside).unwrap();
    write_odd_files(&inside);
    write_random(&out.join("a/large"), 5_000_001);
    let mut seconds = 1_000_000_000;
    let mut all = walk(&out);
    // What is made in a folder changes its time: the deepest first.
    all.reverse();
    for path in all {
        if path.is_file() {
            let mode = [0o600, 0o644, 0o755, 0o640][seconds as usize % 4];
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        seconds += 86_399;
        let touched = Command::new("touch")
            .arg(format!("--date=@{seconds}"))
            .arg(&path)
            .status();
        assert!(touched.unwrap().success());
    }
    let expected = told(&out.join("a"));

    let mount = sshfs(&config, &there);
    copy(&out.join("a"), &there);
    mount.unmount();
    let mount = sshfs(&config, &there);
    assert_eq!(told(&there.join("a")), expected);
    let back = folder.folder("back");
    copy(&there.join("a"), &back);
    assert_eq!(told(&back.join("a")), expected);
    fs::remove_dir_all(there.join("a")).unwrap();
    assert_eq!(fs::read_dir(&there).unwrap().count(), 0);
    mount.unmount();
    server.stop();
}

#[test]
fn df_tells_the_room_that_a_quota_leaves() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let config =
        SshOptions::with_new_key(&server, folder.path()).config(&server, &folder.join("ssh"));
    let words = ["tenant", "set", "demo", "--quota", "64MiB"];
    let words = [&words[..], &["--quota-files", "1000"]].concat();
    server.admin(&words, "");
    let there = folder.join("there");
    let mount = sshfs(&config, &there);
    let told = |column: &str| -> u64 {
        let mut df = Command::new("df");
        df.args(["-B1", &format!("--output={column}")]).arg(&there);
        let printed = succeed(&run(df, ""));
        printed.lines().nth(1).unwrap().trim().parse().unwrap()
    };
    assert_eq!(told("size"), 64 << 20);
    let (free, files) = (told("avail"), told("iavail"));
    fs::write(there.join("file"), vec![7; 8 << 20]).unwrap();
    assert_eq!(told("avail"), free - (8 << 20));
    assert_eq!((told("itotal"), told("iavail")), (1000, files - 1));
    mount.unmount();
    server.stop();
}

fn sshfs(config: &Path, folder: &Path) -> Mount {
    let mut command = Command::new("sshfs");
    command
        .arg("-f")
        .arg("-F")
        .arg(config)
        .arg("sealift:/")
        .arg(folder)
        .args(["-o", "idmap=user"]);
    Mount::new(command, folder)
}

fn write_over(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(bytes);
}

fn copy(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    command.arg("-a").arg(from).arg(to);
    succeed(&run(command, ""));
}

/// Mode, time and bytes of all that is below `folder`.
fn told(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for path in walk(folder) {
        let about = fs::metadata(&path).unwrap();
        let bytes = match about.is_file() {
            true => sha256(&path),
            false => String::new(),
        };
        let inside = path.strip_prefix(folder).unwrap().to_owned();
        found.insert(
            inside,
            format!("{:o} {} {bytes}", about.mode(), about.mtime()),
        );
    }
    found
}
