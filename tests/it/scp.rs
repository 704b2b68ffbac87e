//! OpenSSH's scp, over both of its protocols.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};

use crate::support::client::{SshOptions, run, sftp_ok, succeed, write_odd_files};
use crate::support::folder::{TempFolder, sha256, sums, write_random};
use crate::support::server::{DEMO, Server};

/// The old protocol, and the one over SFTP.
const PROTOCOLS: [&str; 2] = ["-O", "-s"];

fn scp(server: &Server, options: &SshOptions, words: &[&str]) -> Output {
    let mut command = Command::new("scp");
    command
        .args(["-P", &server.port().to_string()])
        .args(options.words())
        .args(["-o", &format!("User={DEMO}")])
        .args(words);
    run(command, "")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn trees_go_there_and_back_with_times_and_modes() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let options = SshOptions::with_new_key(&server, folder.path());
    let out = folder.folder("out");
    for (name, size) in [("empty", 0), ("one", 1), ("large", (3 << 20) + 17)] {
        write_random(&out.join(name), size);
    }
    let deep = out.join("a folder/deep er");
    fs::create_dir_all(&deep).unwrap();
    fs::create_dir(out.join("hollow")).unwrap();
    fs::write(deep.join("it's $HOME `x` \"y\" \\z"), "odd").unwrap();
    for path in [out.join("one"), deep.clone()] {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        let touched = Command::new("touch")
            .args(["-d", "2001-02-03T04:05:06Z"])
            .arg(&path)
            .status();
        assert!(touched.unwrap().success());
    }
    for (index, protocol) in PROTOCOLS.iter().enumerate() {
        let (there, back) = (
            format!("there {index}"),
            folder.folder(&format!("back {index}")),
        );
        // scp -O hands the path to a shell elsewhere, so it is quoted for one.
        let remote = match *protocol {
            "-O" => format!("127.0.0.1:'{there}'"),
            _ => format!("127.0.0.1:{there}"),
        };
        succeed(&scp(
            &server,
            &options,
            &[protocol, "-q", "-r", "-p", text(&out), &remote],
        ));
        // There now, so that the folder goes into it.
        succeed(&scp(
            &server,
            &options,
            &[protocol, "-r", "-p", text(&out), &remote],
        ));
        succeed(&scp(
            &server,
            &options,
            &[protocol, "-r", "-p", &remote, text(&back)],
        ));
        let back = back.join(&there);
        assert_eq!(sums(&out), sums(&back.join("out")));
        fs::remove_dir_all(back.join("out")).unwrap();
        assert_eq!(sums(&out), sums(&back), "{protocol}");
        assert!(back.join("hollow").is_dir());
        for path in ["one", "a folder/deep er"] {
            let about = back.join(path).metadata().unwrap();
            assert_eq!(
                (about.mode() & 0o777, about.mtime()),
                (0o750, 981_173_106),
                "{path}"
            );
        }
    }
    server.stop();
}

#[test]
fn a_large_file_comes_whole_every_time() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let options = SshOptions::with_new_key(&server, folder.path());
    let large = folder.join("large");
    write_random(&large, 100 << 20);
    let sum = sha256(&large);
    succeed(&scp(&server, &options, &[text(&large), "127.0.0.1:large"]));
    let back = folder.join("back");
    for time in 0..8 {
        succeed(&scp(&server, &options, &["127.0.0.1:large", text(&back)]));
        assert_eq!(sha256(&back), sum, "{time}");
        fs::remove_file(&back).unwrap();
    }
}

