//! Values as people write them: sizes, durations, addresses, paths and words.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::temporary::TemporaryNames;
use crate::net::network::Network;

/// How a value is written in a settings file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `true` or `false`.
    Flag,
    /// A list of texts: `["127.0.0.1:2222"]`; commas part them in the environment.
    List,
    /// A text in quotes.
    Text,
    /// A whole number.
    Whole,
}

/// A type that settings can have.
pub trait Setting: Sized {
    /// How it is written.
    const SHAPE: Shape;

    /// Reads it from the text between the quotes, or as the environment has it.
    ///
    /// # Errors
    /// What to write instead.
    fn parse(text: &str) -> Result<Self, String>;

    /// The text that [`Setting::parse`] reads back.
    fn text(&self) -> String;
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

const SIZE_UNITS: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl Setting for Size {
    const SHAPE: Shape = Shape::Text;

    fn parse(text: &str) -> Result<Self, String> {
        let how = "write a number with B, KiB, MiB, GiB or TiB, as in \"256MiB\"";
        measure(text, &SIZE_UNITS, how).map(Self)
    }

    fn text(&self) -> String {
        largest(self.0, &SIZE_UNITS)
    }
}

const TIME_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl Setting for Duration {
    const SHAPE: Shape = Shape::Text;

    fn parse(text: &str) -> Result<Self, String> {
        let how = "write a number with ms, s, m, h or d, as in \"30s\" or \"30d\"";
        measure(text, &TIME_UNITS, how).map(Self::from_millis)
    }

    fn text(&self) -> String {
        let millis = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return "0s".to_owned();
        }
        largest(millis, &TIME_UNITS)
    }
}

impl Setting for bool {
    const SHAPE: Shape = Shape::Flag;

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "write true or false".to_owned())
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Setting for u32 {
    const SHAPE: Shape = Shape::Whole;

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| format!("write a whole number from 0 to {}", Self::MAX))
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Setting for String {
    const SHAPE: Shape = Shape::Text;

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn text(&self) -> String {
        self.clone()
    }
}

impl Setting for PathBuf {
    const SHAPE: Shape = Shape::Text;

    fn parse(text: &str) -> Result<Self, String> {
        match text.is_empty() || text.contains('\0') {
            true => Err("write the path of a file or folder".into()),
            false => Ok(Self::from(text)),
        }
    }

    fn text(&self) -> String {
        self.display().to_string()
    }
}

impl Setting for Vec<Network> {
    const SHAPE: Shape = Shape::List;

    fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
        parts.map(str::parse).collect()
    }

    fn text(&self) -> String {
        let parts: Vec<_> = self.iter().map(ToString::to_string).collect();
        parts.join(", ")
    }
}

impl Setting for TemporaryNames {
    const SHAPE: Shape = Shape::List;

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|error: crate::domain::error::Error| error.context().to_owned())
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Setting for Vec<SocketAddr> {
    const SHAPE: Shape = Shape::List;

    fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
        parts
            .map(|part| {
                part.parse().map_err(|_| {
                    format!(
                        "'{part}' is not an address with a port; \
                         write \"192.0.2.1:22\" or \"[::]:22\""
                    )
                })
            })
            .collect()
    }

    fn text(&self) -> String {
        let parts: Vec<_> = self.iter().map(ToString::to_string).collect();
        parts.join(", ")
    }
}

impl Setting for tracing::Level {
    const SHAPE: Shape = Shape::Text;

    fn parse(text: &str) -> Result<Self, String> {
        word(text, &LEVELS)
    }

    fn text(&self) -> String {
        self.as_str().to_ascii_lowercase()
    }
}

const LEVELS: [(&str, tracing::Level); 5] = [
    ("error", tracing::Level::ERROR),
    ("warn", tracing::Level::WARN),
    ("info", tracing::Level::INFO),
    ("debug", tracing::Level::DEBUG),
    ("trace", tracing::Level::TRACE),
];

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for programs.
    Json,
    /// For people.
    Text,
}

