//! `sealift keys` beside a running server.

use std::process::Command;

use serde_json::Value;

use crate::support::client::run;
use crate::support::folder::TempFolder;
use crate::support::server::{Server, program, sealift};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn keys_are_listed_rotated_rewrapped_and_destroyed() {
    let folder = TempFolder::new();
    let data = folder.join("data");
    let server = Server::up(&data);
    let run = |words: &[&str]| json(&server.admin(&[words, &["--json"]].concat(), ""));
    run(&["tenant", "add", "acme"]);
    assert_eq!(run(&["keys", "list", "acme"]), Value::Array(vec![]));
    assert_eq!(run(&["keys", "rotate", "acme"])["version"], 1);
    assert_eq!(run(&["keys", "rotate", "acme"])["version"], 2);
    assert_eq!(run(&["keys", "rewrap", "acme"])[0]["versions"], 2);
    let all = run(&["keys", "rewrap", "--all"]);
    assert!(all.as_array().unwrap().len() >= 3, "{all}");
    // Those of TLS session tickets are nobody's.
    assert_eq!(all[0]["installation"], true);
    assert!(all[0]["versions"].as_u64().unwrap() >= 1, "{all}");
    let own = run(&["keys", "list"]);
    let purpose = own[0]["purpose"].as_str().unwrap();
    assert!(purpose.contains("tickets"), "{own}");
    assert_eq!(own[0]["provider"], "local");
    let keys = run(&["keys", "list", "acme"]);
    assert_eq!(
        (&keys[0]["current"], &keys[1]["current"]),
        (&false.into(), &true.into())
    );
    assert_eq!(keys[1]["provider"], "local");

    // A key of its own needs a key service.
    run(&["tenant", "set", "acme", "--kms-key", "alias/acme"]);
    let place = ["--data", data.to_str().unwrap()];
    let refused = sealift(&[&["keys", "rotate", "acme"], &place[..]].concat(), "");
    assert_eq!(refused.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(errors.contains("not set up"), "{errors}");
    run(&["tenant", "set", "acme", "--kms-key", ""]);

    let other = ["keys", "destroy", "acme", "--yes-destroy", "default"];
    let refused = sealift(&[&other[..], &place[..]].concat(), "");
    assert_eq!(refused.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(errors.contains("nothing was destroyed"), "{errors}");
    let destroyed = run(&["keys", "destroy", "acme", "--yes-destroy", "acme"]);
    assert_eq!(destroyed["versions"], 2);
    assert!(destroyed["final_at"].as_str().unwrap().starts_with("20"));
    assert_eq!(run(&["keys", "list", "acme"]), Value::Array(vec![]));
    let tenants = run(&["tenant", "list"]);
    let acme = tenants
        .as_array()
        .unwrap()
        .iter()
        .find(|t| t["name"] == "acme");
    assert_eq!(acme.unwrap()["disabled"], true);
    // What would be stored then, nobody could read.
    let enable = [&["tenant", "enable", "acme"], &place[..]].concat();
    let refused = sealift(&enable, "");
    assert_eq!(refused.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(errors.contains("were destroyed"), "{errors}");
    assert_eq!(run(&["audit", "verify", "acme"])["whole"], true);
    let log = run(&["audit", "list", "acme"]);
    let kinds: Vec<_> = log
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["kind"].as_str().unwrap())
        .collect();
    for kind in [
        "keys-rotate",
        "keys-rewrap",
        "tenant-kms-key",
        "keys-destroy",
    ] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    server.stop();
}

#[test]
fn destroying_asks_twice_and_never_without_a_terminal() {
    let folder = TempFolder::new();
    let data = folder.join("data");
    let server = Server::up(&data);
    server.admin(&["tenant", "add", "acme"], "");
    server.admin(&["keys", "rotate", "acme"], "");
    let place = data.to_str().unwrap();
    let blind = sealift(
        &["keys", "destroy", "acme", "--data", place],
        "acme\ndestroy\n",
    );
    assert_eq!(blind.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&blind.stderr).into_owned();
    assert!(errors.contains("--yes-destroy acme"), "{errors}");

    let typed = |input: &str| {
        let command = format!("{} keys destroy acme --data {place}", program());
        let mut script = Command::new("script");
        script.args(["-qec", &command, "/dev/null"]);
        run(script, input).status.code()
    };
    let versions = || json(&server.admin(&["keys", "list", "acme", "--json"], ""));
    for wrong in ["acne\ndestroy\n", "acme\nyes\n", "destroy\nacme\n"] {
        assert_eq!(typed(wrong), Some(1), "{wrong}");
        assert_eq!(versions().as_array().unwrap().len(), 1);
    }
    assert_eq!(typed("acme\ndestroy\n"), Some(0));
    assert_eq!(versions(), Value::Array(vec![]));
    server.stop();
}
