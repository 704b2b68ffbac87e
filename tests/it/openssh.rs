//! OpenSSH's own client, as most people's scripts use it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use crate::support::client::{SshOptions, quote, run, sftp, sftp_ok, succeed, write_odd_files};
use crate::support::folder::{TempFolder, sha256, sums, write_random};
use crate::support::server::{DEMO, Server};

const SIZES: &[u64] = &[0, 1, 65_535, 65_536, 65_537, (1 << 20) + 3];

#[test]
fn a_password_opens_a_session() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let login = |password: &str| {
        let mut command = Command::new("sshpass");
        command
            .args(["-p", password, "sftp", "-q", "-F", "none", "-P"])
            .arg(server.port().to_string())
            .args(["-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR"])
            .args(["-o", "UserKnownHostsFile=/dev/null"])
            .args(["-o", "PreferredAuthentications=password"])
            .args(["-o", "NumberOfPasswordPrompts=1"])
            .args(["-o", &format!("User={DEMO}"), "127.0.0.1"]);
        run(command, "pwd\n")
    };
    assert!(succeed(&login(&server.password())).contains("Remote working directory: /"));
    assert!(!login("not the password").status.success());
    server.stop();
}

#[test]
fn files_of_every_size_come_back_whole_with_their_times_and_modes() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let options = SshOptions::with_new_key(&server, folder.path());
    let (out, back) = (folder.folder("out"), folder.folder("back"));
    let mut batch = String::new();
    for size in SIZES {
        let file = out.join(format!("{size} bytes"));
        write_random(&file, *size);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let touched = Command::new("touch")
            .args(["-d", "2001-02-03T04:05:06Z"])
            .arg(&file)
            .status()
            .unwrap();
        assert!(touched.success());
        batch += &format!("put -p {} .\n", quote(&file));
    }
    batch += &format!("get -p * {}/\n", quote(&back));
    sftp_ok(&server, &options, &batch);
    assert_eq!(sums(&out), sums(&back));
    for entry in fs::read_dir(&back).unwrap() {
        let about = entry.unwrap().metadata().unwrap();
        assert_eq!((about.mode() & 0o777, about.mtime()), (0o640, 981_173_106));
    }
    server.stop();
}

#[test]
fn odd_names_come_back_as_they_went() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let options = SshOptions::with_new_key(&server, folder.path());
    let (out, back) = (folder.folder("out"), folder.folder("back"));
    let names = write_odd_files(&out);

    let mut batch = "mkdir odd\ncd odd\n".to_owned();
    for name in &names {
        batch += &format!(
            "put {} {}\n",
            quote(out.join(name)),
            quote(format!("./{name}"))
        );
    }
    sftp_ok(&server, &options, &batch);

    let mut batch = "cd odd\n".to_owned();
    for name in &names {
        batch += &format!(
            "get {} {}\n",
            quote(format!("./{name}")),
            quote(back.join(name))
        );
    }
    sftp_ok(&server, &options, &batch);
    assert_eq!(sums(&out), sums(&back));

    let again = folder.folder("again");
    sftp_ok(
        &server,
        &options,
        &format!("get -r odd {}/\n", quote(&again)),
    );
    assert_eq!(sums(&out), sums(&again.join("odd")));

    let mut batch = "cd odd\n".to_owned();
    for name in &names {
        batch += &format!("rm {}\n", quote(format!("./{name}")));
    }
    sftp_ok(&server, &options, &(batch + "cd ..\nrmdir odd\n"));
    server.stop();
}

#[test]
fn a_listing_shows_each_name_once() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let options = SshOptions::with_new_key(&server, folder.path());
    let out = folder.folder("out");
    for index in 0..1_203 {
        fs::write(out.join(format!("file {index}")), "x").unwrap();
    }
    sftp_ok(&server, &options, &format!("put -r {} .\n", quote(&out)));
    let printed = sftp_ok(&server, &options, "ls -1 out\n");
    let lines: Vec<&str> = printed
        .lines()
        .filter(|line| !line.starts_with("sftp>"))
        .collect();
    let names: BTreeSet<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    assert_eq!((lines.len(), names.len()), (1_203, 1_203));
    assert!(names.contains("out/file 1202"), "{:?}", names.first());
    server.stop();
}

#[test]
fn any_number_of_outstanding_requests_is_served() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let options = SshOptions::with_new_key(&server, folder.path());
    let file = folder.join("file");
    write_random(&file, 24 << 20);
    for outstanding in ["64", "256", "1024", "4096"] {
        for length in [&["-B", "32768"][..], &[]] {
            let back = folder.join("back");
            let batch = format!("put {} file\nget file {}\n", quote(&file), quote(&back));
            let words = [&["-R", outstanding], length].concat();
            succeed(&sftp(&server, &options, &words, &batch));
            assert_eq!(sha256(&file), sha256(&back), "{words:?}");
            fs::remove_file(&back).unwrap();
        }
    }
    server.stop();
}

