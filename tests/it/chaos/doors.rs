//! The doors that workers come by, and what they are told.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use crate::chaos::writes::Content;

/// How long some wait for somebody who is silent, and has hung, or is frozen.
pub(crate) const HASTY: Duration = Duration::from_secs(3);
/// And others, who may be there yet when somebody wakes up.
pub(crate) const PATIENT: Duration = Duration::from_secs(15);

/// Why there is nothing good to tell.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The server said that there is no such file.
    Missing(String),
    /// The server refused, for a reason that goes by.
    Refused(String),
    /// No answer came.
    Silent(String),
    /// The server said what it must not say, whatever it is that fails.
    Wrong(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Silent(error.to_string())
    }
}

pub(crate) type Told<T> = Result<T, Trouble>;

/// What every door is good for. Paths begin at the tenant's root.
pub(crate) trait Client {
    /// Stores a whole file.
    fn put(&mut self, path: &str, bytes: &[u8]) -> Told<()>;

    /// Reads a whole file; none when there is none.
    fn read(&mut self, path: &str) -> Told<Content>;

    /// Gives a file another name, replacing what has it.
    fn rename(&mut self, from: &str, to: &str) -> Told<()>;

    /// Deletes a file.
    fn delete(&mut self, path: &str) -> Told<()>;

    /// The files in a folder, and how long they are.
    fn list(&mut self, folder: &str) -> Told<BTreeMap<String, u64>>;
}
