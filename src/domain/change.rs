//! Changes: the transactions of a tenant's tree.

use crate::domain::clock::Timestamp;

/// A change's place in its tenant's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Committed {
    /// The change's number: 1, 2, 3, ... within the tenant.
    pub seq: i64,
    /// Its time: strictly later than the change before.
    pub at: Timestamp,
}