#[test]
fn odd_names_and_patterns_are_found() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let options = SshOptions::with_new_key(&server, folder.path());
    let (out, back) = (folder.folder("out"), folder.folder("back"));
    write_odd_files(&out);
    succeed(&scp(
        &server,
        &options,
        &["-O", "-r", text(&out), "127.0.0.1:"],
    ));
    succeed(&scp(
        &server,
        &options,
        &["-O", "-r", "127.0.0.1:out", text(&back)],
    ));
    assert_eq!(sums(&out), sums(&back.join("out")));
    let some = folder.folder("some");
    succeed(&scp(
        &server,
        &options,
        &[
            "-O",
            "127.0.0.1:out/*space*",
            "127.0.0.1:out/[bc]o*\\ *",
            text(&some),
        ],
    ));
    let mut names: Vec<_> = fs::read_dir(&some)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            " leading space",
            "combining e\u{301} a\u{30a}",
            "composed é å",
            "two  spaces ",
            "with space"
        ]
    );
    server.stop();
}

#[test]
fn what_goes_wrong_is_said_and_the_rest_goes_on() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let options = SshOptions::with_new_key(&server, folder.path());
    let out = folder.folder("out");
    for name in ["a", "b", "c"] {
        fs::write(out.join(name), name).unwrap();
    }
    sftp_ok(&server, &options, "mkdir out\nmkdir out/b\n");
    let sent = scp(&server, &options, &["-O", "-r", text(&out), "127.0.0.1:"]);
    assert!(!sent.status.success());
    let said = String::from_utf8_lossy(&sent.stderr).into_owned();
    assert!(said.contains("/out/b: Is a directory"), "{said}");
    sftp_ok(&server, &options, "ls out/a\nls out/c\n");

    for (words, expected) in [
        (
            &["-O", "127.0.0.1:absent", "."][..],
            "absent: No such file or directory",
        ),
        (
            &["-O", "127.0.0.1:absent*", "."],
            "absent*: No such file or directory",
        ),
        (&["-O", "127.0.0.1:out", "."], "/out: not a regular file"),
        (
            &["-O", "FILE", "127.0.0.1:absent/x"],
            "absent/x: No such file or directory",
        ),
        (
            &["-O", "FILE", "127.0.0.1:absent/"],
            "absent/: Not a directory",
        ),
        (
            &["-O", "FILE", "FILE", "127.0.0.1:absent"],
            "absent: Not a directory",
        ),
        (&["-O", "FILE", "127.0.0.1:out/a/x"], "Not a directory"),
        (&["-O", "FILE", "127.0.0.1:`x`"], "no shell"),
    ] {
        let file = out.join("a");
        let words: Vec<_> = words
            .iter()
            .map(|word| word.replace("FILE", text(&file)))
            .collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let tried = scp(&server, &options, &words);
        let said = String::from_utf8_lossy(&tried.stderr).into_owned();
        assert!(
            !tried.status.success() && said.contains(expected),
            "{words:?}: {said}"
        );
    }
    server.stop();
}

#[test]
fn a_quota_that_is_reached_is_told_with_figures() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let options = SshOptions::with_new_key(&server, folder.path());
    server.admin(&["account", "set", DEMO, "--quota", "2MiB"], "");
    let out = folder.folder("out");
    write_random(&out.join("a large one"), 3 << 20);
    write_random(&out.join("a small one"), 1 << 10);
    let sent = scp(&server, &options, &["-O", "-r", text(&out), "127.0.0.1:"]);
    let said = String::from_utf8_lossy(&sent.stderr).into_owned();
    assert!(!sent.status.success());
    assert!(
        said.contains("/out/a large one: quota of account reached: "),
        "{said}"
    );
    assert!(said.contains(" of 2.0 MiB used"), "{said}");
    let back = folder.join("back");
    succeed(&scp(
        &server,
        &options,
        &["-O", "127.0.0.1:out/a\\ small\\ one", text(&back)],
    ));
    assert_eq!(sha256(&back), sha256(&out.join("a small one")));
    // Far more than fits: it is not read to its end.
    write_random(&out.join("a large one"), 100 << 20);
    let sent = scp(
        &server,
        &options,
        &["-O", text(&out.join("a large one")), "127.0.0.1:"],
    );
    let said = String::from_utf8_lossy(&sent.stderr).into_owned();
    assert!(said.contains("quota of account reached: "), "{said}");
    server.stop();
}
