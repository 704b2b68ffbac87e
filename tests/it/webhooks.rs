//! What webhooks are told of files, through every door.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::client::{SshOptions, paramiko, quote, run, sftp_ok, succeed};
use crate::support::dav::Dav;
use crate::support::folder::{sha256, write_random};
use crate::support::hooked::Hooked;
use crate::support::receiver::Receiver;
use crate::support::server::DEMO;
use crate::support::tus::{Tus, noise};
use crate::support::wait::wait_for;

/// Kinds and paths of what came, by sequence; each id once.
#[track_caller]
fn told(receiver: &Receiver) -> Vec<(String, String)> {
    let mut all = receiver.received();
    all.sort_by_key(|one| one.body["sequence"].as_i64());
    let mut ids: Vec<_> = all.iter().map(|one| one.id()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all.len(), "an event was told twice");
    all.iter().map(|one| one.what()).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(kind, path): &(&str, &str)| ((*kind).to_owned(), (*path).to_owned());
    expected.iter().map(own).collect()
}

#[test]
fn every_door_has_each_file_told_once() {
    let hooked = Hooked::up();
    let (server, folder, receiver) = (&hooked.server, &hooked.folder, Receiver::start());
    hooked.hook(&receiver.url("/hook"), &["--events", "all"]);
    write_random(&folder.join("some"), 300_000);
    fs::write(folder.join("empty"), "").unwrap();
    let some = quote(folder.join("some"));
    let empty = quote(folder.join("empty"));

    let options = SshOptions::with_new_key(server, folder.path());
    let batch = format!("put {some} sftp\nput -f {some} synced\nput {empty} sftp-empty\n");
    sftp_ok(server, &options, &batch);

    let ftp = server.ready.listeners.ftp.unwrap();
    let user = format!("{DEMO}:{}", server.password());
    for (file, name) in [("some", "ftp"), ("empty", "ftp-empty")] {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--ssl-reqd",
            "--insecure",
            "--user",
            &user,
        ])
        .arg("--upload-file")
        .arg(folder.join(file))
        .arg(format!("ftp://{ftp}/{name}"));
        succeed(&run(curl, ""));
    }
    let mut lftp = Command::new("lftp");
    let script = format!(
        "set ssl:verify-certificate no; set xfer:use-temp-file yes; open -u {DEMO},{} \
         ftp://{ftp}; put {some} -o lftp; bye",
        server.password()
    );
    lftp.args(["--norc", "-c", &script]);
    succeed(&run(lftp, ""));

    for (file, name) in [("some", "https"), ("empty", "https-empty")] {
        let from = folder.join(file);
        let answer = hooked.ask(&["-T", from.to_str().unwrap()], &format!("/files/{name}"));
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    let tus = Tus::of(server);
    let bytes = noise(1, 300_000);
    let at = tus.begin("/tus", bytes.len());
    assert_eq!(tus.patch(&at, 0, &bytes[..100_000], &[]).status, 204);
    assert_eq!(tus.patch(&at, 100_000, &bytes[100_000..], &[]).status, 204);
    tus.begin("/tus-empty", 0);
    hooked.settled("/tus-empty");

    let expected = [
        "sftp",
        "synced",
        "sftp-empty",
        "ftp",
        "ftp-empty",
        "lftp",
        "https",
        "https-empty",
        "tus",
        "tus-empty",
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|name| ("file.stored".to_owned(), format!("/{name}")))
        .collect();
    assert_eq!(told(&receiver), expected);
    let sum = sha256(&folder.join("some"));
    for one in receiver.received() {
        let data = &one.body["data"];
        let path = data["path"].as_str().unwrap();
        assert_eq!(one.path, "/hook");
        assert_eq!(one.body["tenant"], "demo");
        assert_eq!(data["account"], "demo");
        assert_eq!(data["replaced"], false);
        assert_eq!(data["address"], "127.0.0.1");
        let size = if path.ends_with("empty") { 0 } else { 300_000 };
        assert_eq!(data["size"], size, "{path}");
        let protocol = match path {
            "/sftp" | "/synced" | "/sftp-empty" => "sftp",
            "/ftp" | "/ftp-empty" => "ftps",
            "/lftp" => data["protocol"].as_str().unwrap(),
            _ => "https",
        };
        assert_eq!(data["protocol"], protocol, "{path}");
        if ["/sftp", "/ftp", "/https"].contains(&path) {
            assert_eq!(data["sha256"], sum, "{path}");
        }
    }
    hooked.server.stop();
}

