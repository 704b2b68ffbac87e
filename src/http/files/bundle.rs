//! What an archive says of a file or folder, and the way its bytes take to the client.

use std::mem;

use bytes::Bytes;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::node::NodeKind;
use crate::http::files::pump::Outlet;
use crate::vfs::read::FileReader;
use crate::vfs::selection::Selected;

/// Bytes that are collected before they are sent...
pub const COLLECTED: usize = 64 * 1024;
/// ...and the longest file that is.
const SMALL: u64 = 32 * 1024;

/// A file or folder of an archive.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its path within the archive.
    pub path: String,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Length in bytes; 0 for folders.
    pub size: u64,
    /// Time of last modification, in seconds since 1970.
    pub modified: i64,
    /// Unix permission bits, without those by which a program gets another's rights.
    pub mode: u32,
}

impl Item {
    /// What there is to say of a part of a selection.
    pub fn new(selected: &Selected) -> Self {
        let entry = &selected.entry;
        Self {
            path: selected.path.clone(),
            is_folder: entry.kind == NodeKind::Folder,
            size: entry.size,
            modified: entry.attributes.modified.seconds(),
            mode: entry.attributes.mode & 0o777,
        }
    }
}

/// Collects what is small, and sends it together.
pub struct Collector {
    outlet: Outlet,
    collected: Vec<u8>,
}

impl Collector {
    /// Nothing collected yet.
    pub fn new(outlet: Outlet) -> Self {
        Self {
            outlet,
            collected: Vec::new(),
        }
    }

    /// Sends bytes, now or later.
    ///
    /// # Errors
    /// As [`Outlet::send`].
    pub async fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.collected.extend_from_slice(bytes);
        match self.collected.len() >= COLLECTED {
            true => self.flush().await,
            false => Ok(()),
        }
    }

    /// Sends a whole file as what `cut` makes of each piece.
    ///
    /// # Errors
    /// As [`Outlet::send_cut`].
    pub async fn put_file<Parts>(
        &mut self,
        file: &FileReader,
        size: u64,
        mut cut: impl FnMut(Bytes) -> Parts,
    ) -> Result<()>
    where
        Parts: IntoIterator<Item = Bytes, IntoIter: Send>,
    {
        if size > SMALL {
            self.flush().await?;
            return self.outlet.send_cut(file, 0..size, cut).await;
        }
        let bytes = file.read_at(0, size as usize).await?;
        if bytes.len() as u64 != size {
            return Err(Error::new(ErrorKind::Corrupt, "a file ends before its end"));
        }
        for part in cut(bytes) {
            self.put(&part).await?;
        }
        Ok(())
    }

    /// Sends what is collected.
    ///
    /// # Errors
    /// As [`Outlet::send`].
    pub async fn flush(&mut self) -> Result<()> {
        match self.collected.is_empty() {
            true => Ok(()),
            false => {
                let collected = mem::take(&mut self.collected);
                self.outlet.send(Bytes::from(collected)).await
            }
        }
    }
}
