//! What may be done on a folder and what is below it.

use std::fmt;
use std::ops::{BitAnd, BitOr};
use std::str::FromStr;

use crate::domain::error::{Error, Result};

/// A set of rights.
///
/// Written as words joined by commas (`list,read,write`), or `all`, `read-only`, `none`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rights(u16);

const WORDS: [(&str, Rights); 8] = [
    ("list", Rights::LIST),
    ("read", Rights::READ),
    ("write", Rights::WRITE),
    ("overwrite", Rights::OVERWRITE),
    ("delete", Rights::DELETE),
    ("rename", Rights::RENAME),
    ("make-folders", Rights::MAKE_FOLDERS),
    ("set-attributes", Rights::SET_ATTRIBUTES),
];

impl Rights {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// See names, sizes and times.
    pub const LIST: Self = Self(1);
    /// Read what files hold.
    pub const READ: Self = Self(2);
    /// Make new files.
    pub const WRITE: Self = Self(4);
    /// Replace or change what existing files hold.
    pub const OVERWRITE: Self = Self(8);
    /// Delete the files and folders in this one, and not the folder itself.
    pub const DELETE: Self = Self(16);
    /// Rename and move; needed at both ends. A move into another folder also needs what copying and
    /// deleting would: list, read and delete there, write and for folders make-folders here.
    pub const RENAME: Self = Self(32);
    /// Make folders.
    pub const MAKE_FOLDERS: Self = Self(64);
    /// Set times and modes; those of what one writes come with writing it.
    pub const SET_ATTRIBUTES: Self = Self(128);
    /// Everything.
    pub const ALL: Self = Self(255);
    /// List and read.
    pub const READ_ONLY: Self = Self(3);

    /// Takes rights that were stored; unknown bits are dropped.
    pub fn from_bits(bits: i64) -> Self {
        Self(u16::try_from(bits & i64::from(Self::ALL.0)).unwrap_or(0))
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

    /// The words for what is in this.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let held = WORDS
            .into_iter()
            .filter(move |(_, right)| self.contains(*right));
        held.map(|(word, _)| word)
    }

    /// What of `other` is missing here.
    #[must_use]
    pub fn missing(self, other: Self) -> Self {
        Self(other.0 & !self.0)
    }
}

impl BitOr for Rights {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Rights {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ALL => return f.write_str("all"),
            Self::NONE => return f.write_str("none"),
            _ => {}
        }
        let words: Vec<_> = self.words().collect();
        f.write_str(&words.join(","))
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Rights {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.split(',').try_fold(Self::NONE, |rights, word| {
            let found = match word.trim() {
                "all" => Some(Self::ALL),
                "none" => Some(Self::NONE),
                "read-only" => Some(Self::READ_ONLY),
                word => WORDS
                    .iter()
                    .find(|(name, _)| *name == word)
                    .map(|(_, r)| *r),
            };
            let names = WORDS.map(|(name, _)| name).join(", ");
            found.map(|right| rights | right).ok_or_else(|| {
                Error::invalid(format!(
                    "'{}' is not a right; rights are {names}, or all, read-only",
                    word.trim()
                ))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_survive_their_text_form() {
        for bits in 0..=255 {
            let rights = Rights::from_bits(bits);
            assert_eq!(rights.to_string().parse::<Rights>().unwrap(), rights);
        }
    }

    #[test]
    fn an_unknown_word_is_named() {
        let error = "list,fly".parse::<Rights>().unwrap_err();
        assert!(error.context().starts_with("'fly' is not a right"));
    }
}