#[test]
fn a_temporary_name_and_its_new_name_are_one_event() {
    let hooked = Hooked::up();
    let (server, folder, receiver) = (&hooked.server, &hooked.folder, Receiver::start());
    hooked.hook(&receiver.url("/"), &["--events", "all"]);
    write_random(&folder.join("some"), 10_000);
    let some = quote(folder.join("some"));
    let options = SshOptions::with_new_key(server, folder.path());
    let batch = format!(
        "put {some} a.filepart\nrename a.filepart a\n\
         put {some} b.part\nput {some} c.tmp\nrename c.tmp c.partial\nrm b.part\n\
         put {some} d.tmp\nrename d.tmp a\n\
         mkdir .~tmp~\nput {some} .~tmp~/e\nrename .~tmp~/e e\n\
         rename e f\nrename f a\nrename a g.tmp\nrename g.tmp g\n"
    );
    sftp_ok(server, &options, &batch);
    hooked.settled("/g");
    let expected = [
        ("file.stored", "/a"),
        ("file.stored", "/a"),
        ("file.stored", "/e"),
        ("file.renamed", "/f"),
        ("file.stored", "/a"),
        ("file.renamed", "/g.tmp"),
        ("file.stored", "/g"),
    ];
    assert_eq!(told(&receiver), pairs(&expected));
    let mut all = receiver.received();
    all.sort_by_key(|one| one.body["sequence"].as_i64());
    let sum = sha256(&folder.join("some"));
    for (number, from, replaced) in [(0, "/a.filepart", false), (1, "/d.tmp", true)] {
        let data = &all[number].body["data"];
        assert_eq!(data["from"], from);
        assert_eq!(data["by"], "rename");
        assert_eq!(data["replaced"], replaced);
        assert_eq!(data["sha256"], sum);
    }

    // The tenant's own names instead.
    hooked.webhook(&["temporary-names", "demo", "--set", "*.up"]);
    let batch = format!("put {some} h.up\nput {some} h.tmp\nrename h.up h\n");
    sftp_ok(server, &options, &batch);
    hooked.settled("/h");
    let told = told(&receiver);
    assert_eq!(
        told[told.len() - 2..],
        pairs(&[("file.stored", "/h.tmp"), ("file.stored", "/h")])
    );
    hooked.server.stop();
}

