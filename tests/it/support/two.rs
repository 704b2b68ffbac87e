//! Two servers on the same PostgreSQL and the same store, with an account `ann@acme`; every front end
//! listens, and webhooks may lead to this machine.

use std::fs;
use std::path::PathBuf;

use rcgen::{CertificateParams, KeyPair};

use crate::support::folder::TempFolder;
use crate::support::postgres::Postgres;
use crate::support::server::sealift;
use crate::support::serving::Serving;

/// The password of `ann@acme`, and of whatever account is added.
pub(crate) const SECRET: &str = "secret";

pub(crate) struct Two {
    pub(crate) folder: TempFolder,
}

impl Two {
    pub(crate) fn new() -> Self {
        let two = Self {
            folder: TempFolder::new(),
        };
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let pem = params.self_signed(&key).unwrap().pem() + &key.serialize_pem();
        fs::write(two.folder.join("server.pem"), pem).unwrap();
        let urls = Postgres::shared().fresh_database();
        let at = |name: &str| two.folder.join(name).display().to_string();
        for name in ["one", "other"] {
            let settings = format!(
                "[database]\nurl = \"{}\"\nowner_url = \"{}\"\nconnections = 8\n\
                 [storage]\npath = \"{}\"\n[keys]\nfile = \"{}\"\n\
                 [tls]\ncertificates = [\"{}\"]\n[ftp]\nlisten = [\"127.0.0.1:0\"]\n\
                 [https]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = [\"127.0.0.1:0\"]\n\
                 [webhooks]\nallow = [\"127.0.0.0/8\"]\nhttp = true\n\
                 [sftp]\nlisten = [\"127.0.0.1:0\"]\nhost_keys = \"{}\"\n\
                 [server]\nready_file = \"{}\"\n",
                urls.server,
                urls.owner,
                at("store"),
                at("local.key"),
                at("server.pem"),
                at("ssh"),
                two.folder.join(&format!("{name}.json")).display(),
            );
            fs::write(two.config(name), settings).unwrap();
        }
        two.run(&["migrate"]);
        two.run(&["tenant", "add", "acme"]);
        two.run(&["account", "add", "ann@acme", "--password-stdin"]);
        two
    }

    /// The settings file of a server.
    pub(crate) fn config(&self, name: &str) -> PathBuf {
        self.folder.join(&format!("{name}.toml"))
    }

    /// Runs a command that must succeed; returns what it printed.
    #[track_caller]
    pub(crate) fn run(&self, words: &[&str]) -> String {
        let config = self.config("one");
        let config = ["--config", config.to_str().unwrap()];
        let ran = sealift(&[words, &config].concat(), &format!("{SECRET}\n"));
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{words:?}: {errors}");
        String::from_utf8(ran.stdout).unwrap()
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
