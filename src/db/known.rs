//! What publishes need to know of a tenant's tree, read under the lock of its clock row: one by one, or
//! all that wait in one statement.

use std::collections::HashMap;

use crate::db::entries;
use crate::db::grants::{self, Grant, Subject};
use crate::db::sql::{Row, TenantTx};
use crate::db::usage::{self, Amount, Counter, Crossing};
use crate::db::value::Value;
use crate::domain::error::{Error, Result};
use crate::domain::id::{AccountId, NodeId};
use crate::domain::news::Listening;
use crate::domain::node::Entry;
use crate::domain::rights::Rights;

/// What is asked about one publish.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The folder.
    pub parent: NodeId,
    /// The name in it.
    pub name: &'a str,
    /// The file that was opened, wherever it is now.
    pub node: Option<NodeId>,
    /// Who publishes.
    pub account: AccountId,
}

/// The answers.
#[derive(Default)]
pub struct Known {
    /// Files that were asked about, and all folders above them.
    entries: HashMap<NodeId, Entry>,
    /// What the names lead to that were asked about.
    names: HashMap<(NodeId, String), NodeId>,
    grants: HashMap<AccountId, Vec<Grant>>,
    counters: HashMap<Option<AccountId>, Counter>,
    listening: Option<Listening>,
    crossed: Vec<Crossing>,
    has_uploads: bool,
}

impl Known {
    /// What is known about one publish, from a few small statements.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn about(tx: &mut TenantTx, question: Question<'_>) -> Result<Self> {
        let mut known = Self {
            listening: tx.listening().cloned(),
            ..Self::default()
        };
        let mut found = None;
        if let Some(node) = question.node {
            found = entries::live(tx, node).await?;
        }
        if found.is_none() {
            found = entries::child(tx, question.parent, question.name).await?;
        }
        let folder = found.as_ref().map_or(question.parent, |e| e.parent);
        found.into_iter().for_each(|entry| known.found(entry));
        for entry in entries::ancestors(tx, folder).await? {
            known.entries.insert(entry.node, entry);
        }
        let grants = grants::of_account(tx, question.account).await?;
        known.grants.insert(question.account, grants);
        for counter in usage::counters(tx, Some(question.account)).await? {
            known.counters.insert(counter.account, counter);
        }
        Ok(known)
    }

    /// The live file that is to get a new version: the one that was opened, else what has its name.
    pub fn current(&self, question: &Question<'_>) -> Option<&Entry> {
        let opened = question.node.and_then(|node| self.entries.get(&node));
        let named = || {
            let key = (question.parent, question.name.to_owned());
            self.entries.get(self.names.get(&key)?)
        };
        opened.or_else(named)
    }

    /// The live entries from `node` up, the root last. A chain that does not end at the root hangs
    /// below a dead folder.
    pub fn ancestors(&self, node: NodeId) -> Vec<Entry> {
        let mut chain = Vec::new();
        let mut next = self.entries.get(&node);
        while let Some(entry) = next.filter(|_| chain.len() < entries::MOST_FOLDERS) {
            chain.push(entry.clone());
            next = self.entries.get(&entry.parent);
        }
        chain
    }

    /// What the tenant's webhooks want to be told; none is nothing.
    pub fn listening(&self) -> Option<&Listening> {
        self.listening.as_ref()
    }

    pub(in crate::db) fn listen(&mut self, listening: Option<Listening>) {
        self.listening = listening;
    }

    /// What the charges since the last call brought near to a quota; only looked at when somebody wants to
    /// be told.
    pub fn take_crossed(&mut self) -> Vec<Crossing> {
        std::mem::take(&mut self.crossed)
    }

    /// Whether an account that publishes something has uploads where that goes.
    pub(in crate::db) fn has_uploads(&self) -> bool {
        self.has_uploads
    }

    /// The grants of an account and of its groups.
    pub fn grants(&self, account: AccountId) -> &[Grant] {
        self.grants.get(&account).map_or(&[], Vec::as_slice)
    }

    /// Counts what a publish adds to the use of an account (none is the operator's) and of the tenant,
    /// unless that raises what a quota limits above the quota. Who only gives back need not be known.
    ///
    /// # Errors
    /// Quota, naming whose and how much; nothing is counted then.
    pub fn charge(&mut self, account: Option<AccountId>, used: Amount) -> Result<()> {
        if used.bytes > 0 || used.files > 0 {
            for counter in counted(account).filter_map(|whose| self.counters.get(&whose)) {
                usage::check(counter, used)?;
            }
            if self.listening.is_some() {
                let counters = counted(account).filter_map(|whose| self.counters.get(&whose));
                let crossed = counters.flat_map(|counter| usage::crossed(counter, used));
                self.crossed.extend(crossed);
            }
        }
        self.count(account, used);
        Ok(())
    }

    /// The same, whatever the quota.
    pub fn count(&mut self, account: Option<AccountId>, used: Amount) {
        for whose in counted(account) {
            if let Some(counter) = self.counters.get_mut(&whose) {
                counter.used.bytes += used.bytes;
                counter.used.files += used.files;
            }
        }
    }

    fn found(&mut self, entry: Entry) {
        let place = (entry.parent, entry.name.clone());
        self.names.insert(place, entry.node);
        self.entries.insert(entry.node, entry);
    }
}