#[test]
fn winscp_has_a_file_told_when_it_is_renamed_into_place() {
    let hooked = Hooked::up();
    let receiver = Receiver::start();
    hooked.hook(&receiver.url("/"), &["--events", "all"]);
    let mut client = paramiko("winscp.py", &hooked.server, &["first"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut output = BufReader::new(client.stdout.take().unwrap());
    output.read_line(&mut said).unwrap();
    assert_eq!(said, "half\n");
    client.kill().unwrap();
    client.wait().unwrap();
    wait_for("the session to end", Duration::from_secs(30), || {
        let log = hooked.server.log();
        log.contains("session ended").then_some(())
    });
    succeed(&run(paramiko("winscp.py", &hooked.server, &["second"]), ""));
    hooked.put("/last", "");
    hooked.settled("/last");
    let expected = [
        ("file.stored", "/folder/report.bin"),
        ("file.deleted", "/folder/report.bin"),
        ("file.stored", "/folder/report.bin"),
        ("file.stored", "/last"),
    ];
    assert_eq!(told(&receiver), pairs(&expected));
    hooked.server.stop();
}

#[test]
fn uploads_that_break_off_are_not_told() {
    let hooked = Hooked::up();
    let (server, folder, receiver) = (&hooked.server, &hooked.folder, Receiver::start());
    hooked.hook(&receiver.url("/"), &["--events", "all"]);
    write_random(&folder.join("some"), 3_000_000);

    let from = folder.join("some");
    let words = ["/sftp", from.to_str().unwrap(), "2000000"];
    let mut client = paramiko("break_off.py", server, &words)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut output = BufReader::new(client.stdout.take().unwrap());
    output.read_line(&mut said).unwrap();
    assert_eq!(said, "sent\n");
    client.kill().unwrap();
    client.wait().unwrap();

    let user = format!("{DEMO}:{}", server.password());
    let ftp = server.ready.listeners.ftp.unwrap();
    let https = server.ready.listeners.https.unwrap();
    for url in [
        format!("ftp://{ftp}/ftp"),
        format!("https://{https}/api/v1/files/https"),
    ] {
        let mut client = Command::new("curl")
            .args(["--silent", "--insecure", "--no-buffer", "--user", &user])
            .args(["--upload-file", "-", &url])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = client.stdin.take().unwrap();
        // More than the pipe and the sockets hold: some of it has arrived.
        pipe.write_all(&noise(2, 20_000_000)).unwrap();
        client.kill().unwrap();
        client.wait().unwrap();
    }
    let tus = Tus::of(server);
    let at = tus.begin("/tus", 3_000_000);
    assert_eq!(tus.patch(&at, 0, &noise(3, 2_000_000), &[]).status, 204);

    hooked.put("/last", "");
    hooked.settled("/last");
    assert_eq!(told(&receiver), pairs(&[("file.stored", "/last")]));
    hooked.server.stop();
}

#[test]
fn folders_are_told_as_one_thing() {
    let hooked = Hooked::up();
    let receiver = Receiver::start();
    hooked.hook(&receiver.url("/"), &["--events", "all"]);
    for number in 0..5 {
        hooked.put(&format!("/in/deep/{number}?parents=true"), "some");
    }
    let json = |text: &str| {
        let words = [
            "-X",
            "POST",
            "-H",
            "Content-Type: application/json",
            "-d",
            text,
        ];
        words.map(str::to_owned)
    };
    let ask = |text: &str, path: &str| {
        let words = json(text);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let answer = hooked.ask(&words, path);
        assert!(answer.status < 300, "{}", answer.text());
    };
    ask(r#"{"from": "/in", "to": "/out"}"#, "/move");
    ask(r#"{"from": "/out/deep/1", "to": "/out/copy"}"#, "/copy");
    let answer = hooked.ask(&["-X", "DELETE"], "/entries/out/deep/2");
    assert_eq!(answer.status, 204, "{}", answer.text());
    let answer = hooked.ask(&["-X", "DELETE"], "/entries/out?recursive=true");
    assert_eq!(answer.status, 204, "{}", answer.text());
    hooked.put("/last", "");
    hooked.settled("/last");
    let told = told(&receiver);
    let expected = [
        ("folder.renamed", "/out"),
        ("file.stored", "/out/copy"),
        ("file.deleted", "/out/deep/2"),
        ("folder.deleted", "/out"),
        ("file.stored", "/last"),
    ];
    assert_eq!(told[5..], pairs(&expected));
    let all = receiver.received();
    let one = all.iter().find(|one| one.what().0 == "folder.renamed");
    assert_eq!(one.unwrap().body["data"]["from"], "/in");
    hooked.server.stop();
}

#[test]
fn a_webhook_is_told_what_it_wants_about_its_folder() {
    let hooked = Hooked::up();
    let receiver = Receiver::start();
    let words = [
        "--events",
        "file.stored,folder.renamed",
        "--path",
        "/in/mine",
    ];
    hooked.hook(&receiver.url("/"), &words);
    hooked.put("/in/mine/a?parents=true", "1");
    hooked.put("/in/mined", "2");
    hooked.put("/else", "3");
    let answer = hooked.ask(&["-X", "DELETE"], "/entries/in/mine/a");
    assert_eq!(answer.status, 204);
    let body = [
        "-H",
        "Content-Type: application/json",
        "-d",
        r#"{"from": "/in", "to": "/inn"}"#,
    ];
    assert!(hooked.ask(&body, "/move").status < 300);
    hooked.settled("/inn");
    assert_eq!(
        told(&receiver),
        pairs(&[("file.stored", "/in/mine/a"), ("folder.renamed", "/inn")])
    );
    hooked.server.stop();
}

#[test]
fn a_quota_is_told_as_it_fills() {
    let hooked = Hooked::up();
    let receiver = Receiver::start();
    hooked.hook(&receiver.url("/"), &["--events", "quota.near"]);
    hooked
        .server
        .admin(&["tenant", "set", "demo", "--quota", "1000B"], "");
    let put = |name: &str, bytes: usize| hooked.put(name, &"x".repeat(bytes));
    put("/a", 700);
    put("/b", 100);
    put("/c", 50);
    put("/d", 150);
    let all = receiver.wait_for(2);
    let levels: Vec<_> = all
        .iter()
        .map(|one| one.body["data"]["percent"].as_i64().unwrap())
        .collect();
    assert_eq!(levels, [80, 100]);
    let data: &Value = &all[1].body["data"];
    assert_eq!(
        (&data["of"], &data["unit"]),
        (&"tenant".into(), &"bytes".into())
    );
    assert_eq!(
        (&data["used"], &data["quota"]),
        (&1000.into(), &1000.into())
    );
    hooked.server.stop();
}

#[test]
fn a_quota_is_told_when_one_large_file_fills_it_by_any_door() {
    let hooked = Hooked::up();
    let receiver = Receiver::start();
    hooked.hook(&receiver.url("/"), &["--events", "quota.near"]);
    hooked
        .server
        .admin(&["tenant", "set", "demo", "--quota", "1MiB"], "");
    let file = hooked.folder.join("large");
    write_random(&file, 900 << 10);
    let put = hooked.ask(&["-T", file.to_str().unwrap()], "/files/https");
    assert_eq!(put.status, 201, "{}", put.text());
    receiver.wait_for(1);
    // What is deleted makes room, so that the next one reaches the same part again.
    let gone = hooked.ask(&["-X", "DELETE"], "/entries/https");
    assert_eq!(gone.status, 204, "{}", gone.text());
    let options = SshOptions::with_new_key(&hooked.server, hooked.folder.path());
    sftp_ok(
        &hooked.server,
        &options,
        &format!("put {} sftp\n", quote(&file)),
    );
    for told in receiver.wait_for(2) {
        let data = &told.body["data"];
        assert_eq!(
            (&data["percent"], &data["used"]),
            (&80.into(), &(900 << 10).into())
        );
    }
    hooked.server.stop();
}

#[test]
fn failed_logins_are_told_a_few_times_and_counted() {
    let hooked = Hooked::up();
    let receiver = Receiver::start();
    hooked.hook(&receiver.url("/"), &["--events", "login.failed"]);
    let address = hooked.server.ready.listeners.https.unwrap();
    let url = format!("https://{address}/api/v1/me");
    for _ in 0..20 {
        let answer = crate::support::https_door::ask(&["--user", "nobody@demo:wrong"], &url);
        assert!(matches!(answer.status, 401 | 429));
    }
    let answer = crate::support::https_door::ask(&["--user", "demo@demo:wrong"], &url);
    assert!(matches!(answer.status, 401 | 429));
    hooked.webhook(&["test", "demo", "hook"]);
    wait_for("the test", Duration::from_secs(60), || {
        let all = receiver.received();
        all.iter()
            .any(|one| one.what().0 == "webhook.test")
            .then_some(())
    });
    wait_for("the rest", Duration::from_secs(60), || {
        let all = hooked.deliveries();
        all.iter()
            .all(|one| one["state"] == "delivered")
            .then_some(())
    });
    let all = receiver.received();
    let failed: Vec<_> = all
        .iter()
        .filter(|one| one.what().0 == "login.failed")
        .collect();
    assert!((1..=6).contains(&failed.len()), "{}", failed.len());
    assert_eq!(failed[0].body["data"]["account"], "nobody");
    assert_eq!(failed[0].body["data"]["address"], "127.0.0.1");
    assert_eq!(failed[0].body["data"]["failures"], 1);
    hooked.server.stop();
}

#[test]
fn a_file_that_a_lock_made_is_told_once_it_is_put() {
    let hooked = Hooked::up();
    let (server, receiver) = (&hooked.server, Receiver::start());
    hooked.hook(&receiver.url("/"), &["--events", "all"]);
    let address = server.ready.listeners.https.unwrap();
    let dav = Dav::of(address, &format!("{DEMO}:{}", server.password()));
    let held = |token: &str| format!("If: ({token})");
    let token = dav.locked("/new", &[]);
    let put = dav.put("/new", "some", &["-H", &held(&token)]);
    assert_eq!(put.status, 204, "{}", put.text());
    let put = dav.put("/new", "more", &["-H", &held(&token)]);
    assert_eq!(put.status, 204, "{}", put.text());
    let token = dav.locked("/empty", &[]);
    let put = dav.put("/empty", "", &["-H", &held(&token)]);
    assert_eq!(put.status, 204, "{}", put.text());
    let token = dav.locked("/never", &[]);
    assert_eq!(dav.unlock("/never", &token).status, 204);
    dav.put("/last", "x", &[]);
    hooked.settled("/last");
    let stored = ["/new", "/new", "/empty", "/last"];
    let expected: Vec<_> = stored.iter().map(|path| ("file.stored", *path)).collect();
    assert_eq!(told(&receiver), pairs(&expected));
    let mut all = receiver.received();
    all.sort_by_key(|one| one.body["sequence"].as_i64());
    let replaced = all.iter().map(|one| one.body["data"]["replaced"].clone());
    let replaced: Vec<_> = replaced.collect();
    assert_eq!(replaced, [false, true, false, false]);
    hooked.server.stop();
}

#[test]
fn of_a_file_that_a_lock_made_nothing_is_told_before_something_becomes_of_it() {
    let hooked = Hooked::up();
    let (server, receiver) = (&hooked.server, Receiver::start());
    hooked.hook(&receiver.url("/"), &["--events", "all"]);
    let address = server.ready.listeners.https.unwrap();
    let dav = Dav::of(address, &format!("{DEMO}:{}", server.password()));
    let made = |path: &str| {
        let token = dav.locked(path, &[]);
        assert_eq!(dav.unlock(path, &token).status, 204);
    };
    let delete = |path: &str, words: &[&str]| {
        let gone = dav.ask("DELETE", path, words);
        assert_eq!(gone.status, 204, "{}", gone.text());
    };
    made("/gone");
    delete("/gone", &[]);
    let token = dav.locked("/held", &[]);
    delete("/held", &["-H", &format!("If: ({token})")]);
    made("/moved");
    assert_eq!(dav.go("MOVE", "/moved", "/there", &[]).status, 201);
    delete("/there", &[]);
    assert_eq!(dav.put("/empty", "", &[]).status, 201);
    delete("/empty", &[]);
    made("/late");
    assert_eq!(dav.put("/late", "some", &[]).status, 204);
    dav.put("/last", "x", &[]);
    hooked.settled("/last");
    let expected = [
        ("file.stored", "/there"),
        ("file.deleted", "/there"),
        ("file.stored", "/empty"),
        ("file.deleted", "/empty"),
        ("file.stored", "/late"),
        ("file.stored", "/last"),
    ];
    assert_eq!(told(&receiver), pairs(&expected));
    let all = receiver.received();
    let late = all.iter().find(|one| one.body["data"]["path"] == "/late");
    assert_eq!(late.unwrap().body["data"]["replaced"], false);
    hooked.server.stop();
}

#[test]
fn a_folder_with_a_temporary_name_and_its_new_name_are_one_event_of_each_file() {
    let hooked = Hooked::up();
    let receiver = Receiver::start();
    hooked.hook(
        &receiver.url("/"),
        &["--events", "file.stored", "--path", "/in"],
    );
    for file in [
        "/in/batch.tmp/invoice.xml",
        "/in/batch.tmp/more/b.xml",
        "/out.tmp/c",
    ] {
        hooked.put(&format!("{file}?parents=true"), file);
    }
    for (from, to) in [("/in/batch.tmp", "/in/batch"), ("/out.tmp", "/out")] {
        let way = format!("{{\"from\":\"{from}\",\"to\":\"{to}\"}}");
        let words = ["-H", "Content-Type: application/json", "-d", &way];
        let moved = hooked.ask(&words, "/move");
        assert_eq!(moved.status, 200, "{}", moved.text());
    }
    hooked.put("/in/last", "x");
    hooked.settled("/in/last");
    let mut told = told(&receiver);
    told.sort();
    assert_eq!(
        told,
        pairs(&[
            ("file.stored", "/in/batch/invoice.xml"),
            ("file.stored", "/in/batch/more/b.xml"),
            ("file.stored", "/in/last"),
        ])
    );
    hooked.server.stop();
}
