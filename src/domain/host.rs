//! Names of hosts, as clients ask for them.

use std::fmt;
use std::str::FromStr;

use crate::domain::error::{Error, Result};

/// Longest name and longest part of one, in bytes (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 253;
const MAX_PART: usize = 63;

/// A DNS name in lowercase, without a dot at its end. International names are in their ASCII form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(String);

impl HostName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Takes capitals and a dot at the end; addresses are no names.
impl FromStr for HostName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_part = |part: &str| {
            (1..=MAX_PART).contains(&part.len())
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let good = name.len() <= MAX_NAME
            && name.split('.').all(is_part)
            && !name.rsplit('.').next().is_some_and(is_number);
        match good {
            true => Ok(Self(name.to_ascii_lowercase())),
            false => Err(Error::invalid(
                "write the name of a host as in files.example.org, an international one in its ASCII form (xn--)",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_has_one_name() {
        for text in [
            "files.example.org",
            "Files.Example.ORG.",
            "files.example.org.",
        ] {
            let host: HostName = text.parse().unwrap();
            assert_eq!(host.as_str(), "files.example.org");
        }
        assert!("localhost".parse::<HostName>().is_ok());
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let (long_part, long_name) = ("a".repeat(64), "a.".repeat(127) + "aa");
        for text in [
            "",
            ".",
            "a..b",
            "-a.org",
            "a-.org",
            "a b.org",
            "a/b",
            "192.0.2.1",
            "[::1]",
            "bücher.example",
            "a@b",
            "a\0b",
            &long_part,
            &long_name,
        ] {
            assert!(text.parse::<HostName>().is_err(), "{text}");
        }
    }
}
