//! The admin commands and `sealift serve`: beside a running server, on both databases.

use std::process::{Command, Stdio};
use std::{fs, io};

use serde_json::Value;

use crate::support::cloud;
use crate::support::folder::TempFolder;
use crate::support::postgres::Postgres;
use crate::support::server::{DEMO, Server, host_keys, program, sealift};
use crate::support::serving::Serving;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn what_is_added_is_listed_changed_and_taken_away_beside_the_server() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let run = |words: &[&str]| json(&server.admin(&[words, &["--json"]].concat(), ""));

    run(&[
        "tenant",
        "add",
        "acme",
        "--quota",
        "1GiB",
        "--retention",
        "2d",
    ]);
    let acme = run(&["tenant", "list"])[0].clone();
    assert_eq!(
        (
            &acme["name"],
            &acme["quota_bytes"],
            &acme["retention_seconds"]
        ),
        (&"acme".into(), &(1_u64 << 30).into(), &172_800.into())
    );
    run(&["tenant", "set", "acme", "--quota", "none"]);
    assert!(run(&["tenant", "list"])[0]["quota_bytes"].is_null());

    let made = run(&["account", "add", "ann@acme", "--generate"]);
    assert!(made["password"].as_str().unwrap().len() >= 16);
    run(&["account", "disable", "ann@acme"]);
    assert_eq!(run(&["account", "list", "acme"])[0]["disabled"], true);
    run(&["account", "enable", "ann@acme"]);
    assert_eq!(run(&["account", "list", "acme"])[0]["disabled"], false);

    run(&["group", "add", "staff@acme"]);
    run(&["group", "join", "staff@acme", "ann@acme"]);
    assert_eq!(run(&["group", "list", "acme"])[0]["members"][0], "ann@acme");
    run(&["group", "leave", "staff@acme", "ann@acme"]);
    assert_eq!(
        run(&["group", "list", "acme"])[0]["members"],
        Value::Array(vec![])
    );

    let given = ["grant", "add", "group:staff@acme", "acme:/in", "list,read"];
    let said = |words: &[&str]| server.admin(words, "");
    assert!(said(&given).starts_with("made the folder acme:/in; "));
    assert!(!said(&given).contains("made"));
    let moved = said(&["account", "set", "ann@acme", "--home", "/new"]);
    assert!(
        moved.contains("grant add ann@acme acme:/new all"),
        "{moved}"
    );
    said(&["grant", "add", "ann@acme", "acme:/new", "read"]);
    let kept = said(&["account", "set", "ann@acme", "--home", "/new"]);
    assert!(!kept.contains("no rights"), "{kept}");
    said(&["grant", "remove", "ann@acme", "acme:/new"]);
    let removed = said(&["account", "passwd", "ann@acme", "--no-password"]);
    assert!(removed.starts_with("removed"), "{removed}");
    said(&["tenant", "ftp", "acme", "login-tls=required"]);
    let methods = said(&["account", "methods", "ann@acme", "--clear-text", "true"]);
    assert!(
        methods.contains("Warning: its tenant has login-tls=required"),
        "{methods}"
    );
    let grants = run(&["grant", "list", "acme"]);
    assert_eq!(grants[1]["path"], "/in");
    run(&["grant", "remove", "group:staff@acme", "acme:/in"]);
    assert_eq!(run(&["grant", "list", "acme"]).as_array().unwrap().len(), 1);

    assert_eq!(run(&["audit", "verify", "acme"])["whole"], true);
    let kinds: Vec<_> = run(&["audit", "list", "acme"])
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds.last().map(String::as_str), Some("tenant-add"));
    assert!(kinds.contains(&"grant-remove".to_owned()), "{kinds:?}");
    assert_eq!(run(&["fsck"])["clean"], true);
    server.stop();
}

#[test]
fn who_adds_an_account_is_told_of_what_its_home_holds_already() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let add = || server.admin(&["account", "add", "ann@demo", "--generate"], "");
    assert!(!add().contains("was there"));
    server.admin(&["account", "remove", "ann@demo"], "");
    let again = add();
    assert!(again.contains("its home was there already"), "{again}");
    server.stop();
}

