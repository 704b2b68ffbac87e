//! What a check tells of a content that cannot be read: which object it is to be restored from, and whose file it is.

use crate::db::{contents, entries};
use crate::domain::error::{ErrorKind, Result};
use crate::domain::id::{ContentId, TenantId};
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
    let mut chain = entries::ancestors(&mut tx, holder.parent).await?;
    chain.reverse();
    let path = access::path_of(&access::below(&chain, &holder));
    Ok(Some(match holder.died {
        None => format!("the file '{path}' has it"),
        Some(_) => format!("an older version of '{path}' has it"),
    }))
}
