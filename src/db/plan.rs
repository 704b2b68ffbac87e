//! What a publish will write, decided before anything is written: one by one in small statements, or
//! all that are committed together in one.

use std::collections::BTreeMap;

use crate::db::audit::Happening;
use crate::db::blobs::BlobInfo;
use crate::db::clocks::{Clock, Line};
use crate::db::outbox::{self, Letter};
use crate::db::sql::TenantTx;
use crate::db::usage::{self, Amount};
use crate::db::value::Value;
use crate::db::{contents, entries};
use crate::domain::clock::Timestamp;
use crate::domain::content::ExtentMap;
use crate::domain::error::{Error, Result};
use crate::domain::id::{AccountId, BlobId, ContentId};
use crate::domain::node::Entry;

/// A new version of a file whose content is all its own.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The version.
    pub entry: Entry,
    /// Whether it replaces one.
    pub replaces: bool,
    /// What it holds; none when it is empty.
    pub content: Option<NewContent>,
    /// The blobs that its writer has just stored: all that the content names.
    pub stored: Vec<BlobInfo>,
    /// What it adds to use, by account.
    pub charges: Vec<(Option<AccountId>, Amount)>,
    /// When it happens.
    pub at: Timestamp,
    /// What is written down of it.
    pub happening: Happening,
}

/// A content that nothing names yet.
#[derive(Clone, Debug)]
pub struct NewContent {
    /// Its id.
    pub id: ContentId,
    /// Its extents.
    pub map: ExtentMap,
    /// SHA-256 of the whole, when it is known.
    pub sha256: Option<[u8; 32]>,
}

impl Plan {
    /// Writes it in small statements.
    ///
    /// # Errors
    /// AlreadyExists when the name was taken meanwhile; Stale when a blob was cleaned away.
    pub async fn write(&self, tx: &mut TenantTx) -> Result<()> {
        for (account, amount) in &self.charges {
            usage::add(tx, *account, *amount, Amount::default()).await?;
        }
        if let Some(new) = &self.content {
            contents::insert(tx, new.id, &new.map, &self.stored, new.sha256, self.at).await?;
        }
        match self.replaces {
            true => {
                entries::bury(tx, self.entry.node, self.entry.born).await?;
                entries::replace(tx, &self.entry).await
            }
            false => entries::insert(tx, &self.entry).await,
        }
    }
}

/// Writes plans, lines of the audit log and what is to be told of them, and moves the clock row on, in one statement of
/// PostgreSQL's; false when something is not as it was planned, and then nothing may be committed.
///
/// # Errors
/// AlreadyExists when a name was taken meanwhile; Unavailable when the database does not answer.
pub(in crate::db) async fn write_all(
    tx: &mut TenantTx,
    plans: &[Plan],
    lines: Vec<Line>,
    letters: Vec<Letter>,
    clock: &Clock,
) -> Result<bool> {
    let mut columns = Columns::default();
    let mut used: BTreeMap<i64, Amount> = BTreeMap::new();
    for plan in plans {
        columns.add(plan)?;
        for (account, amount) in &plan.charges {
            let account = account.map_or(0, |account| account.0);
            for whose in [0, account].into_iter().take(1 + usize::from(account != 0)) {
                let sum = used.entry(whose).or_default();
                sum.bytes += amount.bytes;
                sum.files += amount.files;
            }
        }
    }
    let (blobs, replaced) = (columns.blobs, columns.replaced);
    let mut args = columns.entries.into_values();
    args.extend(columns.contents.into_values());
    args.extend(columns.extents.into_values());
    args.extend(columns.stored.into_values());
    let ints = |values: Vec<i64>| Value::ManyInts(values.into_iter().map(Some).collect());
    args.push(ints(used.keys().copied().collect()));
    args.push(ints(used.values().map(|amount| amount.bytes).collect()));
    args.push(ints(used.values().map(|amount| amount.files).collect()));
    args.extend(Line::columns(lines));
    args.extend(clock.row());
    // Who has nobody to tell anything need not have it looked at.
    let sql = match letters.is_empty() {
        true => WRITE_ALL,
        false => {
            args.extend(outbox::columns(letters));
            WRITE_ALL_AND_TELL
        }
    };
    let rows = tx.rows_of(sql, args).await?;
    let row = rows
        .first()
        .ok_or_else(|| Error::internal("count() of nothing"))?;
    Ok(row.int(0)? == blobs && row.int(1)? == replaced)
}

