//! Names under which clients keep what is not complete yet, and rename when it is.

use std::fmt;
use std::str::FromStr;

use crate::domain::error::{Error, Result};
use crate::domain::pattern;

/// Most patterns, and the longest of them, in bytes.
const MOST: usize = 64;
const LONGEST: usize = 255;

/// Patterns of names: `*`, `?` and `[a-z]`, joined by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemporaryNames(Vec<String>);

/// WinSCP, browsers and download tools, rclone, everybody, lftp, rsync, and what Finder lays beside files.
impl Default for TemporaryNames {
    fn default() -> Self {
        let patterns = [
            "*.filepart",
            "*.part",
            "*.partial",
            "*.tmp",
            ".in.*",
            ".~tmp~*",
            "._*",
            ".DS_Store",
        ];
        Self(patterns.map(str::to_owned).into())
    }
}

impl TemporaryNames {
    /// Whether any name along a path is one of these.
    pub fn hide(&self, path: &str) -> bool {
        path.split('/').any(|name| self.fit(name))
    }

    /// Takes what [`TemporaryNames::stored`] gave.
    pub fn from_stored(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty());
        Self(lines.map(str::to_owned).collect())
    }

    /// The stored form: one a line.
    pub fn stored(&self) -> String {
        self.0.join("\n")
    }

    /// A leading dot need not be said, unlike in a shell.
    fn fit(&self, name: &str) -> bool {
        let name = format!("_{name}");
        let mut patterns = self.0.iter();
        patterns.any(|one| pattern::matches(&format!("_{one}"), &name))
    }
}

impl fmt::Display for TemporaryNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

impl FromStr for TemporaryNames {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = text.split(',').map(str::trim).filter(|one| !one.is_empty());
        let all: Vec<_> = all.map(str::to_owned).collect();
        let is_good = |one: &String| {
            one.len() <= LONGEST
                && !one.contains('/')
                && !one.chars().any(char::is_control)
                && one.chars().any(|c| c != '*')
        };
        match all.len() <= MOST && all.iter().all(is_good) {
            true => Ok(Self(all)),
            false => Err(Error::invalid(format!(
                "write up to {MOST} patterns of names joined by commas, as in \"*.part, .in.*\"; \
                 none may stand for every name"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_rename_in_the_end_is_hidden() {
        let names = TemporaryNames::default();
        for path in [
            "/in/a.txt.filepart",
            "/a.part",
            "/a.txt.0a1b2c3d.partial",
            "/.hidden.tmp",
            "/.in.a.txt.",
            "/in/.~tmp~/a.txt",
            "/._a.txt",
            "/.DS_Store",
        ] {
            assert!(names.hide(path), "{path}");
        }
        for path in ["/a.txt", "/part", "/a.parts", "/in.a", "/tmp/a", "/"] {
            assert!(!names.hide(path), "{path}");
        }
    }

    #[test]
    fn patterns_survive_both_forms() {
        let names: TemporaryNames = "*.up, x?y".parse().unwrap();
        assert_eq!(names.to_string(), "*.up, x?y");
        assert_eq!(TemporaryNames::from_stored(&names.stored()), names);
        let none: TemporaryNames = "".parse().unwrap();
        assert!(!none.hide("/a.tmp"));
        assert_eq!(TemporaryNames::from_stored(&none.stored()), none);
        for text in ["*", "**", "a/b", "*.a,*"] {
            assert!(text.parse::<TemporaryNames>().is_err(), "{text}");
        }
    }
}
