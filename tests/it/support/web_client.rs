//! A browser that has logged in, as far as curl can be one.

use crate::support::https_door::{Answer, HttpsDoor};

/// What a browser keeps of a session.
pub(crate) struct Browser<'a> {
    pub(crate) door: &'a HttpsDoor,
    /// `NAME=VALUE` of the cookie.
    pub(crate) cookie: String,
    pub(crate) csrf: String,
}

/// Sends JSON as a stranger.
#[track_caller]
pub(crate) fn post(door: &HttpsDoor, words: &[&str], path: &str, body: &str) -> Answer {
    let json = ["-H", "Content-Type: application/json", "--data", body];
    door.ask(&[&json[..], words].concat(), path)
}

/// Tries to log in.
#[track_caller]
pub(crate) fn try_login(door: &HttpsDoor, login: &str, password: &str, words: &[&str]) -> Answer {
    let body = serde_json::json!({ "login": login, "password": password }).to_string();
    post(door, words, "/api/v1/sessions", &body)
}

/// The cookie that an answer sets, as it is sent back.
#[track_caller]
pub(crate) fn cookie_of(answer: &Answer) -> String {
    let line = answer.header("set-cookie").unwrap();
    line.split(';').next().unwrap().to_owned()
}

impl<'a> Browser<'a> {
    /// Logs in with name and password.
    #[track_caller]
    pub(crate) fn log_in(door: &'a HttpsDoor, login: &str, password: &str) -> Self {
        let answer = try_login(door, login, password, &[]);
        assert_eq!(answer.status, 201, "{}", answer.text());
        Self {
            door,
            cookie: cookie_of(&answer),
            csrf: answer.json()["csrf"].as_str().unwrap().to_owned(),
        }
    }

    /// Asks with the cookie, and nothing that a page adds.
    #[track_caller]
    pub(crate) fn ask(&self, words: &[&str], path: &str) -> Answer {
        let cookie = format!("Cookie: a=b; {}", self.cookie);
        self.door.ask(&[&["-H", &cookie], words].concat(), path)
    }

    /// Asks as a page of the server does.
    #[track_caller]
    pub(crate) fn page(&self, words: &[&str], path: &str) -> Answer {
        let csrf = format!("X-Sealift-CSRF: {}", self.csrf);
        let own = ["-H", &csrf, "-H", "Sec-Fetch-Site: same-origin"];
        self.ask(&[&own, words].concat(), path)
    }

    /// Sends JSON as a page of the server does.
    #[track_caller]
    pub(crate) fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        let json = ["-H", "Content-Type: application/json", "--data", body];
        self.page(&[&["-X", method], &json[..]].concat(), path)
    }
}
