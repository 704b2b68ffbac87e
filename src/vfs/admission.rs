//! Which uploads may begin while memory is short.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{AccountId, TenantId};
use crate::domain::measures;
use crate::net::budget::{Budget, Grant, Share};

/// A tenant with no more uploads than this may begin another one while there is any memory left, and an account
/// while there is any that its tenant may have.
const FEW: usize = 32;

/// Counts the uploads of each tenant and of each account, so that none takes the memory in which others begin
/// theirs.
#[derive(Default)]
pub struct Admissions {
    open: Mutex<HashMap<Whose, usize>>,
}

/// Whose uploads are counted: a tenant's, or one account's.
type Whose = (TenantId, Option<AccountId>);

/// The memory that an upload is granted as long as it is open.
pub struct Admission {
    admissions: Arc<Admissions>,
    whose: [Whose; 2],
    _memory: Memory,
}

/// Held until the upload is over.
#[expect(dead_code, reason = "given back when dropped")]
enum Memory {
    Granted(Grant),
    Share(Share),
}

impl Admissions {
    /// Grants `bytes` to one more upload of an account of a tenant, from the half of the memory that is for this, or
    /// else from what is spare. The last sixty-fourth of that half is for accounts that have few, and the last
    /// eighth of all memory for tenants that have few.
    ///
    /// # Errors
    /// Busy when there is no memory for it.
    pub fn admit(
        self: &Arc<Self>,
        budget: &Budget,
        (tenant, account): (TenantId, AccountId),
        bytes: usize,
    ) -> Result<Admission> {
        let whose = [(tenant, None), (tenant, Some(account))];
        let mut open = self.lock();
        let [is_few, has_few] = whose.map(|whose| open.get(&whose).is_none_or(|open| *open < FEW));
        let granted = match has_few {
            true => budget.try_take_granted(bytes),
            false => budget.try_take_many_granted(bytes),
        };
        let spare = || match is_few {
            true => budget
                .try_take(bytes)
                .ok_or("the server is short of memory; try again in a moment"),
            false => budget.try_take_spare(bytes).ok_or(
                "too many files are being written at once and the server is short of memory; \
                 close some and try again",
            ),
        };
        let memory =
            granted.map_or_else(|| spare().map(Memory::Share), |it| Ok(Memory::Granted(it)));
        let memory = memory.map_err(|context| {
            measures::memory_refused("upload");
            Error::new(ErrorKind::Busy, context)
        })?;
        for one in whose {
            *open.entry(one).or_default() += 1;
        }
        drop(open);
        Ok(Admission {
            admissions: Arc::clone(self),
            whose,
            _memory: memory,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Whose, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut open = self.admissions.lock();
        for whose in self.whose {
            if let Some(count) = open.get_mut(&whose) {
                *count -= 1;
                if *count == 0 {
                    open.remove(&whose);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_that_opens_all_it_can_leaves_room_for_another() {
        let (admissions, budget) = (Arc::new(Admissions::default()), Budget::new(1000));
        let greedy = (TenantId(1), AccountId(1));
        let other = (TenantId(2), AccountId(2));
        let mut held = Vec::new();
        let refused = loop {
            match admissions.admit(&budget, greedy, 10) {
                Ok(admission) => held.push(admission),
                Err(error) => break error,
            }
        };
        assert_eq!((refused.kind(), held.len()), (ErrorKind::Busy, 81));
        // Of the same tenant, but another account.
        let neighbour = (greedy.0, AccountId(3));
        while let Ok(admission) = admissions.admit(&budget, neighbour, 10) {
            held.push(admission);
        }
        assert_eq!(held.len(), 87);
        let others: Vec<_> = (0..13)
            .map(|_| admissions.admit(&budget, other, 10).unwrap())
            .collect();
        assert!(admissions.admit(&budget, other, 10).is_err());
        drop((held, others));
        assert_eq!(budget.used(), 0);
        assert!(admissions.lock().is_empty());
    }
}
