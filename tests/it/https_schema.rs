//! The API against its own description: whatever is asked, the answer is one that the document names.

use std::process::Command;

use crate::support::client::{cached, run};
use crate::support::https_door::HttpsDoor;

pub(crate) const CHECKS: &str =
    "not_a_server_error,status_code_conformance,response_schema_conformance";

#[test]
fn no_request_is_answered_with_a_status_that_is_not_described() {
    let door = HttpsDoor::up();
    door.put("/dir/a?parents=true", "a", &[]);
    let mut command = Command::new(cached("schemathesis/bin/schemathesis"));
    let hooks = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/it/schemathesis_hooks.py"
    );
    command
        .env("SCHEMATHESIS_HOOKS", hooks)
        .args(["run", "--tls-verify", "false", "--auth", &door.user()])
        .args(["--checks", CHECKS])
        // The account's own are what all requests have.
        .args(["--generation-with-security-parameters", "false"])
        .args([
            "--phases",
            "examples,coverage,fuzzing",
            "--max-examples",
            "12",
        ])
        .args(["--seed", "7", "--generation-database", "none", "--no-color"])
        .args(["--url", &door.url("")])
        .arg(door.url("/api/v1/openapi.json"));
    let ran = run(command, "");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}
