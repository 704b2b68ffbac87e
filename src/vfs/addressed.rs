//! Uploads that clients address by an id: made, looked at, ended.
//!
//! Such an upload is one that broke off and is kept, as others are, whenever no request writes to it: its
//! row belongs to nobody, and who goes on takes it over under the next epoch, on any instance. It has no
//! name among the uploads, so that no name leads to it, and none of the same name discards it.

use async_trait::async_trait;

use crate::db::addressed::{self, Addressed, Destination, Owner, Purpose};
use crate::db::grants;
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::uploads::{self, Upload};
use crate::db::usage::{self, Amount};
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{InstanceId, NodeId, UploadAddress, UploadId};
use crate::domain::node::NodeKind;
use crate::domain::path::VfsPath;
use crate::domain::rights::Rights;
use crate::vfs::access::{Access, below, follow, is_a_folder, parent_of};
use crate::vfs::landing;
use crate::vfs::rename::Overwrite;
use crate::vfs::session::Session;
use crate::vfs::target::Target;

/// Longest file, in bytes.
pub const MAX_SIZE: u64 = i64::MAX as u64;

/// An upload to begin.
#[derive(Clone, Debug)]
pub struct NewUpload {
    /// Where it will be; none for a part, which is joined with others.
    pub path: Option<VfsPath>,
    /// What happens when the name is taken.
    pub overwrite: Overwrite,
    /// How long it will be, if that is known.
    pub length: Option<u64>,
    /// What the client says about it, kept as it is.
    pub metadata: String,
    /// What whoever sends it by a link calls themselves.
    pub sender: Option<String>,
    /// Whether anybody is told the address; else it is sent by one request, and ends with that, or with its
    /// instance.
    pub is_told: bool,
}

/// How far an upload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Bytes that are durable. As many as `length` only when all is done that was asked for.
    pub offset: u64,
    /// How long it will be.
    pub length: Option<u64>,
    /// Whether it is a part, or was joined of parts.
    pub share: Share,
    /// What the client said about it.
    pub metadata: String,
    /// Whether it is published.
    pub done: bool,
    /// When it last moved on.
    pub touched_at: Timestamp,
    /// The name that it is published under, or will be.
    pub name: Option<String>,
}

/// What an upload is a share of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Share {
    /// It was joined of parts, which the client called so.
    Joined(String),
    /// It is one of the parts of a file.
    Part,
    /// It is a whole file.
    Whole,
}

impl Session {
    /// Begins an upload and says its address. What would be refused when it is published is refused now.
    ///
    /// # Errors
    /// As [`Session::open_write`]; Quota when it can have no room.
    pub async fn create_upload(&self, new: NewUpload) -> Result<UploadAddress> {
        let purpose = match &new.path {
            Some(path) => {
                let place = self.destination(path, new.overwrite).await;
                Purpose::File(self.noted(place, "store", path)?)
            }
            None => {
                let mut tx = self.vfs.database().read(self.principal.tenant).await?;
                self.require_to_send(&mut tx).await?;
                Purpose::Part
            }
        };
        let now = self.now();
        let create = Create {
            addressed: Addressed {
                id: UploadAddress::random(),
                account: self.principal.account,
                upload: UploadId::mint(now),
                purpose,
                length: new.length,
                metadata: new.metadata,
                done: false,
                touched_at: now,
                link: self.owner().link,
                sender: new.sender,
                is_told: new.is_told,
            },
        };
        let id = create.addressed.id;
        let created = self.run(create).await;
        match &new.path {
            Some(path) => self.noted(created, "store", path)?,
            None => created?,
        };
        Ok(id)
    }

    /// How far an upload is.
    ///
    /// # Errors
    /// NotFound when there is none, it is another account's, or it has expired; Denied to who may write nothing.
    pub async fn upload_standing(&self, id: UploadAddress) -> Result<Standing> {
        let mut tx = self.vfs.database().snapshot(self.principal.tenant).await?;
        let addressed = addressed::find(&mut tx, self.owner(), id).await?;
        let addressed = addressed.ok_or_else(no_such_upload)?;
        self.require_to_send(&mut tx).await?;
        let upload = match addressed.done {
            true => None,
            false => Some(found(&mut tx, &addressed).await?),
        };
        let offset = match &upload {
            Some(upload) => upload.size,
            None => addressed.length.unwrap_or(0),
        };
        let (share, name) = match addressed.purpose {
            Purpose::File(to) => (Share::Whole, Some(to.name)),
            Purpose::Part => (Share::Part, None),
            Purpose::Joined(parts, name) => (Share::Joined(parts), name),
        };
        Ok(Standing {
            offset,
            length: addressed.length,
            share,
            name,
            metadata: addressed.metadata,
            done: addressed.done,
            touched_at: upload.map_or(addressed.touched_at, |upload| upload.touched_at),
        })
    }

    /// Ends an upload, whoever writes to it, and forgets it; a file that is published stays.
    ///
    /// # Errors
    /// NotFound when there is none or it is another account's; Denied to who may write nothing.
    pub async fn end_upload(&self, id: UploadAddress) -> Result<()> {
        let mut tx = self.vfs.database().read(self.principal.tenant).await?;
        let addressed = addressed::find(&mut tx, self.owner(), id).await?;
        let addressed = addressed.ok_or_else(no_such_upload)?;
        self.require_to_send(&mut tx).await?;
        drop(tx);
        self.run(End { addressed }).await.map(drop)
    }

