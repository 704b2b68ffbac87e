//! How a file is found that is to be read or written, and what must be so for that.

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::NodeId;
use crate::domain::node::{Attributes, Entry, NodeKind};
use crate::domain::path::VfsPath;
use crate::domain::rights::Rights;
use crate::vfs::access::{below, follow, is_a_folder, no_such, parent_of};
use crate::vfs::condition::{self, Pinned};
use crate::vfs::held::to_replace;
use crate::vfs::options::{Create, Length, WriteOptions};
use crate::vfs::read::{self, FileReader};
use crate::vfs::resume::{self, Discard};
use crate::vfs::senders::Amount;
use crate::vfs::session::Session;
use crate::vfs::sink;
use crate::vfs::start::Start;
use crate::vfs::target::Target;
use crate::vfs::write::FileWriter;

impl Session {
    pub(in crate::vfs) async fn try_open_read(
        &self,
        path: &VfsPath,
        length: Length,
    ) -> Result<FileReader> {
        let mut tx = self.vfs.database().snapshot(self.principal.tenant).await?;
        let (chain, access) = follow(&mut tx, &self.principal, path).await?;
        let missing = chain.len() <= path.names().len();
        let shown = match missing || length == Length::Shown {
            true => self.shown(&mut tx, path, (&chain, &access)).await?,
            false => None,
        };
        let shown = match shown {
            Some((upload, shown)) if missing => {
                access.require(&chain, Rights::READ)?;
                drop(tx);
                return self.read_broken_off(upload, shown, path).await;
            }
            shown => shown.map(|(_, shown)| shown.size),
        };
        if missing || !access.rights(&chain).contains(Rights::READ) {
            access.see(&mut tx, path, &chain).await?;
        }
        let entry = chain.last().ok_or_else(|| no_such(path))?;
        access.require(&chain, Rights::READ)?;
        if let Some(kept) = shown.filter(|kept| *kept != entry.size)
            && access.rights(&chain).contains(Rights::LIST)
        {
            return Err(shown_unlike(path, kept, entry.size));
        }
        match entry.kind {
            NodeKind::Folder => Err(is_a_folder(&path.to_string())),
            NodeKind::File => FileReader::open(&self.vfs, &mut tx, entry.clone()).await,
        }
    }

    pub(in crate::vfs) async fn try_open_write(
        &self,
        path: &VfsPath,
        options: WriteOptions,
    ) -> Result<FileWriter> {
        let mut tx = self.vfs.database().snapshot(self.principal.tenant).await?;
        let (chain, access) = follow(&mut tx, &self.principal, path).await?;
        if path.is_root() {
            return Err(is_a_folder("/"));
        }
        let (chain, found) = parent_of(&mut tx, &access, path, chain).await?;
        let (Some(parent), Some(name)) = (chain.last(), path.name()) else {
            return Err(Error::internal("a path with a parent and no name"));
        };
        let place = (parent.node, name.as_str());
        let now = self.now();
        let kept = match access.may_have_uploads() {
            true => resume::find(&mut tx, &self.principal, now, place, found.as_ref()).await?,
            false => None,
        };
        let (principal, here) = (&self.principal, (place, &access));
        let is_held = options.goes_on()
            && resume::is_held(
                &self.vfs,
                &mut tx,
                principal,
                here,
                found.as_ref(),
                Amount::Whole,
            )
            .await?;
        match &found {
            Some(entry) => {
                let own = below(&chain, entry);
                if options.create == Create::New {
                    access.require(&chain, Rights::WRITE)?;
                    return Err(Error::new(
                        ErrorKind::AlreadyExists,
                        format!("'{path}' exists already"),
                    ));
                }
                let needed = to_replace(&mut tx, self.held.as_ref(), entry).await?;
                access.require(&own, needed)?;
                if entry.kind == NodeKind::Folder {
                    return Err(is_a_folder(&path.to_string()));
                }
                if is_held {
                    return Err(resume::held_elsewhere());
                }
            }
            None => {
                access.require(&chain, Rights::WRITE)?;
                if is_held {
                    return Err(resume::held_elsewhere());
                }
                if options.create == Create::Never && kept.is_none() {
                    return Err(no_such(path));
                }
            }
        }
        let pinned = condition::pin(&self.conditions, found.as_ref())?;
        if let Some(held) = &self.held {
            let whole: Vec<_> = chain.iter().chain(&found).cloned().collect();
            held.check(&mut tx, &whole).await?;
        }
        let (base, counted) = match found.as_ref().and_then(|entry| entry.content) {
            Some(content) if !options.truncate => {
                let (base, counted) = read::load(self.vfs.budget(), &mut tx, content).await?;
                (Some(base), counted)
            }
            _ => (None, None),
        };
        let target = Target {
            parent: parent.node,
            name: name.as_str().to_owned(),
            node: found.as_ref().map(|entry| entry.node),
            exclusive: options.create == Create::New || pinned == Pinned::OnNothing,
            only: match pinned {
                Pinned::On(version) => Some(version),
                Pinned::No | Pinned::OnNothing => None,
            },
            held: self.held.clone(),
            since: access.seq(),
        };
        let entry = found.unwrap_or_else(|| self.new_file(parent.node, name.as_str()));
        drop(tx);
        let admission = self.vfs.admit(&self.principal, sink::GRANTED)?;
        let (resumed, discard) = match kept {
            Some(upload) if options.goes_on() => {
                let resumed = resume::take_over(&self.vfs, &self.principal, upload).await?;
                (resumed, None)
            }
            Some(_) => {
                let discard = Discard {
                    principal: self.principal.clone(),
                    parent: target.parent,
                    name: target.name.clone(),
                    node: target.node,
                    now,
                };
                (None, Some(Box::new(discard)))
            }
            None => (None, None),
        };
        let start = Start {
            entry,
            target,
            base,
            counted,
            resumed,
            discard,
            admission,
        };
        let principal = self.principal.clone();
        Ok(FileWriter::new(self.vfs.clone(), principal, options, start))
    }

    /// How a file shows itself before it is published for the first time.
    pub(in crate::vfs) fn new_file(&self, parent: NodeId, name: &str) -> Entry {
        let now = self.vfs.database().clock().now();
        Entry {
            node: NodeId::NIL,
            parent,
            name: name.to_owned(),
            kind: NodeKind::File,
            content: None,
            size: 0,
            owner: Some(self.principal.account),
            attributes: Attributes::file(now),
            born: 0,
            died: None,
        }
    }
}

/// The error for who would read another version than the one whose length is shown.
fn shown_unlike(path: &VfsPath, kept: u64, size: u64) -> Error {
    Error::new(
        ErrorKind::Busy,
        format!(
            "an upload of '{path}' broke off, of which {kept} bytes are kept and shown, while another version with \
             {size} bytes is published: go on with the upload, or send the whole file again, and read it then"
        ),
    )
}
