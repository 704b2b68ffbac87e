//! The database of a configured installation, as the operator sets it up.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use crate::support::folder::TempFolder;
use crate::support::server::sealift;
use crate::support::serving::Serving;

/// An installation whose database is where a test says.
struct Site {
    folder: TempFolder,
    config: PathBuf,
}

impl Site {
    /// Its database is a file in a folder that others may look into.
    fn on_sqlite() -> Self {
        let site = Self::empty();
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(site.folder.path(), open).unwrap();
        site.write(&format!("path = \"{}\"", site.at("sealift.db")));
        site
    }

    fn empty() -> Self {
        let folder = TempFolder::new();
        let config = folder.join("sealift.toml");
        Self { folder, config }
    }

    fn at(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn write(&self, database: &str) {
        let settings = format!(
            "[database]\n{database}\n[storage]\npath = \"{}\"\n[keys]\nfile = \"{}\"\n\
             [sftp]\nlisten = [\"127.0.0.1:0\"]\nhost_keys = \"{}\"\n\
             [server]\nready_file = \"{}\"\n",
            self.at("store"),
            self.at("local.key"),
            self.at("ssh"),
            self.at("ready.json"),
        );
        fs::write(&self.config, settings).unwrap();
    }

    /// Whether a command succeeded, and what it said of it.
    fn try_run(&self, words: &[&str]) -> (bool, String) {
        let config = self.config.to_str().unwrap();
        let ran = sealift(&[words, &["--config", config]].concat(), "");
        let printed = [ran.stdout, ran.stderr].concat();
        (ran.status.success(), String::from_utf8(printed).unwrap())
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> String {
        let (done, printed) = self.try_run(words);
        assert!(done, "{words:?}: {printed}");
        printed
    }

    fn serve(&self) -> Serving {
        Serving::start(&self.config, &self.folder.join("ready.json"))
    }

    fn is_open_to_others(&self, name: &str) -> bool {
        fs::metadata(self.at(name)).unwrap().mode() & 0o077 != 0
    }
}

#[test]
fn a_database_file_is_its_owners_only() {
    let site = Site::on_sqlite();
    site.run(&["migrate"]);
    assert!(!site.is_open_to_others("sealift.db"));
    let server = site.serve();
    for name in ["sealift.db", "sealift.db-wal", "sealift.db-shm"] {
        assert!(!site.is_open_to_others(name), "{name}");
    }
    server.stop();
}

#[test]
fn a_database_file_that_others_could_read_is_closed_to_them_at_start() {
    let site = Site::on_sqlite();
    site.run(&["migrate"]);
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(site.at("sealift.db"), open).unwrap();
    let server = site.serve();
    assert!(!site.is_open_to_others("sealift.db"));
    let log = server.log();
    assert!(log.contains("was open to other users"), "{log}");
    server.stop();
}
