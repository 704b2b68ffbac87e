//! Kinds of news that may be told to others, and sets of them.

use std::fmt;
use std::ops::BitOr;
use std::str::FromStr;

use crate::domain::error::{Error, Result};

/// A kind of news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A file was deleted.
    FileDeleted,
    /// A file has another name or is in another folder.
    FileRenamed,
    /// A deleted file was brought back.
    FileRestored,
    /// There is a new file, or a new version of one.
    FileStored,
    /// A folder was deleted, with all below it.
    FolderDeleted,
    /// A folder has another name or is in another folder, with all below it.
    FolderRenamed,
    /// A deleted folder was brought back, with all below it.
    FolderRestored,
    /// Somebody did not get into an account.
    LoginFailed,
    /// What is stored has reached a part of a quota.
    QuotaNear,
    /// Somebody wants to see whether news come through.
    WebhookTest,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::FileDeleted,
        Self::FileRenamed,
        Self::FileRestored,
        Self::FileStored,
        Self::FolderDeleted,
        Self::FolderRenamed,
        Self::FolderRestored,
        Self::LoginFailed,
        Self::QuotaNear,
        Self::WebhookTest,
    ];

    /// The word for it, as receivers know it.
    pub fn word(self) -> &'static str {
        match self {
            Self::FileDeleted => "file.deleted",
            Self::FileRenamed => "file.renamed",
            Self::FileRestored => "file.restored",
            Self::FileStored => "file.stored",
            Self::FolderDeleted => "folder.deleted",
            Self::FolderRenamed => "folder.renamed",
            Self::FolderRestored => "folder.restored",
            Self::LoginFailed => "login.failed",
            Self::QuotaNear => "quota.near",
            Self::WebhookTest => "webhook.test",
        }
    }

    /// The stored form: one bit.
    pub fn bit(self) -> i64 {
        match self {
            Self::FileStored => 1,
            Self::FileDeleted => 2,
            Self::FileRestored => 4,
            Self::FileRenamed => 8,
            Self::FolderDeleted => 16,
            Self::FolderRestored => 32,
            Self::FolderRenamed => 64,
            Self::LoginFailed => 128,
            Self::QuotaNear => 256,
            Self::WebhookTest => 512,
        }
    }

    /// Takes one that was stored; none when it is a later program's.
    pub fn from_bit(bit: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.bit() == bit)
    }
}

/// A set of topics; that of a test is in none.
///
/// Written as words joined by commas (`file.stored,quota.near`), or `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Topics(i64);

impl Topics {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// All that can be wanted.
    pub const ALL: Self = Self(511);
    /// Those of folders.
    pub const FOLDERS: Self = Self(16 | 32 | 64);

    /// Takes a set that was stored; unknown bits are dropped.
    pub fn from_bits(bits: i64) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// The stored form.
    pub fn bits(self) -> i64 {
        self.0
    }

    /// Whether a topic is in it.
    pub fn contains(self, topic: Topic) -> bool {
        self.0 & topic.bit() != 0
    }

    /// Whether there is none in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their words.
    pub fn words(self) -> Vec<&'static str> {
        let all = Topic::ALL.into_iter();
        all.filter(|topic| self.contains(*topic))
            .map(Topic::word)
            .collect()
    }
}

impl BitOr for Topics {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(","))
    }
}

impl FromStr for Topics {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut topics = Self::NONE;
        for word in text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
        {
            topics = topics
                | match Topic::ALL.into_iter().find(|topic| topic.word() == word) {
                    _ if word == "all" => Self::ALL,
                    Some(Topic::WebhookTest) | None => {
                        return Err(Error::invalid(format!(
                            "there is no event '{word}'; there are {}, and all",
                            Self::ALL.words().join(", ")
                        )));
                    }
                    Some(topic) => Self(topic.bit()),
                };
        }
        match topics.is_empty() {
            true => Err(Error::invalid("say which events are wanted, or all")),
            false => Ok(topics),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_a_bit_and_a_word_of_its_own() {
        let mut bits = 0;
        for topic in Topic::ALL {
            assert_eq!(bits & topic.bit(), 0, "{topic:?}");
            bits |= topic.bit();
            assert_eq!(Topic::from_bit(topic.bit()), Some(topic));
        }
        assert_eq!(bits, Topics::ALL.bits() | Topic::WebhookTest.bit());
    }

    #[test]
    fn sets_survive_their_text_form() {
        let topics: Topics = "file.stored, quota.near".parse().unwrap();
        assert_eq!(topics.to_string(), "file.stored,quota.near");
        assert_eq!("all".parse::<Topics>().unwrap(), Topics::ALL);
        assert_eq!(
            Topics::ALL.to_string().parse::<Topics>().unwrap(),
            Topics::ALL
        );
        for text in ["", ",", "file", "webhook.test", "file.stored,nothing"] {
            assert!(text.parse::<Topics>().is_err(), "{text}");
        }
    }
}
