//! A configured installation whose settings are what a test makes of them, and what the commands say of it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use crate::support::folder::TempFolder;
use crate::support::postgres::{DatabaseUrls, Postgres};
use crate::support::server::sealift;
use crate::support::serving::Serving;

/// An installation whose database is where a test says.
pub(crate) struct Site {
    pub(crate) folder: TempFolder,
    pub(crate) config: PathBuf,
    more: String,
}

impl Site {
    /// Its database is a file in a folder that others may look into.
    pub(crate) fn on_sqlite() -> Self {
        let site = Self::empty();
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(site.folder.path(), open).unwrap();
        site.write(&format!("path = \"{}\"", site.at("sealift.db")));
        site
    }

    /// Its schema is there, and the server's role may do what it needs.
    pub(crate) fn on_postgres() -> (Self, DatabaseUrls) {
        let (site, urls) = (Self::empty(), Postgres::shared().fresh_database());
        site.write_urls(&urls.server, Some(&urls.owner), "");
        site.run(&["migrate"]);
        (site, urls)
    }

    pub(crate) fn write_urls(&self, server: &str, owner: Option<&str>, more: &str) {
        let owner = owner.map_or_else(String::new, |url| format!("owner_url = \"{url}\"\n"));
        self.write(&format!("url = \"{server}\"\n{owner}{more}"));
    }

    fn empty() -> Self {
        let folder = TempFolder::new();
        let config = folder.join("sealift.toml");
        let more = String::new();
        Self {
            folder,
            config,
            more,
        }
    }

    pub(crate) fn at(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    pub(crate) fn write(&self, database: &str) {
        let settings = format!(
            "[database]\n{database}\n[storage]\npath = \"{}\"\n[keys]\nfile = \"{}\"\n\
             [sftp]\nlisten = [\"127.0.0.1:0\"]\nhost_keys = \"{}\"\n\
             [server]\nready_file = \"{}\"\n{}",
            self.at("store"),
            self.at("local.key"),
            self.at("ssh"),
            self.at("ready.json"),
            self.more,
        );
        fs::write(&self.config, settings).unwrap();
    }

    /// The same database, and these other settings.
    pub(crate) fn set(&mut self, more: &str) {
        more.clone_into(&mut self.more);
        self.write(&format!("path = \"{}\"", self.at("sealift.db")));
    }

    /// Whether a command succeeded, and what it said of it.
    pub(crate) fn try_run(&self, words: &[&str]) -> (bool, String) {
        let config = self.config.to_str().unwrap();
        let ran = sealift(&[words, &["--config", config]].concat(), "");
        let printed = [ran.stdout, ran.stderr].concat();
        (ran.status.success(), String::from_utf8(printed).unwrap())
    }

    #[track_caller]
    pub(crate) fn run(&self, words: &[&str]) -> String {
        let (done, printed) = self.try_run(words);
        assert!(done, "{words:?}: {printed}");
        printed
    }

    #[track_caller]
    pub(crate) fn refused(&self, command: &[&str], words: &[&str]) -> String {
        let (done, printed) = self.try_run(command);
        assert!(!done, "{command:?}: {printed}");
        for word in words {
            assert!(printed.contains(word), "{command:?}: {printed}");
        }
        let last = printed.lines().find(|line| line.starts_with("sealift: "));
        last.unwrap_or_else(|| panic!("{command:?}: {printed}"))
            .to_owned()
    }

    /// A start is refused, and a check says the same before.
    #[track_caller]
    pub(crate) fn refused_at_start(&self, words: &[&str]) {
        let checked = self.refused(&["check-config"], words);
        assert_eq!(self.refused(&["serve"], words), checked);
    }

    pub(crate) fn serve(&self) -> Serving {
        Serving::start(&self.config, &self.folder.join("ready.json"))
    }

    pub(crate) fn is_open_to_others(&self, name: &str) -> bool {
        fs::metadata(self.at(name)).unwrap().mode() & 0o077 != 0
    }
}
