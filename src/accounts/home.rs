//! Where a folder is now.

use crate::db::entries;
use crate::db::sql::TenantTx;
use crate::domain::error::Result;
use crate::domain::id::NodeId;
use crate::domain::path::VfsPath;

/// The path of a folder as it is named now; none when it is gone.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn path_of(tx: &mut TenantTx, node: NodeId) -> Result<Option<VfsPath>> {
    let chain = entries::ancestors(tx, node).await?;
    let hangs_on_root = chain.last().is_some_and(|top| top.parent == NodeId::NIL);
    if !hangs_on_root {
        return Ok(None);
    }
    chain
        .iter()
        .rev()
        .skip(1)
        .try_fold(VfsPath::root(), |path, entry| path.child(&entry.name))
        .map(Some)
}
