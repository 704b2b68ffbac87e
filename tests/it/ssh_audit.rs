//! `ssh-audit`, which knows the weak algorithms of SSH.

use std::process::Command;

use serde_json::Value;

use crate::support::client::{cached, run};
use crate::support::folder::TempFolder;
use crate::support::server::Server;

#[test]
fn ssh_audit_finds_nothing_to_warn_of() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let report = audit(&server);
    let mut offered = 0;
    for section in ["kex", "key", "enc", "mac"] {
        for algorithm in report[section].as_array().unwrap() {
            offered += 1;
            let notes = &algorithm["notes"];
            for level in ["fail", "warn"] {
                assert!(notes[level].is_null(), "{algorithm}");
            }
        }
    }
    assert!(offered >= 12, "{report}");
    assert_eq!(report["cves"], Value::Array(Vec::new()));
    let first = |section: &str| report[section][0]["algorithm"].as_str().unwrap().to_owned();
    assert_eq!(first("kex"), "mlkem768x25519-sha256");
    assert_eq!(first("key"), "ssh-ed25519");
    let exchanges = report["kex"].to_string();
    for marker in ["kex-strict-s-v00@openssh.com", "ext-info-s"] {
        assert!(exchanges.contains(marker), "{exchanges}");
    }
    server.stop();
}

#[test]
fn ssh_audit_names_what_the_compatible_algorithms_cost() {
    let folder = TempFolder::new();
    let compatible = (
        "SEALIFT__SFTP__ALGORITHMS".to_owned(),
        "compatible".to_owned(),
    );
    let server = Server::up_with(&folder.join("data"), &[compatible]);
    let keys = audit(&server)["key"].to_string();
    assert!(keys.contains("ecdsa-sha2-nistp256"), "{keys}");
    assert!(!keys.contains("\"ssh-rsa\""), "{keys}");
    server.stop();
}

fn audit(server: &Server) -> Value {
    let mut command = Command::new(cached("ssh-audit/bin/ssh-audit"));
    command.args(["--json", "--skip-rate-test", "--port"]);
    command.args([&server.port().to_string(), "127.0.0.1"]);
    let output = run(command, "");
    serde_json::from_slice(&output.stdout).unwrap()
}