    /// Fails for those who may write nowhere: all that they could do to an upload is take room, or spoil what
    /// others of the account send. Where a file is published, rights are looked at again.
    ///
    /// # Errors
    /// Denied; Unavailable.
    pub(in crate::vfs) async fn require_to_send(&self, tx: &mut TenantTx) -> Result<()> {
        let grants = grants::of_account(tx, self.principal.account).await?;
        match Access::of(&grants, &self.principal).may_write() {
            true => Ok(()),
            false => Err(Error::new(
                ErrorKind::Denied,
                "permission denied: this account, or its token, may write nowhere; ask your administrator \
                 for the right 'write', or for a token with the scope 'files:write'",
            )),
        }
    }

    /// Whose uploads these are.
    pub(in crate::vfs) fn owner(&self) -> Owner {
        Owner {
            account: self.principal.account,
            link: self.principal.link.as_ref().map(|link| link.id),
        }
    }

    /// Where a file at `path` would be published, if it may be. By a link it will be beside what is there
    /// by then, under another name: what is there now is not asked for, so that nothing tells of it.
    pub(in crate::vfs) async fn destination(
        &self,
        path: &VfsPath,
        overwrite: Overwrite,
    ) -> Result<Destination> {
        if path.is_root() {
            return Err(is_a_folder("/"));
        }
        let mut tx = self.vfs.database().snapshot(self.principal.tenant).await?;
        let (chain, access) = follow(&mut tx, &self.principal, path).await?;
        let (chain, found) = parent_of(&mut tx, &access, path, chain).await?;
        let (Some(parent), Some(name)) = (chain.last(), path.name()) else {
            return Err(Error::internal("a path with a parent and no name"));
        };
        let found = found.filter(|_| self.principal.link.is_none());
        match &found {
            Some(_) if overwrite == Overwrite::Forbid => {
                access.require(&chain, Rights::WRITE)?;
                return Err(Error::new(
                    ErrorKind::AlreadyExists,
                    format!("'{path}' exists already; delete it first or choose another name"),
                ));
            }
            Some(entry) => {
                access.require(&below(&chain, entry), Rights::OVERWRITE)?;
                if entry.kind == NodeKind::Folder {
                    return Err(is_a_folder(&path.to_string()));
                }
            }
            None => access.require(&chain, Rights::WRITE)?,
        }
        Ok(Destination {
            parent: parent.node,
            name: name.as_str().to_owned(),
            node: found.map(|entry| entry.node),
            exclusive: overwrite == Overwrite::Forbid || self.principal.link.is_some(),
        })
    }
}

/// The target of a publish.
pub(in crate::vfs) fn target(destination: &Destination) -> Target {
    Target {
        parent: destination.parent,
        name: destination.name.clone(),
        node: destination.node,
        exclusive: destination.exclusive,
        only: None,
        held: None,
        // What has an address of its own is asked for by that alone.
        since: 0,
    }
}

/// The row of an upload that is not published.
///
/// # Errors
/// NotFound when it has expired.
pub(in crate::vfs) async fn found(tx: &mut TenantTx, addressed: &Addressed) -> Result<Upload> {
    let upload = uploads::find(tx, addressed.upload).await?;
    upload.ok_or_else(no_such_upload)
}

/// The error for an address that leads nowhere.
pub fn no_such_upload() -> Error {
    Error::not_found("there is no such upload, or it has expired; begin a new one")
}

struct Create {
    addressed: Addressed,
}

#[async_trait]
impl Operation for Create {
    fn grows(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        if uploads::find(tx, self.addressed.upload).await?.is_some() {
            // It is made already, and the answer was lost.
            return Ok(Record::Nothing);
        }
        let account = self.addressed.account;
        let is_new = match &self.addressed.purpose {
            Purpose::File(to) => to.node.is_none(),
            Purpose::Part => true,
            Purpose::Joined(..) => false,
        };
        if let Some(link) = self.addressed.link {
            landing::check_new(tx, link, &self.addressed, next.at).await?;
        }
        let length = self.addressed.length.filter(|_| is_new);
        let length = i64::try_from(length.unwrap_or(0)).unwrap_or(i64::MAX);
        let wanted = Amount {
            bytes: length,
            files: 0,
        };
        // Whether there is room now; what is reserved grows with what comes.
        let (who, nothing) = (Some(account), Amount::default());
        usage::charge(tx, who, nothing, wanted).await?;
        usage::charge(tx, who, nothing, wanted.negated()).await?;
        let reserved = Amount {
            bytes: 0,
            files: i64::from(is_new),
        };
        let upload = Upload {
            id: self.addressed.upload,
            epoch: 1,
            instance: InstanceId::NIL,
            account,
            parent: NodeId::NIL,
            name: self.addressed.id.to_string(),
            node: None,
            base: None,
            whole: true,
            size: 0,
            hash_state: None,
            reserved,
            touched_at: next.at,
        };
        uploads::begin(tx, &upload).await?;
        let addressed = Addressed {
            touched_at: next.at,
            ..self.addressed.clone()
        };
        addressed::insert(tx, &addressed).await?;
        Ok(Record::Nothing)
    }
}

struct End {
    addressed: Addressed,
}

#[async_trait]
impl Operation for End {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        uploads::discard(tx, self.addressed.upload, next.at).await?;
        addressed::remove(tx, self.addressed.id).await?;
        Ok(Record::Nothing)
    }
}
