//! Uploads that broke off: seen by their own account as the file's size and content, and gone on with
//! on any instance.

use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::crypto::open::sealed_bytes;
use crate::db::blobs::{self, BlobInfo};
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::uploads::Upload;
use crate::db::{kept, upload_edits};
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::content::Edit;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{InstanceId, NodeId, UploadId};
use crate::domain::node::{Attributes, Entry, NodeKind};
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::domain::random;
use crate::domain::rights::Rights;
use crate::storage::store::Checkpoint;
use crate::vfs::access::Access;
use crate::vfs::piece_memory::PieceMemory;
use crate::vfs::senders::Amount;
use crate::vfs::service::Vfs;
use crate::vfs::stranded::LetGo;
use crate::vfs::upload::{Leave, Remains, is_superseded_by};

/// An upload that was taken over, and what was done to its content before it broke off.
pub struct Resumed {
    /// The upload, under its new epoch.
    pub upload: Upload,
    /// What was done, in order.
    pub edits: Vec<Edit>,
    /// What knowing that takes.
    pub known: PieceMemory,
    /// The blobs that it names; all can be read.
    pub blobs: Vec<BlobInfo>,
}

/// What the principal broke off under a name, or of the file `found` that is live there.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn find(
    tx: &mut TenantTx,
    principal: &Principal,
    now: Timestamp,
    (parent, name): (NodeId, &str),
    found: Option<&Entry>,
) -> Result<Option<Upload>> {
    let node = found.map(|entry| entry.node);
    let upload = kept::find(tx, principal.account, parent, name, node, now).await?;
    let superseded = |upload: &Upload| found.is_some_and(|entry| is_superseded_by(upload, entry));
    Ok(upload.filter(|upload| !superseded(upload)))
}

/// Whether another session of the principal's account is sending a file under a name, or in place of the file
/// `found` that is live there: a whole one, or just as well a part. Its line may be broken, and not known to
/// be: what goes on meanwhile would be laid behind the old bytes, or doubled.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn is_held(
    vfs: &Vfs,
    tx: &mut TenantTx,
    principal: &Principal,
    (place, access): ((NodeId, &str), &Access),
    found: Option<&Entry>,
    least: Amount,
) -> Result<bool> {
    // What is short is in no table yet.
    let node = found.map(|entry| entry.node);
    if vfs.senders().has(principal, place, node, least) {
        return Ok(true);
    }
    let now = vfs.database().clock().now();
    let node = node.filter(|_| least == Amount::Part);
    match access.may_have_uploads() {
        true => kept::is_held(tx, principal.account, place, node, now).await,
        false => Ok(false),
    }
}

/// What the principal broke off at a path that `chain` followed as far as it exists, as a file shows
/// itself. None also when the principal may not know what is there.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn look(
    tx: &mut TenantTx,
    principal: &Principal,
    now: Timestamp,
    path: &VfsPath,
    (chain, access): (&[Entry], &Access),
) -> Result<Option<(Upload, Entry)>> {
    let (Some(last), Some(name)) = (chain.last(), path.name()) else {
        return Ok(None);
    };
    if !access.may_have_uploads() {
        return Ok(None);
    }
    let missing = (path.names().len() + 1).saturating_sub(chain.len());
    let found = match (missing, last.kind) {
        (0, NodeKind::File) => Some(last),
        (1, NodeKind::Folder) if access.rights(chain).contains(Rights::LIST) => None,
        _ => return Ok(None),
    };
    let parent = found.map_or(last.node, |entry| entry.parent);
    let upload = find(tx, principal, now, (parent, name.as_str()), found).await?;
    match upload {
        Some(upload) => {
            let shown = shown(tx, &upload, found).await?;
            Ok(Some((upload, shown)))
        }
        None => Ok(None),
    }
}

/// How an upload that broke off shows itself: as the file with what is stored.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn shown(tx: &mut TenantTx, upload: &Upload, found: Option<&Entry>) -> Result<Entry> {
    let Some(found) = found else {
        return Ok(Entry {
            node: NodeId::NIL,
            parent: upload.parent,
            name: upload.name.clone(),
            kind: NodeKind::File,
            content: None,
            size: upload.size,
            owner: Some(upload.account),
            attributes: Attributes::file(upload.touched_at),
            born: 0,
            died: None,
        });
    };
    let size = match upload.whole {
        true => upload.size,
        false => {
            let edits = upload_edits::load(tx, upload.id).await?;
            let sizes = edits.iter();
            sizes.fold(found.size, |size, edit| edit.size_after(size))
        }
    };
    Ok(Entry {
        size,
        attributes: Attributes {
            modified: upload.touched_at,
            ..found.attributes
        },
        ..found.clone()
    })
}

/// Takes an upload over: from now on whoever wrote it can do nothing more, and all that it names can
/// be read. None when it turns out that its blobs are lost. Whoever stops waiting for this leaves it as it was.
///
/// # Errors
/// Busy when somebody else has just taken it over, or there is no memory for it; Unavailable when database or store do not answer.
pub async fn take_over(
    vfs: &Vfs,
    principal: &Principal,
    upload: Upload,
) -> Result<Option<Resumed>> {
    let (told, taken) = oneshot::channel();
    let (own, whose) = (vfs.clone(), principal.clone());
    // Owned by the file system: an upload that belongs to an instance that lives, and to nobody there, is out of reach
    // for all others.
    vfs.tasks().spawn(async move {
        let resumed = take(&own, &whose, upload).await;
        let taken = resumed.map(|resumed| Taken {
            vfs: own,
            principal: whose,
            resumed,
        });
        drop(told.send(taken));
    });
    let taken = taken.await;
    let taken =
        taken.unwrap_or_else(|_| Err(Error::internal("a take-over ended without an answer")));
    Ok(taken?.resumed.take())
}

