//! Logging in, by password or by key, through whichever door.

use std::net::IpAddr;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::principal::{Principal, Protocol};
use crate::domain::secret::Secret;

/// Where somebody knocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door {
    /// Which protocol is spoken.
    pub protocol: Protocol,
    /// The peer's address.
    pub address: IpAddr,
}

/// A public key in SSH's wire encoding (RFC 4253 section 6.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKeyBlob(pub Vec<u8>);

/// The one way in for all protocols. Cheap to clone.
#[derive(Clone)]
pub struct Accounts {}

impl Accounts {
    /// Lets somebody in who knows the password of `login` (`user@tenant`, as it was typed).
    ///
    /// # Errors
    /// Unauthenticated, always in the same words and at the same cost; Busy after failures, with
    /// how long to wait; Unavailable.
    pub async fn login_password(
        &self,
        _login: &str,
        _password: &Secret,
        _from: Door,
    ) -> Result<Principal> {
        Err(unauthenticated())
    }

    /// Whether `key` is one of the account's; asked before a signature is checked. Costs the same
    /// for names that do not exist.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn knows_key(&self, _login: &str, _key: &PublicKeyBlob, _from: Door) -> Result<bool> {
        Ok(false)
    }

    /// Lets somebody in whose signature by `key` was verified.
    ///
    /// # Errors
    /// Unauthenticated when the key is not the account's; Unavailable.
    pub async fn login_key(
        &self,
        _login: &str,
        _key: &PublicKeyBlob,
        _from: Door,
    ) -> Result<Principal> {
        Err(unauthenticated())
    }

    /// Returns when the session must end: its account or tenant was disabled, or the account's
    /// password, keys, home or ceiling changed.
    pub async fn ended(&self, _principal: &Principal) {
        std::future::pending::<()>().await;
    }

    /// Forgets a session. To be called once at its end, however it ends.
    pub async fn log_out(&self, _principal: &Principal) {}
}

fn unauthenticated() -> Error {
    Error::new(
        ErrorKind::Unauthenticated,
        "the name or the password or key is wrong, or the account is disabled",
    )
}
