//! Logging in over SSH. A stranger becomes known in one place, and every error leaves a stranger.

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, PublicKey};
use russh::server::{Auth, PublicKeyOffer, Response};
use tokio::sync::mpsc::UnboundedSender;

use crate::accounts::attempt::{Attempt, Question, Step};
use crate::accounts::certificate::Certificate;
use crate::accounts::door::{Door, PublicKeyBlob};
use crate::accounts::login::Accounts;
use crate::accounts::presence::Presence;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::principal::Principal;
use crate::domain::secret::Secret;
use crate::sftp::algorithms;

/// Keys that a client may offer: agents hold several.
const MAX_OFFERS: usize = 64;

/// What the connection's owner is told.
pub enum Notice {
    /// Somebody logged in.
    LoggedIn(Box<Presence>),
    /// Somebody must go now; the sentence says why.
    TurnedAway(String),
}

/// A connection's way from stranger to principal.
pub struct Login {
    accounts: Accounts,
    attempt: Attempt,
    door: Door,
    offers: usize,
    known: Option<Principal>,
    farewell: Option<String>,
    notices: UnboundedSender<Notice>,
}

impl Login {
    /// A stranger at `door`.
    pub fn new(accounts: Accounts, door: Door, notices: UnboundedSender<Notice>) -> Self {
        Self {
            attempt: Attempt::new(accounts.clone(), door),
            accounts,
            door,
            offers: 0,
            known: None,
            farewell: None,
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
        let tried = self.attempt.password(login, &password).await;
        self.conclude(login, "password", tried)
    }

    /// Says whether signing is worth while.
    pub async fn offer(&mut self, login: &str, offer: PublicKeyOffer<'_>) -> Auth {
        self.offers += 1;
        if self.offers > MAX_OFFERS {
            self.turn_away("too many keys were offered; name the right one".to_owned());
            return self.refused();
        }
        let Some(blob) = blob(offer.public_key, offer.algorithm) else {
            return self.refused();
        };
        let known = match offer.certificate {
            None => self.attempt.knows_key(login, &blob).await,
            Some(presented) => match certificate(presented) {
                None => Ok(false),
                Some(certificate) => self.attempt.knows_certificate(login, &certificate).await,
            },
        };
        match known {
            Ok(true) => Auth::Accept,
            Ok(false) => self.refused(),
            Err(error) => self.refuse(login, "publickey", &error),
        }
    }

    /// Checks a key whose signature was verified.
    pub async fn key(&mut self, login: &str, key: &PublicKey, algorithm: &Algorithm) -> Auth {
        let Some(blob) = blob(key, algorithm) else {
            return self.refused();
        };
        let tried = self.attempt.key(login, &blob).await;
        self.conclude(login, "publickey", tried)
    }

    /// Checks a certificate whose signature and whose owner's were verified.
    pub async fn certificate(&mut self, login: &str, presented: &russh::keys::Certificate) -> Auth {
        let Some(certificate) = certificate(presented) else {
            return self.refused();
        };
        let tried = self.attempt.certificate(login, &certificate).await;
        self.conclude(login, "certificate", tried)
    }

    /// Asks the first question, or takes the answers to the last one.
    pub async fn interact(&mut self, login: &str, answers: Option<Response<'_>>) -> Auth {
        let tried = match answers {
            None => self.attempt.ask(login).await,
            Some(answers) => {
                let mut answers: Vec<_> = answers.collect();
                // One question, one answer; anything else is wrong.
                let answer = match answers.len() {
                    1 => answers.pop(),
                    _ => None,
                };
                let answer = Secret::new(answer.unwrap_or_default());
                self.attempt.answer(login, &answer).await
            }
        };
        self.conclude(login, "keyboard-interactive", tried)
    }

    fn conclude(&mut self, login: &str, method: &str, tried: Result<Step>) -> Auth {
        let principal = match tried {
            Ok(Step::Admitted(principal)) => *principal,
            Ok(Step::Ask(question)) => return ask(question),
            Ok(Step::Further(methods)) => {
                return Auth::Reject {
                    proceed_with_methods: Some(algorithms::methods(&methods)),
                    partial_success: true,
                };
            }
            Err(error) => return self.refuse(login, method, &error),
        };
        let presence = self.accounts.presence(principal.clone());
        let notice = Notice::LoggedIn(Box::new(presence));
        if self.known.is_some() || self.notices.send(notice).is_err() {
            return self.refused();
        }
        tracing::info!(
            user.id = %principal.login,
            peer = %self.door.address,
            session = %principal.session,
            tenant.id = %principal.tenant,
            protocol = principal.protocol.as_str(),
            method,
            "logged in"
        );
        self.known = Some(principal);
        Auth::Accept
    }

    /// With the methods that may still lead in. Nobody is told what an account asks for before
    /// something was proven.
    fn refused(&self) -> Auth {
        let methods = match self.attempt.methods() {
            Some(methods) => algorithms::methods(&methods),
            None => algorithms::login_methods(),
        };
        Auth::Reject {
            proceed_with_methods: Some(methods),
            partial_success: false,
        }
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
        self.refused()
    }

    /// Why the connection ends instead of the answer to what was tried last.
    pub fn farewell(&mut self) -> Option<String> {
        self.farewell.take()
    }

    /// Has the connection ended by its owner.
    pub fn turn_away(&mut self, why: String) {
        self.farewell = Some(why.clone());
        // Without an owner the connection is ending already.
        let _ = self.notices.send(Notice::TurnedAway(why));
    }
}

fn ask(question: Question) -> Auth {
    let text = match question {
        Question::Code => "Verification code: ",
        // Clients that answer by themselves look for this word.
        Question::Password => "Password: ",
    };
    Auth::Partial {
        name: "".into(),
        instructions: "".into(),
        prompts: vec![(text.into(), false)].into(),
    }
}

/// None when it, or what it is about, is signed in a way that is not taken. The algorithm of the
/// owner's own signature was looked at when the key was offered.
fn certificate(presented: &russh::keys::Certificate) -> Option<Certificate> {
    let blob = |key: &KeyData| {
        let bytes = PublicKey::from(key.clone()).to_bytes().ok();
        bytes.map(PublicKeyBlob)
    };
    if !algorithms::takes_signature(&presented.signature().algorithm()) {
        return None;
    }
    let options = presented.critical_options().iter();
    Some(Certificate {
        for_users: presented.cert_type() == CertType::User,
        authority: blob(presented.signature_key())?,
        key: blob(presented.public_key())?,
        serial: presented.serial(),
        key_id: presented.key_id().to_owned(),
        principals: presented.valid_principals().to_vec(),
        valid_after: presented.valid_after(),
        valid_before: presented.valid_before(),
        critical_options: options.map(|(n, v)| (n.clone(), v.clone())).collect(),
    })
}

fn blob(key: &PublicKey, algorithm: &Algorithm) -> Option<PublicKeyBlob> {
    let bytes = key.to_bytes().ok()?;
    algorithms::takes_signature(algorithm).then_some(PublicKeyBlob(bytes))
}
