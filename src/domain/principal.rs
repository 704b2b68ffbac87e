//! Who acts: the account behind a session, or the operator.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use crate::domain::error::{Error, Result};
use crate::domain::id::{AccountId, LinkId, NodeId, SessionId, TenantId};
use crate::domain::path::VfsPath;
use crate::domain::rights::Rights;

/// The door through which somebody came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// The command line beside the server, and the operators' API.
    Admin,
    /// File Transfer Protocol (RFC 959) over a control connection in the clear.
    Ftp,
    /// The same over TLS (RFC 4217).
    Ftps,
    /// Hypertext Transfer Protocol over TLS (RFC 9110).
    Https,
    /// A background job.
    Job,
    /// SSH File Transfer Protocol.
    Sftp,
    /// Web Distributed Authoring and Versioning over TLS (RFC 4918).
    Webdav,
}

impl Protocol {
    /// The stored and logged form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Ftp => "ftp",
            Self::Ftps => "ftps",
            Self::Https => "https",
            Self::Job => "job",
            Self::Sftp => "sftp",
            Self::Webdav => "webdav",
        }
    }
}

/// Who, from where, by which door: written with every change and audit record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The account; none for the operator and for jobs.
    pub account: Option<AccountId>,
    /// The session, when there is one.
    pub session: Option<SessionId>,
    /// The door.
    pub protocol: Protocol,
    /// The peer's address; none for local commands and jobs.
    pub address: Option<IpAddr>,
    /// The name of the operator, where one is known by a token.
    pub operator: Option<Arc<str>>,
}

impl Actor {
    /// The operator at the command line.
    pub fn operator() -> Self {
        Self::local(Protocol::Admin)
    }

    /// The operator of this name, who came from `address`.
    pub fn operator_at(name: &str, address: IpAddr) -> Self {
        Self {
            address: Some(address),
            operator: Some(name.into()),
            ..Self::operator()
        }
    }

    /// A background job.
    pub fn job() -> Self {
        Self::local(Protocol::Job)
    }

    fn local(protocol: Protocol) -> Self {
        Self {
            account: None,
            session: None,
            protocol,
            address: None,
            operator: None,
        }
    }
}

/// An account that has logged in, and how far it may go.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The tenant it lives in.
    pub tenant: TenantId,
    /// The account.
    pub account: AccountId,
    /// Its name in full, `user@tenant`.
    pub login: LoginName,
    /// The account's generation at login; a later one ends the session.
    pub generation: i64,
    /// No grant reaches beyond this (read-only accounts).
    pub ceiling: Rights,
    /// What the token is for by which it logged in, all without one; the ceiling is within that.
    pub scope: Rights,
    /// It is shown the folders that lead to what it was granted, though it holds nothing there.
    pub sees_ways: bool,
    /// Where relative paths start: the home folder as it was named at login.
    pub home: VfsPath,
    /// This session.
    pub session: SessionId,
    /// The door.
    pub protocol: Protocol,
    /// The peer's address.
    pub address: IpAddr,
    /// What the operator told the door about this login.
    pub door_options: DoorOptions,
    /// The link by which somebody came who acts for the account; none for the account itself.
    pub link: Option<LinkPass>,
    /// It may administer its tenant in this session.
    pub administrator: bool,
}

/// What somebody who came by a link may touch: it holds whatever the account's grants are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkPass {
    /// The link.
    pub id: LinkId,
    /// Nothing but this file or folder, and what is below it.
    pub node: NodeId,
    /// What the account calls the link.
    pub name: String,
}

/// As the audit log has it.
impl fmt::Display for LinkPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link '{}' {}", self.name, self.id)
    }
}

/// Words that mean something to a door that reads them, and nothing elsewhere: as they were stored
/// when somebody logged in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DoorOptions {
    /// The account's; they go before the tenant's.
    pub account: Option<String>,
    /// The tenant's.
    pub tenant: Option<String>,
}

impl Principal {
    /// Who, from where, by which door.
    pub fn actor(&self) -> Actor {
        Actor {
            account: Some(self.account),
            session: Some(self.session),
            protocol: self.protocol,
            address: Some(self.address),
            operator: None,
        }
    }
}

