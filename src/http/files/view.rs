//! Files and folders as JSON shows them.

use data_encoding::HEXLOWER;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::node::{Entry, NodeKind};
use crate::domain::path::VfsPath;
use crate::domain::rights::Rights;
use crate::http::files::condition;
use crate::http::reply::Problem;
use crate::vfs::seen::Seen;

/// A file or folder.
#[derive(Serialize, ToSchema)]
pub struct EntryView {
    /// Its name; empty for the root.
    name: String,
    /// Its path from the root.
    path: String,
    /// File or folder.
    kind: Kind,
    /// Length in bytes; 0 for folders.
    size: u64,
    /// When its content was last changed, as clients may set it: RFC 3339 in UTC.
    modified: String,
    /// When it was created, as clients may set it: RFC 3339 in UTC. Copies are created when they are made.
    created: String,
    /// Unix permission bits, in octal; nothing in them is enforced.
    mode: String,
    /// Names this version, for If-Match and If-None-Match.
    etag: String,
    /// SHA-256 of the content in hex, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    /// What the account may do with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    rights: Option<Vec<&'static str>>,
}

/// File or folder.
#[derive(Serialize, ToSchema)]
#[schema(as = EntryKind)]
#[serde(rename_all = "lowercase")]
enum Kind {
    File,
    Folder,
}

impl EntryView {
    /// What is published at a path.
    pub fn new(path: &VfsPath, entry: &Entry) -> Self {
        Self {
            name: entry.name.clone(),
            path: path.to_string(),
            kind: match entry.kind {
                NodeKind::File => Kind::File,
                NodeKind::Folder => Kind::Folder,
            },
            size: entry.size,
            modified: entry.attributes.modified.to_string(),
            created: entry.created().to_string(),
            mode: format!("{:04o}", entry.attributes.mode & 0o7777),
            etag: condition::tag(entry),
            sha256: None,
            rights: None,
        }
    }

    /// The same with its SHA-256.
    #[must_use]
    pub fn with_sum(self, sum: Option<[u8; 32]>) -> Self {
        Self {
            sha256: sum.map(|sum| HEXLOWER.encode(&sum)),
            ..self
        }
    }

    /// The same with what the account may do.
    #[must_use]
    pub fn with_rights(self, rights: Rights) -> Self {
        Self {
            rights: Some(rights.words().collect()),
            ..self
        }
    }

    /// What was seen at a path.
    pub fn seen(path: &VfsPath, seen: &Seen) -> Self {
        let view = Self::new(path, &seen.entry).with_sum(seen.sha256);
        view.with_rights(seen.rights)
    }
}

/// A part of a list.
#[derive(Serialize, ToSchema)]
pub struct Entries {
    /// What is in this part.
    pub items: Vec<EntryView>,
    /// What `cursor` is for the next part; null at the end.
    pub next: Option<String>,
}

/// The path of an entry of a folder.
///
/// # Errors
/// 400 when nothing can have that name.
pub fn child(folder: &VfsPath, name: &str) -> Result<VfsPath, Problem> {
    Ok(folder.clone().child(name)?)
}

/// A time as RFC 3339 has it.
///
/// # Errors
/// 400.
pub fn time(text: &str) -> Result<Timestamp, Problem> {
    Ok(text.parse()?)
}
