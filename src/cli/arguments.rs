//! Arguments of several commands, as people write them.

use clap::Args;

use crate::accounts::manage::Limit;
use crate::config::value::{Setting, Size};

/// Limits on what is stored.
#[derive(Args, Debug)]
pub struct Quota {
    /// Most bytes of live files, as in 10GiB, or 'none'
    #[arg(long, value_name = "SIZE", value_parser = size)]
    quota: Option<Limit<u64>>,
    /// Most live files and folders, or 'none'
    #[arg(long, value_name = "COUNT", value_parser = count)]
    quota_files: Option<Limit<u64>>,
}

impl Quota {
    /// What becomes of the limit on bytes.
    pub fn bytes(&self) -> Limit<u64> {
        self.quota.unwrap_or_default()
    }

    /// What becomes of the limit on files and folders.
    pub fn files(&self) -> Limit<u64> {
        self.quota_files.unwrap_or_default()
    }

    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.quota.is_none() && self.quota_files.is_none()
    }
}

/// The limit that something new starts with.
pub fn initial(limit: Limit<u64>) -> Option<u64> {
    match limit {
        Limit::Keep | Limit::Lift => None,
        Limit::Set(limit) => Some(limit),
    }
}

/// A time such as 30d.
///
/// # Errors
/// What to write instead.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    Setting::parse(text)
}

/// A time for which the past is kept, of a hundred years at most.
///
/// # Errors
/// What to write instead.
pub fn retention(text: &str) -> Result<std::time::Duration, String> {
    const MOST: std::time::Duration = std::time::Duration::from_secs(100 * 365 * 86_400);
    match duration(text)? {
        kept if kept <= MOST => Ok(kept),
        _ => Err("write a hundred years, 36500d, at most".to_owned()),
    }
}

fn size(text: &str) -> Result<Limit<u64>, String> {
    match text {
        "none" => Ok(Limit::Lift),
        _ => Size::parse(text).map(|size| Limit::Set(size.0)),
    }
}

/// A number, or 'none'.
///
/// # Errors
/// What to write instead.
pub fn count(text: &str) -> Result<Limit<u64>, String> {
    match text {
        "none" => Ok(Limit::Lift),
        _ => text
            .parse()
            .map(Limit::Set)
            .map_err(|_| "write a whole number, or 'none'".to_owned()),
    }
}

/// A limit in a table.
pub fn shown_size(limit: Option<u64>) -> String {
    limit.map_or_else(|| "-".to_owned(), |limit| Size(limit).text())
}

/// An amount of bytes in about three digits.
pub fn shown_amount(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut amount = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        if amount < 1000.0 {
            break;
        }
        amount /= 1024.0;
        unit = next;
    }
    match unit == "B" || amount >= 10.0 {
        true => format!("{amount:.0} {unit}"),
        false => format!("{amount:.1} {unit}"),
    }
}

/// A time in its largest whole unit.
pub fn shown_time(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A limit in a table.
pub fn shown_count(limit: Option<u64>) -> String {
    limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string())
}

/// Whether somebody may log in, in a table.
pub fn shown_state(disabled: bool) -> String {
    match disabled {
        true => "disabled",
        false => "enabled",
    }
    .to_owned()
}
