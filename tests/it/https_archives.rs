//! Archives over HTTPS: whole, of one moment, read by other people's programs.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::client::{cached, run};
use crate::support::folder::TempFolder;
use crate::support::https_door::HttpsDoor;

/// A tree with what is hard on archives, and its copy here.
fn grow(door: &HttpsDoor, folder: &Path) {
    let long = "long-".repeat(40);
    let deep = format!("{long}/{long}/{long}");
    let noise: Vec<u8> = (0..2_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let files: [(String, &[u8]); 6] = [
        ("a.txt".to_owned(), b"one"),
        ("empty".to_owned(), b""),
        ("sub/\u{e4}\u{1f600} x.bin".to_owned(), &noise),
        ("sub/b".to_owned(), &noise[..40_000]),
        (format!("{deep}/deep"), b"deep"),
        ("x&y=%z".to_owned(), b"odd"),
    ];
    let file = folder.join("upload");
    for (path, content) in &files {
        let local = folder.join("tree").join(path);
        fs::create_dir_all(local.parent().unwrap()).unwrap();
        fs::write(&local, content).unwrap();
        fs::write(&file, content).unwrap();
        let encoded: Vec<_> = path.split('/').map(percent).collect();
        let url = format!("/api/v1/files/tree/{}?parents=true", encoded.join("/"));
        let put = door.demo(&["-T", file.to_str().unwrap()], &url);
        assert_eq!(put.status, 201, "{path}: {}", put.text());
    }
    fs::create_dir_all(folder.join("tree/none")).unwrap();
    assert_eq!(
        door.demo(&["-X", "POST"], "/api/v1/folders/tree/none")
            .status,
        201
    );
}

fn percent(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[track_caller]
fn done(program: &str, words: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(words);
    let ran = run(command, "");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{program} {words:?}: {said}{errors}");
    said
}

#[test]
fn a_folder_is_fetched_as_zip_and_as_tar() {
    let (door, folder) = (HttpsDoor::up(), TempFolder::new());
    grow(&door, folder.path());
    let tree = folder.join("tree");
    for (format, kind) in [("zip", "application/zip"), ("tar", "application/x-tar")] {
        let got = door.demo(&[], &format!("/api/v1/archive?path=/tree&format={format}"));
        assert_eq!(got.status, 200);
        assert_eq!(got.header("content-type"), Some(kind));
        let said = format!("attachment; filename=\"tree.{format}\"");
        assert_eq!(got.header("content-disposition"), Some(said.as_str()));
        let archive = folder.join(format);
        fs::write(&archive, &got.body).unwrap();
        let out = folder.join(&format!("out-{format}"));
        fs::create_dir(&out).unwrap();
        let (archive, out) = (archive.to_str().unwrap(), out.to_str().unwrap());
        match format {
            "zip" => {
                done("unzip", &["-tqq", archive]);
                let code = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\n\
                            assert z.testzip() is None\nz.extractall(sys.argv[2])";
                done("/usr/bin/python3", &["-c", code, archive, out]);
                // As it comes, by who has seen no directory of it.
                let code = "import os, stream_unzip, sys\n\
                            pieces = iter(lambda: sys.stdin.buffer.read(1000), b'')\n\
                            for name, size, content in stream_unzip.stream_unzip(pieces):\n\
                            \x20   path = os.path.join(os.fsencode(sys.argv[1]), b'streamed', name)\n\
                            \x20   os.makedirs(os.path.dirname(path), exist_ok=True)\n\
                            \x20   if name.endswith(b'/'):\n\
                            \x20       assert not b''.join(content)\n\
                            \x20       continue\n\
                            \x20   with open(path, 'wb') as file:\n\
                            \x20       file.writelines(content)";
                let mut command = Command::new(cached("stream-unzip/bin/python"));
                command.args(["-c", code, out]);
                command.stdin(fs::File::open(archive).unwrap());
                let ran = command.output().unwrap();
                assert!(
                    ran.status.success(),
                    "{}",
                    String::from_utf8_lossy(&ran.stderr)
                );
                let streamed = format!("{out}/streamed/tree");
                done("diff", &["-r", tree.to_str().unwrap(), &streamed]);
            }
            _ => drop(done("tar", &["-xf", archive, "-C", out])),
        }
        let out = format!("{out}/tree");
        done("diff", &["-r", tree.to_str().unwrap(), &out]);
    }
}

#[test]
fn a_selection_and_the_root_are_archives_too() {
    let (door, folder) = (HttpsDoor::up(), TempFolder::new());
    for path in ["/x/a", "/y/b", "/c", "/y/a"] {
        door.put(&format!("{path}?parents=true"), path, &[]);
    }
    let names = |query: &str| -> Vec<String> {
        let got = door.demo(&[], &format!("/api/v1/archive?{query}"));
        assert_eq!(got.status, 200, "{}", got.text());
        let archive = folder.join("zip");
        fs::write(&archive, &got.body).unwrap();
        let listed = done("zipinfo", &["-1", archive.to_str().unwrap()]);
        listed.lines().map(str::to_owned).collect()
    };
    assert_eq!(names("path=/x/a&path=/y"), ["a", "y/", "y/a", "y/b"]);
    // Two of one name, as in what a search found.
    let twice = names("path=/x/a&path=/y/a&path=/y&path=/y");
    assert_eq!(
        twice,
        [
            "a", "a (2)", "y/", "y/a", "y/b", "y (2)/", "y (2)/a", "y (2)/b"
        ]
    );
    let all = names("path=/");
    for name in ["c", "x/", "x/a", "y/", "y/a", "y/b"] {
        assert!(all.iter().any(|own| own == name), "{all:?}");
    }
    for (query, status) in [
        ("", 400),
        ("path=/&path=/x", 400),
        ("path=/none", 404),
        ("path=/c&format=rar", 400),
        ("path=/../c", 400),
    ] {
        let refused = door.demo(&[], &format!("/api/v1/archive?{query}"));
        assert_eq!(refused.status, status, "{query}: {}", refused.text());
    }
}

#[test]
fn files_whose_names_differ_only_in_what_zip_cannot_have_are_all_unpacked() {
    let (door, folder) = (HttpsDoor::up(), TempFolder::new());
    let names = [
        "a\\b", "a:b", "a_b", "a%5Cb", "a%255Cb", "a%3Ab", "a\tb", "a\nb", "a%09b", "a\u{85}b",
        "a%C2%85b", "..\\b", "d:/b", "d_/b", "d\\/b", "d%5C/b",
    ];
    for name in names {
        let encoded: Vec<_> = name.split('/').map(percent).collect();
        let path = format!("/names/{}?parents=true", encoded.join("/"));
        door.put(&path, name, &[]);
    }
    let got = door.demo(&[], "/api/v1/archive?path=/names");
    assert_eq!(got.status, 200);
    let archive = folder.join("zip");
    fs::write(&archive, &got.body).unwrap();
    let out = folder.join("out");
    fs::create_dir(&out).unwrap();
    let (archive, out) = (archive.to_str().unwrap(), out.to_str().unwrap());
    done("unzip", &["-qq", archive, "-d", out]);
    let code = "import os, sys\nfor at, _, files in os.walk(sys.argv[1]):\n\
                \x20   for one in files: print(ascii(open(os.path.join(at, one), encoding='utf-8').read()))";
    let found = done("/usr/bin/python3", &["-c", code, out]);
    let mut found: Vec<_> = found.lines().collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), names.len(), "{found:?}");
    let listed = done("zipinfo", &["-1", archive]);
    for name in listed.lines() {
        assert!(!name.contains(['\\', ':', '\t', '\u{85}']), "{name}");
    }
}

