//! What a start refuses, and `sealift check-config` before it, by the same sentence.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::site::Site;

/// An installation that has a schema.
fn migrated() -> Site {
    let site = Site::on_sqlite();
    site.run(&["migrate"]);
    site
}

#[test]
fn a_database_without_the_schema_of_this_program_is_refused_once_all_else_is_right() {
    let mut site = Site::on_sqlite();
    site.set("[https]\nlisten = [\"127.0.0.1:0\"]\n");
    site.refused_at_start(&["HTTPS needs a certificate"]);
    site.set("");
    site.refused_at_start(&["there is no database", "sealift migrate"]);
    fs::write(site.at("sealift.db"), "").unwrap();
    site.refused_at_start(&["the database is empty", "sealift migrate"]);
    site.run(&["migrate"]);
    assert!(
        site.run(&["check-config"])
            .contains("all settings are right")
    );
}

/// A key and its certificate in PEM: their paths, with a colon between.
fn certificate(site: &Site, name: &str) -> (String, String) {
    let (chain, key) = (
        site.at(&format!("{name}.pem")),
        site.at(&format!("{name}.key")),
    );
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "30", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-out", &chain, "-keyout", &key])
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    (chain, key)
}

#[test]
fn certificates_that_cannot_be_used_or_are_missing_are_refused() {
    let mut site = migrated();
    site.set("[https]\nlisten = [\"127.0.0.1:0\"]\n");
    site.refused_at_start(&["HTTPS needs a certificate", "tls.certificates"]);
    site.set("[ftp]\nlisten = [\"127.0.0.1:0\"]\n");
    site.refused_at_start(&["FTP needs a certificate", "tls.certificates"]);

    let ((chain, key), (_, other)) = (certificate(&site, "one"), certificate(&site, "other"));
    let nowhere = site.at("nowhere.pem");
    let with = |files: &str| {
        format!("[https]\nlisten = [\"127.0.0.1:0\"]\n[tls]\ncertificates = [\"{files}\"]\n")
    };
    for files in [
        nowhere.clone(),
        format!("{chain}:{nowhere}"),
        format!("{chain}:{other}"),
        chain.clone(),
    ] {
        site.set(&with(&files));
        site.refused_at_start(&["tls.certificates"]);
    }
    site.set(&with(&format!("{chain}:{key}")));
    site.run(&["check-config"]);
}

#[test]
fn keys_that_cannot_be_used_are_refused_and_none_is_made() {
    let site = migrated();
    let key = site.at("local.key");
    site.run(&["check-config"]);
    assert!(!fs::exists(&key).unwrap(), "a check makes nothing");
    assert!(
        !fs::exists(site.at("ssh")).unwrap(),
        "a check makes nothing"
    );
    site.serve().stop();

    let closed = fs::Permissions::from_mode(0o600);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    site.refused_at_start(&["keys.file", "chmod 600"]);
    fs::rename(&key, site.at("away")).unwrap();
    site.refused_at_start(&["keys.file", "is missing"]);
    fs::rename(site.at("away"), &key).unwrap();
    fs::set_permissions(&key, closed.clone()).unwrap();

    let host = site.at("ssh/ssh_host_ed25519_key");
    fs::set_permissions(&host, fs::Permissions::from_mode(0o644)).unwrap();
    site.refused_at_start(&["sftp.host_keys", "chmod 600"]);
    fs::set_permissions(&host, closed).unwrap();
    let locked = Command::new("ssh-keygen")
        .args(["-p", "-q", "-P", "", "-N", "secret", "-f", &host])
        .output()
        .unwrap();
    assert!(
        locked.status.success(),
        "{}",
        String::from_utf8_lossy(&locked.stderr)
    );
    site.refused_at_start(&["sftp.host_keys", "passphrase", "ssh-keygen -p"]);
    fs::remove_dir_all(site.at("ssh")).unwrap();
    fs::write(site.at("ssh"), "a file").unwrap();
    site.refused_at_start(&["sftp.host_keys", "is a file"]);
}

#[test]
fn settings_that_lead_nowhere_are_refused_by_line_and_key() {
    let mut site = migrated();
    let nowhere = site.at("nowhere.pem");
    for (settings, key) in [
        (
            format!("[webhooks]\nauthorities = \"{nowhere}\"\n"),
            "webhooks.authorities",
        ),
        (
            format!("[syslog]\nca_file = \"{nowhere}\"\n"),
            "syslog.ca_file",
        ),
        (
            format!("[telemetry]\nca_file = \"{nowhere}\"\n"),
            "telemetry.ca_file",
        ),
        (
            "[ftp]\npassive_address = \"::1\"\n".to_owned(),
            "ftp.passive_address",
        ),
        (
            "[ftps]\npassive_address = \"foo bar\"\n".to_owned(),
            "ftps.passive_address",
        ),
    ] {
        site.set(&settings);
        let words = ["line ", key];
        site.refused_at_start(&words);
    }
    let twice = "[https]\nlisten = [\"127.0.0.1:4711\"]\n[ftp]\nlisten = [\"0.0.0.0:4711\"]\n";
    site.set(twice);
    site.refused_at_start(&["ftp.listen and https.listen both name port 4711"]);
    for name in ["localhost", "files.example.org", "192.0.2.1"] {
        site.set(&format!("[ftp]\npassive_address = \"{name}\"\n"));
        site.run(&["check-config"]);
    }
}

#[test]
fn folders_and_addresses_that_are_not_there_are_told_before_a_start() {
    let site = migrated();
    let text = fs::read_to_string(&site.config).unwrap();
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}: {text}");
        fs::write(&site.config, text.replace(from, to)).unwrap();
    };
    with(&site.at("ready.json"), &site.at("nowhere/ready.json"));
    site.refused_at_start(&["server.ready_file", "there is no folder", "nowhere"]);
    fs::write(site.at("file"), "").unwrap();
    with(&site.at("ssh"), &site.at("file/ssh"));
    site.refused_at_start(&["sftp.host_keys", "cannot be made", "choose another"]);
    with("127.0.0.1:0", "192.0.2.1:0");
    site.refused_at_start(&["192.0.2.1 is not an address of this machine"]);
    // Two servers cannot have it, but a check may be asked while one does.
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    with("127.0.0.1:0", &busy.local_addr().unwrap().to_string());
    site.run(&["check-config"]);
    with(
        "[sftp]",
        "[ftp]\nlisten = [\"127.0.0.1:4711\"]\npassive_ports = \"4711-4711\"\n[sftp]",
    );
    site.refused_at_start(&["ftp.passive_ports", "none is left for data"]);
}
