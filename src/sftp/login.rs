//! Logging in over SSH. A stranger becomes known in one place, and every error leaves a stranger.

use russh::keys::{Algorithm, PublicKey};
use russh::server::Auth;
use tokio::sync::mpsc::UnboundedSender;

use crate::accounts::login::{Accounts, Door, PublicKeyBlob};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::principal::Principal;
use crate::domain::secret::Secret;
use crate::sftp::algorithms;

/// Keys that a client may offer: agents hold several.
const MAX_OFFERS: usize = 64;

/// What the connection's owner is told.
#[derive(Debug)]
pub enum Notice {
    /// Somebody logged in.
    LoggedIn(Box<Principal>),
    /// Somebody must go now; the sentence says why.
    TurnedAway(String),
}

/// A connection's way from stranger to principal.
pub struct Login {
    accounts: Accounts,
    door: Door,
    offers: usize,
    known: Option<Principal>,
    notices: UnboundedSender<Notice>,
}

impl Login {
    /// A stranger at `door`.
    pub fn new(accounts: Accounts, door: Door, notices: UnboundedSender<Notice>) -> Self {
        Self {
            accounts,
            door,
            offers: 0,
            known: None,
            notices,
        }
    }

    /// Who logged in; none is a stranger.
    pub fn principal(&self) -> Option<&Principal> {
        self.known.as_ref()
    }

    /// Checks a password.
    pub async fn password(&mut self, login: &str, password: &str) -> Auth {
        let password = Secret::new(password.as_bytes());
        let tried = self
            .accounts
            .login_password(login, &password, self.door)
            .await;
        self.conclude(login, "password", tried)
    }

    /// Says whether signing with `key` is worth while.
    pub async fn offer(&mut self, login: &str, key: &PublicKey, algorithm: &Algorithm) -> Auth {
        self.offers += 1;
        if self.offers > MAX_OFFERS {
            self.turn_away("too many keys were offered; name the right one".to_owned());
            return refused();
        }
        let Some(blob) = blob(key, algorithm) else {
            return refused();
        };
        match self.accounts.knows_key(login, &blob, self.door).await {
            Ok(true) => Auth::Accept,
            Ok(false) => refused(),
            Err(error) => self.refuse(login, "publickey", &error),
        }
    }

    /// Checks a key whose signature was verified.
    pub async fn key(&mut self, login: &str, key: &PublicKey, algorithm: &Algorithm) -> Auth {
        let Some(blob) = blob(key, algorithm) else {
            return refused();
        };
        let tried = self.accounts.login_key(login, &blob, self.door).await;
        self.conclude(login, "publickey", tried)
    }

    fn conclude(&mut self, login: &str, method: &str, tried: Result<Principal>) -> Auth {
        let principal = match tried {
            Ok(principal) => principal,
            Err(error) => return self.refuse(login, method, &error),
        };
        let notice = Notice::LoggedIn(Box::new(principal.clone()));
        if self.known.is_some() || self.notices.send(notice).is_err() {
            return refused();
        }
        tracing::info!(
            user.id = %principal.login,
            peer = %self.door.address,
            session = %principal.session,
            method,
            "logged in"
        );
        self.known = Some(principal);
        Auth::Accept
    }

    fn refuse(&mut self, login: &str, method: &str, error: &Error) -> Auth {
        // What strangers send is not believed to be short or printable.
        let login: String = login.chars().take(256).collect();
        match error.kind() {
            ErrorKind::Unauthenticated => {
                tracing::info!(login = ?login, peer = %self.door.address, method, "login refused");
            }
            ErrorKind::Busy => {
                tracing::info!(login = ?login, peer = %self.door.address, method, reason = %error, "login refused");
                self.turn_away(error.context().to_owned());
            }
            _ => {
                tracing::warn!(login = ?login, peer = %self.door.address, method, error = ?error, "login failed");
                self.turn_away(error.context().to_owned());
            }
        }
        refused()
    }

    /// Has the connection ended by its owner.
    pub fn turn_away(&self, why: String) {
        // Without an owner the connection is ending already.
        let _ = self.notices.send(Notice::TurnedAway(why));
    }
}

fn refused() -> Auth {
    Auth::Reject {
        proceed_with_methods: Some(algorithms::login_methods()),
        partial_success: false,
    }
}

fn blob(key: &PublicKey, algorithm: &Algorithm) -> Option<PublicKeyBlob> {
    let bytes = key.to_bytes().ok()?;
    algorithms::takes_signature(algorithm).then_some(PublicKeyBlob(bytes))
}