/// A table's rows by columns.
struct Table<const N: usize>([Value; N]);

impl<const N: usize> Table<N> {
    fn push(&mut self, row: [Value; N]) {
        let cells = self.0.iter_mut().zip(row);
        cells.for_each(|(column, value)| column.push(value));
    }

    fn into_values(self) -> Vec<Value> {
        self.0.into()
    }
}

struct Columns {
    entries: Table<13>,
    contents: Table<3>,
    extents: Table<5>,
    stored: Table<5>,
    blobs: i64,
    replaced: i64,
}

impl Default for Columns {
    fn default() -> Self {
        let bytes = || Value::ManyBytes(Vec::new());
        let ints = || Value::ManyInts(Vec::new());
        let texts = || Value::ManyTexts(Vec::new());
        Self {
            entries: Table([
                bytes(),
                bytes(),
                texts(),
                ints(),
                bytes(),
                ints(),
                ints(),
                ints(),
                ints(),
                ints(),
                ints(),
                ints(),
                ints(),
            ]),
            contents: Table([bytes(), ints(), bytes()]),
            extents: Table([bytes(), ints(), ints(), bytes(), ints()]),
            stored: Table([bytes(), ints(), ints(), ints(), ints()]),
            blobs: 0,
            replaced: 0,
        }
    }
}

impl Columns {
    fn add(&mut self, plan: &Plan) -> Result<()> {
        let [
            node,
            parent,
            name,
            kind,
            content,
            size,
            owner,
            mode,
            modified,
            accessed,
            created,
            born,
        ] = entries::values(&plan.entry);
        let replaces = i64::from(plan.replaces);
        self.replaced += replaces;
        self.entries.push([
            node,
            parent,
            name,
            kind,
            content,
            size,
            owner,
            mode,
            modified,
            accessed,
            created,
            born,
            replaces.into(),
        ]);
        let Some(new) = &plan.content else {
            return Ok(());
        };
        self.contents.push([
            new.id.as_bytes().into(),
            contents::number(new.map.size())?,
            new.sha256.map(|hash| hash.to_vec()).into(),
        ]);
        let mut uses: BTreeMap<BlobId, i64> = BTreeMap::new();
        for run in new.map.runs() {
            self.extents.push([
                new.id.as_bytes().into(),
                contents::number(run.start)?,
                contents::number(run.length)?,
                run.blob.map(|blob| blob.as_bytes().to_vec()).into(),
                contents::number(run.blob_start)?,
            ]);
            if let Some(blob) = run.blob {
                *uses.entry(blob).or_default() += 1;
            }
        }
        for (blob, uses) in uses {
            let info = plan.stored.iter().find(|info| info.id == blob);
            let info = info.ok_or_else(|| Error::internal("a plan over a blob of another's"))?;
            self.blobs += 1;
            self.stored.push([
                info.id.as_bytes().into(),
                contents::number(info.size)?,
                i64::from(info.finished).into(),
                uses.into(),
                plan.at.0.into(),
            ]);
        }
        Ok(())
    }
}

