//! Commands by exec, as OpenSSH's client starts them.

use std::fs;
use std::process::{Command, Output};

use crate::support::client::{SshOptions, quote, run, sftp_ok, succeed};
use crate::support::folder::{TempFolder, sha256};
use crate::support::server::{DEMO, Server};

fn ssh(server: &Server, options: &SshOptions, line: &str, input: &str) -> Output {
    let mut command = Command::new("ssh");
    command
        .args(["-p", &server.port().to_string()])
        .args(options.words())
        .args(["-o", &format!("User={DEMO}"), "127.0.0.1"]);
    if !line.is_empty() {
        command.arg(line);
    }
    run(command, input)
}

#[test]
fn commands_of_file_transfer_clients_are_answered() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let options = SshOptions::with_new_key(&server, folder.path());
    let file = folder.join("file");
    fs::write(&file, "abc").unwrap();
    let puts = format!(
        "mkdir \"a b\"\nput {0} \"a b/c d\"\nput {0} \"a b/it's\\\\\"\n",
        quote(&file)
    );
    sftp_ok(&server, &options, &puts);
    let sum = sha256(&file);
    let md5 = "900150983cd24fb0d6963f7d28e17f72";
    for (line, expected) in [
        ("pwd", "/\n".to_owned()),
        ("cd 'a b' && pwd", "/a b\n".to_owned()),
        ("cd absent; pwd", "/\n".to_owned()),
        ("cd /a\\ b; sha256sum 'c d'", format!("{sum}  c d\n")),
        ("sha256sum -b \"/a b/c d\"", format!("{sum} */a b/c d\n")),
        (
            "md5sum 'a b/c d' 'a b/c d'",
            format!("{md5}  a b/c d\n{md5}  a b/c d\n"),
        ),
        (
            "md5sum \"a b/it's\\\\\"",
            format!("\\{md5}  a b/it's\\\\\n"),
        ),
        ("md5sum -- ~/a\\ b/c\\ d", format!("{md5}  ~/a b/c d\n")),
        (
            "sha1sum 'a b/c d'",
            "a9993e364706816aba3e25717850c26c9cd0d89d  a b/c d\n".to_owned(),
        ),
        ("md5 'a b/c d'", format!("MD5 (a b/c d) = {md5}\n")),
        ("md5 -r 'a b/c d'", format!("{md5} a b/c d\n")),
        ("md5 -q 'a b/c d'", format!("{md5}\n")),
        ("crc32 'a b/c d'", "352441c2\n".to_owned()),
        (
            "rclone hashsum sha256 '/a b/c d'",
            format!("{sum}  /a b/c d\n"),
        ),
        ("md5sum", format!("{md5}  -\n")),
        (
            "sha1 -r",
            "a9993e364706816aba3e25717850c26c9cd0d89d\n".to_owned(),
        ),
        ("/usr/bin/sha256sum -", format!("{sum}  -\n")),
        (
            "echo ${ShellId}%ComSpec%",
            "${ShellId}%ComSpec%\n".to_owned(),
        ),
        ("echo -n 'a  b' c", "a  b c".to_owned()),
        ("uname -a", "Sealift\n".to_owned()),
        ("true", String::new()),
        ("", String::new()),
    ] {
        if line.is_empty() {
            continue;
        }
        // `cd absent` complains and goes on.
        let ran = ssh(&server, &options, line, "abc");
        assert_eq!(succeed(&ran), expected, "{line}");
    }
    let table = succeed(&ssh(&server, &options, "df -k /", ""));
    let fields: Vec<_> = table.lines().nth(1).unwrap().split(' ').collect();
    assert_eq!(fields.len(), 6, "{table}");
    assert!(
        fields[1..4]
            .iter()
            .all(|field| field.parse::<u64>().is_ok()),
        "{table}"
    );
    server.stop();
}

#[test]
fn what_is_not_offered_or_goes_wrong_is_said_on_standard_error() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let options = SshOptions::with_new_key(&server, folder.path());
    let long = format!("echo {}", "x".repeat(90_000));
    let longer = format!("echo {}", "x".repeat(100_000));
    for (line, code, word) in [
        ("ls -l", 127, "'ls' is not offered here; offered are scp"),
        ("/bin/sh -c 'id'", 127, "not offered"),
        ("sha256sum x | tee y", 127, "there is no shell here"),
        ("echo $(id)", 127, "there is no shell here"),
        ("echo 'x", 127, "a quote has no end"),
        (&longer, 127, "too long"),
        ("sha256sum name", 1, "sha256sum: name: No such file"),
        ("md5sum /", 1, "md5sum: /: Is a directory"),
        ("md5sum -c x", 2, "'-c' is not offered"),
        ("cd /absent", 1, "cd: /absent: No such file"),
        ("df -h", 2, "only -k and -P"),
        ("df /absent", 1, "df: /absent: No such file"),
        ("rclone purge x", 127, "only hashsum"),
        (
            "scp a b",
            1,
            "only what the scp program at the other end asks for",
        ),
        ("scp -t a b", 1, "one target"),
        ("cd /absent && pwd", 1, "No such file"),
        ("\u{1b}[2J", 127, "'?[2J' is not offered"),
        ("", 1, "file transfer only"),
    ] {
        let ran = ssh(&server, &options, line, "");
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        let line = &line[..line.len().min(100)];
        assert_eq!(ran.status.code(), Some(code), "{line}: {said}");
        assert!(said.contains(word), "{line}: {said}");
        assert!(ran.stdout.is_empty());
    }
    let echoed = succeed(&ssh(&server, &options, &long, ""));
    assert_eq!(echoed.len(), 90_001);
    server.stop();
}

#[test]
fn much_input_is_read_to_its_end() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let options = SshOptions::with_new_key(&server, folder.path());
    let input = "0123456789abcdef".repeat(2 << 20);
    let file = folder.join("file");
    fs::write(&file, &input).unwrap();
    let ran = ssh(&server, &options, "sha256sum", &input);
    assert_eq!(succeed(&ran), format!("{}  -\n", sha256(&file)));
    // Nobody reads this one.
    succeed(&ssh(&server, &options, "pwd", &input));
    server.stop();
}

#[test]
fn forwarding_is_refused_and_the_session_goes_on() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let options = SshOptions::with_new_key(&server, folder.path());
    let remote = options
        .with("RemoteForward=0 127.0.0.1:9")
        .with("ExitOnForwardFailure=yes");
    assert!(!ssh(&server, &remote, "pwd", "").status.success());
    let agent = options.with("ForwardAgent=yes").with("ForwardX11=yes");
    assert_eq!(succeed(&ssh(&server, &agent, "pwd", "")), "/\n");
    let mut tunnel = Command::new("ssh");
    tunnel
        .args(["-p", &server.port().to_string(), "-W", "127.0.0.1:22"])
        .args(options.words())
        .args(["-o", &format!("User={DEMO}"), "127.0.0.1"]);
    let ran = run(tunnel, "");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(!ran.status.success());
    assert!(said.contains("forwarding failed"), "{said}");
    server.stop();
}
