//! A server and its port for operators, asked by curl.

use serde_json::Value;

use crate::support::https_door::{Answer, HttpsDoor, ask};
use crate::support::server::Server;

/// A server with an operator.
pub(crate) struct AdminDoor {
    pub(crate) door: HttpsDoor,
    /// The token of the operator `root`.
    pub(crate) root: String,
}

/// Makes an operator's token.
#[track_caller]
pub(crate) fn token(server: &Server, name: &str, role: &str) -> String {
    let words = ["admin", "token", "create", "--name", name, "--role", role];
    let made = server.admin(&[&words[..], &["--json"]].concat(), "");
    let made: Value = serde_json::from_str(&made).unwrap();
    made["token"].as_str().unwrap().to_owned()
}

/// What curl is told to send JSON.
pub(crate) fn json<'a>(method: &'a str, body: &'a str) -> Vec<&'a str> {
    vec![
        "-X",
        method,
        "-H",
        "Content-Type: application/json",
        "--data-binary",
        body,
    ]
}

impl AdminDoor {
    pub(crate) fn up() -> Self {
        let door = HttpsDoor::up();
        let root = token(&door.server, "root", "operator");
        Self { door, root }
    }

    pub(crate) fn server(&self) -> &Server {
        &self.door.server
    }

    /// The address of a path below the API, at the port for operators.
    pub(crate) fn url(&self, path: &str) -> String {
        let address = self.server().ready.listeners.admin.unwrap();
        format!("https://{address}{path}")
    }

    /// Asks with a token.
    #[track_caller]
    pub(crate) fn by(&self, token: &str, words: &[&str], path: &str) -> Answer {
        let bearer = format!("Authorization: Bearer {token}");
        let words = [&["-H", &bearer], words].concat();
        ask(&words, &self.url(&format!("/api/v1{path}")))
    }

    /// Asks as the operator.
    #[track_caller]
    pub(crate) fn root(&self, words: &[&str], path: &str) -> Answer {
        self.by(&self.root, words, path)
    }

    /// Asks as the operator; it must go well.
    #[track_caller]
    pub(crate) fn done(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        let words = match body {
            Some(body) => json(method, body),
            None => vec!["-X", method],
        };
        let answer = self.root(&words, path);
        assert!(
            (200..300).contains(&answer.status),
            "{method} {path}: {} {}",
            answer.status,
            answer.text()
        );
        answer
    }

    /// Adds an account of the tenant demo with the password `long-secret`.
    #[track_caller]
    pub(crate) fn account(&self, tenant: &str, user: &str, administrator: bool) {
        let body = serde_json::json!({
            "user": user, "password": "long-secret", "administrator": administrator,
        });
        let path = format!("/tenants/{tenant}/accounts");
        self.done("POST", &path, Some(&body.to_string()));
    }

    /// Asks at the public port as an account, below `/api/v1/admin`.
    #[track_caller]
    pub(crate) fn account_asks(&self, login: &str, words: &[&str], path: &str) -> Answer {
        let user = format!("{login}:long-secret");
        let words = [&["--user", &user], words].concat();
        self.door.ask(&words, &format!("/api/v1/admin{path}"))
    }
}
