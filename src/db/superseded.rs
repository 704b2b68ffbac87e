//! Uploads that their account has overtaken: it published, copied, moved or deleted a file where they
//! were to go. What broke off of them is of no use any more, and what still comes may only be published
//! as a whole: if it breaks off, nothing is kept.
//!
//! Such an upload has no place any more, so that no name leads to it.

use crate::db::sql::TenantTx;
use crate::db::uploads::{self, Upload, read};
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::id::{AccountId, InstanceId, NodeId, UploadId};

impl Upload {
    /// Whether its account has overtaken it.
    pub fn is_superseded(&self) -> bool {
        // Those that have an address instead of a place have names.
        self.parent == NodeId::NIL && self.name.is_empty()
    }

    /// The same upload, overtaken.
    #[must_use]
    pub fn superseded(self) -> Self {
        Self {
            parent: NodeId::NIL,
            name: String::new(),
            node: None,
            base: None,
            ..self
        }
    }
}

/// Overtakes all uploads of an account under a name, or of the file `node` that is there: those that broke
/// off are discarded.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn supersede(
    tx: &mut TenantTx,
    account: AccountId,
    (parent, name): (NodeId, &str),
    node: Option<NodeId>,
    at: Timestamp,
) -> Result<()> {
    let rows = tx
        .rows(
            "SELECT id, epoch, instance, account, parent, name, size, hash_state, reserved_bytes, \
             reserved_files, touched_at, node, base, whole FROM uploads \
             WHERE tenant = $1 AND account = $2 \
             AND (node = $5 OR (parent = $3 AND name = $4)) ORDER BY id",
            [
                account.0.into(),
                parent.as_bytes().into(),
                name.into(),
                node.unwrap_or(NodeId::NIL).as_bytes().into(),
            ],
        )
        .await?;
    for row in &rows {
        let upload = read(row)?;
        match upload.instance == InstanceId::NIL {
            true => uploads::remove(tx, &upload, at).await?,
            false => unplace(tx, upload.id).await?,
        }
    }
    Ok(())
}

/// Whether an account has published, copied or moved a file to a place since the change `since`, or deleted
/// the file `node` that was there.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn is_superseded(
    tx: &mut TenantTx,
    account: AccountId,
    (parent, name): (NodeId, &str),
    node: Option<NodeId>,
    since: i64,
) -> Result<bool> {
    let row = tx
        .row(
            "SELECT c.seq FROM (\
             SELECT node, born AS seq, 1 AS began FROM entries \
             WHERE tenant = $1 AND born > $5 AND parent = $2 AND name = $3 \
             UNION ALL SELECT node, born, 1 FROM entries \
             WHERE tenant = $1 AND born > $5 AND node = $4 \
             UNION ALL SELECT node, born, 1 FROM entries_past \
             WHERE tenant = $1 AND born > $5 AND parent = $2 AND name = $3 AND died > $5 \
             UNION ALL SELECT node, born, 1 FROM entries_past \
             WHERE tenant = $1 AND born > $5 AND node = $4 AND died > $5 \
             UNION ALL SELECT node, died, 0 FROM entries_past \
             WHERE tenant = $1 AND died > $5 AND node = $4) e \
             JOIN changes c ON c.tenant = $1 AND c.seq = e.seq \
             WHERE c.account = $6 AND ((e.began = 1 AND c.kind <> 'set-attributes' \
             AND (c.kind <> 'rename' OR e.node <> $4)) \
             OR (e.began = 0 AND c.kind = 'delete')) LIMIT 1",
            [
                parent.as_bytes().into(),
                name.into(),
                node.unwrap_or(NodeId::NIL).as_bytes().into(),
                since.into(),
                account.0.into(),
            ],
        )
        .await?;
    Ok(row.is_some())
}

async fn unplace(tx: &mut TenantTx, id: UploadId) -> Result<()> {
    tx.execute(
        "UPDATE uploads SET parent = $3, name = '', node = NULL, base = NULL \
         WHERE tenant = $1 AND id = $2",
        [id.as_bytes().into(), NodeId::NIL.as_bytes().into()],
    )
    .await?;
    Ok(())
}
