//! What is done to a tenant's rows in one transaction, and what is written down of it.

use async_trait::async_trait;

use crate::db::audit::Happening;
use crate::db::sql::TenantTx;
use crate::db::together::Planned;
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;

/// What a tenant's transaction does under the lock of its clock row.
///
/// May be applied several times: it must keep nothing of an earlier attempt. What is written to the
/// audit log is never applied to a database that has it already; after a commit whose outcome is
/// not known, [`Record::Nothing`] and [`Record::Raise`] may be.
#[async_trait]
pub trait Operation: Send + Sync + 'static {
    /// Reads and writes rows. `next` is the number and time the change will have if this returns
    /// [`Record::Change`]. An error undoes what was written and takes no number.
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record>;

    /// Whether what clients store becomes more by it: on a disk with little room it is refused, so that deleting, which
    /// takes room before it makes any, goes on.
    fn grows(&self) -> bool {
        false
    }

    /// How it can be planned together with others; none when it has to be applied. Either way the
    /// same comes of it.
    fn planned(&self) -> Option<&dyn Planned> {
        None
    }
}

/// What is written down of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A change of the tree: takes the next number.
    Change(Happening),
    /// Only a line in the audit log.
    Event(Happening),
    /// Nothing: reservations, checkpoints.
    Nothing,
    /// Nothing, and later changes are later than this time.
    Raise(Timestamp),
}