#[test]
fn what_ftp_asks_of_accounts_and_tenants_is_set_shown_and_taken_away() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let run = |words: &[&str]| json(&server.admin(&[words, &["--json"]].concat(), ""));
    run(&["tenant", "add", "acme"]);
    run(&["account", "add", "ann@acme", "--generate"]);

    // What `up` makes may log in in the clear, nobody else may.
    assert_eq!(run(&["account", "methods", DEMO])["clear_text"], true);
    let ann = ["account", "methods", "ann@acme"];
    assert_eq!(run(&ann)["clear_text"], false);
    for (word, shown) in [("true", "yes"), ("false", "no")] {
        run(&[&ann[..], &["--clear-text", word]].concat());
        let said = server.admin(&ann, "");
        assert!(
            said.contains(&format!("in the clear     {shown}")),
            "{said}"
        );
    }

    let ann = ["account", "ftp", "ann@acme"];
    assert!(run(&ann)["door_options"].is_null());
    let words = ["charset=shift_jis", "stall=60s"];
    run(&[&ann[..], &words].concat());
    assert_eq!(run(&ann)["door_options"], words.join(" "));
    assert!(
        server
            .admin(&ann, "")
            .contains("FTP              charset=shift_jis stall=60s")
    );
    run(&[&ann[..], &["--clear"]].concat());
    assert!(run(&ann)["door_options"].is_null());
    let acme = ["tenant", "ftp", "acme"];
    assert!(run(&acme)["door_options"].is_null());
    run(&[&acme[..], &["data-tls=required"]].concat());
    assert_eq!(run(&acme)["door_options"], "data-tls=required");
    assert!(
        server
            .admin(&["tenant", "show", "acme"], "")
            .contains("data-tls=required")
    );
    run(&[&acme[..], &["--clear"]].concat());
    let acme = run(&["tenant", "show", "acme"]);
    assert!(acme["door_options"].is_null());
    // /home and ann's.
    assert_eq!(acme["used_files"], 2, "{acme}");
    let shown = server.admin(&["tenant", "show", "acme"], "");
    assert!(shown.contains("used      0 B in 2 files"), "{shown}");

    let host = "files.acme.example";
    run(&["tenant", "host", "add", "acme", "Files.Acme.Example."]);
    assert_eq!(run(&["tenant", "host", "list", "acme"])[0], host);
    let data = folder.join("data");
    let refused = |words: &[&str], code: i32, subject: &str| {
        let place = ["--data", data.to_str().unwrap()];
        let ran = sealift(&[words, &place].concat(), "");
        let errors = text(&ran.stderr);
        assert_eq!(ran.status.code(), Some(code), "{words:?}: {errors}");
        assert!(errors.contains(subject), "{words:?}: {errors}");
    };
    refused(
        &["tenant", "host", "add", "demo", host],
        1,
        "belongs to a tenant already",
    );
    refused(
        &["tenant", "host", "remove", "demo", host],
        1,
        "does not have",
    );
    refused(
        &["tenant", "host", "add", "demo", "192.0.2.1"],
        2,
        "files.example.org",
    );
    refused(&["tenant", "ftp", "nowhere", "stall=60s"], 1, "nowhere");
    refused(
        &["account", "ftp", DEMO, "stall=60s", "--clear"],
        2,
        "--clear",
    );
    run(&["tenant", "host", "remove", "acme", host]);
    assert_eq!(
        run(&["tenant", "host", "list", "acme"]),
        Value::Array(vec![])
    );
    assert_eq!(run(&["audit", "verify", "acme"])["whole"], true);
    server.stop();
}

