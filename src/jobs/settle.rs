//! Settling deleted folders: what lay below them is given back to the quota.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::db::entries::Moment;
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::usage::Amount;
use crate::db::{detached, entries};
use crate::domain::change::Committed;
use crate::domain::error::Result;
use crate::domain::id::{AccountId, NodeId, TenantId};
use crate::domain::node::NodeKind;
use crate::domain::principal::Actor;
use crate::vfs::service::Vfs;

const FOLDERS_A_ROUND: i64 = 100;
const BATCH: usize = 1000;

/// Settles up to 100 folders of a tenant; says how many.
///
/// Nothing below a deleted folder can change, so the sum may be taken in batches; it is given back
/// in one step, so that use is never under-counted.
///
/// # Errors
/// Unavailable when the database does not answer; what is settled stays settled.
pub async fn run(vfs: &Vfs, tenant: TenantId) -> Result<usize> {
    let mut tx = vfs.database().read(tenant).await?;
    let folders = detached::unsettled(&mut tx, FOLDERS_A_ROUND).await?;
    drop(tx);
    for (node, died) in &folders {
        let settle = Settle {
            node: *node,
            died: *died,
            sums: sum(vfs, tenant, *node).await?,
        };
        vfs.committer().run(tenant, &Actor::job(), settle).await?;
    }
    Ok(folders.len())
}

async fn sum(vfs: &Vfs, tenant: TenantId, top: NodeId) -> Result<Vec<(AccountId, Amount)>> {
    let mut sums: BTreeMap<AccountId, Amount> = BTreeMap::new();
    let mut folders = vec![top];
    while let Some(folder) = folders.pop() {
        let mut after = String::new();
        loop {
            let mut tx = vfs.database().read(tenant).await?;
            let children = entries::page(&mut tx, folder, &after, BATCH, Moment::Now).await?;
            drop(tx);
            let Some(last) = children.last() else {
                break;
            };
            after.clone_from(&last.name);
            for child in children {
                let sum = sums.entry(child.owner.unwrap_or(AccountId(0))).or_default();
                let one = Amount::one(child.size);
                sum.bytes += one.bytes;
                sum.files += one.files;
                if child.kind == NodeKind::Folder {
                    folders.push(child.node);
                }
            }
        }
    }
    Ok(sums.into_iter().collect())
}

struct Settle {
    node: NodeId,
    died: i64,
    sums: Vec<(AccountId, Amount)>,
}

#[async_trait]
impl Operation for Settle {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        detached::settle(tx, self.node, self.died, &self.sums).await?;
        Ok(Record::Nothing)
    }
}
