//! Regions through the real program: two folders in one installation.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::support::folder::TempFolder;
use crate::support::server::{host_keys, sealift};
use crate::support::serving::Serving;
use crate::support::wait::wait_for;

/// An installation with the regions `near`, where new tenants are, and `far`.
struct Two {
    folder: TempFolder,
    config: PathBuf,
}

impl Two {
    fn new() -> Self {
        let folder = TempFolder::new();
        let config = folder.join("sealift.toml");
        let two = Self { folder, config };
        two.write();
        two.run(&["migrate"]);
        two
    }

    fn at(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn write(&self) {
        let settings = format!(
            "[database]\npath = \"{}\"\n[keys]\nfile = \"{}\"\n[storage]\nregion = \"near\"\n\
             [region.near]\nkind = \"local\"\npath = \"{}\"\n\
             [region.far]\nkind = \"local\"\npath = \"{}\"\n\
             [sftp]\nlisten = [\"127.0.0.1:0\"]\nhost_keys = \"{}\"\n\
             [retention]\ninterval = \"200ms\"\n[server]\nready_file = \"{}\"\n",
            self.at("sealift.db"),
            self.at("local.key"),
            self.at("near"),
            self.at("far"),
            host_keys(),
            self.at("ready.json"),
        );
        fs::write(&self.config, settings).unwrap();
    }

    fn serve(&self) -> Serving {
        Serving::start(&self.config, &self.folder.join("ready.json"))
    }

    /// Runs a command that must succeed; returns what it printed.
    #[track_caller]
    fn run(&self, words: &[&str]) -> String {
        let config = self.config.to_str().unwrap();
        let ran = sealift(&[words, &["--config", config]].concat(), "right horse\n");
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{words:?}: {errors}");
        String::from_utf8(ran.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, words: &[&str]) -> Value {
        let printed = self.run(&[words, &["--json"]].concat());
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
    }

    /// Runs a command that must be refused by one sentence that names `subject`.
    #[track_caller]
    fn refused(&self, words: &[&str], subject: &str) {
        let config = self.config.to_str().unwrap();
        let ran = sealift(&[words, &["--config", config]].concat(), "");
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(1), "{words:?}: {errors}");
        assert_eq!(errors.trim().lines().count(), 1, "{errors}");
        assert!(errors.contains(subject), "{errors}");
    }

    fn add(&self, tenant: &str, more: &[&str]) {
        self.run(&[&["tenant", "add", tenant], more].concat());
        let account = format!("ann@{tenant}");
        self.run(&["account", "add", &account, "--password-stdin"]);
    }

    fn blobs(&self, region: &str) -> usize {
        count(&self.folder.join(region).join("blobs"))
    }

    fn put(&self, serving: &Serving, tenant: &str) {
        let file = self.folder.join("file");
        fs::write(&file, vec![b'x'; 300_000]).unwrap();
        let account = format!("ann@{tenant}");
        let commands = format!("put {} file\n", file.display());
        serving.sftp(&account, "right horse", &commands);
    }
}

/// How many files there are, without those that are the store's own.
fn count(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let entries = entries.map(Result::unwrap);
    entries
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .map(|path| match path.is_dir() {
            true => count(&path),
            false => 1,
        })
        .sum()
}

#[test]
fn a_tenants_files_lie_in_its_region() {
    let two = Two::new();
    two.add("acme", &[]);
    two.add("beta", &["--region", "far"]);
    let list = two.json(&["tenant", "list"]);
    assert_eq!(
        (&list[0]["region"], &list[1]["region"]),
        (&"near".into(), &"far".into())
    );

    let serving = two.serve();
    two.put(&serving, "beta");
    assert!(two.blobs("far") > 0);
    assert_eq!(two.blobs("near"), 0);
    two.put(&serving, "acme");
    assert!(two.blobs("near") > 0);
    serving.stop();
}

#[test]
fn a_tenant_moves_and_what_is_left_is_shown() {
    let two = Two::new();
    two.add("acme", &[]);
    let serving = two.serve();
    two.put(&serving, "acme");
    serving.stop();

    let told = two.run(&["tenant", "move", "acme", "--region", "far"]);
    assert!(told.contains("tenant show acme"), "{told}");
    let acme = two.json(&["tenant", "show", "acme"]);
    assert_eq!(acme["region"], "far");
    assert!(acme["bytes_to_move"].as_u64().unwrap() >= 300_000, "{acme}");
    assert!(two.run(&["tenant", "list"]).contains("1 blobs, 293 KiB"));

    let serving = two.serve();
    wait_for("the move", Duration::from_secs(60), || {
        (two.json(&["tenant", "show", "acme"])["blobs_to_move"] == 0).then_some(())
    });
    assert!(two.blobs("far") > 0);
    let told = two.run(&["tenant", "move", "acme", "--region", "far"]);
    assert!(told.contains("already"), "{told}");
    serving.stop();
    let log = two.run(&["audit", "list", "acme"]);
    assert_eq!(log.matches("tenant-move").count(), 1, "{log}");
    assert_eq!(two.json(&["fsck"])["clean"], true);
}

#[test]
fn a_replica_is_filled_and_its_lag_is_shown() {
    let two = Two::new();
    two.add("acme", &[]);
    let serving = two.serve();
    two.put(&serving, "acme");
    serving.stop();

    assert!(two.json(&["tenant", "show", "acme"])["replica_lag_seconds"].is_null());
    let told = two.run(&["tenant", "set", "acme", "--replica", "far"]);
    assert!(told.contains("tenant show acme"), "{told}");
    let acme = two.json(&["tenant", "show", "acme"]);
    assert_eq!(acme["replica"], "far");
    let serving = two.serve();
    wait_for("the copies", Duration::from_secs(60), || {
        let there = two.blobs("far") > 0;
        let acme = two.json(&["tenant", "show", "acme"]);
        (there && acme["replica_lag_seconds"] == 0).then_some(())
    });
    two.run(&["tenant", "set", "acme", "--replica", "none"]);
    assert!(two.json(&["tenant", "show", "acme"])["replica"].is_null());
    serving.stop();
}

#[test]
fn a_move_to_a_replica_that_is_behind_tells_what_it_has_and_what_follows() {
    let two = Two::new();
    two.add("acme", &[]);
    let serving = two.serve();
    two.put(&serving, "acme");
    serving.stop();
    two.run(&["tenant", "set", "acme", "--replica", "far"]);
    let told = two.run(&["tenant", "move", "acme", "--region", "far"]);
    assert!(
        told.contains("1 blobs, 293 KiB follow") && told.contains("its other files"),
        "{told}"
    );
    assert!(!told.contains("keys"), "{told}");
}

#[test]
fn a_region_that_the_settings_do_not_name_is_refused() {
    let two = Two::new();
    two.add("acme", &[]);
    two.refused(&["tenant", "add", "beta", "--region", "mars"], "far, near");
    two.refused(&["tenant", "move", "acme", "--region", "mars"], "mars");
    two.refused(&["tenant", "move", "nobody", "--region", "far"], "nobody");
    two.refused(&["tenant", "set", "acme", "--replica", "mars"], "mars");
    two.refused(&["tenant", "set", "acme", "--replica", "near"], "lives in");
}

#[test]
fn a_tenant_whose_region_is_not_in_the_settings_is_told_at_start() {
    let two = Two::new();
    two.add("acme", &["--region", "far"]);
    let settings = fs::read_to_string(&two.config).unwrap();
    fs::write(
        &two.config,
        settings.replace("[region.far]", "[region.other]"),
    )
    .unwrap();
    let checked = two.run(&["check-config"]);
    assert!(
        checked.contains("tenants need") && checked.contains("far") && !checked.contains("right"),
        "{checked}"
    );
    let serving = two.serve();
    let log = serving.log();
    assert!(
        log.contains("[region.far]") && log.contains("acme"),
        "{log}"
    );
    serving.stop();
}
