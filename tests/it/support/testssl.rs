//! What testssl.sh thinks of a port.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;

use crate::support::client::run;
use crate::support::folder::TempFolder;

/// What it finds of the certificate that `sealift up` made: it is signed by nobody else, nobody could
/// revoke it, and it is for ten years, since clients that met it once would have to be told of another.
const OF_OUR_OWN: [&str; 4] = [
    "DNS_CAArecord",
    "cert_chain_of_trust",
    "cert_revocation",
    "cert_validityPeriod",
];

/// Looks at all but what takes minutes and asks about the same: client simulations, and each cipher by itself.
/// Returns what was found, by the names that testssl has for it.
#[track_caller]
pub(crate) fn finds_nothing(address: SocketAddr, words: &[&str]) -> BTreeSet<String> {
    let folder = TempFolder::new();
    let report = folder.join("report.json");
    let mut command = Command::new("testssl");
    command
        .args(["--quiet", "--color", "0", "--warnings", "off"])
        .args(["--nodns", "none", "--openssl-timeout", "20"])
        .args(["--protocols", "--server-defaults"])
        .args(["--server-preference", "--vulnerable", "--jsonfile"])
        .arg(&report)
        .args(words)
        .arg(address.to_string());
    let output = run(command, "");
    let said = String::from_utf8_lossy(&output.stdout);
    let findings: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    let (mut bad, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for finding in findings.as_array().unwrap() {
        let (id, severity) = (
            finding["id"].as_str().unwrap(),
            finding["severity"].as_str().unwrap(),
        );
        seen.insert(id.to_owned());
        // A warning is what testssl could not try.
        if !OF_OUR_OWN.contains(&id) && !matches!(severity, "OK" | "INFO" | "DEBUG" | "WARN") {
            bad.insert(format!("{id} {severity}: {}", finding["finding"]));
        }
    }
    assert!(seen.len() > 30, "{said}");
    assert_eq!(bad, BTreeSet::new(), "{said}");
    seen
}
