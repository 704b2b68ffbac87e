//! The tenant's clock row: the lock, the order and the time of its changes.

use crate::db::audit::{self, AuditRecord, GENESIS, Happening};
use crate::db::sql::{Dialect, TenantTx};
use crate::db::value::Value;
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::ChangeId;
use crate::domain::principal::Actor;

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
}

impl Clock {
    /// Locks the row. `passed` is the time, unless PostgreSQL's own is to be used; it is taken
    /// after the lock, so that times and commits agree.
    pub(in crate::db) async fn lock(tx: &mut TenantTx, passed: Option<Timestamp>) -> Result<Self> {
        let sql = match tx.dialect() {
            Dialect::Postgres => {
                "SELECT seq, at, audit_number, audit_hash FROM clocks WHERE tenant = $1 FOR UPDATE"
            }
            Dialect::Sqlite => {
                "SELECT seq, at, audit_number, audit_hash FROM clocks WHERE tenant = $1"
            }
        };
        let row = tx
            .row(sql, [])
            .await?
            .ok_or_else(|| Error::not_found("no such tenant"))?;
        let now = match passed {
            Some(now) => now,
            None => database_time(tx).await?,
        };
        Ok(Self {
            seq: row.int(0)?,
            at: Timestamp(row.int(1)?),
            now,
            audit_number: row.int(2)?,
            audit_hash: row.bytes(3)?,
            moved: false,
            locked_at: row.int(2)?,
        })
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
        happening: Happening,
    ) -> Result<Committed> {
        let next = self.next();
        let record = self.append(Some(next.seq), next.at, actor, happening);
        tx.execute(
            "INSERT INTO changes (tenant, seq, at, kind, account, session, protocol, address, \
             detail, audit_number, audit_hash, id) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            [
                next.seq.into(),
                next.at.0.into(),
                record.kind.as_str().into(),
                record.account.map(|account| account.0).into(),
                session(actor),
                record.protocol.as_str().into(),
                record.address.into(),
                record.detail.as_str().into(),
                record.number.into(),
                record.hash.as_slice().into(),
                id.as_bytes().into(),
            ],
        )
        .await?;
        self.seq = next.seq;
        self.at = next.at;
        Ok(next)
    }

    /// Writes down an event, which takes no number of the tree's.
    pub(in crate::db) async fn event(
        &mut self,
        tx: &mut TenantTx,
        actor: &Actor,
        happening: Happening,
    ) -> Result<()> {
        let record = self.append(None, self.now, actor, happening);
        tx.execute(
            "INSERT INTO events (tenant, at, kind, account, session, protocol, address, detail, \
             audit_number, audit_hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            [
                record.at.0.into(),
                record.kind.as_str().into(),
                record.account.map(|account| account.0).into(),
                session(actor),
                record.protocol.as_str().into(),
                record.address.into(),
                record.detail.as_str().into(),
                record.number.into(),
                record.hash.as_slice().into(),
            ],
        )
        .await?;
        Ok(())
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
            [
                self.seq.into(),
                self.at.0.into(),
                self.audit_number.into(),
                self.audit_hash.as_slice().into(),
            ],
        )
        .await?;
        Ok(())
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

async fn database_time(tx: &mut TenantTx) -> Result<Timestamp> {
    let row = tx
        .row(
            "SELECT cast(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) \
             WHERE $1::bigint IS NOT NULL",
            [],
        )
        .await?
        .ok_or_else(|| Error::internal("the database told no time"))?;
    Ok(Timestamp(row.int(0)?))
}

fn session(actor: &Actor) -> Value {
    actor
        .session
        .map(|session| session.as_bytes().to_vec())
        .into()
}
