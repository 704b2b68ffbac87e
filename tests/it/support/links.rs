//! Links that the demo account makes, and people who come by them with curl.

use serde_json::Value;

use crate::support::https_door::{Answer, HttpsDoor};

pub(crate) const SHARES: &str = "/api/v1/shares";

/// A link, as those have it who were given it.
pub(crate) struct Link<'a> {
    pub(crate) door: &'a HttpsDoor,
    pub(crate) id: String,
    /// Where it is on the server.
    pub(crate) url: String,
}

impl HttpsDoor {
    /// Makes a link as the demo account.
    #[track_caller]
    pub(crate) fn link(&self, wanted: &Value) -> Link<'_> {
        let made = self.send("POST", "/shares", &wanted.to_string(), &[]);
        assert_eq!(made.status, 201, "{}", made.text());
        let json = made.json();
        let text = |key: &str| json[key].as_str().unwrap().to_owned();
        assert_eq!(text("url"), format!("/api/v1/shared/{}", text("token")));
        Link {
            door: self,
            id: text("id"),
            url: text("url"),
        }
    }
}

impl Link<'_> {
    /// Asks by the link, as somebody who has no account.
    #[track_caller]
    pub(crate) fn ask(&self, words: &[&str], rest: &str) -> Answer {
        self.door.ask(words, &format!("{}{rest}", self.url))
    }

    #[track_caller]
    pub(crate) fn get(&self, rest: &str) -> Answer {
        self.ask(&[], rest)
    }

    /// Sends a file.
    #[track_caller]
    pub(crate) fn put(&self, name: &str, text: &str, words: &[&str]) -> Answer {
        let sending = ["-X", "PUT", "--data-binary", text];
        self.ask(&[&sending, words].concat(), &format!("/files/{name}"))
    }

    /// The link as its maker sees it.
    #[track_caller]
    pub(crate) fn shown(&self) -> Value {
        let shown = self.door.demo(&[], &format!("{SHARES}/{}", self.id));
        assert_eq!(shown.status, 200, "{}", shown.text());
        shown.json()
    }

    /// Has its maker change it.
    #[track_caller]
    pub(crate) fn alter(&self, change: &Value) -> Answer {
        let at = format!("/shares/{}", self.id);
        self.door.send("PATCH", &at, &change.to_string(), &[])
    }

    /// It has ended, and does not say why.
    #[track_caller]
    pub(crate) fn assert_over(&self) {
        for rest in ["", "/file", "/folders", "/archive"] {
            let over = self.get(rest);
            assert_eq!(
                (over.status, over.problem().as_str()),
                (410, "link-over"),
                "{rest}"
            );
            let detail = over.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.starts_with("this link leads nowhere"), "{detail}");
        }
    }
}
