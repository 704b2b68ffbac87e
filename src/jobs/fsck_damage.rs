//! What a check tells of a content that cannot be read: which object it is to be restored from, and whose file it is.

use crate::db::sql::TenantTx;
use crate::db::{contents, entries};
use crate::domain::error::{ErrorKind, Result};
use crate::domain::id::{ContentId, NodeId, TenantId};
use crate::domain::node::Entry;
use crate::jobs::fsck_stores::{Stores, object};
use crate::vfs::access;
use crate::vfs::blob_reader::BlobReader;
use crate::vfs::service::Vfs;

/// So many blobs of a content are looked at one by one.
const MOST_BLOBS: usize = 1000;
/// So many of those that are damaged are named.
const MOST_NAMED: usize = 20;

/// The rest of a sentence about a damaged content: the blobs that are damaged, their objects, and the path of a file
/// that has it.
///
/// # Errors
/// Unavailable when the database does not answer.
pub(in crate::jobs) async fn told(
    vfs: &Vfs,
    tenant: TenantId,
    content: ContentId,
    stores: &Stores<'_>,
) -> Result<String> {
    let mut text = String::new();
    let mut tx = vfs.database().read(tenant).await?;
    let loaded = contents::load(&mut tx, content).await;
    drop(tx);
    let mut named = 0;
    for info in loaded
        .into_iter()
        .flat_map(|content| content.blobs)
        .take(MOST_BLOBS)
    {
        let reader = BlobReader::new(vfs.clone(), tenant, info);
        let what = match reader.check(info.region).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => "is damaged",
            Err(error) if error.kind() == ErrorKind::NotFound => "is missing",
            _ => continue,
        };
        named += 1;
        if named > MOST_NAMED {
            text += "; and others";
            break;
        }
        let (id, region) = (info.id, stores.name(info.region));
        text += &format!(
            "; blob {id} {what} in region {region} (object {})",
            object(id)
        );
    }
    if let Some(path) = path(vfs, tenant, content).await? {
        text += &format!("; {path}");
    }
    Ok(text)
}

async fn path(vfs: &Vfs, tenant: TenantId, content: ContentId) -> Result<Option<String>> {
    let mut tx = vfs.database().read(tenant).await?;
    let Some(holder) = entries::holder(&mut tx, content).await? else {
        return Ok(None);
    };
    let above = Above::of(&mut tx, holder.parent).await?;
    let chain = access::below(&above.chain, &holder);
    let path = match above.is_whole() {
        true => access::path_of(&chain),
        false => {
            let names: Vec<_> = chain.iter().map(|entry| entry.name.as_str()).collect();
            format!(".../{}", names.join("/"))
        }
    };
    Ok(Some(match (holder.died, above.is_deleted) {
        (None, false) => format!("the file '{path}' has it"),
        (None, true) => format!("the file '{path}', whose folder is deleted, has it"),
        (Some(_), _) => format!("an older version of '{path}' has it"),
    }))
}

/// The folders above a file, the root first, as they were when they were last there.
struct Above {
    chain: Vec<Entry>,
    is_deleted: bool,
}

impl Above {
    async fn of(tx: &mut TenantTx, lowest: NodeId) -> Result<Self> {
        let (mut chain, mut is_deleted, mut next) = (Vec::new(), false, lowest);
        while next != NodeId::NIL && chain.len() < entries::MOST_FOLDERS {
            let entry = match entries::live(tx, next).await? {
                Some(entry) => Some(entry),
                None => {
                    is_deleted = true;
                    entries::last_past(tx, next).await?
                }
            };
            let Some(entry) = entry else {
                break;
            };
            next = entry.parent;
            chain.push(entry);
        }
        chain.reverse();
        Ok(Self { chain, is_deleted })
    }

    /// Whether they lead to the root; what was deleted long ago is forgotten.
    fn is_whole(&self) -> bool {
        self.chain
            .first()
            .is_some_and(|top| top.parent == NodeId::NIL)
    }
}
