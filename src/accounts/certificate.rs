//! OpenSSH user certificates (PROTOCOL.certkeys): whose, until when, from where, signed by whom.
//!
//! That the signatures are right, the client's and the authority's, is SSH's to check; all else is
//! checked here, and anything that is not understood refuses.

use std::net::IpAddr;

use crate::accounts::caller::Caller;
use crate::accounts::door::{Door, PublicKeyBlob};
use crate::accounts::login::Inner;
use crate::accounts::public_key::{PublicKey, fingerprint};
use crate::db::accounts::Account;
use crate::db::authorities;
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::shown;
use crate::net::network::Network;

/// The flaw of a certificate of yesterday.
pub(in crate::accounts) const EXPIRED: &str = "has expired";
/// Anybody can make such a certificate.
pub(in crate::accounts) const UNTRUSTED: &str = "is signed by a key that the tenant does not trust";

/// A certificate as its owner presents it, its signatures verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// It is for users, not for hosts.
    pub for_users: bool,
    /// The key that signed it.
    pub authority: PublicKeyBlob,
    /// The key that it is about, whose owner was verified.
    pub key: PublicKeyBlob,
    /// The number that the authority gave it; 0 is mostly none.
    pub serial: u64,
    /// What the authority calls it.
    pub key_id: String,
    /// Whom it opens.
    pub principals: Vec<String>,
    /// Not before, in seconds since 1970.
    pub valid_after: u64,
    /// Not from then on.
    pub valid_before: u64,
    /// What must be understood to take it: names and values.
    pub critical_options: Vec<(String, String)>,
}

/// `serial 7, id "ann's laptop", key SHA256:..., signed by SHA256:...`, for the audit log.
impl std::fmt::Display for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id: String = self.key_id.chars().take(200).collect();
        write!(
            f,
            "certificate serial {}, id \"{}\", key {}, signed by {}",
            self.serial,
            shown::line(&id),
            fingerprint(&self.key.0),
            fingerprint(&self.authority.0)
        )
    }
}

impl Certificate {
    /// Why it does not open an account there and then, apart from who signed it.
    fn flaw(
        &self,
        caller: &Caller,
        account: &Account,
        from: IpAddr,
        now: Timestamp,
    ) -> Option<String> {
        if !self.for_users {
            return Some("is for hosts".to_owned());
        }
        let now = u64::try_from(now.seconds()).unwrap_or(0);
        if now < self.valid_after {
            return Some("is not valid yet".to_owned());
        }
        if now >= self.valid_before {
            return Some(EXPIRED.to_owned());
        }
        if !self.names(caller, account) {
            return Some("names others".to_owned());
        }
        for (name, value) in &self.critical_options {
            match name.as_str() {
                "source-address" if allows(value, from) => {}
                "source-address" => return Some("is for other addresses".to_owned()),
                "force-command" => return Some("forces a command".to_owned()),
                other => {
                    let other: String = other.chars().take(64).collect();
                    return Some(format!("has the option \"{}\"", shown::line(&other)));
                }
            }
        }
        match PublicKey::from_blob(&self.key.0) {
            Ok(_) => None,
            Err(error) => Some(format!("is about a bad key: {}", error.context())),
        }
    }

    /// A certificate without principals names nobody.
    fn names(&self, caller: &Caller, account: &Account) -> bool {
        let login = &caller.login;
        let is_one = |name: &str| self.principals.iter().any(|principal| principal == name);
        match &account.rules.principals {
            Some(list) => list
                .split('\n')
                .any(|name| !name.is_empty() && is_one(name)),
            None => is_one(&login.user) || is_one(&login.to_string()),
        }
    }
}

/// Whether an address is in a list such as `192.0.2.0/24,2001:db8::/32`. A list with anything wrong
/// in it allows nothing.
fn allows(list: &str, from: IpAddr) -> bool {
    let networks: std::result::Result<Vec<Network>, _> = list.split(',').map(str::parse).collect();
    networks.is_ok_and(|networks| networks.iter().any(|network| network.contains(from)))
}

impl Inner {
    /// Why a certificate does not open the account; none when it does.
    pub(in crate::accounts) async fn flaw_of(
        &self,
        caller: &Caller,
        certificate: &Certificate,
        from: Door,
    ) -> Result<Option<String>> {
        let Some(account) = caller.usable() else {
            return Ok(Some(caller.barred.unwrap_or("nothing opens it").to_owned()));
        };
        let authority = fingerprint(&certificate.authority.0);
        let key = fingerprint(&certificate.key.0);
        let (trusted, revoked) = {
            let mut tx = self.db().read(caller.tenant.id).await?;
            let signer = &certificate.authority.0;
            let (id, serial) = (&certificate.key_id, certificate.serial);
            (
                authorities::trusts(&mut tx, &authority, signer).await?,
                authorities::is_revoked(&mut tx, &authority, &key, id, serial).await?,
            )
        };
        Ok(match (trusted, revoked) {
            (false, _) => Some(UNTRUSTED.to_owned()),
            (true, true) => Some("is revoked".to_owned()),
            (true, false) => certificate.flaw(caller, account, from.address, self.now()),
        })
    }
}