#[test]
fn refusals_are_one_sentence_and_misuse_is_told_apart() {
    let folder = TempFolder::new();
    let data = folder.join("data");
    Server::up(&data).stop();
    let data = data.to_str().unwrap();
    let refused = |words: &[&str], input: &str, code: i32, subject: &str| {
        let ran = sealift(&[words, &["--data", data]].concat(), input);
        let errors = text(&ran.stderr);
        assert_eq!(ran.status.code(), Some(code), "{words:?}: {errors}");
        assert!(errors.contains(subject), "{words:?}: {errors}");
        assert!(code != 1 || errors.trim().lines().count() == 1, "{errors}");
        assert!(ran.stdout.is_empty());
    };
    refused(&["tenant", "add", "demo"], "", 1, "already");
    refused(&["tenant", "disable", "nobody"], "", 1, "nobody");
    refused(
        &["account", "add", "x@demo", "--password-stdin"],
        "",
        1,
        "standard input",
    );
    let short = "has fewer than 8 characters; give a longer one";
    for words in [["add", "x@demo"], ["passwd", DEMO]] {
        let words = [&["account"][..], &words, &["--password-stdin"]].concat();
        refused(&words, "x\n", 1, short);
        refused(&words, "\u{e4}\u{f6}\u{fc}1234\n", 1, short);
    }
    refused(&["account", "passwd", DEMO], "", 1, "--password-stdin");
    refused(
        &["account", "key", "add", DEMO, "/nowhere.pub"],
        "",
        1,
        "/nowhere.pub",
    );
    refused(&["account", "add", "x"], "", 2, "USER@TENANT");
    refused(&["grant", "add", DEMO, "demo:/x", "fly"], "", 2, "fly");
    refused(&["tenant", "add", "x", "--quota", "lots"], "", 2, "MiB");
    let most = ["tenant", "add", "x", "--quota", "99999999TiB"];
    refused(&most, "", 2, "too large");
    refused(&["keys", "rewrap"], "", 1, "--all");
    refused(&["account", "token", "revoke", DEMO], "", 1, "--all");
    refused(
        &["webhook", "remove", "demo", "none"],
        "",
        1,
        "'sealift webhook list'",
    );
    refused(&["tenant", "add", "x", "--quota", "-5"], "", 2, "MiB");
    refused(
        &["tenant", "set", "demo", "--retention", "200000000000d"],
        "",
        2,
        "36500d",
    );
    let token = [
        "admin", "token", "create", "--name", "me", "--role", "operator",
    ];
    let words = [&token[..], &["--expires", "0s"]].concat();
    refused(&words, "", 1, "expires at once");

    let elsewhere = folder.join("elsewhere");
    let ran = sealift(
        &["tenant", "list", "--data", elsewhere.to_str().unwrap()],
        "",
    );
    assert_eq!(ran.status.code(), Some(1));
    assert!(!elsewhere.exists(), "looking makes nothing");
}

