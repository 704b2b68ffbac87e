//! A server whose webhooks may lead to this machine.

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::support::cloud;
use crate::support::folder::TempFolder;
use crate::support::server::{DEMO, Server, program};
use crate::support::wait::wait_for;

const SOON: Duration = Duration::from_secs(60);

/// The server.
pub(crate) struct Hooked {
    pub(crate) server: Server,
    variables: Vec<(String, String)>,
    pub(crate) folder: TempFolder,
}

impl Hooked {
    pub(crate) fn up() -> Self {
        Self::up_with(&[])
    }

    /// The same, with settings of the section `[webhooks]`.
    pub(crate) fn up_with(settings: &[(&str, &str)]) -> Self {
        let usual = [
            ("ALLOW", "127.0.0.0/8"),
            ("HTTP", "true"),
            ("FIRST_DELAY", "50ms"),
            ("LONGEST_DELAY", "200ms"),
        ];
        Self::up_exactly(&[&usual, settings].concat())
    }

    /// The same, with these settings only.
    pub(crate) fn up_exactly(settings: &[(&str, &str)]) -> Self {
        let metrics = (
            "SEALIFT__METRICS__LISTEN".to_owned(),
            "127.0.0.1:0".to_owned(),
        );
        let variables: Vec<_> = settings
            .iter()
            .map(|(name, value)| (format!("SEALIFT__WEBHOOKS__{name}"), (*value).to_owned()))
            .chain([metrics])
            .collect();
        let folder = TempFolder::new();
        let server = Server::up_with(&folder.join("data"), &variables);
        server.admin(&["account", "set", DEMO, "--administrator", "true"], "");
        Self {
            server,
            variables,
            folder,
        }
    }

    /// Kills the server and starts it again.
    pub(crate) fn kill(self) -> Self {
        let data = self.server.data().to_owned();
        self.server.kill();
        Self {
            server: Server::up_with(&data, &self.variables),
            ..self
        }
    }

    /// The same settings for the commands only.
    pub(crate) fn set(&mut self, settings: &[(&str, &str)]) {
        let own = settings.iter();
        self.variables = own
            .map(|(name, value)| (format!("SEALIFT__WEBHOOKS__{name}"), (*value).to_owned()))
            .collect();
    }

    /// Runs `sealift webhook` beside the server.
    pub(crate) fn try_webhook(&self, words: &[&str]) -> Output {
        Command::new(program())
            .arg("webhook")
            .args(words)
            .args(["--json", "--data"])
            .arg(self.server.data())
            .envs(cloud::ground(self.server.data()))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap()
    }

    /// The same; it must succeed.
    #[track_caller]
    pub(crate) fn webhook(&self, words: &[&str]) -> Value {
        let ran = self.try_webhook(words);
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{words:?}: {errors}");
        serde_json::from_slice(&ran.stdout).unwrap()
    }

    /// Adds the webhook `hook` of the demo tenant; returns its secret.
    #[track_caller]
    pub(crate) fn hook(&self, url: &str, words: &[&str]) -> String {
        let added = self.webhook(&[&["add", "demo", "hook", url], words].concat());
        added["secret"].as_str().unwrap().to_owned()
    }

    /// What was sent to `hook`, or waits, the newest news first.
    #[track_caller]
    pub(crate) fn deliveries(&self) -> Vec<Value> {
        let all = self.webhook(&["deliveries", "demo", "hook", "--limit", "10000"]);
        all.as_array().unwrap().clone()
    }

    /// Waits until `hook` was told of a file, and of all before it; nothing waits then.
    #[track_caller]
    pub(crate) fn settled(&self, path: &str) -> Vec<Value> {
        wait_for("webhooks to be told all", SOON, || {
            let all = self.deliveries();
            let is_there = all.iter().any(|one| one["data"]["path"] == path);
            let is_done = all.iter().all(|one| one["state"] != "waiting");
            (is_there && is_done).then_some(all)
        })
    }

    /// Stores a file by HTTPS.
    #[track_caller]
    pub(crate) fn put(&self, path: &str, content: &str) {
        let answer = self.ask(
            &["-X", "PUT", "--data-binary", content],
            &format!("/files{path}"),
        );
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
    }

    /// Asks the API as the demo account.
    #[track_caller]
    pub(crate) fn ask(&self, words: &[&str], path: &str) -> crate::support::https_door::Answer {
        let address = self.server.ready.listeners.https.unwrap();
        let user = format!("demo@demo:{}", self.server.password());
        let url = format!("https://{address}/api/v1{path}");
        crate::support::https_door::ask(&[&["--user", user.as_str()], words].concat(), &url)
    }
}
