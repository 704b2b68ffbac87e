//! `sealift up`: one command, one machine; what it makes, keeps, finishes and refuses.

use std::ffi::OsStr;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use crate::support::client::{SshOptions, quote, sftp_ok};
use crate::support::folder::{TempFolder, sha256, snapshot, write_random};
use crate::support::hold::HeldUpload;
use crate::support::server::{Server, sealift};
use crate::support::wait::wait_for;

const LOCAL_KEY: &str = "keys/local.key";

#[test]
fn a_server_that_may_not_open_a_file_for_each_session_says_so() {
    let folder = TempFolder::new();
    let few = ["sh", "-c", "ulimit -n 256 && exec \"$@\"", "sh"].map(OsStr::new);
    let server = Server::up_under(&few, &folder.join("data"));
    let log = server.log();
    assert!(log.contains("256 files open"), "{log}");
    assert!(log.contains("30000 sessions"), "{log}");
    server.stop();
}

#[test]
fn up_makes_a_data_folder_that_only_its_owner_can_read() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let mode = |name: &str| fs::metadata(server.data().join(name)).unwrap().mode() & 0o777;
    assert_eq!((mode("demo-password"), mode(LOCAL_KEY)), (0o600, 0o600));
    assert_eq!(mode(""), 0o700);
    assert!(server.password().len() >= 16);
    assert!(!server.ready.instance.is_empty());
    server.stop();
}

#[test]
fn the_banner_shows_commands_that_work() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let banner = folder.join("data.banner");
    let shown = || fs::read_to_string(&banner).ok();
    let port = server.port().to_string();
    wait_for("the banner", Duration::from_secs(5), || {
        shown().filter(|text| text.contains("sftp") && text.contains(&port))
    });
    assert!(!shown().unwrap().contains(&server.password()));
    server.stop();
}

#[test]
fn the_banner_warns_of_plain_ftp_as_long_as_it_is_allowed() {
    let folder = TempFolder::new();
    let data = folder.join("data");
    let server = Server::up(&data);
    let shown = |server: &Server| {
        let port = server.port().to_string();
        wait_for("the banner", Duration::from_secs(5), || {
            let text = fs::read_to_string(folder.join("data.banner")).ok();
            text.filter(|text| text.contains(&port) && text.contains("account list"))
        })
    };
    let warning = shown(&server);
    let ftp = server.ready.listeners.ftp.unwrap();
    let forbid = "account methods demo@demo --clear-text false";
    for words in ["Warning: demo@demo may log in by plain FTP", forbid] {
        assert!(warning.contains(words), "{warning}");
    }
    assert!(warning.contains(&format!("ftp://{ftp}/")), "{warning}");
    let forbid: Vec<_> = forbid.split(' ').collect();
    server.admin(&forbid, "");
    server.stop();
    let server = Server::up(&data);
    let silent = shown(&server);
    assert!(!silent.contains("plain FTP"), "{silent}");
    server.stop();
}

#[test]
fn a_log_that_cannot_be_written_holds_nobody_up() {
    let folder = TempFolder::new();
    let server = Server::up_without_log(&folder.join("data"));
    let options = SshOptions::with_new_key(&server, folder.path());
    let (file, back) = (folder.join("file"), folder.join("back"));
    write_random(&file, 200_000);
    let (here, there) = (quote(&file), quote(&back));
    sftp_ok(&server, &options, &format!("put {here} a\nget a {there}\n"));
    assert_eq!(sha256(&file), sha256(&back));
    server.stop();
}

#[test]
fn a_restart_keeps_host_key_password_accounts_and_files() {
    let folder = TempFolder::new();
    let data = folder.join("data");
    let server = Server::up_with_own_keys(&data);
    let password = server.password();
    let options = SshOptions::with_new_key(&server, folder.path());
    let (file, back) = (folder.join("file"), folder.join("back"));
    write_random(&file, 200_000);
    sftp_ok(&server, &options, &format!("put {} kept\n", quote(&file)));
    let host_key = host_keys(&server);
    server.stop();

    let server = Server::up_with_own_keys(&data);
    assert_eq!(server.password(), password);
    assert_eq!(host_keys(&server), host_key);
    // OpenSSH would refuse a host key other than the one it noted.
    sftp_ok(&server, &options, &format!("get kept {}\n", quote(&back)));
    assert_eq!(sha256(&file), sha256(&back));
    server.stop();
}

#[test]
fn sigterm_lets_an_upload_finish_and_takes_no_new_session() {
    drains_at("TERM");
}

#[test]
fn a_terminal_that_is_closed_lets_an_upload_finish() {
    drains_at("HUP");
}

#[test]
fn a_server_that_is_to_outlive_its_terminal_does() {
    let folder = TempFolder::new();
    let nohup = [OsStr::new("nohup")];
    let server = Server::up_under(&nohup, &folder.join("data"));
    server.signal("HUP");
    let options = SshOptions::with_new_key(&server, folder.path());
    sftp_ok(&server, &options, "ls\n");
    server.stop();
}

