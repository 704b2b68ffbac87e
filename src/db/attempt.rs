//! Committing so that a commit without an answer can be told from one that never was.

use std::collections::BTreeMap;

use crate::db::clocks::Clock;
use crate::db::sql::TenantTx;
use crate::domain::change::Committed;
use crate::domain::error::Result;
use crate::domain::id::TenantId;

/// Commits, and leaves in `unknown` what tells whether it was when no answer comes.
pub(in crate::db) async fn commit_known(
    tx: TenantTx,
    clocks: &BTreeMap<TenantId, Clock>,
    outcomes: Vec<Result<Committed>>,
    unknown: &mut Option<Attempt>,
) -> Result<Vec<Result<Committed>>> {
    let mut written = clocks.iter().filter_map(|(tenant, clock)| {
        let (number, hash) = clock.written()?;
        Some((*tenant, number, hash.to_vec()))
    });
    let Some((tenant, number, hash)) = written.next() else {
        tx.commit().await?;
        return Ok(outcomes);
    };
    let attempt = unknown.insert(Attempt {
        tenant,
        number,
        hash,
        outcomes,
    });
    tx.commit().await?;
    Ok(std::mem::take(&mut attempt.outcomes))
}

/// A transaction that wrote to the audit log, and by what to know whether it was committed.
pub(in crate::db) struct Attempt {
    pub(in crate::db) tenant: TenantId,
    pub(in crate::db) number: i64,
    pub(in crate::db) hash: Vec<u8>,
    pub(in crate::db) outcomes: Vec<Result<Committed>>,
}