#[test]
fn requests_may_be_few_and_of_any_length() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let options = SshOptions::with_new_key(&server, folder.path());
    let file = folder.join("file");
    write_random(&file, 2_000_003);
    for (outstanding, length) in [
        ("1", "1024"),
        ("1", "261120"),
        ("64", "1024"),
        ("4096", "1024"),
    ] {
        let back = folder.join("back");
        let batch = format!("put {} file\nget file {}\n", quote(&file), quote(&back));
        let words = ["-R", outstanding, "-B", length];
        succeed(&sftp(&server, &options, &words, &batch));
        assert_eq!(sha256(&file), sha256(&back), "{words:?}");
        fs::remove_file(&back).unwrap();
    }
    server.stop();
}

#[test]
fn a_file_of_300_mb_survives_new_keys_every_16_megabytes() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let options = SshOptions::with_new_key(&server, folder.path());
    let (file, back) = (folder.join("file"), folder.join("back"));
    write_random(&file, 300_000_000);
    for options in [options.with("RekeyLimit=16M"), options] {
        let batch = format!(
            "put {} big\nget big {}\nrm big\n",
            quote(&file),
            quote(&back)
        );
        sftp_ok(&server, &options, &batch);
        assert_eq!(sha256(&file), sha256(&back));
        fs::remove_file(&back).unwrap();
    }
    server.stop();
}

#[test]
fn the_server_asks_for_new_keys_without_a_stall() {
    let folder = TempFolder::new();
    let often = ("SEALIFT__SFTP__REKEY_BYTES".to_owned(), "1MiB".to_owned());
    let server = Server::up_with(&folder.join("data"), &[often]);
    let options = SshOptions::with_new_key(&server, folder.path());
    let (file, back) = (folder.join("file"), folder.join("back"));
    write_random(&file, 64 << 20);
    let batch = format!("put {} big\nget big {}\n", quote(&file), quote(&back));
    sftp_ok(&server, &options, &batch);
    assert_eq!(sha256(&file), sha256(&back));
    server.stop();
}

#[test]
fn rename_replaces_a_file_only_when_the_client_asks_for_posix() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let options = SshOptions::with_new_key(&server, folder.path());
    let (one, two, back) = (folder.join("one"), folder.join("two"), folder.join("back"));
    fs::write(&one, "first").unwrap();
    fs::write(&two, "second").unwrap();
    let puts = format!("put {} one\nput {} two\n", quote(&one), quote(&two));
    sftp_ok(&server, &options, &puts);

    let plain = sftp(&server, &options, &[], "rename -l one two\n");
    assert!(!plain.status.success());
    sftp_ok(&server, &options, &format!("get two {}\n", quote(&back)));
    assert_eq!(fs::read_to_string(&back).unwrap(), "second");

    let batch = format!("rename one two\nget two {}\n", quote(&back));
    sftp_ok(&server, &options, &batch);
    assert_eq!(fs::read_to_string(&back).unwrap(), "first");
    assert!(!sftp(&server, &options, &[], "ls one\n").status.success());
    sftp_ok(&server, &options, "rename -l two three\nls three\n");
    server.stop();
}

#[test]
fn folders_are_made_moved_and_removed_only_when_empty() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let options = SshOptions::with_new_key(&server, folder.path());
    let file = folder.join("file");
    fs::write(&file, "content").unwrap();
    let batch = format!(
        "mkdir a\nmkdir a/b\nput {} a/b/file\nrename a c\nls c/b/file\nchmod 700 c\nchmod 600 c/b/file\n",
        quote(&file)
    );
    sftp_ok(&server, &options, &batch);
    let printed = sftp_ok(&server, &options, "ls -l c/b\n");
    assert!(printed.contains("-rw-------"), "{printed}");
    for refused in [
        "rmdir c",
        "rmdir c/b",
        "rm c",
        "mkdir c",
        "rename c c/b/d",
        "rm absent",
    ] {
        let ran = sftp(&server, &options, &[], &format!("{refused}\n"));
        assert!(!ran.status.success(), "{refused}");
    }
    sftp_ok(&server, &options, "rm c/b/file\nrmdir c/b\nrmdir c\n");
    server.stop();
}

#[test]
fn reput_adds_what_is_missing() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let options = SshOptions::with_new_key(&server, folder.path());
    let (file, half, back) = (
        folder.join("file"),
        folder.join("half"),
        folder.join("back"),
    );
    write_random(&file, 5_000_000);
    fs::write(&half, &fs::read(&file).unwrap()[..2_345_678]).unwrap();
    let batch = format!(
        "put {} file\nreput {} file\nget file {}\n",
        quote(&half),
        quote(&file),
        quote(&back)
    );
    sftp_ok(&server, &options, &batch);
    assert_eq!(sha256(&file), sha256(&back));
    server.stop();
}

#[test]
fn a_file_is_copied_where_it_is() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let options = SshOptions::with_new_key(&server, folder.path());
    let (file, back) = (folder.join("file"), folder.join("back"));
    write_random(&file, 20_000_000);
    sftp_ok(&server, &options, &format!("put {} file\n", quote(&file)));
    // Since 9.0, by copy-data; without that it refuses.
    let batch = format!("cp file copy\ncp copy file\nget copy {}\n", quote(&back));
    sftp_ok(&server, &options, &batch);
    assert_eq!(sha256(&file), sha256(&back));
    sftp_ok(&server, &options, &format!("get file {}\n", quote(&back)));
    assert_eq!(sha256(&file), sha256(&back));
    server.stop();
}
