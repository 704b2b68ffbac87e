//! A transaction of PostgreSQL's, which owns its connection.
//!
//! sqlx has one of its own, but takes a script that fails in its middle for one that never began: the
//! connection goes back to the others with the transaction still open, and fails whoever gets it next. Ours
//! is closed then, as when who begins gives up.

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, PgTransactionManager, Postgres};
use sqlx::{Result, SqlStr};
use sqlx_core::transaction::TransactionManager as _;

/// An open transaction. Rolled back when dropped.
pub(in crate::db) struct PostgresTx {
    connection: PoolConnection<Postgres>,
    state: State,
}

/// How far a transaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody knows whether it has begun.
    Beginning,
    Open,
    Over,
}

impl PostgresTx {
    /// Begins one by a script, of which the first statement is `BEGIN`.
    ///
    /// # Errors
    /// As the pool when no connection can be had, and the script.
    pub(in crate::db) async fn begin(pool: &PgPool, script: SqlStr) -> Result<Self> {
        let mut tx = Self {
            connection: pool.acquire().await?,
            state: State::Beginning,
        };
        PgTransactionManager::begin(&mut tx.connection, Some(script)).await?;
        tx.state = State::Open;
        Ok(tx)
    }

    /// What statements are run by.
    pub(in crate::db) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Makes it so.
    ///
    /// # Errors
    /// As the database; then nobody knows.
    pub(in crate::db) async fn commit(mut self) -> Result<()> {
        PgTransactionManager::commit(&mut self.connection).await?;
        self.state = State::Over;
        Ok(())
    }
}

impl Drop for PostgresTx {
    fn drop(&mut self) {
        match self.state {
            State::Beginning => self.connection.close_on_drop(),
            State::Open => PgTransactionManager::start_rollback(&mut self.connection),
            State::Over => {}
        }
    }
}
