//! Two servers on one PostgreSQL share the work of telling webhooks.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::support::folder::TempFolder;
use crate::support::postgres::Postgres;
use crate::support::receiver::Receiver;
use crate::support::server::sealift;
use crate::support::serving::Serving;
use crate::support::wait::wait_for;

const SECRET: &str = "right horse";

/// An installation of two servers, with an account `ann@acme`.
struct Two {
    folder: TempFolder,
}

impl Two {
    fn new() -> Self {
        let two = Self {
            folder: TempFolder::new(),
        };
        let urls = Postgres::shared().fresh_database();
        let at = |name: &str| two.folder.join(name).display().to_string();
        for name in ["one", "other"] {
            let settings = format!(
                "[database]\nurl = \"{}\"\nowner_url = \"{}\"\nconnections = 8\n\
                 [storage]\npath = \"{}\"\n[keys]\nfile = \"{}\"\n\
                 [webhooks]\nallow = [\"127.0.0.0/8\"]\nhttp = true\n\
                 [sftp]\nlisten = [\"127.0.0.1:0\"]\nhost_keys = \"{}\"\n\
                 [server]\nready_file = \"{}\"\n",
                urls.server,
                urls.owner,
                at("store"),
                at("local.key"),
                at("ssh"),
                two.ready(name).display(),
            );
            fs::write(two.config(name), settings).unwrap();
        }
        two.run(&["migrate"]);
        two.run(&["tenant", "add", "acme"]);
        two.run(&["account", "add", "ann@acme", "--password-stdin"]);
        two.run(&["grant", "add", "ann@acme", "acme:/", "all"]);
        two
    }

    fn config(&self, name: &str) -> PathBuf {
        self.folder.join(&format!("{name}.toml"))
    }

    fn ready(&self, name: &str) -> PathBuf {
        self.folder.join(&format!("{name}.json"))
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> String {
        let config = self.config("one");
        let config = ["--config", config.to_str().unwrap()];
        let ran = sealift(&[words, &config].concat(), &format!("{SECRET}\n"));
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{words:?}: {errors}");
        String::from_utf8(ran.stdout).unwrap()
    }

    fn start(&self, name: &str) -> Serving {
        Serving::start(&self.config(name), &self.ready(name))
    }

    fn put(&self, serving: &Serving, names: &[String]) {
        let file = self.folder.join("some");
        fs::write(&file, "some").unwrap();
        let puts = names
            .iter()
            .map(|name| format!("put {} {name}\n", file.display()));
        serving.sftp("ann@acme", SECRET, &puts.collect::<String>());
    }
}

#[test]
fn two_servers_tell_each_thing_once_and_one_goes_on_for_the_other() {
    let two = Two::new();
    let (first, second) = (Receiver::start(), Receiver::start());
    two.run(&["webhook", "add", "acme", "first", &first.url("/")]);
    two.run(&["webhook", "add", "acme", "second", &second.url("/")]);
    let (one, other) = (two.start("one"), two.start("other"));
    let names = |who: &str| (0..20).map(|n| format!("/{who}-{n}")).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        scope.spawn(|| two.put(&one, &names("one")));
        scope.spawn(|| two.put(&other, &names("other")));
    });
    for receiver in [&first, &second] {
        receiver.wait_for(40);
    }
    wait_for("all to be noted", Duration::from_secs(60), || {
        let all = ["first", "second"].map(|name| {
            let said = two.run(&["webhook", "deliveries", "acme", name, "--json"]);
            serde_json::from_str::<Value>(&said).unwrap()
        });
        let is_done = |all: &Value| {
            let all = all.as_array().unwrap();
            all.len() == 40 && all.iter().all(|one| one["state"] == "delivered")
        };
        all.iter().all(is_done).then_some(())
    });
    for receiver in [&first, &second] {
        let mut ids: Vec<_> = receiver.received().iter().map(|one| one.id()).collect();
        assert_eq!(ids.len(), 40, "something was told twice");
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 40);
    }
    // Whichever of the two it is that tells a webhook: when it dies, the other goes on.
    one.kill();
    two.put(&other, &names("later"));
    for receiver in [&first, &second] {
        let all = wait_for(
            "the other server to go on",
            Duration::from_secs(120),
            || {
                let all = receiver.received();
                let later = all.iter().filter(|one| one.what().1.starts_with("/later"));
                (later.count() >= 20).then_some(all)
            },
        );
        assert!(all.len() >= 60);
    }
    other.stop();
}
