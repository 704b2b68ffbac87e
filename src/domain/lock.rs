//! Locks on files and folders.

use crate::domain::clock::Timestamp;
use crate::domain::id::{AccountId, LockToken, NodeId};

/// A lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// What it is known by.
    pub token: LockToken,
    /// What it is on.
    pub node: NodeId,
    /// Who took it.
    pub account: AccountId,
    /// Whether all below is locked, too.
    pub deep: bool,
    /// Whether others may lock it so as well.
    pub shared: bool,
    /// XML in which the client says who holds it.
    pub owner: String,
    /// The change that made what it is on for it, an empty file of which nobody was told, if one did.
    pub made: Option<i64>,
    /// When it ends, by the database's clock.
    pub expires_at: Timestamp,
}
