//! What is told to others of changes of the tree. Nothing is put together for tenants that nobody listens to.

use crate::db::sql::TenantTx;
use crate::db::{contents, locks};
use crate::domain::error::Result;
use crate::domain::news::{Listening, News};
use crate::domain::node::{Entry, NodeKind};
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::domain::sum::SumKind;
use crate::domain::topic::Topic;
use crate::vfs::access::path_of;

/// How a file came to be what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::vfs) enum By {
    /// Another file was copied.
    Copy,
    /// A file that was there already got the name.
    Rename,
    /// Somebody sent it.
    Upload,
}

impl By {
    fn word(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Rename => "rename",
            Self::Upload => "upload",
        }
    }
}

/// A version of a file that has come to be.
pub(in crate::vfs) struct Stored<'a> {
    pub(in crate::vfs) by: By,
    pub(in crate::vfs) path: &'a str,
    pub(in crate::vfs) from: Option<String>,
    pub(in crate::vfs) entry: &'a Entry,
    /// Whether there was a file under the name before.
    pub(in crate::vfs) replaced: bool,
    pub(in crate::vfs) sha256: Option<[u8; 32]>,
}

/// Tells of a version of a file, unless its name is temporary.
pub(in crate::vfs) fn stored(
    listening: Option<&Listening>,
    principal: &Principal,
    stored: Stored<'_>,
) -> Option<News> {
    let listening = listening.filter(|all| all.wants(Topic::FileStored))?;
    if listening.hides(stored.path) {
        return None;
    }
    let sha256 = stored
        .sha256
        .map(|hash| data_encoding::HEXLOWER.encode(&hash));
    let news = of_entry(Topic::FileStored, stored.entry, stored.path)
        .with("account", principal.login.user.as_str())
        .with("by", stored.by.word())
        .with("replaced", stored.replaced)
        .with("sha256", sha256);
    Some(News {
        from: stored.from,
        ..news
    })
}

/// Whether nobody was told of something that is there, though its name is not temporary: it was made for a lock.
///
/// # Errors
/// Unavailable when the database does not answer.
pub(in crate::vfs) async fn is_untold(tx: &mut TenantTx, entry: &Entry) -> Result<bool> {
    match tx.listening() {
        Some(_) => locks::made(tx, entry).await,
        None => Ok(false),
    }
}

/// Tells that something was deleted, with all below it.
///
/// # Errors
/// Unavailable when the database does not answer.
pub(in crate::vfs) async fn deleted(
    tx: &mut TenantTx,
    principal: &Principal,
    entry: &Entry,
    path: &str,
) -> Result<Option<News>> {
    match is_untold(tx, entry).await? {
        true => Ok(None),
        false => Ok(of_end(tx.listening(), principal, entry, path)),
    }
}

fn of_end(
    listening: Option<&Listening>,
    principal: &Principal,
    entry: &Entry,
    path: &str,
) -> Option<News> {
    let topic = match entry.kind {
        NodeKind::File => Topic::FileDeleted,
        NodeKind::Folder => Topic::FolderDeleted,
    };
    let listening = listening.filter(|all| all.wants(topic))?;
    let news = of_entry(topic, entry, path).with("account", principal.login.user.as_str());
    (!listening.hides(path)).then_some(news)
}

/// Tells that something has another name. A file that had a temporary one, or that nobody was told of (`untold`),
/// or takes the place of another, is stored by that; of a folder that had one, so is each file below.
///
/// # Errors
/// Unavailable when the database does not answer.
pub(in crate::vfs) async fn renamed(
    tx: &mut TenantTx,
    principal: &Principal,
    moved: &Entry,
    (replaced, untold): (bool, bool),
    (from, to): (&VfsPath, &VfsPath),
) -> Result<Vec<News>> {
    let (from, to) = (from.to_string(), to.to_string());
    let Some(listening) = tx.listening().cloned() else {
        return Ok(Vec::new());
    };
    let was_hidden = untold || listening.hides(&from);
    let is_hidden = listening.hides(&to);
    if was_hidden && is_hidden {
        return Ok(Vec::new());
    }
    let mut told = Vec::new();
    let topic = match moved.kind {
        NodeKind::Folder if was_hidden => {
            if listening.wants(Topic::FileStored) {
                let news = News::new(Topic::FileStored)
                    .with("account", principal.login.user.as_str())
                    .with("by", By::Rename.word())
                    .with("replaced", false);
                told.push(News {
                    path: Some(to.clone()),
                    from: Some(from.clone()),
                    below: Some(moved.node),
                    ..news
                });
            }
            Topic::FolderRenamed
        }
        NodeKind::Folder => Topic::FolderRenamed,
        NodeKind::File if !is_hidden && (was_hidden || replaced) => {
            let news = Stored {
                by: By::Rename,
                path: &to,
                from: Some(from),
                entry: moved,
                replaced,
                sha256: sum_of(tx, &listening, moved).await?,
            };
            return Ok(Vec::from_iter(stored(Some(&listening), principal, news)));
        }
        NodeKind::File => Topic::FileRenamed,
    };
    if listening.wants(topic) {
        let news = of_entry(topic, moved, &to).with("account", principal.login.user.as_str());
        told.push(News {
            from: Some(from),
            ..news
        });
    }
    Ok(told)
}

/// Tells that something was brought back, with all below it.
pub(in crate::vfs) fn restored(
    listening: Option<&Listening>,
    entry: &Entry,
    above: &[Entry],
) -> Option<News> {
    let topic = match entry.kind {
        NodeKind::File => Topic::FileRestored,
        NodeKind::Folder => Topic::FolderRestored,
    };
    let listening = listening.filter(|all| all.wants(topic))?;
    let folder = path_of(above);
    let path = format!("{}/{}", folder.trim_end_matches('/'), entry.name);
    let news = of_entry(topic, entry, &path);
    (!listening.hides(&path)).then_some(news)
}

/// The SHA-256 of a version that somebody wants to be told of, if it is known.
///
/// # Errors
/// Unavailable when the database does not answer.
pub(in crate::vfs) async fn sum_of(
    tx: &mut TenantTx,
    listening: &Listening,
    entry: &Entry,
) -> Result<Option<[u8; 32]>> {
    let content = entry.content.filter(|_| listening.wants(Topic::FileStored));
    let Some(content) = content else {
        return Ok(None);
    };
    let sum = contents::sum(tx, content, SumKind::Sha256).await?;
    Ok(sum.and_then(|sum| sum.try_into().ok()))
}

fn of_entry(topic: Topic, entry: &Entry, path: &str) -> News {
    let news = News::new(topic).with("node", entry.node.to_string());
    let news = match entry.kind {
        NodeKind::File => news.with("size", entry.size),
        NodeKind::Folder => news,
    };
    News {
        path: Some(path.to_owned()),
        ..news
    }
}
