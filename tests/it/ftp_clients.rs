//! Smaller and older FTP clients: ncftp, tnftp, wget and aria2.

use std::fs;
use std::process::Command;

use crate::support::client::{run, succeed};
use crate::support::folder::{TempFolder, sha256, sums, write_random};
use crate::support::ftp_client::{Way, certificate, curl_ok, on_ipv6, text};
use crate::support::server::{DEMO, Server};

#[test]
fn ncftp_puts_lists_and_gets_folders() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let out = folder.folder("tree");
    fill(&folder, "tree");
    let back = folder.folder("back");
    let port = Way::Clear.address(&server).port().to_string();
    let ncftp = |program: &str, mode: &str, words: &[&str]| {
        let mut command = Command::new(program);
        command
            .env("HOME", folder.path())
            .args([mode, "-u", DEMO, "-p", &server.password(), "-P", &port])
            .args(words);
        succeed(&run(command, ""))
    };
    for mode in ["-F", "-E"] {
        ncftp("ncftpput", mode, &["-R", "127.0.0.1", "/", text(&out)]);
        let listed = ncftp(
            "ncftpls",
            mode,
            &["-l", &format!("ftp://127.0.0.1:{port}/tree/")],
        );
        assert!(listed.contains("file 1"), "{listed}");
        let _ = fs::remove_dir_all(back.join("tree"));
        ncftp("ncftpget", mode, &["-R", "127.0.0.1", text(&back), "/tree"]);
        assert_eq!(sums(&out), sums(&back.join("tree")), "{mode}");
    }
    server.stop();
}

#[test]
fn tnftp_puts_renames_and_gets_again() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    tnftp(&folder, &server, "127.0.0.1");
    server.stop();
}

#[test]
fn tnftp_puts_renames_and_gets_again_over_ipv6() {
    let folder = TempFolder::new();
    let server = Server::up_with(&folder.join("data"), &on_ipv6());
    tnftp(&folder, &server, "::1");
    server.stop();
}

fn tnftp(folder: &TempFolder, server: &Server, host: &str) {
    let sent = folder.join("sent");
    write_random(&sent, 5_000_001);
    for passive in ["-p", "-A"] {
        let back = folder.join(&format!("got{passive}"));
        let script = format!(
            "user {DEMO} {}\nbinary\nmkdir t\ncd t\nput {sent} one\nrename one two\n\
             size two\nmodtime two\nget two {back}\nreget two {back}\nls\nnlist\nmlsd\nmlst two\n\
             ascii\nput {sent} three\nbinary\nmdelete two three\ncd ..\nrmdir t\nsystem\nfeatures\nbye\n",
            server.password(),
            sent = text(&sent),
            back = text(&back),
        );
        let mut command = Command::new("tnftp");
        command
            .args([passive, "-n", "-i", "-v", host])
            .arg(Way::Clear.address(server).port().to_string())
            .env("HOME", folder.path());
        let output = run(command, &script);
        let said = succeed(&output);
        let refused = |line: &&str| matches!(line.as_bytes(), [b'4' | b'5', _, _, b' ' | b'-', ..]);
        assert_eq!(said.lines().find(refused), None, "{said}");
        assert_eq!(sha256(&back), sha256(&sent), "{said}");
    }
}

#[test]
fn wget_mirrors_and_continues() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let out = fill(&folder, "tree");
    put_tree(&server, &folder);
    for (way, scheme) in [
        (Way::Clear, "ftp"),
        (Way::Explicit, "ftps"),
        (Way::Implicit, "ftps"),
    ] {
        let back = folder.folder(&format!("wget-{way:?}"));
        let wget = |words: &[&str]| {
            let mut command = Command::new("wget");
            command
                .args(["--no-config", "--no-verbose", "--tries=1", "--timeout=60"])
                .args([
                    "-r",
                    "-nH",
                    "--no-parent",
                    "--directory-prefix",
                    text(&back),
                ])
                .arg(format!(
                    "--ca-certificate={}",
                    certificate(&server).display()
                ))
                .args((way == Way::Implicit).then_some("--ftps-implicit"))
                .arg(format!("--ftp-user={DEMO}"))
                .arg(format!("--ftp-password={}", server.password()))
                .args(words)
                .arg(format!("{scheme}://{}/tree/", way.address(&server)))
                .env("HOME", folder.path());
            succeed(&run(command, ""))
        };
        wget(&[]);
        let got = back.join("tree/file 3");
        let content = fs::read(&got).unwrap();
        fs::write(&got, &content[..100_000]).unwrap();
        wget(&["--continue"]);
        for entry in fs::read_dir(back.join("tree")).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with(".listing") {
                fs::remove_file(path).unwrap();
            }
        }
        assert_eq!(sums(&out), sums(&back.join("tree")), "{way:?}");
        wget(&["--no-passive-ftp", "-N"]);
    }
    server.stop();
}

#[test]
fn aria2_fetches_in_parts_at_once() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let sent = folder.join("sent");
    write_random(&sent, 30_000_000);
    curl_ok(
        &server,
        Way::Clear,
        &["-T", text(&sent), &Way::Clear.url(&server, "sent")],
    );
    let mut command = Command::new("aria2c");
    command
        .args([
            "--no-conf",
            "-x",
            "4",
            "-s",
            "4",
            "-k",
            "1M",
            "--max-tries=1",
        ])
        .args(["--ftp-user", DEMO, "--ftp-passwd", &server.password()])
        .args(["--dir", text(folder.path()), "--out", "got"])
        .arg(Way::Clear.url(&server, "sent"));
    succeed(&run(command, ""));
    assert_eq!(sha256(&folder.join("got")), sha256(&sent));
    server.stop();
}

fn fill(folder: &TempFolder, name: &str) -> std::path::PathBuf {
    let out = folder.folder(name);
    for (index, size) in [0, 1, 65_536, 3_000_000].into_iter().enumerate() {
        write_random(&out.join(format!("file {index}")), size);
    }
    write_random(&folder.folder(&format!("{name}/sub")).join("below"), 1_000);
    out
}

fn put_tree(server: &Server, folder: &TempFolder) {
    for file in ["file 0", "file 1", "file 2", "file 3", "sub/below"] {
        let from = folder.join("tree").join(file);
        let url = Way::Clear.url(server, &format!("tree/{}", file.replace(' ', "%20")));
        curl_ok(
            server,
            Way::Clear,
            &["--ftp-create-dirs", "-T", text(&from), &url],
        );
    }
}
