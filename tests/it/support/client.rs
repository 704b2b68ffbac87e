//! Other people's clients, pointed at one of our servers.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::server::{DEMO, Server};

/// SSH options that keep the user's own settings out and a test's host key in.
pub(crate) struct SshOptions {
    known_hosts: PathBuf,
    key: PathBuf,
    more: Vec<String>,
}

impl SshOptions {
    /// Makes a key pair in `folder` and gives it to the demo account.
    pub(crate) fn with_new_key(server: &Server, folder: &Path) -> Self {
        let key = folder.join("client-key");
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key)
            .status()
            .unwrap();
        assert!(made.success());
        let public = key.with_extension("pub");
        let public = public.to_str().unwrap();
        server.admin(&["account", "key", "add", DEMO, public], "");
        Self {
            known_hosts: folder.join("known-hosts"),
            key,
            more: Vec::new(),
        }
    }

    /// The same with one more `-o` option.
    pub(crate) fn with(&self, option: &str) -> Self {
        let mut more = self.more.clone();
        more.push(option.to_owned());
        Self {
            known_hosts: self.known_hosts.clone(),
            key: self.key.clone(),
            more,
        }
    }

    /// Writes the same into a file, for programs that start ssh themselves; the host is `sealift`.
    pub(crate) fn config(&self, server: &Server, file: &Path) -> PathBuf {
        let mut lines = vec![
            "Host sealift".to_owned(),
            "HostName 127.0.0.1".to_owned(),
            format!("Port {}", server.port()),
            format!("User {DEMO}"),
        ];
        let options = self.options().into_iter();
        lines.extend(options.map(|option| option.replacen('=', " ", 1)));
        fs::write(file, lines.join("\n") + "\n").unwrap();
        file.to_owned()
    }

    pub(crate) fn words(&self) -> Vec<String> {
        let mut words = vec!["-F".to_owned(), "none".to_owned()];
        for option in self.options() {
            words.extend(["-o".to_owned(), option]);
        }
        words
    }

    fn options(&self) -> Vec<String> {
        let mut options = vec![
            format!("UserKnownHostsFile={}", self.known_hosts.display()),
            format!("IdentityFile={}", self.key.display()),
            "StrictHostKeyChecking=accept-new".to_owned(),
            "IdentitiesOnly=yes".to_owned(),
            "LogLevel=ERROR".to_owned(),
        ];
        options.extend(self.more.iter().cloned());
        options
    }
}

/// Runs a batch of commands in OpenSSH's client; it stops at the first that fails.
pub(crate) fn sftp(server: &Server, options: &SshOptions, words: &[&str], batch: &str) -> Output {
    let mut command = Command::new("sftp");
    command
        .args(["-q", "-b", "-", "-P", &server.port().to_string()])
        .args(options.words())
        .args(["-o", &format!("User={DEMO}")])
        .args(words)
        .arg("127.0.0.1");
    run(command, batch)
}

/// The same; all commands must succeed. Returns what the client printed.
#[track_caller]
pub(crate) fn sftp_ok(server: &Server, options: &SshOptions, batch: &str) -> String {
    succeed(&sftp(server, options, &[], batch))
}

/// Tries to log in; the client says why it cannot, which `-q` would keep from it.
pub(crate) fn sftp_aloud(server: &Server, options: &SshOptions) -> Output {
    let mut command = Command::new("sftp");
    command
        .args(["-b", "-", "-P", &server.port().to_string()])
        .args(["-o", "LogLevel=INFO"])
        .args(options.words())
        .args(["-o", &format!("User={DEMO}"), "127.0.0.1"]);
    run(command, "pwd\n")
}

/// One of the scripts in tests/it/paramiko, as the demo account.
pub(crate) fn paramiko(name: &str, server: &Server, words: &[&str]) -> Command {
    script(name, server.port(), DEMO, &server.password(), words)
}

/// One of the scripts in tests/it/paramiko, as any account.
pub(crate) fn script(
    name: &str,
    port: u16,
    account: &str,
    password: &str,
    words: &[&str],
) -> Command {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/paramiko");
    let mut command = Command::new(python("python3"));
    command
        .arg("-B")
        .arg(scripts.join(name))
        .args([&port.to_string(), account, password])
        .args(words);
    command
}

/// A program of the Python environment that `make test` makes.
pub(crate) fn python(program: &str) -> PathBuf {
    cached(&format!("py/bin/{program}"))
}

/// Something that `make packages` puts into the cache.
pub(crate) fn cached(path: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .filter(|folder| !folder.is_empty())
        .map_or_else(
            || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"),
            PathBuf::from,
        );
    let found = cache.join("sealift").join(path);
    assert!(found.exists(), "{found:?} is missing: run `make packages`");
    found
}

/// Runs a command to its end with `input`.
pub(crate) fn run(mut command: Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let mut pipe = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || pipe.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    // A client that gives up early does not read the rest.
    let _ = writer.join().unwrap();
    output
}

/// Panics with all that was printed unless the program succeeded.
#[track_caller]
pub(crate) fn succeed(output: &Output) -> String {
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{printed}\n{errors}",
        output.status
    );
    printed
}

/// Quotes a path as OpenSSH's client, lftp and the shell of a batch understand it.
pub(crate) fn quote(path: impl AsRef<Path>) -> String {
    let path = path.as_ref().to_str().unwrap();
    format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Names that other servers break on, none of them longer than 255 bytes.
pub(crate) fn odd_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "plain.txt",
        "with space",
        "two  spaces ",
        " leading space",
        ".hidden",
        "..two dots",
        "star * star",
        "[brackets] and ]",
        "question?",
        "{braces,a}",
        "double \" quote",
        "single ' quote",
        "back\\slash",
        "dollar $HOME `tick`",
        "semi;colon & more | less < >",
        "percent %41 100%",
        "colon:name",
        "hash # tag",
        "-dash",
        "~tilde",
        "emoji 🦀🚢",
        "combining e\u{301} a\u{30a}",
        "composed é å",
        "日本語",
        "עברית",
        "tab\tinside",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect();
    names.push("x".repeat(255));
    names.push("🦀".repeat(63));
    names
}

/// Fills `folder` with one file for each odd name; returns their names.
pub(crate) fn write_odd_files(folder: &Path) -> Vec<String> {
    let names = odd_names();
    for (index, name) in names.iter().enumerate() {
        fs::write(folder.join(name), format!("{index}: {name}")).unwrap();
    }
    names
}
