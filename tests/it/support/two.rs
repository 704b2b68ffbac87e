//! Two servers (or more) on the same PostgreSQL, the same store and the same key file.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use rcgen::{CertificateParams, KeyPair};

use crate::support::folder::TempFolder;
use crate::support::postgres::{DatabaseUrls, Postgres};
use crate::support::server::{host_keys, sealift};
use crate::support::serving::Serving;

/// The password of `ann@acme`, and of whatever account is added.
pub(crate) const SECRET: &str = "long-secret";

pub(crate) struct Two {
    pub(crate) folder: TempFolder,
    pub(crate) urls: DatabaseUrls,
}

impl Two {
    /// Servers `one` and `other`, with an account `ann@acme`; every front end listens, and webhooks may
    /// lead to this machine.
    pub(crate) fn new() -> Self {
        let two = Self::without_servers();
        let more = format!(
            "[tls]\n{}\n[ftp]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = [\"127.0.0.1:0\"]\n\
             [webhooks]\nallow = [\"127.0.0.0/8\"]\nhttp = true\n",
            two.own_certificate()
        );
        for name in ["one", "other"] {
            two.write(name, &more);
        }
        two.run(&["migrate"]);
        two.run(&["tenant", "add", "acme"]);
        two.run(&["account", "add", "ann@acme", "--password-stdin"]);
        two
    }

    /// Only what servers need: a database without tables, and a folder.
    pub(crate) fn without_servers() -> Self {
        Self {
            folder: TempFolder::new(),
            urls: Postgres::shared().fresh_database(),
        }
    }

    /// Writes the settings of a server that listens for SFTP and HTTPS, with `more` of them.
    pub(crate) fn write(&self, name: &str, more: &str) {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let settings = format!(
            "[database]\nurl = \"{}\"\nowner_url = \"{}\"\nconnections = 8\n\
             [storage]\npath = \"{}\"\n[keys]\nfile = \"{}\"\n\
             [https]\nlisten = [\"127.0.0.1:0\"]\n\
             [sftp]\nlisten = [\"127.0.0.1:0\"]\nhost_keys = \"{}\"\n\
             [server]\nready_file = \"{}\"\n{more}",
            self.urls.server,
            self.urls.owner,
            at("store"),
            at("local.key"),
            host_keys(),
            at(&format!("{name}.json")),
        );
        fs::write(self.config(name), settings).unwrap();
    }

    /// The line that gives a server a certificate of its own.
    pub(crate) fn own_certificate(&self) -> String {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let pem = params.self_signed(&key).unwrap().pem() + &key.serialize_pem();
        let file = self.folder.join("server.pem");
        fs::write(&file, pem).unwrap();
        format!("certificates = [\"{}\"]", file.display())
    }

    /// The settings file of a server.
    pub(crate) fn config(&self, name: &str) -> PathBuf {
        self.folder.join(&format!("{name}.toml"))
    }

    /// Runs a command of the server `one` that must succeed; returns what it printed.
    #[track_caller]
    pub(crate) fn run(&self, words: &[&str]) -> String {
        let ran = self.ran(words);
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{words:?}: {errors}");
        String::from_utf8(ran.stdout).unwrap()
    }

    /// The same with one that must fail; returns what it said.
    #[track_caller]
    pub(crate) fn refused(&self, words: &[&str]) -> String {
        let ran = self.ran(words);
        assert!(!ran.status.success(), "{words:?}");
        String::from_utf8(ran.stderr).unwrap()
    }

    fn ran(&self, words: &[&str]) -> Output {
        let config = self.config("one");
        let config = ["--config", config.to_str().unwrap()];
        sealift(&[words, &config].concat(), &format!("{SECRET}\n"))
    }

    pub(crate) fn start(&self, name: &str) -> Serving {
        let ready = self.folder.join(&format!("{name}.json"));
        Serving::start(&self.config(name), &ready)
    }

    pub(crate) fn is_there(&self, serving: &Serving, name: &str, bytes: &[u8]) {
        let got = self.folder.join("got");
        serving.sftp(
            "ann@acme",
            SECRET,
            &format!("get {name} {}\n", got.display()),
        );
        assert!(fs::read(&got).unwrap() == bytes);
    }
}
