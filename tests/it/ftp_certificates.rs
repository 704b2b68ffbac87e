//! Certificates of clients over FTPS: as the login, and beside the password.

use std::fs;
use std::path::PathBuf;

use rcgen::{CertificateParams, KeyPair};

use crate::support::folder::TempFolder;
use crate::support::ftp_client::{Way, curl, text};
use crate::support::server::{DEMO, Server};

/// A certificate that is its own authority, and its key.
fn client(folder: &TempFolder, name: &str) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let files = (
        folder.join(&format!("{name}.pem")),
        folder.join(&format!("{name}.key")),
    );
    fs::write(&files.0, certificate.pem()).unwrap();
    fs::write(&files.1, key.serialize_pem()).unwrap();
    files
}

/// What the server answered to USER and PASS.
fn answers(
    server: &Server,
    way: Way,
    files: Option<&(PathBuf, PathBuf)>,
    password: &str,
) -> Vec<String> {
    let login = format!("{DEMO}:{password}");
    let url = way.url(server, "");
    let mut words = vec!["--verbose", "--user", &login, &url];
    if let Some((certificate, key)) = files {
        words.extend(["--cert", text(certificate), "--key", text(key)]);
    }
    let output = curl(server, way, &words);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let codes = said.lines().filter_map(|line| line.strip_prefix("< "));
    let codes = codes.filter_map(|line| line.get(..3));
    let codes = codes.filter(|code| ["230", "232", "331", "530"].contains(code));
    codes.map(str::to_owned).collect()
}

#[test]
fn a_certificate_is_the_login_or_one_half_of_it() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let (ours, foreign) = (client(&folder, "ours"), client(&folder, "foreign"));
    let password = server.password();
    server.admin(&["account", "certificate", "add", DEMO, text(&ours.0)], "");
    for way in [Way::Implicit, Way::Explicit] {
        let of = |files, password: &str| answers(&server, way, files, password);
        assert_eq!(of(Some(&ours), "wrong"), ["232"], "{way:?}");
        assert_eq!(of(Some(&foreign), &password), ["331", "230"], "{way:?}");
        assert_eq!(of(None, &password), ["331", "230"], "{way:?}");
    }
    server.admin(&["account", "methods", DEMO, "certificate,password"], "");
    let of = |files, password: &str| answers(&server, Way::Implicit, files, password);
    assert_eq!(of(Some(&ours), &password), ["331", "230"]);
    assert_eq!(of(Some(&ours), "wrong"), ["331", "530"]);
    assert_eq!(of(None, &password), ["331", "530"]);
    assert_eq!(of(Some(&foreign), &password), ["331", "530"]);
    server.stop();
}