fn drains_at(signal: &str) {
    let folder = TempFolder::new();
    let data = folder.join("data");
    let mut server = Server::up(&data);
    let upload = HeldUpload::start(&server, 3_000_000);
    server.signal(signal);
    let address = server.ready.listeners.sftp;
    wait_for("the listener to close", Duration::from_secs(10), || {
        TcpStream::connect(address).is_err().then_some(())
    });
    upload.finish();
    let status = server.wait();
    assert_eq!(status.code(), Some(0), "{}", server.log());

    let server = Server::up(&data);
    let options = SshOptions::with_new_key(&server, folder.path());
    let printed = sftp_ok(&server, &options, "ls -l held\n");
    assert!(printed.contains("3000000"), "{printed}");
    server.stop();
}

#[test]
fn a_second_signal_ends_at_once() {
    let folder = TempFolder::new();
    let mut server = Server::up(&folder.join("data"));
    let upload = HeldUpload::start(&server, 3_000_000);
    server.signal("TERM");
    let address = server.ready.listeners.sftp;
    wait_for("the listener to close", Duration::from_secs(10), || {
        TcpStream::connect(address).is_err().then_some(())
    });
    let asked = Instant::now();
    server.signal("TERM");
    server.wait();
    assert!(asked.elapsed() < Duration::from_secs(3));
    drop(upload);
}

#[test]
fn a_port_in_use_is_refused_and_nothing_changes() {
    let folder = TempFolder::new();
    let data = folder.join("data");
    Server::up(&data).stop();
    // Somebody else may hold it already, which is as good.
    let holder = TcpListener::bind("127.0.0.1:2222");
    refused_unchanged(&data, &["up", "--data", text(&data)], "port");
    drop(holder);
}

#[test]
fn a_second_server_on_the_same_folder_is_refused() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let data = server.data().to_owned();
    let ran = sealift(&["up", "--any-port", "--data", text(&data)], "");
    one_sentence(&ran, "");
    let options = SshOptions::with_new_key(&server, folder.path());
    sftp_ok(&server, &options, "pwd\n");
    server.stop();
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    // Not even root can make these.
    let folder = TempFolder::new();
    fs::write(folder.join("file"), "not a folder").unwrap();
    for data in [
        folder.join("file"),
        folder.join("file/data"),
        PathBuf::from("/proc/sealift"),
    ] {
        let ran = sealift(&["up", "--any-port", "--data", text(&data)], "");
        one_sentence(&ran, text(&data));
    }
    assert_eq!(
        fs::read_to_string(folder.join("file")).unwrap(),
        "not a folder"
    );
}

#[test]
fn a_data_folder_of_another_key_is_refused_and_nothing_changes() {
    let folder = TempFolder::new();
    let (data, other) = (folder.join("data"), folder.join("other"));
    Server::up(&data).stop();
    Server::up(&other).stop();
    fs::copy(other.join(LOCAL_KEY), data.join(LOCAL_KEY)).unwrap();
    refused_unchanged(&data, &["up", "--any-port", "--data", text(&data)], "key");

    fs::remove_file(data.join(LOCAL_KEY)).unwrap();
    refused_unchanged(&data, &["up", "--any-port", "--data", text(&data)], "key");
}

#[test]
fn a_database_newer_than_the_program_is_refused_and_nothing_changes() {
    let folder = TempFolder::new();
    let data = folder.join("data");
    Server::up(&data).stop();
    let connection = rusqlite::Connection::open(database(&data)).unwrap();
    let newer = "INSERT INTO schema_versions (version, applied_at) VALUES (1000000, 0)";
    connection.execute_batch(newer).unwrap();
    connection.close().unwrap();
    refused_unchanged(&data, &["up", "--any-port", "--data", text(&data)], "newer");
}

/// The program ends with 1 and one sentence that speaks of `subject`; the folder is as it was.
fn refused_unchanged(data: &Path, words: &[&str], subject: &str) {
    let before = snapshot(data);
    let ran = sealift(words, "");
    one_sentence(&ran, subject);
    assert_eq!(snapshot(data), before);
}

fn one_sentence(ran: &Output, subject: &str) {
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{errors}");
    assert_eq!(errors.trim().lines().count(), 1, "{errors}");
    assert!(errors.contains(subject), "{errors}");
}

/// The SQLite database, by what it begins with.
fn database(data: &Path) -> PathBuf {
    let entries = fs::read_dir(data)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.is_file())
        .find(|path| fs::read(path).unwrap().starts_with(b"SQLite format 3\0"))
        .expect("a database")
}

fn host_keys(server: &Server) -> String {
    let port = server.port().to_string();
    let ran = std::process::Command::new("ssh-keyscan")
        .args(["-t", "ed25519,rsa", "-p", &port, "127.0.0.1"])
        .output()
        .unwrap();
    let printed = String::from_utf8(ran.stdout).unwrap();
    let mut keys: Vec<&str> = printed
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(' '))
        .map(|(_, key)| key)
        .collect();
    keys.sort_unstable();
    assert_eq!(keys.len(), 2, "{printed}");
    keys.join("\n")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