const FORMATS: [(&str, LogFormat); 2] = [("json", LogFormat::Json), ("text", LogFormat::Text)];

impl Setting for LogFormat {
    const SHAPE: Shape = Shape::Text;

    fn parse(text: &str) -> Result<Self, String> {
        word(text, &FORMATS)
    }

    fn text(&self) -> String {
        match self {
            Self::Json => "json",
            Self::Text => "text",
        }
        .to_owned()
    }
}

/// What wraps the tenants' data keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// The key services of the regions; a key file only for what was wrapped by it.
    AwsKms,
    /// The key file, but for regions that name a key service.
    Local,
}

const KEY_KINDS: [(&str, KeyKind); 2] = [("aws-kms", KeyKind::AwsKms), ("local", KeyKind::Local)];

impl Setting for KeyKind {
    const SHAPE: Shape = Shape::Text;

    fn parse(text: &str) -> Result<Self, String> {
        word(text, &KEY_KINDS)
    }

    fn text(&self) -> String {
        match self {
            Self::AwsKms => "aws-kms",
            Self::Local => "local",
        }
        .to_owned()
    }
}

/// What kind of store a region is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// A folder of this machine.
    Local,
    /// A bucket.
    S3,
}

const STORE_KINDS: [(&str, StoreKind); 2] = [("local", StoreKind::Local), ("s3", StoreKind::S3)];

impl Setting for StoreKind {
    const SHAPE: Shape = Shape::Text;

    fn parse(text: &str) -> Result<Self, String> {
        word(text, &STORE_KINDS)
    }

    fn text(&self) -> String {
        match self {
            Self::Local => "local",
            Self::S3 => "s3",
        }
        .to_owned()
    }
}

fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let all: Vec<_> = words
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        format!("write one of {}", all.join(", "))
    })
}

/// A whole number and its unit; none when it is anything else or too large.
fn measure(text: &str, units: &[(&str, u64)], how: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits).unwrap_or_default();
    let known = units.iter().find(|(name, _)| *name == unit.trim());
    let Some((_, factor)) = known.filter(|_| !number.is_empty()) else {
        return Err(how.to_owned());
    };
    let number = number.parse::<u64>().ok();
    let measured = number.and_then(|number| number.checked_mul(*factor));
    measured.ok_or_else(|| "that is too large; write less".to_owned())
}

/// The number in the largest unit that needs no fraction.
fn largest(number: u64, units: &[(&str, u64)]) -> String {
    let fits = |factor: u64| number >= factor && number.is_multiple_of(factor);
    let found = units.iter().find(|(_, factor)| fits(*factor));
    let (name, factor) = found.or(units.last()).copied().unwrap_or(("", 1));
    format!("{}{name}", number / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_survive_their_text_form() {
        for text in ["0B", "1B", "1KiB", "256MiB", "3GiB", "1025KiB"] {
            assert_eq!(Size::parse(text).unwrap().text(), text);
        }
        for text in ["0s", "250ms", "30s", "90m", "36h", "30d"] {
            assert_eq!(Duration::parse(text).unwrap().text(), text);
        }
    }

    #[test]
    fn what_is_not_a_size_or_duration_is_refused() {
        for text in [
            "",
            "12",
            "MiB",
            "12 sheep",
            "-1s",
            "1.5GiB",
            "99999999999TiB",
            "٣s",
        ] {
            assert!(Size::parse(text).is_err(), "{text}");
            assert!(Duration::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn several_addresses_are_parted_by_commas() {
        let both = Vec::<SocketAddr>::parse("0.0.0.0:22, [::]:22").unwrap();
        assert_eq!(both.len(), 2);
        assert_eq!(both.text(), "0.0.0.0:22, [::]:22");
        assert!(Vec::<SocketAddr>::parse("localhost:22").is_err());
    }
}
