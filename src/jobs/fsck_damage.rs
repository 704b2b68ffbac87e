//! What a check tells of a content that cannot be read: which object it is to be restored from, and whose file it is.

use std::collections::BTreeMap;

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
/// So many files are looked at in one transaction.
const BATCH: i64 = 1000;

/// The rest of a sentence about a damaged content: the blobs that are damaged, and their objects.
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
    Ok(text)
}

/// Adds to the sentences about damaged contents the path of a file that has each: a live one, if any has, else the
/// last version that had it. Each content comes with the place of its sentence. Goes through all files once.
///
/// # Errors
/// Unavailable when the database does not answer.
pub(in crate::jobs) async fn name_files(
    vfs: &Vfs,
    tenant: TenantId,
    mut damaged: BTreeMap<ContentId, usize>,
    sentences: &mut [String],
) -> Result<()> {
    let mut holders = Vec::new();
    let mut after = NodeId::NIL;
    while !damaged.is_empty() {
        let mut tx = vfs.database().read(tenant).await?;
        let page = entries::files(&mut tx, after, BATCH).await?;
        let Some(last) = page.last() else {
            break;
        };
        after = last.node;
        for file in page {
            let place = file.content.and_then(|content| damaged.remove(&content));
            holders.extend(place.map(|place| (place, file)));
        }
    }
    let mut after = (NodeId::NIL, 0);
    let mut past = BTreeMap::new();
    while !damaged.is_empty() {
        let mut tx = vfs.database().read(tenant).await?;
        let page = entries::past_files(&mut tx, after, BATCH).await?;
        let Some(last) = page.last() else {
            break;
        };
        after = (last.node, last.died.unwrap_or(i64::MAX));
        for file in page {
            let place = file.content.and_then(|content| damaged.get(&content));
            if let Some(place) = place
                && past
                    .get(place)
                    .is_none_or(|other: &Entry| other.died < file.died)
            {
                past.insert(*place, file);
            }
        }
    }
    holders.extend(past);
    for (place, file) in holders {
        if let Some(sentence) = sentences.get_mut(place) {
            *sentence += &format!("; {}", holding(vfs, tenant, &file).await?);
        }
    }
    Ok(())
}

async fn holding(vfs: &Vfs, tenant: TenantId, holder: &Entry) -> Result<String> {
    let mut tx = vfs.database().read(tenant).await?;
    let above = Above::of(&mut tx, holder.parent).await?;
    let chain = access::below(&above.chain, holder);
    let path = match above.is_whole() {
        true => access::path_of(&chain),
        false => {
            let names: Vec<_> = chain.iter().map(|entry| entry.name.as_str()).collect();
            format!(".../{}", names.join("/"))
        }
    };
    Ok(match (holder.died, above.is_deleted) {
        (None, false) => format!("the file '{path}' has it"),
        (None, true) => format!("the file '{path}', whose folder is deleted, has it"),
        (Some(_), _) => format!("an older version of '{path}' has it"),
    })
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
