//! The tenant's clock row: the lock, the order and the time of its changes.

use std::sync::Arc;

use crate::db::audit::{self, AuditRecord, GENESIS, Happening};
use crate::db::outbox::{self, Letter};
use crate::db::sql::{Dialect, Row, TenantTx};
use crate::db::told_folders;
use crate::db::value::Value;
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::ChangeId;
use crate::domain::news::Listening;
use crate::domain::principal::Actor;
use crate::domain::temporary::TemporaryNames;
use crate::domain::topic::Topics;

/// The clock row, locked for the rest of the transaction.
pub(in crate::db) struct Clock {
    seq: i64,
    at: Timestamp,
    now: Timestamp,
    audit_number: i64,
    audit_hash: Vec<u8>,
    moved: bool,
    /// The audit log's last number when the row was locked.
    locked_at: i64,
    listening: Option<Listening>,
    has_told: bool,
}

impl Clock {
    /// Locks the row. `passed` is the time, unless PostgreSQL's own is to be used; it is taken
    /// after the lock, so that times and commits agree. `temporary` holds where the tenant has no names
    /// of its own.
    pub(in crate::db) async fn lock(
        tx: &mut TenantTx,
        passed: Option<Timestamp>,
        temporary: &Arc<TemporaryNames>,
    ) -> Result<Self> {
        let sql = match tx.dialect() {
            // What is outside looks at the clock after what is inside has the lock.
            Dialect::Postgres => {
                "SELECT NULL, NULL, c.temporary, c.seq, c.audit_hash, c.at, NULL, c.audit_number, \
                 cast(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint), c.listening FROM \
                 (SELECT * FROM clocks WHERE tenant = $1 FOR UPDATE) AS c"
            }
            Dialect::Sqlite => {
                "SELECT NULL, NULL, temporary, seq, audit_hash, at, NULL, audit_number, NULL, listening \
                 FROM clocks WHERE tenant = $1"
            }
        };
        let row = tx
            .row(sql, [])
            .await?
            .ok_or_else(|| Error::not_found("no such tenant"))?;
        Self::read(&row, passed, temporary)
    }

    /// Reads the row of a clock that is locked. Columns from the third on: temporary, seq, audit_hash, at,
    /// nothing, audit_number, the time unless it is passed, listening.
    pub(in crate::db) fn read(
        row: &Row,
        passed: Option<Timestamp>,
        temporary: &Arc<TemporaryNames>,
    ) -> Result<Self> {
        let now = match passed {
            Some(now) => now,
            None => Timestamp(row.int(8)?),
        };
        let topics = Topics::from_bits(row.int(9)?);
        let listening = match topics.is_empty() {
            true => None,
            false => Some(Listening::new(
                topics,
                match row.opt_text(2)? {
                    Some(own) => Arc::new(TemporaryNames::from_stored(&own)),
                    None => temporary.clone(),
                },
            )),
        };
        Ok(Self {
            seq: row.int(3)?,
            at: Timestamp(row.int(5)?),
            now,
            audit_number: row.int(7)?,
            audit_hash: row.bytes(4)?,
            moved: false,
            locked_at: row.int(7)?,
            listening,
            has_told: false,
        })
    }

    /// What the tenant's webhooks want to be told; none is nothing.
    pub(in crate::db) fn listening(&self) -> Option<&Listening> {
        self.listening.as_ref()
    }

    /// Whether anything to be told may have been written down.
    pub(in crate::db) fn has_told(&self) -> bool {
        self.has_told
    }

    /// The number and time that the next change will have.
    pub(in crate::db) fn next(&self) -> Committed {
        Committed {
            seq: self.seq + 1,
            at: self.now.max(Timestamp(self.at.0 + 1)),
        }
    }

    /// Takes the next number and writes the change down.
    pub(in crate::db) async fn change(
        &mut self,
        tx: &mut TenantTx,
        id: ChangeId,
        actor: &Actor,
        mut happening: Happening,
    ) -> Result<Committed> {
        let next = self.next();
        let news = std::mem::take(&mut happening.news).into_iter();
        let (below, news) = news.partition(|one| one.below.is_some());
        happening.news = news;
        let (line, letters) = self.line(Some(id), actor, happening);
        for letter in letters {
            outbox::insert(tx, letter).await?;
        }
        for news in below {
            told_folders::insert(tx, (self.audit_number, next), actor, news).await?;
            self.has_told = true;
        }
        tx.execute(
            "INSERT INTO changes (tenant, seq, id, at, kind, account, session, protocol, address, \
             detail, audit_number, audit_hash) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            line.0,
        )
        .await?;
        Ok(next)
    }