#[test]
fn names_that_customers_chose_do_not_steer_the_operators_terminal() {
    let folder = TempFolder::new();
    let data = folder.join("data");
    let server = Server::up(&data);
    let name = "/s\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}2J\u{202e}\nfake@demo  all";
    server.admin(&["account", "set", DEMO, "--home", name], "");
    server.admin(&["grant", "add", DEMO, &format!("demo:{name}"), "list"], "");
    let steers = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
    for words in [
        &["account", "list", "demo"][..],
        &["grant", "list", "demo"],
        &["audit", "list", "demo"],
        &["grant", "list", "demo", "--json"],
    ] {
        let said = server.admin(words, "");
        assert!(!said.contains(steers), "{words:?}: {said:?}");
        assert!(said.contains("owned"), "{words:?}: {said:?}");
        assert!(!said.contains("\nfake"), "{words:?}: {said:?}");
    }
    let grants = json(&server.admin(&["grant", "list", "demo", "--json"], ""));
    let paths: Vec<_> = grants.as_array().unwrap().iter().collect();
    assert!(paths.iter().any(|grant| grant["path"] == name), "{grants}");

    let missing = format!("{name}/missing");
    let words = ["deleted", "list", "demo", &missing];
    let place = ["--data", data.to_str().unwrap()];
    let ran = sealift(&[&words[..], &place].concat(), "");
    let errors = text(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{errors}");
    assert!(!errors.contains(steers), "{errors:?}");
    assert_eq!(errors.trim_end().lines().count(), 1, "{errors:?}");
    server.stop();
}

#[test]
fn results_that_cannot_be_written_are_told_and_what_is_shown_once_can_be_had_again() {
    let folder = TempFolder::new();
    let data = folder.join("data");
    Server::up(&data).stop();
    let write_to = |out: Stdio, words: &[&str]| {
        let ran = Command::new(program())
            .args(words)
            .arg("--data")
            .arg(&data)
            .envs(cloud::ground(&data))
            .stdout(out)
            .output()
            .unwrap();
        (ran.status.code(), text(&ran.stderr))
    };
    let full = || Stdio::from(fs::File::create("/dev/full").unwrap());
    let (code, said) = write_to(full(), &["audit", "list", "demo", "--json"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("standard output"), "{said}");
    let (code, said) = write_to(full(), &["account", "add", "gen@demo", "--generate"]);
    assert_eq!(code, Some(1));
    let again = "sealift account passwd gen@demo --generate";
    assert!(said.contains(again), "{said}");

    // Whoever has read enough, as `head` does, is no fault.
    let gone = || Stdio::from(io::pipe().unwrap().1);
    let (code, said) = write_to(gone(), &["audit", "list", "demo"]);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let (code, said) = write_to(gone(), &["account", "passwd", "gen@demo", "--generate"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("could not be shown"), "{said}");
}

#[test]
fn an_audit_log_that_is_longer_than_what_is_shown_shows_its_end_and_says_so() {
    let folder = TempFolder::new();
    let data = folder.join("data");
    let server = Server::up(&data);
    for name in ["a", "b", "c"] {
        server.admin(&["group", "add", &format!("{name}@demo")], "");
    }
    let list = |words: &[&str]| {
        let place = ["--json", "--data", data.to_str().unwrap()];
        let ran = sealift(&[&["audit", "list", "demo"], words, &place].concat(), "");
        (json(&text(&ran.stdout)), text(&ran.stderr))
    };
    let (all, said) = list(&[]);
    let all = all.as_array().unwrap();
    assert_eq!(said, "");
    let (some, said) = list(&["--limit", "2"]);
    assert_eq!(some.as_array().unwrap(), &all[..2]);
    assert!(
        said.contains(&format!("--before {}", all.len() - 1)),
        "{said}"
    );
    let (some, said) = list(&["--after", "0", "--limit", "2"]);
    let first: Vec<_> = all.iter().rev().take(2).cloned().collect();
    assert_eq!(*some.as_array().unwrap(), first);
    assert!(said.contains("--after 2"), "{said}");
    let whole = all.len().to_string();
    let (some, said) = list(&["--last", &whole]);
    assert_eq!(some.as_array().unwrap(), all);
    assert_eq!(said, "");
    server.stop();
}

#[test]
fn check_config_tells_every_mistake_with_line_and_key() {
    let folder = TempFolder::new();
    let file = folder.join("sealift.toml");
    fs::write(
        &file,
        "[log]\nlevel = \"loud\"\n[memory]\nbugdet = \"1GiB\"\n",
    )
    .unwrap();
    let config = file.to_str().unwrap();
    let ran = sealift(&["check-config", "--config", config], "");
    let errors = text(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1));
    assert!(errors.contains("line 2: log.level"), "{errors}");
    assert!(errors.contains("line 4: memory.bugdet"), "{errors}");

    fs::write(&file, "[log]\nlevel = \"warn\"\n").unwrap();
    let ran = sealift(&["check-config", "--config", config], "");
    let errors = text(&ran.stderr);
    assert!(
        errors.starts_with("sealift: there is no database"),
        "{errors}"
    );
}

#[test]
fn a_start_that_was_cut_short_is_finished_by_the_next() {
    let folder = TempFolder::new();
    let (data, whole) = (folder.join("data"), folder.join("whole"));
    Server::up(&whole).stop();
    // What a crash after the password file and before the account leaves behind.
    fs::create_dir_all(data.join("keys")).unwrap();
    fs::copy(whole.join("keys/local.key"), data.join("keys/local.key")).unwrap();
    fs::write(data.join("demo-password"), "chosen-before-the-crash\n").unwrap();
    fs::create_dir(data.join("tls")).unwrap();
    fs::copy(whole.join("tls/key.pem"), data.join("tls/key.pem")).unwrap();
    let server = Server::up(&data);
    assert_eq!(server.password(), "chosen-before-the-crash");
    let accounts = json(&server.admin(&["account", "list", "--json"], ""));
    assert_eq!(accounts[0]["login"], DEMO);
    assert_eq!(accounts[0]["password"], true);
    server.stop();
}

#[test]
fn a_folder_of_other_things_is_left_alone() {
    let folder = TempFolder::new();
    let data = folder.join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("thesis.tex"), "years of work").unwrap();
    let ran = sealift(&["up", "--any-port", "--data", data.to_str().unwrap()], "");
    assert_eq!(ran.status.code(), Some(1));
    assert!(text(&ran.stderr).contains("choose an empty folder"));
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
}

#[test]
fn a_database_that_is_lost_is_not_made_anew_over_its_blobs() {
    let folder = TempFolder::new();
    let data = folder.join("data");
    Server::up(&data).stop();
    fs::remove_file(data.join("sealift.db")).unwrap();
    fs::write(data.join("blobs/left-over"), "sealed").unwrap();
    let ran = sealift(&["up", "--any-port", "--data", data.to_str().unwrap()], "");
    assert_eq!(ran.status.code(), Some(1));
    assert!(text(&ran.stderr).contains("sealift.db"));
    assert!(!data.join("sealift.db").exists());
}

#[test]
fn serve_needs_migrations_and_serves_from_postgresql() {
    let folder = TempFolder::new();
    let urls = Postgres::shared().fresh_database();
    let file = folder.join("sealift.toml");
    let at = |name: &str| folder.join(name).display().to_string();
    let settings = format!(
        "[database]\nurl = \"{}\"\nowner_url = \"{}\"\nconnections = 8\n\
         [storage]\npath = \"{}\"\n[keys]\nfile = \"{}\"\n\
         [sftp]\nlisten = [\"127.0.0.1:0\"]\nhost_keys = \"{}\"\n[server]\nready_file = \"{}\"\n",
        urls.server,
        urls.owner,
        at("store"),
        at("keys/local.key"),
        host_keys(),
        at("ready.json"),
    );
    fs::write(&file, settings).unwrap();
    let config = file.to_str().unwrap();
    let admin = |words: &[&str], input: &str| {
        let ran = sealift(&[words, &["--config", config]].concat(), input);
        assert!(ran.status.success(), "{words:?}: {}", text(&ran.stderr));
        text(&ran.stdout)
    };

    let early = sealift(&["serve", "--config", config], "");
    assert_eq!(early.status.code(), Some(1));
    assert!(text(&early.stderr).contains("sealift migrate"));
    admin(&["migrate"], "");
    admin(&["tenant", "add", "acme"], "");
    admin(
        &["account", "add", "ann@acme", "--password-stdin"],
        "right horse\n",
    );

    let server = Serving::start(&file, &folder.join("ready.json"));
    let port = server.port.to_string();
    let keys = Command::new("ssh-keyscan")
        .args(["-p", &port, "127.0.0.1"])
        .output()
        .unwrap();
    assert!(text(&keys.stdout).contains("ssh-ed25519"));
    let batch = format!("put {config} settings\nls -l\n");
    let printed = server.sftp("ann@acme", "right horse", &batch);
    assert!(printed.contains("settings"), "{printed}");
    assert_eq!(json(&admin(&["fsck", "--json"], ""))["clean"], true);
    server.stop();
    assert!(!folder.join("ready.json").exists());
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