#[test]
fn an_archive_of_more_entries_than_zip_could_count_before_zip64_is_whole() {
    let (door, folder) = (HttpsDoor::up(), TempFolder::new());
    for n in 0..16 {
        door.put(&format!("/a/0/{n}?parents=true"), &n.to_string(), &[]);
    }
    let copy = |from: &str, to: &str| {
        let way = format!(r#"{{"from":"{from}","to":"{to}"}}"#);
        let copied = door.send("POST", "/copy", &way, &[]);
        assert_eq!(copied.status, 201, "{}", copied.text());
    };
    (1..41).for_each(|n| copy("/a/0", &format!("/a/{n}")));
    (1..96).for_each(|n| copy("/a", &format!("/a{n}")));
    let archive = folder.join("zip");
    let mut command = Command::new("curl");
    let url = door.url("/api/v1/archive?path=/");
    command.args(["-sSkf", "--user", &door.user(), "--output"]);
    command.arg(&archive).arg(&url);
    assert!(run(command, "").status.success());
    let archive = archive.to_str().unwrap();
    let code = "import sys, zipfile\nwith zipfile.ZipFile(sys.argv[1]) as zip:\n\
                \x20   print(zip.testzip(), len(zip.namelist()), zip.read('a95/40/15'))";
    let seen = done("/usr/bin/python3", &["-c", code, archive]);
    // 96 folders, 41 in each of them, 16 files in each of these.
    let entries = 96 * (1 + 41 * 17);
    assert_eq!(seen.trim(), format!("None {entries} b'15'"));
    done("unzip", &["-tqq", archive]);
}

#[test]
fn an_archive_that_cannot_be_read_to_its_end_breaks_off() {
    let door = HttpsDoor::up();
    let content = "x".repeat(100_000);
    door.put("/dir/a?parents=true", "fine", &[]);
    let folder = TempFolder::new();
    let local = folder.join("b");
    fs::write(&local, content).unwrap();
    let put = door.demo(&["-T", local.to_str().unwrap()], "/api/v1/files/dir/b");
    assert_eq!(put.status, 201);
    damage(&door.server.data().join("blobs"));
    for format in ["zip", "tar"] {
        let mut command = Command::new("curl");
        let url = door.url(&format!("/api/v1/archive?path=/dir&format={format}"));
        command.args([
            "-sSk",
            "--user",
            &door.user(),
            "--output",
            "/dev/null",
            &url,
        ]);
        let ran = run(command, "");
        assert!(!ran.status.success(), "{format} ended as if it were whole");
    }
}

/// Flips a bit in the middle of each large blob.
fn damage(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            damage(&path);
            continue;
        }
        let mut bytes = fs::read(&path).unwrap();
        if bytes.len() > 50_000 {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            let mut rights = fs::metadata(&path).unwrap().permissions();
            std::os::unix::fs::PermissionsExt::set_mode(&mut rights, 0o600);
            fs::set_permissions(&path, rights).unwrap();
            fs::write(&path, bytes).unwrap();
        }
    }
}
