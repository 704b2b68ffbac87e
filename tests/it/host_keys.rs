//! Host keys that customers bring, that change, and that differ between instances.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use data_encoding::BASE64;
use sealift::sftp::algorithms::Algorithms;
use sealift::sftp::host_keys::HostKeys;

use crate::support::client::{SshOptions, run, sftp, succeed};
use crate::support::folder::TempFolder;
use crate::support::server::{DEMO, Server, host_keys};
use crate::support::two::Two;
use crate::support::wait::wait_for;

const WITHIN: Duration = Duration::from_secs(60);

/// Makes a key in `file` by a program and its words, in which `FILE` stands for it.
fn make(file: &Path, words: &str) {
    let _ = fs::remove_file(file);
    let name = file.to_str().unwrap();
    let words: Vec<_> = words.split(' ').collect();
    let mut command = Command::new(words[0]);
    command.args(words[1..].iter().map(|word| match *word {
        "FILE" => name,
        "NONE" => "",
        word => word,
    }));
    succeed(&run(command, ""));
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

/// The line of a key's public half, as known_hosts has it.
fn public(file: &Path) -> String {
    let mut command = Command::new("ssh-keygen");
    command.args(["-y", "-P", "", "-f"]).arg(file);
    let shown = run(command, "");
    if shown.status.success() {
        let line = String::from_utf8(shown.stdout).unwrap();
        let words: Vec<_> = line.split_whitespace().take(2).collect();
        return words.join(" ");
    }
    // ssh-keygen before 9.6 knows no Ed25519 keys of OpenSSL's.
    let mut command = Command::new("openssl");
    command.args(["pkey", "-pubout", "-outform", "DER", "-in"]);
    let der = run(
        {
            command.arg(file);
            command
        },
        "",
    )
    .stdout;
    let mut blob = Vec::new();
    for part in [&b"ssh-ed25519"[..], &der[der.len() - 32..]] {
        blob.extend_from_slice(&u32::try_from(part.len()).unwrap().to_be_bytes());
        blob.extend_from_slice(part);
    }
    format!("ssh-ed25519 {}", BASE64.encode(&blob))
}

/// Logs in by a client that knows `known` and trusts nothing else.
fn logs_in(server: &Server, options: &SshOptions, known: &str, algorithms: &str) -> Output {
    let file = server.data().with_extension("known");
    fs::write(&file, format!("sealift {known}\n")).unwrap();
    let mut command = Command::new("sftp");
    command
        .args(["-q", "-b", "-", "-P", &server.port().to_string()])
        .args(["-o", &format!("UserKnownHostsFile={}", file.display())])
        .args(["-o", "StrictHostKeyChecking=yes"])
        .args(["-o", "HostKeyAlias=sealift"])
        .args(["-o", &format!("HostKeyAlgorithms={algorithms}")])
        .args(options.words())
        .args(["-o", &format!("User={DEMO}"), "127.0.0.1"]);
    run(command, "pwd\n")
}

const COMPATIBLE: (&str, &str) = ("SEALIFT__SFTP__ALGORITHMS", "compatible");

fn compatible(data: &Path) -> Server {
    let (name, value) = COMPATIBLE;
    let own = data.join("ssh").display().to_string();
    let variables = [
        (name.to_owned(), value.to_owned()),
        ("SEALIFT__SFTP__HOST_KEYS".to_owned(), own),
    ];
    Server::up_with(data, &variables)
}

/// As clients know servers that ran OpenSSH, SFTPGo or AWS Transfer Family before.
#[test]
fn keys_of_other_servers_are_taken_as_they_are() {
    let folder = TempFolder::new();
    let data = folder.join("data");
    let server = Server::up_with_own_keys(&data);
    let options = SshOptions::with_new_key(&server, folder.path());
    server.stop();
    let [rsa, ecdsa, ed25519] = ["rsa", "ecdsa", "ed25519"]
        .map(|kind| data.join("ssh").join(format!("ssh_host_{kind}_key")));
    let keygen = "ssh-keygen -q -N NONE -f FILE";
    for (of_rsa, of_ecdsa, of_ed25519) in [
        (
            format!("{keygen} -m PEM -t rsa -b 2048"),
            format!("{keygen} -m PEM -t ecdsa"),
            "openssl genpkey -algorithm ed25519 -out FILE".to_owned(),
        ),
        (
            format!("{keygen} -m PKCS8 -t rsa -b 3072"),
            format!("{keygen} -m PKCS8 -t ecdsa -b 521"),
            format!("{keygen} -t ed25519"),
        ),
        (
            "openssl genrsa -traditional -out FILE 2048".to_owned(),
            "openssl ecparam -name secp384r1 -genkey -out FILE".to_owned(),
            format!("{keygen} -t ed25519"),
        ),
        (
            "openssl genrsa -out FILE 4096".to_owned(),
            "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out FILE".to_owned(),
            format!("{keygen} -t ed25519"),
        ),
    ] {
        make(&rsa, &of_rsa);
        make(&ecdsa, &of_ecdsa);
        make(&ed25519, &of_ed25519);
        let server = compatible(&data);
        for (file, algorithms) in [
            (&rsa, "rsa-sha2-512"),
            (&rsa, "rsa-sha2-256"),
            (
                &ecdsa,
                "ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521",
            ),
            (&ed25519, "ssh-ed25519"),
        ] {
            succeed(&logs_in(&server, &options, &public(file), algorithms));
        }
        let strange = folder.join("strange");
        make(&strange, &format!("{keygen} -t ed25519"));
        let refused = logs_in(&server, &options, &public(&strange), "ssh-ed25519");
        assert!(!refused.status.success());
        server.stop();
    }
}

#[test]
fn a_key_with_a_passphrase_is_refused_in_every_form() {
    let folder = TempFolder::new();
    let file = folder.join("ssh_host_rsa_key");
    let keygen = "ssh-keygen -q -t rsa -b 3072 -N secret -f FILE";
    for words in [
        keygen.to_owned(),
        format!("{keygen} -m PEM"),
        format!("{keygen} -m PKCS8"),
        "openssl genrsa -aes128 -passout pass:secret -traditional -out FILE 3072".to_owned(),
    ] {
        make(&file, &words);
        let error = HostKeys::check(folder.path(), Algorithms::Compatible).unwrap_err();
        assert!(error.context().contains("passphrase"), "{words}: {error}");
    }
}

#[test]
fn clients_learn_a_key_before_it_is_used() {
    let folder = TempFolder::new();
    let data = folder.join("data");
    let server = Server::up_with_own_keys(&data);
    let options = SshOptions::with_new_key(&server, folder.path())
        .with("HostKeyAlias=sealift")
        .with("UpdateHostKeys=yes");
    server.stop();
    let [old, rsa] = ["ed25519", "rsa"].map(|kind| data.join(format!("ssh/ssh_host_{kind}_key")));
    let next = data.join("ssh/ssh_host_ed25519_key.next");
    let next_rsa = data.join("ssh/ssh_host_rsa_key.next");
    make(&next, "ssh-keygen -q -t ed25519 -N NONE -f FILE");
    make(&next_rsa, "ssh-keygen -q -t rsa -b 3072 -N NONE -f FILE");
    let [before, after, rsa, after_rsa] = [&old, &next, &rsa, &next_rsa].map(|file| public(file));

    let known = folder.join("known-hosts");
    for algorithms in ["ssh-ed25519,rsa-sha2-512", "rsa-sha2-256,ssh-ed25519"] {
        let _ = fs::remove_file(&known);
        let server = Server::up_with_own_keys(&data);
        let options = options.with(&format!("HostKeyAlgorithms={algorithms}"));
        // The client asks only where it knows a key, while it works, and its end does not wait for proofs.
        wait_for("all keys to be known", WITHIN, || {
            succeed(&sftp(&server, &options, &[], &"ls\n".repeat(50)));
            let known = fs::read_to_string(&known).unwrap();
            let all = [&before, &after, &rsa, &after_rsa];
            all.iter().all(|key| known.contains(*key)).then_some(())
        });
        server.stop();
    }

    fs::rename(&next, &old).unwrap();
    let server = Server::up_with_own_keys(&data);
    succeed(&logs_in(&server, &options, &after, "ssh-ed25519"));
    let trusting = options.with("HostKeyAlgorithms=ssh-ed25519");
    succeed(&sftp(
        &server,
        &trusting,
        &["-o", "StrictHostKeyChecking=yes"],
        "ls\n",
    ));
    assert!(
        !logs_in(&server, &options, &before, "ssh-ed25519")
            .status
            .success()
    );
    server.stop();
}

#[test]
fn instances_with_other_keys_are_warned_of() {
    let two = Two::new();
    let one = two.start("one");
    let other = two.start("other");
    assert!(!other.log().contains("host keys"), "{}", other.log());
    other.stop();
    let config = two.config("other");
    let text = fs::read_to_string(&config).unwrap();
    let (shared, own) = (host_keys(), two.folder.join("own-ssh"));
    let text = text.replace(
        &format!("host_keys = \"{shared}\""),
        &format!("host_keys = \"{}\"", own.display()),
    );
    fs::write(&config, text).unwrap();
    let other = two.start("other");
    let log = other.log();
    let line = log
        .lines()
        .find(|line| line.contains("other SSH host keys"));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    for part in [
        &one.instance,
        &other.instance,
        shared,
        own.to_str().unwrap(),
        "Copy the folder",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    other.stop();
    one.stop();
}
