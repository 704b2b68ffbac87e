//! Statements, parameters and rows of both databases behind one type each.
//!
//! Statements use `$1`-style parameters, which SQLite accepts too. In a [`TenantTx`] `$1` is
//! always the tenant, bound by the transaction itself: a statement cannot forget it.

use rusqlite::types::Value as Column;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Arguments, Row as _, SqlSafeStr};

use crate::db::postgres::PostgresTx;
use crate::db::sqlite::SqliteTx;
use crate::db::value::Value;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::TenantId;
use crate::domain::measures::Asked;
use crate::domain::news::{Listening, News};

/// Which database is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL 15 or later.
    Postgres,
    /// SQLite 3, the embedded default.
    Sqlite,
}

/// A row of a result, read by column number from 0.
pub struct Row(RowKind);

enum RowKind {
    Postgres(PgRow),
    Sqlite(Vec<Column>),
}

macro_rules! column {
    ($(#[$doc:meta])* $name:ident, $type:ty, $($kind:pat => $value:expr),+) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// Internal when the column is not there or of another type.
        pub fn $name(&self, column: usize) -> Result<$type> {
            match &self.0 {
                RowKind::Postgres(row) => {
                    row.try_get::<$type, _>(column).map_err(Error::internal)
                }
                RowKind::Sqlite(row) => match row.get(column) {
                    $(Some($kind) => Ok($value),)+
                    other => Err(Error::internal(format!("column {column} is {other:?}"))),
                },
            }
        }
    };
}

impl Row {
    column!(
        /// A number.
        int,
        i64,
        Column::Integer(value) => *value
    );
    column!(
        /// A number or NULL.
        opt_int,
        Option<i64>,
        Column::Integer(value) => Some(*value),
        Column::Null => None
    );
    column!(
        /// A byte string.
        bytes,
        Vec<u8>,
        Column::Blob(value) => value.clone()
    );
    column!(
        /// A byte string or NULL.
        opt_bytes,
        Option<Vec<u8>>,
        Column::Blob(value) => Some(value.clone()),
        Column::Null => None
    );
    column!(
        /// A text.
        text,
        String,
        Column::Text(value) => value.clone()
    );
    column!(
        /// A text or NULL.
        opt_text,
        Option<String>,
        Column::Text(value) => Some(value.clone()),
        Column::Null => None
    );

    /// A number that counts something.
    ///
    /// # Errors
    /// Internal when it is negative.
    pub fn count(&self, column: usize) -> Result<u64> {
        u64::try_from(self.int(column)?).map_err(Error::internal)
    }
}

/// An open transaction.
pub(in crate::db) enum Link {
    Postgres(PostgresTx),
    Sqlite(SqliteTx),
}

impl Link {
    async fn rows(&mut self, sql: impl SqlSafeStr, args: Vec<Value>) -> Result<Vec<Row>> {
        let asked = Asked::of("query");
        let rows = match self {
            Self::Postgres(tx) => {
                let rows = sqlx::query_with(sql, postgres_arguments(args)?)
                    .fetch_all(tx.connection())
                    .await;
                let rows = rows.map_err(from_sqlx)?.into_iter();
                rows.map(|row| Row(RowKind::Postgres(row))).collect()
            }
            Self::Sqlite(tx) => {
                let rows = tx.rows(sql.into_sql_str(), args).await?.into_iter();
                rows.map(|row| Row(RowKind::Sqlite(row))).collect()
            }
        };
        asked.done();
        Ok(rows)
    }

    async fn execute(&mut self, sql: impl SqlSafeStr, args: Vec<Value>) -> Result<u64> {
        let asked = Asked::of("statement");
        let touched = match self {
            Self::Postgres(tx) => sqlx::query_with(sql, postgres_arguments(args)?)
                .execute(tx.connection())
                .await
                .map(|done| done.rows_affected())
                .map_err(from_sqlx)?,
            Self::Sqlite(tx) => tx.execute(sql.into_sql_str(), args).await?,
        };
        asked.done();
        Ok(touched)
    }

    async fn script(&mut self, sql: impl SqlSafeStr) -> Result<()> {
        match self {
            Self::Postgres(tx) => sqlx::raw_sql(sql)
                .execute(tx.connection())
                .await
                .map(|_| ())
                .map_err(from_sqlx),
            Self::Sqlite(tx) => tx.script(sql.into_sql_str()).await,
        }
    }

    async fn commit(self) -> Result<()> {
        let asked = Asked::of("commit");
        match self {
            Self::Postgres(tx) => tx.commit().await.map_err(from_sqlx)?,
            Self::Sqlite(tx) => tx.commit().await?,
        }
        asked.done();
        Ok(())
    }

    fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::Sqlite(_) => Dialect::Sqlite,
        }
    }
}