/// `user@tenant`: both in lowercase letters, digits, `.`, `_`, `-`; the user also `+` and `@`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoginName {
    /// The user's name, unique within the tenant.
    pub user: String,
    /// The tenant's name.
    pub tenant: String,
}

/// Longest user or tenant name, in bytes.
pub const MAX_LOGIN_PART: usize = 128;

impl LoginName {
    /// Whether a client means this one by `name`: the user's name, with or without the tenant.
    pub fn is_called(&self, name: &[u8]) -> bool {
        name == self.user.as_bytes() || name == self.to_string().as_bytes()
    }

    /// What was typed as the name of an account of `tenant`, in full. An '@' before anything but this
    /// tenant belongs to the user's name, so that no other tenant can be named.
    pub fn in_full<'a>(typed: &'a str, tenant: &str) -> Cow<'a, str> {
        match typed.rsplit_once('@') {
            Some((_, named)) if named == tenant => Cow::Borrowed(typed),
            _ => Cow::Owned(format!("{typed}@{tenant}")),
        }
    }

    /// Checks a tenant's name: 1 to 128 of `a-z 0-9 . _ -`, starting with a letter or digit.
    ///
    /// # Errors
    /// Invalid, with the rule.
    pub fn check_tenant(name: &str) -> Result<()> {
        check(name, "a tenant's name", "._-")
    }

    /// Checks a user's name: as a tenant's, and also `+` and `@`, so that mail addresses serve.
    ///
    /// # Errors
    /// Invalid, with the rule.
    pub fn check_user(name: &str) -> Result<()> {
        check(name, "a user's name", "._-+@")
    }

    /// Checks a group's name: as a user's.
    ///
    /// # Errors
    /// Invalid, with the rule.
    pub fn check_group(name: &str) -> Result<()> {
        check(name, "a group's name", "._-+@")
    }
}

fn check(name: &str, what: &str, marks: &str) -> Result<()> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let starts_well = name.chars().next().is_some_and(good);
    match starts_well
        && name.len() <= MAX_LOGIN_PART
        && name.chars().all(|c| good(c) || marks.contains(c))
    {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "{what} is 1 to {MAX_LOGIN_PART} of a-z, 0-9 and {marks}, and starts with a letter or digit"
        ))),
    }
}

impl fmt::Display for LoginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.user, self.tenant)
    }
}

impl fmt::Debug for LoginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Splits at the last `@`.
impl FromStr for LoginName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (user, tenant) = text
            .rsplit_once('@')
            .ok_or_else(|| Error::invalid("write the account as USER@TENANT"))?;
        Self::check_user(user)?;
        Self::check_tenant(tenant)?;
        Ok(Self {
            user: user.to_owned(),
            tenant: tenant.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_splits_at_the_last_at_sign() {
        let login: LoginName = "ann@example.org@acme".parse().unwrap();
        assert_eq!(
            (login.user.as_str(), login.tenant.as_str()),
            ("ann@example.org", "acme")
        );
    }

    #[test]
    fn no_name_reaches_another_tenant_than_the_one_that_was_chosen() {
        let parts = ["a", "acme", "bolt", "@", ".", "+", "", "A", "\0", " "];
        let mut reached = 0;
        for mixed in 0..parts.len().pow(5) {
            let digit = |place: u32| parts.get(mixed / parts.len().pow(place) % parts.len());
            let login: String = (0..5).filter_map(digit).copied().collect();
            let name = LoginName::in_full(&login, "acme");
            if let Ok(name) = name.parse::<LoginName>() {
                assert_eq!(name.tenant, "acme", "{login:?}");
                reached += 1;
            }
        }
        assert!(reached > 1_000);
        for (typed, meant) in [
            ("ann", "ann@acme"),
            ("ann@acme", "ann@acme"),
            ("ann@acme@bolt", "ann@acme@bolt@acme"),
            ("ann@example.org", "ann@example.org@acme"),
            ("ann@ACME", "ann@ACME@acme"),
        ] {
            assert_eq!(LoginName::in_full(typed, "acme"), meant);
        }
    }

    #[test]
    fn bad_login_names_are_refused() {
        for text in [
            "ann", "@acme", "ann@", "Ann@acme", "a b@acme", "a/b@acme", "..@acme",
        ] {
            assert!(text.parse::<LoginName>().is_err(), "{text}");
        }
    }
}
