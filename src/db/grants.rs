//! Rights on folders, bound to nodes.

use crate::db::sql::{Row, TenantTx};
use crate::domain::error::Result;
use crate::domain::id::{AccountId, GroupId, NodeId};
use crate::domain::rights::Rights;

/// Who a grant is given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// One account.
    Account(AccountId),
    /// All members of a group.
    Group(GroupId),
}

impl Subject {
    fn code(self) -> (i64, i64) {
        match self {
            Self::Account(id) => (1, id.0),
            Self::Group(id) => (2, id.0),
        }
    }
}

/// Rights on a folder and what is below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// To whom.
    pub subject: Subject,
    /// On which folder.
    pub node: NodeId,
    /// What.
    pub rights: Rights,
}

/// Sets what a subject may do on a folder; no rights at all removes the grant.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn set(tx: &mut TenantTx, grant: Grant) -> Result<()> {
    let (kind, id) = grant.subject.code();
    let key = [kind.into(), id.into(), grant.node.as_bytes().into()];
    tx.execute(
        "DELETE FROM grants WHERE tenant = $1 AND subject_kind = $2 AND subject = $3 AND node = $4",
        key,
    )
    .await?;
    if grant.rights.is_empty() {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO grants (tenant, subject_kind, subject, node, rights) \
         VALUES ($1, $2, $3, $4, $5)",
        [
            kind.into(),
            id.into(),
            grant.node.as_bytes().into(),
            grant.rights.bits().into(),
        ],
    )
    .await?;
    Ok(())
}

/// The grants of an account and of its groups, as they are now.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn of_account(tx: &mut TenantTx, account: AccountId) -> Result<Vec<Grant>> {
    let rows = tx
        .rows(
            "SELECT subject_kind, subject, node, rights FROM grants \
             WHERE tenant = $1 AND subject_kind = 1 AND subject = $2 \
             UNION ALL \
             SELECT subject_kind, subject, node, rights FROM grants \
             WHERE tenant = $1 AND subject_kind = 2 AND subject IN \
             (SELECT group_id FROM group_members WHERE tenant = $1 AND account = $2)",
            [account.0.into()],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// All grants of the tenant.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn list(tx: &mut TenantTx) -> Result<Vec<Grant>> {
    let rows = tx
        .rows(
            "SELECT subject_kind, subject, node, rights FROM grants WHERE tenant = $1 \
             ORDER BY subject_kind, subject, node",
            [],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Up to `limit` grants of the tenant behind one, in the same order.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn page(
    tx: &mut TenantTx,
    after: Option<(Subject, NodeId)>,
    limit: usize,
) -> Result<Vec<Grant>> {
    let (kind, subject, node) = after.map_or((0, 0, NodeId::NIL), |(subject, node)| {
        let (kind, id) = subject.code();
        (kind, id, node)
    });
    let rows = tx
        .rows(
            "SELECT subject_kind, subject, node, rights FROM grants WHERE tenant = $1 \
             AND (subject_kind > $2 OR (subject_kind = $2 AND (subject > $3 OR \
             (subject = $3 AND node > $4)))) ORDER BY subject_kind, subject, node LIMIT $5",
            [
                kind.into(),
                subject.into(),
                node.as_bytes().into(),
                i64::try_from(limit).unwrap_or(i64::MAX).into(),
            ],
        )
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Grant> {
    let id = row.int(1)?;
    Ok(Grant {
        subject: match row.int(0)? {
            1 => Subject::Account(AccountId(id)),
            _ => Subject::Group(GroupId(id)),
        },
        node: NodeId::from_slice(&row.bytes(2)?)?,
        rights: Rights::from_bits(row.int(3)?),
    })
}