    /// Writes down an event, which takes no number of the tree's.
    pub(in crate::db) async fn event(
        &mut self,
        tx: &mut TenantTx,
        actor: &Actor,
        happening: Happening,
    ) -> Result<()> {
        let (line, letters) = self.line(None, actor, happening);
        for letter in letters {
            outbox::insert(tx, letter).await?;
        }
        let [
            _,
            _,
            at,
            kind,
            account,
            session,
            protocol,
            address,
            detail,
            number,
            hash,
        ] = line.0;
        tx.execute(
            "INSERT INTO events (tenant, at, kind, account, session, protocol, address, detail, \
             audit_number, audit_hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            [
                at, kind, account, session, protocol, address, detail, number, hash,
            ],
        )
        .await?;
        Ok(())
    }

    /// Takes the next number for the change `id`, or none for an event; what is written down of it, and what
    /// is to be told.
    pub(in crate::db) fn line(
        &mut self,
        id: Option<ChangeId>,
        actor: &Actor,
        mut happening: Happening,
    ) -> (Line, Vec<Letter>) {
        let news = std::mem::take(&mut happening.news);
        let next = self.next();
        let (seq, at) = match id {
            Some(_) => (Some(next.seq), next.at),
            None => (None, self.now),
        };
        let record = self.append(seq, at, actor, happening);
        let letters = match news.is_empty() {
            true => Vec::new(),
            false => outbox::letters(self.listening.as_ref(), &record, news),
        };
        self.has_told |= !letters.is_empty();
        if id.is_some() {
            self.seq = next.seq;
            self.at = next.at;
        }
        let line = Line([
            seq.into(),
            id.map(|id| id.as_bytes().to_vec()).into(),
            at.0.into(),
            record.kind.as_str().into(),
            record.account.map(|account| account.0).into(),
            session(actor),
            record.protocol.as_str().into(),
            record.address.into(),
            record.detail.as_str().into(),
            record.number.into(),
            record.hash.as_slice().into(),
        ]);
        (line, letters)
    }

    /// Raises the clock to `to`, so that nothing is committed at or before it afterwards.
    pub(in crate::db) fn raise(&mut self, to: Timestamp) {
        if to > self.at {
            self.at = to;
            self.moved = true;
        }
    }

    /// Stores the row at the end of a transaction.
    pub(in crate::db) async fn store(&self, tx: &mut TenantTx) -> Result<()> {
        if !self.moved {
            return Ok(());
        }
        tx.execute(
            "UPDATE clocks SET seq = $2, at = $3, audit_number = $4, audit_hash = $5 \
             WHERE tenant = $1",
            self.row(),
        )
        .await?;
        Ok(())
    }

    /// What is stored: seq, at, audit_number, audit_hash.
    pub(in crate::db) fn row(&self) -> [Value; 4] {
        [
            self.seq.into(),
            self.at.0.into(),
            self.audit_number.into(),
            self.audit_hash.as_slice().into(),
        ]
    }

    /// Number and hash of the last record that was written since the row was locked.
    pub(in crate::db) fn written(&self) -> Option<(i64, &[u8])> {
        let written = self.audit_number > self.locked_at;
        written.then_some((self.audit_number, self.audit_hash.as_slice()))
    }

    /// What [`Clock::restore`] needs to take an operation back.
    pub(in crate::db) fn mark(&self) -> (i64, Timestamp, i64, Vec<u8>, bool) {
        let hash = self.audit_hash.clone();
        (self.seq, self.at, self.audit_number, hash, self.moved)
    }

    /// Goes back to a mark, with the savepoint that was taken there.
    pub(in crate::db) fn restore(&mut self, mark: (i64, Timestamp, i64, Vec<u8>, bool)) {
        (
            self.seq,
            self.at,
            self.audit_number,
            self.audit_hash,
            self.moved,
        ) = mark;
    }

    fn append(
        &mut self,
        seq: Option<i64>,
        at: Timestamp,
        actor: &Actor,
        happening: Happening,
    ) -> AuditRecord {
        let mut record = audit::record(self.audit_number + 1, seq, at, actor, happening);
        record.hash = audit::link(&self.audit_hash, &record).to_vec();
        self.audit_number = record.number;
        self.audit_hash.clone_from(&record.hash);
        self.moved = true;
        record
    }
}

/// A line of the audit log: seq (none of an event), id, at, kind, account, session, protocol, address,
/// detail, audit_number, audit_hash.
pub(in crate::db) struct Line([Value; 11]);

impl Line {
    /// Lines by columns, as lists.
    pub(in crate::db) fn columns(lines: Vec<Self>) -> Vec<Value> {
        let mut columns: Vec<Value> = vec![
            Value::ManyInts(Vec::new()),
            Value::ManyBytes(Vec::new()),
            Value::ManyInts(Vec::new()),
            Value::ManyTexts(Vec::new()),
            Value::ManyInts(Vec::new()),
            Value::ManyBytes(Vec::new()),
            Value::ManyTexts(Vec::new()),
            Value::ManyTexts(Vec::new()),
            Value::ManyTexts(Vec::new()),
            Value::ManyInts(Vec::new()),
            Value::ManyBytes(Vec::new()),
        ];
        for line in lines {
            let cells = columns.iter_mut().zip(line.0);
            cells.for_each(|(column, value)| column.push(value));
        }
        columns
    }
}

/// Makes a new tenant's clock row.
///
/// # Errors
/// AlreadyExists when there is one.
pub async fn create(tx: &mut TenantTx, at: Timestamp) -> Result<()> {
    tx.execute(
        "INSERT INTO clocks (tenant, seq, at, audit_number, audit_hash) VALUES ($1, 0, $2, 0, $3)",
        [at.0.into(), GENESIS.as_slice().into()],
    )
    .await?;
    Ok(())
}

/// The number and time of the last change.
///
/// # Errors
/// NotFound when there is no such tenant.
pub async fn latest(tx: &mut TenantTx) -> Result<Committed> {
    let row = tx
        .row("SELECT seq, at FROM clocks WHERE tenant = $1", [])
        .await?
        .ok_or_else(|| Error::not_found("no such tenant"))?;
    Ok(Committed {
        seq: row.int(0)?,
        at: Timestamp(row.int(1)?),
    })
}

/// The last change at or before `time`; 0 when there is none.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn seq_at(tx: &mut TenantTx, time: Timestamp) -> Result<i64> {
    let row = tx
        .row(
            "SELECT seq FROM changes WHERE tenant = $1 AND at <= $2 ORDER BY at DESC LIMIT 1",
            [time.0.into()],
        )
        .await?;
    row.map_or(Ok(0), |row| row.int(0))
}

fn session(actor: &Actor) -> Value {
    actor
        .session
        .map(|session| session.as_bytes().to_vec())
        .into()
}