/// By whose counters what `account` uses is counted: the tenant's, and its own.
fn counted(account: Option<AccountId>) -> impl Iterator<Item = Option<AccountId>> {
    std::iter::once(None).chain(account.map(Some))
}

/// What is known about many publishes, from one statement of PostgreSQL's; and the clock row, for
/// whoever has locked it. None when there is no such tenant.
///
/// # Errors
/// Unavailable when the database does not answer.
pub(in crate::db) async fn about_all(
    tx: &mut TenantTx,
    questions: &[Question<'_>],
) -> Result<Option<(Known, Row)>> {
    let bytes = |node: &NodeId| node.as_bytes().to_vec();
    let parents = questions.iter().map(|q| Some(bytes(&q.parent)));
    let names = questions.iter().map(|q| Some(q.name.to_owned()));
    let nodes = questions.iter().map(|q| q.node.as_ref().map(bytes));
    let by: Vec<_> = questions.iter().map(|q| q.account.0).collect();
    let mut accounts = by.clone();
    accounts.sort_unstable();
    accounts.dedup();
    let rows = tx
        .rows(
            ABOUT_ALL,
            [
                Value::ManyBytes(parents.collect()),
                Value::ManyTexts(names.collect()),
                Value::ManyBytes(nodes.collect()),
                Value::ManyInts(accounts.into_iter().map(Some).collect()),
                Value::ManyInts(by.into_iter().map(Some).collect()),
            ],
        )
        .await?;
    let mut known = Known::default();
    let mut clock = None;
    for row in rows {
        match row.int(13)? {
            0 => clock = Some(row),
            1 => known.found(entries::read(&row)?),
            2 => {
                let entry = entries::read(&row)?;
                known.entries.insert(entry.node, entry);
            }
            3 => {
                let account = AccountId(row.int(3)?);
                let grant = Grant {
                    subject: Subject::Account(account),
                    node: NodeId::from_slice(&row.bytes(0)?)?,
                    rights: Rights::from_bits(row.int(5)?),
                };
                known.grants.entry(account).or_default().push(grant);
            }
            4 => {
                let amount = |bytes, files| -> Result<Amount> {
                    Ok(Amount {
                        bytes: row.int(bytes)?,
                        files: row.int(files)?,
                    })
                };
                let counter = Counter {
                    account: Some(row.int(5)?).filter(|id| *id != 0).map(AccountId),
                    used: amount(7, 8)?,
                    reserved: amount(9, 10)?,
                    quota_bytes: row.opt_int(6)?,
                    quota_files: row.opt_int(11)?,
                };
                known.counters.insert(counter.account, counter);
            }
            5 => known.has_uploads = true,
            other => return Err(Error::internal(format!("a row of kind {other}"))),
        }
    }
    Ok(clock.map(|clock| (known, clock)))
}

/// Rows of six kinds, told apart by the last column. Of entries the others are as everywhere; the
/// clock's are those of [`Clock::read`](crate::db::clocks::Clock::read). `OFFSET 0` has each entry looked
/// up by its key: left to itself the planner goes through all of a tenant while it knows no statistics.
const ABOUT_ALL: &str = "\
WITH RECURSIVE asked AS MATERIALIZED (\
 SELECT t.parent, t.name, t.node, t.account \
 FROM unnest($2::bytea[], $3::text[], $4::bytea[], $6::bigint[]) AS t(parent, name, node, account)), \
found AS MATERIALIZED (\
 SELECT e.* FROM asked a CROSS JOIN LATERAL (SELECT * FROM entries x \
 WHERE x.tenant = $1 AND x.parent = a.parent AND x.name = a.name OFFSET 0) e \
 UNION ALL SELECT e.* FROM asked a CROSS JOIN LATERAL (SELECT * FROM entries x \
 WHERE x.tenant = $1 AND x.node = a.node OFFSET 0) e WHERE a.node IS NOT NULL), \
up(node) AS (\
 (SELECT parent FROM asked UNION SELECT parent FROM found) \
 UNION SELECT e.parent FROM up u CROSS JOIN LATERAL (SELECT x.parent FROM entries x \
 WHERE x.tenant = $1 AND x.node = u.node OFFSET 0) e) \
SELECT f.node, f.parent, f.name, f.kind, f.content, f.size, f.owner, f.mode, f.modified, f.accessed, \
 f.created, f.born, NULL::bigint, 1::bigint FROM found f \
UNION ALL \
SELECT e.node, e.parent, e.name, e.kind, e.content, e.size, e.owner, e.mode, e.modified, e.accessed, \
 e.created, e.born, NULL, 2 FROM up u CROSS JOIN LATERAL (SELECT * FROM entries x \
 WHERE x.tenant = $1 AND x.node = u.node OFFSET 0) e \
UNION ALL \
SELECT g.node, NULL, NULL, g.subject, NULL, g.rights, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 3 \
 FROM grants g WHERE g.tenant = $1 AND g.subject_kind = 1 AND g.subject = ANY($5::bigint[]) \
UNION ALL \
SELECT g.node, NULL, NULL, m.account, NULL, g.rights, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 3 \
 FROM group_members m JOIN grants g \
 ON g.tenant = $1 AND g.subject_kind = 2 AND g.subject = m.group_id \
 WHERE m.tenant = $1 AND m.account = ANY($5) \
UNION ALL \
SELECT NULL, NULL, NULL, NULL, NULL, u.account, \
 CASE WHEN u.account = 0 THEN t.quota_bytes ELSE a.quota_bytes END, \
 u.bytes, u.files, u.reserved_bytes, u.reserved_files, \
 CASE WHEN u.account = 0 THEN t.quota_files ELSE a.quota_files END, NULL, 4 \
 FROM usage u JOIN tenants t ON t.id = u.tenant \
 LEFT JOIN accounts a ON a.tenant = u.tenant AND a.id = u.account \
 WHERE u.tenant = $1 AND (u.account = 0 OR u.account = ANY($5)) \
UNION ALL \
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 5 \
 WHERE EXISTS (SELECT 1 FROM asked a CROSS JOIN LATERAL (SELECT 1 FROM uploads x \
 WHERE x.tenant = $1 AND x.account = a.account AND x.parent = a.parent AND x.name = a.name OFFSET 0) u) \
 OR EXISTS (SELECT 1 FROM asked a CROSS JOIN LATERAL (SELECT 1 FROM uploads x \
 WHERE x.tenant = $1 AND x.account = a.account AND x.node = a.node OFFSET 0) u) \
UNION ALL \
SELECT NULL, NULL, c.temporary COLLATE \"C\", c.seq, c.audit_hash, c.at, NULL, c.audit_number, \
 cast(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint), c.listening, NULL, NULL, NULL, 0 \
 FROM clocks c WHERE c.tenant = $1";