/// A transaction on one tenant's rows. Rolled back when dropped.
pub struct TenantTx {
    link: Link,
    tenant: TenantId,
    listening: Option<Listening>,
    news: Vec<News>,
}

impl TenantTx {
    pub(in crate::db) fn new(link: Link, tenant: TenantId) -> Self {
        Self {
            link,
            tenant,
            listening: None,
            news: Vec::new(),
        }
    }

    /// Whose rows these are.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Which database is spoken to.
    pub fn dialect(&self) -> Dialect {
        self.link.dialect()
    }

    /// What the tenant's webhooks want to be told of what is done here; none is nothing.
    pub fn listening(&self) -> Option<&Listening> {
        self.listening.as_ref()
    }

    /// Has something told together with what the operation that is applied says itself.
    pub fn tell(&mut self, news: News) {
        self.news.push(news);
    }

    /// Begins an operation of the tenant, whose webhooks want to be told this.
    pub(in crate::db) fn listen(&mut self, listening: Option<Listening>) {
        self.listening = listening;
        self.news.clear();
    }

    /// What the operation had told.
    pub(in crate::db) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Turns to another tenant within one transaction; only SQLite, which has one writer, does so.
    pub(in crate::db) fn turn_to(&mut self, tenant: TenantId) {
        self.tenant = tenant;
    }

    /// Runs a query; `$1` is the tenant, `args` start at `$2`.
    pub(in crate::db) async fn rows<const N: usize>(
        &mut self,
        sql: impl SqlSafeStr,
        args: [Value; N],
    ) -> Result<Vec<Row>> {
        let args = self.arguments(args);
        self.link.rows(sql, args).await
    }

    /// Runs a query with a number of parameters known at run time; see [`TenantTx::rows`].
    pub(in crate::db) async fn rows_of(
        &mut self,
        sql: impl SqlSafeStr,
        args: Vec<Value>,
    ) -> Result<Vec<Row>> {
        let args = self.arguments(args);
        self.link.rows(sql, args).await
    }

    /// Runs a query for its first row.
    pub(in crate::db) async fn row<const N: usize>(
        &mut self,
        sql: impl SqlSafeStr,
        args: [Value; N],
    ) -> Result<Option<Row>> {
        Ok(self.rows(sql, args).await?.into_iter().next())
    }

    /// Runs a statement and says how many rows it touched.
    pub(in crate::db) async fn execute<const N: usize>(
        &mut self,
        sql: impl SqlSafeStr,
        args: [Value; N],
    ) -> Result<u64> {
        let args = self.arguments(args);
        self.link.execute(sql, args).await
    }

    /// Runs a statement with a number of parameters known at run time.
    pub(in crate::db) async fn execute_of(
        &mut self,
        sql: impl SqlSafeStr,
        args: Vec<Value>,
    ) -> Result<u64> {
        let args = self.arguments(args);
        self.link.execute(sql, args).await
    }

    /// Runs text that carries no values: savepoints.
    pub(in crate::db) async fn script(&mut self, sql: &'static str) -> Result<()> {
        self.link.script(sql).await
    }

    /// Runs a statement as it stands, with nothing bound: for tests that show what the database
    /// itself refuses.
    ///
    /// # Errors
    /// As the database answers.
    #[doc(hidden)]
    pub async fn rows_without_tenant(&mut self, sql: &'static str) -> Result<Vec<Row>> {
        self.link.rows(sql, Vec::new()).await
    }