macro_rules! write_all {
    ($tell:literal) => {
        concat!(
"\
WITH new AS MATERIALIZED (SELECT * FROM unnest($2::bytea[], $3::bytea[], $4::text[], $5::bigint[], \
 $6::bytea[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], \
 $13::bigint[], $14::bigint[]) AS t(node, parent, name, kind, content, size, owner, mode, modified, accessed, created, \
 born, replaces)), \
buried AS (INSERT INTO entries_past (tenant, node, parent, name, kind, content, size, owner, mode, \
 modified, accessed, created, born, died) SELECT e.tenant, e.node, e.parent, e.name, e.kind, e.content, e.size, \
 e.owner, e.mode, e.modified, e.accessed, e.created, e.born, n.born FROM new n CROSS JOIN LATERAL \
 (SELECT * FROM entries x WHERE x.tenant = $1 AND x.node = n.node OFFSET 0) e \
 WHERE n.replaces = 1), \
written AS (INSERT INTO entries AS e (tenant, node, parent, name, kind, content, size, owner, mode, \
 modified, accessed, created, born) SELECT $1, node, parent, name, kind, content, size, owner, mode, modified, \
 accessed, created, born FROM new \
 ON CONFLICT (tenant, node) DO UPDATE SET parent = excluded.parent, name = excluded.name, \
 kind = excluded.kind, content = excluded.content, size = excluded.size, owner = excluded.owner, \
 mode = excluded.mode, modified = excluded.modified, accessed = excluded.accessed, \
 created = excluded.created, born = excluded.born RETURNING e.xmax <> 0 AS was_there), \
held AS (INSERT INTO contents (tenant, id, size, sha256, uses) \
 SELECT $1, t.id, t.size, t.sha256, 1 \
 FROM unnest($15::bytea[], $16::bigint[], $17::bytea[]) AS t(id, size, sha256)), \
laid AS (INSERT INTO extents (tenant, content, start, length, blob, blob_start) \
 SELECT $1, t.content, t.start, t.length, t.blob, t.blob_start \
 FROM unnest($18::bytea[], $19::bigint[], $20::bigint[], $21::bytea[], $22::bigint[]) \
 AS t(content, start, length, blob, blob_start)), \
linked AS (INSERT INTO blobs AS b (tenant, id, state, size, finished, key_version, instance, uses, at, \
 region) SELECT $1, t.id, 2, t.size, t.finished, 0, t.id, t.uses, t.at, 0 \
 FROM unnest($23::bytea[], $24::bigint[], $25::bigint[], $26::bigint[], $27::bigint[]) \
 AS t(id, size, finished, uses, at) \
 ON CONFLICT (tenant, id) DO UPDATE SET state = 2, size = excluded.size, \
 finished = excluded.finished, uses = b.uses + excluded.uses, at = excluded.at, \
 checkpoint = CASE WHEN excluded.finished = 1 THEN NULL ELSE b.checkpoint END \
 WHERE b.state IN (1, 2) RETURNING b.xmax <> 0 AS was_there), \
used AS (INSERT INTO usage AS u (tenant, account, bytes, files, reserved_bytes, reserved_files) \
 SELECT $1, t.account, t.bytes, t.files, 0, 0 \
 FROM unnest($28::bigint[], $29::bigint[], $30::bigint[]) AS t(account, bytes, files) \
 WHERE EXISTS (SELECT 1 FROM usage y WHERE y.tenant = $1 AND y.account = t.account OFFSET 0) \
 ON CONFLICT (tenant, account) DO UPDATE SET bytes = u.bytes + excluded.bytes, \
 files = u.files + excluded.files), \
lines AS MATERIALIZED (SELECT * FROM unnest($31::bigint[], $32::bytea[], $33::bigint[], $34::text[], \
 $35::bigint[], $36::bytea[], $37::text[], $38::text[], $39::text[], $40::bigint[], $41::bytea[]) \
 AS t(seq, id, at, kind, account, session, protocol, address, detail, number, hash)), \
changed AS (INSERT INTO changes (tenant, seq, id, at, kind, account, session, protocol, address, \
 detail, audit_number, audit_hash) SELECT $1, seq, id, at, kind, account, session, protocol, address, \
 detail, number, hash FROM lines WHERE seq IS NOT NULL), \
happened AS (INSERT INTO events (tenant, at, kind, account, session, protocol, address, detail, \
 audit_number, audit_hash) SELECT $1, at, kind, account, session, protocol, address, detail, number, \
 hash FROM lines WHERE seq IS NULL), \
",
$tell,
"moved AS (UPDATE clocks SET seq = $42, at = $43, audit_number = $44, audit_hash = $45 \
 WHERE tenant = $1) \
SELECT (SELECT count(*) FROM linked WHERE was_there), (SELECT count(*) FROM written WHERE was_there)"
        )
    };
}

/// All parts see the tree as it was before: a version that is replaced goes to the past as it was. Rows
/// that are there are found by conflict and not by a join, for which the planner goes through all of a
/// tenant when it thinks that this has few; whether one was there, its `xmax` tells.
const WRITE_ALL: &str = write_all!("");

/// The same, with what is to be told.
const WRITE_ALL_AND_TELL: &str = write_all!(
    "told AS (INSERT INTO outbox (tenant, number, part, id, topic, at, only_to, path, from_path, data) \
     SELECT $1, t.* FROM unnest($46::bigint[], $47::bigint[], $48::bytea[], $49::bigint[], \
     $50::bigint[], $51::bytea[], $52::text[], $53::text[], $54::text[]) AS t), "
);