/// What was taken over, until whoever asked for it has it; dropped before, it is let go.
struct Taken {
    vfs: Vfs,
    principal: Principal,
    resumed: Option<Resumed>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Some(resumed) = self.resumed.take() else {
            return;
        };
        let (vfs, principal) = (self.vfs.clone(), self.principal.clone());
        self.vfs.tasks().spawn(async move {
            let_go(&vfs, &principal, &resumed.upload).await;
        });
    }
}

/// Leaves an upload as it is to whoever goes on with it.
async fn let_go(vfs: &Vfs, principal: &Principal, upload: &Upload) {
    let (tenant, actor) = (principal.tenant, principal.actor());
    let keep = leave(upload, Remains::Keep);
    if let Err(error) = vfs.stranded().leave(tenant, &actor, keep).await {
        tracing::warn!(upload = %upload.id, tenant.id = %tenant, error = ?error, "an upload cannot be gone on with yet");
    }
}

fn leave(upload: &Upload, remains: Remains) -> Leave {
    Leave {
        upload: Some((upload.id, upload.epoch)),
        remains,
        blobs: Vec::new(),
        lent_by: None,
    }
}

async fn take(vfs: &Vfs, principal: &Principal, upload: Upload) -> Result<Option<Resumed>> {
    let (tenant, actor) = (principal.tenant, principal.actor());
    vfs.stranded().check(upload.id)?;
    let holder = random::bytes();
    let taking = TakeOver {
        id: upload.id,
        epoch: upload.epoch,
        instance: vfs.instance(),
        holder,
        now: vfs.database().clock().now(),
    };
    let upload = Upload {
        epoch: upload.epoch + 1,
        ..upload
    };
    match vfs.committer().run(tenant, &actor, taking).await {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::Stale => return Err(held_elsewhere()),
        Err(error) => {
            // It may be committed nevertheless.
            let letting_go = LetGo {
                leave: leave(&upload, Remains::Keep),
                holder: Some(holder),
            };
            vfs.stranded().let_go(tenant, &actor, letting_go);
            return Err(error);
        }
    }
    let mut known = PieceMemory::default();
    match salvage(vfs, principal, &upload, &mut known).await {
        Ok((edits, blobs)) => Ok(Some(Resumed {
            upload,
            edits,
            known,
            blobs,
        })),
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
            tracing::warn!(upload = %upload.id, tenant.id = %tenant, error = ?error, "what an upload had stored is lost; it starts afresh");
            let discard = leave(&upload, Remains::Discard);
            vfs.stranded().leave(tenant, &actor, discard).await?;
            Ok(None)
        }
        Err(error) => {
            let_go(vfs, principal, &upload).await;
            Err(error)
        }
    }
}

/// Discards what an account broke off.
pub struct Discard {
    /// Whose it is.
    pub principal: Principal,
    /// The folder.
    pub parent: NodeId,
    /// The name in it.
    pub name: String,
    /// The file that is live there.
    pub node: Option<NodeId>,
    /// What leases are compared with: not the change's time, which a look at the future raises.
    pub now: Timestamp,
}

#[async_trait]
impl Operation for Discard {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        let place = (self.parent, self.name.as_str());
        kept::discard(tx, self.principal.account, place, self.node, self.now).await?;
        Ok(Record::Nothing)
    }
}

/// The error for who comes second.
pub fn held_elsewhere() -> Error {
    Error::new(
        ErrorKind::Busy,
        "another session of this account is sending this file; \
         wait until that ends, or send the whole file again",
    )
}

struct TakeOver {
    id: UploadId,
    epoch: i64,
    instance: InstanceId,
    holder: [u8; 16],
    now: Timestamp,
}

#[async_trait]
impl Operation for TakeOver {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        let (id, epoch) = (self.id, self.epoch);
        kept::take_over(tx, id, epoch, self.instance, self.holder, self.now).await?;
        Ok(Record::Nothing)
    }
}

struct Salvaged(Vec<BlobInfo>);

#[async_trait]
impl Operation for Salvaged {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        for info in &self.0 {
            blobs::set_halted(tx, info.id).await?;
        }
        Ok(Record::Nothing)
    }
}

/// Makes blobs of those that were in the making.
async fn salvage(
    vfs: &Vfs,
    principal: &Principal,
    upload: &Upload,
    known: &mut PieceMemory,
) -> Result<(Vec<Edit>, Vec<BlobInfo>)> {
    let mut tx = vfs.database().snapshot(principal.tenant).await?;
    let edits = upload_edits::load(&mut tx, upload.id).await?;
    let named = kept::blobs(&mut tx, upload.id).await?;
    drop(tx);
    known.stored(named.iter().map(|(info, _)| info.size).sum());
    known.cover(vfs.budget(), edits.len())?;
    let mut unfinished = Vec::new();
    for (info, notes) in named.iter().filter(|(info, _)| !info.finished) {
        let checkpoint = Checkpoint {
            length: sealed_bytes(info.size),
            state: notes.clone().unwrap_or_default(),
        };
        let store = vfs.store(info.region)?;
        store.salvage(info.id, &checkpoint).await?;
        unfinished.push(*info);
    }
    if !unfinished.is_empty() {
        let (tenant, actor) = (principal.tenant, principal.actor());
        let salvaged = Salvaged(unfinished);
        vfs.committer().run(tenant, &actor, salvaged).await?;
    }
    Ok((edits, named.into_iter().map(|(info, _)| info).collect()))
}