    /// Makes it so.
    ///
    /// # Errors
    /// Unavailable when the outcome is not known.
    pub async fn commit(self) -> Result<()> {
        self.link.commit().await
    }

    fn arguments(&self, args: impl IntoIterator<Item = Value>) -> Vec<Value> {
        let mut all = vec![Value::from(self.tenant.0)];
        all.extend(args);
        all
    }
}

/// A transaction on the rows that belong to no tenant: the registry of tenants, instances, jobs.
pub struct SystemTx {
    link: Link,
}

impl SystemTx {
    pub(in crate::db) fn new(link: Link) -> Self {
        Self { link }
    }

    /// Which database is spoken to.
    pub fn dialect(&self) -> Dialect {
        self.link.dialect()
    }

    /// Runs a query; `args` start at `$1`.
    pub(in crate::db) async fn rows<const N: usize>(
        &mut self,
        sql: impl SqlSafeStr,
        args: [Value; N],
    ) -> Result<Vec<Row>> {
        self.link.rows(sql, args.into()).await
    }

    /// Runs a query for its first row.
    pub(in crate::db) async fn row<const N: usize>(
        &mut self,
        sql: impl SqlSafeStr,
        args: [Value; N],
    ) -> Result<Option<Row>> {
        Ok(self.rows(sql, args).await?.into_iter().next())
    }

    /// Runs a statement and says how many rows it touched.
    pub(in crate::db) async fn execute<const N: usize>(
        &mut self,
        sql: impl SqlSafeStr,
        args: [Value; N],
    ) -> Result<u64> {
        self.link.execute(sql, args.into()).await
    }

    /// Runs a script of statements: migrations.
    pub(in crate::db) async fn script(&mut self, sql: impl SqlSafeStr) -> Result<()> {
        self.link.script(sql).await
    }

    /// Makes it so.
    ///
    /// # Errors
    /// Unavailable when the outcome is not known.
    pub async fn commit(self) -> Result<()> {
        self.link.commit().await
    }
}

fn postgres_arguments(args: Vec<Value>) -> Result<PgArguments> {
    let mut out = PgArguments::default();
    for arg in args {
        match arg {
            Value::Bytes(value) => out.add(value),
            Value::Int(value) => out.add(value),
            Value::Text(value) => out.add(value),
            Value::ManyBytes(values) => out.add(values),
            Value::ManyInts(values) => out.add(values),
            Value::ManyTexts(values) => out.add(values),
        }
        .map_err(Error::internal)?;
    }
    Ok(out)
}

/// Turns PostgreSQL's error into ours: a taken key, a database that does not answer, or a defect.
pub(in crate::db) fn from_sqlx(error: sqlx::Error) -> Error {
    let kind = match &error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => ErrorKind::Unavailable,
        sqlx::Error::Database(inner) if inner.is_unique_violation() => ErrorKind::AlreadyExists,
        sqlx::Error::Database(inner) => database_kind(inner.code().as_deref().unwrap_or("")),
        _ => ErrorKind::Internal,
    };
    match kind {
        ErrorKind::AlreadyExists => Error::new(kind, "the record exists already"),
        ErrorKind::StorageFull => {
            Error::new(kind, "the server's storage is full; tell the operator")
        }
        ErrorKind::Unavailable => Error::new(
            kind,
            "the server's database does not answer; try again in a moment",
        ),
        _ => return Error::internal(error),
    }
    .because(error)
}

/// SQLSTATE classes 08, 40, 53, 57, 58, 25006 (a standby), 25P03 (idle in a transaction for too long) and 55P03 (a
/// lock that somebody else has held for too long).
fn database_kind(code: &str) -> ErrorKind {
    match code {
        "53100" => ErrorKind::StorageFull,
        "25006" | "25P03" | "55P03" => ErrorKind::Unavailable,
        _ if ["08", "40", "53", "57", "58"]
            .iter()
            .any(|class| code.starts_with(class)) =>
        {
            ErrorKind::Unavailable
        }
        _ => ErrorKind::Internal,
    }
}
