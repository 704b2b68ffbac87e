//! What a token is for.

use std::fmt;
use std::ops::BitOr;
use std::str::FromStr;

use crate::domain::error::{Error, Result};
use crate::domain::rights::Rights;

/// A set of scopes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Scopes(u8);

const WORDS: [(&str, Scopes); 4] = [
    ("account", Scopes::ACCOUNT),
    ("admin", Scopes::ADMIN),
    ("files:read", Scopes::FILES_READ),
    ("files:write", Scopes::FILES_WRITE),
];

impl Scopes {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The account itself: its password, keys, sessions, tokens and records.
    pub const ACCOUNT: Self = Self(1);
    /// Listing folders and reading files.
    pub const FILES_READ: Self = Self(2);
    /// Everything else that changes the tree.
    pub const FILES_WRITE: Self = Self(4);
    /// Administering the tenant, if the account does that.
    pub const ADMIN: Self = Self(8);
    /// Everything.
    pub const ALL: Self = Self(15);

    /// Takes scopes that were stored; unknown bits are dropped.
    pub fn from_bits(bits: i64) -> Self {
        Self(u8::try_from(bits & i64::from(Self::ALL.0)).unwrap_or(0))
    }

    /// The stored form.
    pub fn bits(self) -> i64 {
        i64::from(self.0)
    }

    /// Whether all of `other` is in this.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing is in this.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The words, in order.
    pub fn words(self) -> Vec<&'static str> {
        let mine = WORDS.iter().filter(|(_, scope)| self.contains(*scope));
        mine.map(|(word, _)| *word).collect()
    }

    /// No right on files reaches beyond this.
    pub fn ceiling(self) -> Rights {
        let read = match self.contains(Self::FILES_READ) {
            true => Rights::READ_ONLY,
            false => Rights::NONE,
        };
        let write = match self.contains(Self::FILES_WRITE) {
            true => Rights::READ_ONLY.missing(Rights::ALL),
            false => Rights::NONE,
        };
        read | write
    }
}

impl BitOr for Scopes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One word.
impl FromStr for Scopes {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = WORDS.iter().find(|(word, _)| *word == text);
        found.map(|(_, scope)| *scope).ok_or_else(|| {
            Error::invalid(format!(
                "'{}' is no scope; scopes are {}",
                text.escape_debug(),
                Self::ALL.words().join(", ")
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_survive_their_text_form() {
        for bits in 0..=15 {
            let scopes = Scopes::from_bits(bits);
            let parsed = scopes.words().into_iter().fold(Scopes::NONE, |all, word| {
                all | word.parse::<Scopes>().unwrap()
            });
            assert_eq!(parsed, scopes);
        }
    }

    #[test]
    fn a_scope_of_files_is_a_ceiling_of_rights() {
        assert_eq!(Scopes::ACCOUNT.ceiling(), Rights::NONE);
        assert_eq!(Scopes::FILES_READ.ceiling(), Rights::READ_ONLY);
        assert!(!Scopes::FILES_WRITE.ceiling().contains(Rights::READ));
        assert!(Scopes::FILES_WRITE.ceiling().contains(Rights::DELETE));
        assert_eq!(Scopes::ALL.ceiling(), Rights::ALL);
    }
}
