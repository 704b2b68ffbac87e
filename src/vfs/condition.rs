//! Changing something only as long as it is what the client takes it for.

use std::sync::Arc;

use async_trait::async_trait;

use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::node::{Entry, Version};
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::vfs::access::follow;

/// What must be so of what is at a path, for anything to be done to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// It is about what is there, and not at the path of the change: that is looked at in the change alone.
    pub at: Option<VfsPath>,
    /// It is one of these versions, if any are named.
    pub only: Option<Vec<Version>>,
    /// It is none of these, if any are named.
    pub except: Option<Except>,
    /// It was not modified after the second of this time. Where nothing is, nothing was.
    pub unmodified_since: Option<Timestamp>,
}

/// What must not be at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Except {
    /// Anything.
    Anything,
    /// One of these versions.
    Of(Vec<Version>),
}

impl Condition {
    /// Fails unless it holds of what was found.
    ///
    /// # Errors
    /// Changed.
    fn check(&self, found: Option<&Entry>) -> Result<()> {
        let is_only = match (&self.only, found) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(only), Some(found)) => only.contains(&found.version()),
        };
        let is_except = found.is_some_and(|found| match &self.except {
            None => false,
            Some(Except::Anything) => true,
            Some(Except::Of(versions)) => versions.contains(&found.version()),
        });
        let is_later = found
            .zip(self.unmodified_since)
            .is_some_and(|(found, since)| found.attributes.modified.seconds() > since.seconds());
        match is_only && !is_except && !is_later {
            true => Ok(()),
            false => Err(changed()),
        }
    }

    /// Whether it is about one version, so that no other may come between a look at it and the change.
    fn is_of_one(&self) -> bool {
        self.only.is_some() || self.unmodified_since.is_some()
    }
}

/// Those that are about what is at the path of the change.
fn here(conditions: &[Condition]) -> impl Iterator<Item = &Condition> {
    conditions.iter().filter(|condition| condition.at.is_none())
}

/// What becomes of a condition between a look at what is there and the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::vfs) enum Pinned {
    /// Nothing: what is there then may be changed.
    No,
    /// This must be there still.
    On(Version),
    /// There must be nothing still.
    OnNothing,
}

/// Fails unless all conditions hold of what was found, and says what must still be there when it is changed.
///
/// # Errors
/// Changed.
pub(in crate::vfs) fn pin(conditions: &[Condition], found: Option<&Entry>) -> Result<Pinned> {
    for condition in here(conditions) {
        condition.check(found)?;
    }
    Ok(match found.map(Entry::version) {
        _ if !here(conditions).any(Condition::is_of_one) => Pinned::No,
        Some(version) => Pinned::On(version),
        None => Pinned::OnNothing,
    })
}

/// An operation that is applied only if conditions hold of what is at a path.
pub(in crate::vfs) struct OnCondition<O> {
    /// Who.
    pub principal: Principal,
    /// Where.
    pub path: VfsPath,
    /// The conditions.
    pub conditions: Arc<[Condition]>,
    /// What is done then.
    pub operation: O,
}

#[async_trait]
impl<O: Operation> Operation for OnCondition<O> {
    fn grows(&self) -> bool {
        self.operation.grows()
    }

    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let (chain, access) = follow(tx, &self.principal, &self.path).await?;
        let needs_something = here(&self.conditions).any(|one| one.only.is_some());
        match access.see(tx, &self.path, &chain).await {
            // What can be done to nothing, the operation knows.
            Err(error) if error.kind() == ErrorKind::NotFound && !needs_something => {}
            seen => {
                pin(&self.conditions, Some(seen?))?;
            }
        }
        for condition in self.conditions.iter() {
            let Some(path) = &condition.at else {
                continue;
            };
            let (chain, access) = follow(tx, &self.principal, path).await?;
            let found = match access.see(tx, path, &chain).await {
                Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
                seen => seen.ok(),
            };
            condition.check(found)?;
        }
        self.operation.apply(tx, next).await
    }
}

/// The version that `found` is, if it is one of those.
///
/// # Errors
/// Changed.
pub(in crate::vfs) fn holds(only: &[Version], found: Option<&Entry>) -> Result<Version> {
    let found = found.map(Entry::version);
    found
        .filter(|found| only.contains(found))
        .ok_or_else(changed)
}

fn changed() -> Error {
    Error::new(
        ErrorKind::Changed,
        "this is not the version that you know any more; look at it again, then decide",
    )
}

#[cfg(test)]
mod tests {
    use crate::domain::id::NodeId;
    use crate::domain::node::{Attributes, NodeKind};

    use super::*;

    fn entry(born: i64, modified: i64) -> Entry {
        Entry {
            node: NodeId::NIL,
            parent: NodeId::NIL,
            name: "a".to_owned(),
            kind: NodeKind::File,
            content: None,
            size: 0,
            owner: None,
            attributes: Attributes::file(Timestamp(modified)),
            born,
            died: None,
        }
    }

    #[test]
    fn dates_are_compared_to_the_second() {
        let condition = Condition {
            unmodified_since: Some(Timestamp::from_seconds(10)),
            ..Condition::default()
        };
        for (modified, is_good) in [(9_000_000, true), (10_999_999, true), (11_000_000, false)] {
            let pinned = pin(std::slice::from_ref(&condition), Some(&entry(3, modified)));
            assert_eq!(pinned.is_ok(), is_good, "{modified}");
        }
        assert_eq!(pin(&[condition], None).unwrap(), Pinned::OnNothing);
    }

    #[test]
    fn all_conditions_must_hold() {
        let version = |born| Version {
            node: NodeId::NIL,
            born,
        };
        let only = |born| Condition {
            only: Some(vec![version(born)]),
            ..Condition::default()
        };
        let except = |except| Condition {
            except: Some(except),
            ..Condition::default()
        };
        let found = entry(3, 0);
        let (three, four) = (only(3), only(4));
        assert_eq!(
            pin(std::slice::from_ref(&three), Some(&found)).unwrap(),
            Pinned::On(version(3))
        );
        assert!(pin(&[three.clone(), four], Some(&found)).is_err());
        assert!(pin(&[three], None).is_err());
        assert!(pin(&[except(Except::Anything)], Some(&found)).is_err());
        assert!(pin(&[except(Except::Of(vec![version(3)]))], Some(&found)).is_err());
        let other = except(Except::Of(vec![version(4)]));
        assert_eq!(pin(&[other], Some(&found)).unwrap(), Pinned::No);
        assert_eq!(pin(&[except(Except::Anything)], None).unwrap(), Pinned::No);
    }
}
