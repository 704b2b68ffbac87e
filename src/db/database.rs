//! The pools, and how transactions begin.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, SqlSafeStr as _};

use crate::db::postgres::PostgresTx;
use crate::db::sql::{Dialect, Link, SystemTx, TenantTx, from_sqlx};
use crate::db::sqlite::{Place, SqlitePool};
use crate::db::timekeeper::{Side, Timekeeper};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::TenantId;
use crate::domain::measures::Asked;

/// How long a transaction waits for a free connection before it is refused.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
const SQLITE_READERS: usize = 4;
/// How long an instance may fail to renew its lease until the database counts as one that takes no changes: shorter
/// than the lease, so that it says so before others take over what it was at.
const WRITABLE: Duration = Duration::from_secs(20);
/// Under a clock row's lock all is found by keys. A plan that was made while a table was small must not
/// read it whole when it has grown.
const BY_INDEX: &str = "SET LOCAL enable_seqscan = off";
/// Which of PostgreSQL's advisory locks with two numbers those are that transactions in turn take.
const IN_TURN: i32 = 0x5ea1;

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A PostgreSQL URL: `postgres://role:password@host/name`.
    Postgres(String),
    /// The path of a SQLite file.
    Sqlite(PathBuf),
}

/// The time of changes.
#[derive(Clone)]
enum TimeSource {
    /// PostgreSQL's own clock, so that all instances agree.
    Database(Arc<Timekeeper>),
    /// A clock that is passed in: SQLite, and tests.
    Passed(Arc<dyn Clock>),
}

/// A database that has been opened. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    pools: Pools,
    time: TimeSource,
    clock: Arc<dyn Clock>,
    place: Place,
    /// When the instance's lease was last renewed; none where there is none.
    renewed: Arc<Mutex<Option<Instant>>>,
}

#[derive(Clone)]
enum Pools {
    Postgres(PgPool),
    Sqlite {
        reads: Arc<SqlitePool>,
        writes: Arc<SqlitePool>,
    },
}

impl Database {
    /// Connects; does not look at the schema (see [`migrate`](crate::db::migrate)).
    ///
    /// `connections` bounds the pool of PostgreSQL; SQLite has one writer and four readers. A
    /// SQLite file that is missing is made.
    ///
    /// # Errors
    /// Unavailable when the database cannot be reached; Invalid when the URL is malformed.
    pub async fn open(
        location: &Location,
        connections: u32,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let place = Place::Here;
        match location {
            Location::Postgres(url) => {
                let keeper = Arc::new(Timekeeper::new(clock));
                let db = Self {
                    pools: open_postgres(url, connections).await?,
                    time: TimeSource::Database(keeper.clone()),
                    clock: keeper,
                    place,
                    renewed: Arc::default(),
                };
                db.now().await?;
                Ok(db)
            }
            Location::Sqlite(path) => Ok(Self {
                pools: open_sqlite(path).await?,
                time: TimeSource::Passed(clock.clone()),
                clock,
                place,
                renewed: Arc::default(),
            }),
        }
    }

    /// The same, for work in the background: statements that take long keep nobody's thread.
    #[must_use]
    pub fn in_background(&self) -> Self {
        Self {
            place: Place::Elsewhere,
            ..self.clone()
        }
    }

    /// The same, for a thread that may block.
    pub(in crate::db) fn blocking(&self) -> Self {
        Self {
            place: Place::Blocking,
            ..self.clone()
        }
    }

    /// The same, but changes take their time from `clock` on PostgreSQL too: for tests that move it.
    #[must_use]
    pub fn timed_by(mut self, clock: Arc<dyn Clock>) -> Self {
        self.time = TimeSource::Passed(clock.clone());
        self.clock = clock;
        self
    }

    /// Which database this is.
    pub fn dialect(&self) -> Dialect {
        match &self.pools {
            Pools::Postgres(_) => Dialect::Postgres,
            Pools::Sqlite { .. } => Dialect::Sqlite,
        }
    }

    /// Checks that the database has room for more than what makes room: nobody may fill its disk so that nothing can be
    /// deleted any more.
    ///
    /// # Errors
    /// StorageFull when it has not.
    pub(in crate::db) fn check_room(&self) -> Result<()> {
        match &self.pools {
            // Its disk is not this machine's.
            Pools::Postgres(_) => Ok(()),
            Pools::Sqlite { writes, .. } => writes.check_room(),
        }
    }

    /// The same time as [`Database::now`], as this process knows it without asking: see [`Timekeeper`]. What
    /// other instances wrote may be compared with it as long as a second makes no difference.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The time by which all instances agree on what is over: PostgreSQL's own, however wrong this
    /// machine's clock is.
    ///
    /// # Errors
    /// Unavailable when no connection can be had.
    pub async fn now(&self) -> Result<Timestamp> {
        let keeper = match &self.time {
            TimeSource::Database(keeper) => keeper,
            TimeSource::Passed(clock) => return Ok(clock.now()),
        };
        let mut tx = self.system_read().await?;
        let asked = Instant::now();
        let row = tx
            .row(
                "SELECT cast(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)",
                [],
            )
            .await?
            .ok_or_else(|| Error::internal("the database told no time"))?;
        let now = Timestamp(row.int(0)?);
        keeper.told(now, asked, Instant::now());
        Ok(now)
    }

    /// How far this machine's own clock is from the database's; none where they are one.
    pub fn clock_off(&self) -> Option<(Duration, Side)> {
        match &self.time {
            TimeSource::Database(keeper) => Some(keeper.off()),
            TimeSource::Passed(_) => None,
        }
    }

    /// Whether the database answers, and takes changes: a standby does not, nor one whose file somebody else has locked.
    ///
    /// # Errors
    /// Unavailable.
    pub async fn probe(&self) -> Result<()> {
        let question = match self.dialect() {
            Dialect::Postgres => {
                "SELECT CASE WHEN pg_is_in_recovery() THEN 1 \
                 WHEN current_setting('transaction_read_only') = 'on' THEN 2 ELSE 0 END::bigint"
            }
            Dialect::Sqlite => "SELECT 0 FROM regions LIMIT 1",
        };
        let row = self.system_read().await?.row(question, []).await?;
        match row.map(|row| row.int(0)).transpose()? {
            Some(1) => Err(Error::new(
                ErrorKind::Unavailable,
                "the database is a standby and takes no changes",
            )),
            Some(2) => Err(Error::new(
                ErrorKind::Unavailable,
                "the database is set to take no changes",
            )),
            _ => self.check_renewed(),
        }
    }

    /// Notes that the instance's lease was renewed, and so that something could be written.
    pub(in crate::db) fn note_renewed(&self) {
        let mut renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        *renewed = Some(Instant::now());
    }

    fn check_renewed(&self) -> Result<()> {
        let renewed = *self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        match renewed.map(|at| at.elapsed()) {
            Some(since) if since >= WRITABLE => Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "nothing could be written to the database for {} seconds",
                    since.as_secs()
                ),
            )),
            _ => Ok(()),
        }
    }

    /// The time a change would be given now; none when PostgreSQL must be asked.
    pub(in crate::db) fn passed_time(&self) -> Option<Timestamp> {
        match &self.time {
            TimeSource::Database(_) => None,
            TimeSource::Passed(clock) => Some(clock.now()),
        }
    }

    /// Begins to read one tenant's rows.
    ///
    /// # Errors
    /// Unavailable when no connection can be had.
    pub async fn read(&self, tenant: TenantId) -> Result<TenantTx> {
        let asked = Asked::of("begin-read");
        let link = match &self.pools {
            Pools::Postgres(pool) => postgres_tenant(pool, "BEGIN READ ONLY", tenant).await?,
            Pools::Sqlite { reads, .. } => Link::Sqlite(reads.begin(self.place).await?),
        };
        asked.done();
        Ok(TenantTx::new(link, tenant))
    }

    /// Begins to read one tenant's rows as they are at one moment, over several statements.
    ///
    /// # Errors
    /// Unavailable when no connection can be had.
    pub async fn snapshot(&self, tenant: TenantId) -> Result<TenantTx> {
        match &self.pools {
            Pools::Postgres(pool) => {
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                let asked = Asked::of("begin-read");
                let link = postgres_tenant(pool, begin, tenant).await?;
                asked.done();
                Ok(TenantTx::new(link, tenant))
            }
            Pools::Sqlite { .. } => self.read(tenant).await,
        }
    }

    /// Begins to write one tenant's rows. Changes of the tree go through
    /// [`Committer`](crate::db::commit::Committer) instead.
    ///
    /// # Errors
    /// Unavailable when no connection can be had.
    pub async fn write(&self, tenant: TenantId) -> Result<TenantTx> {
        let asked = Asked::of("begin-write");
        let link = match &self.pools {
            Pools::Postgres(pool) => postgres_tenant(pool, "BEGIN", tenant).await?,
            Pools::Sqlite { writes, .. } => Link::Sqlite(writes.begin(self.place).await?),
        };
        asked.done();
        Ok(TenantTx::new(link, tenant))
    }

    /// Begins to write one tenant's rows with its clock row locked: by the statement that begins, so
    /// that each that follows sees what was committed before.
    ///
    /// # Errors
    /// Unavailable when no connection can be had.
    pub(in crate::db) async fn write_locked(&self, tenant: TenantId) -> Result<TenantTx> {
        let Pools::Postgres(pool) = &self.pools else {
            return self.write(tenant).await;
        };
        let begin = format!(
            "BEGIN; SET LOCAL sealift.tenant = '{tenant}'; {BY_INDEX}; \
             SELECT 1 FROM clocks WHERE tenant = {tenant} FOR UPDATE"
        );
        let asked = Asked::of("begin-write");
        let link = postgres(pool, begin).await?;
        asked.done();
        Ok(TenantTx::new(link, tenant))
    }

    /// Begins to write one tenant's rows; of those who begin so, one goes on at a time, at whichever instance,
    /// and each sees what the one before has committed. Changes of the tree do not wait for them.
    ///
    /// # Errors
    /// Unavailable when no connection can be had.
    pub async fn write_in_turn(&self, tenant: TenantId) -> Result<TenantTx> {
        let Pools::Postgres(pool) = &self.pools else {
            return self.write(tenant).await;
        };
        // Tenants whose numbers are so far apart may wait for each other, and no more than that.
        let number = tenant.0.rem_euclid(1 << 31);
        let begin = format!(
            "BEGIN; SET LOCAL sealift.tenant = '{tenant}'; \
             SELECT pg_advisory_xact_lock({IN_TURN}, {number})"
        );
        let asked = Asked::of("begin-write");
        let link = postgres(pool, begin).await?;
        asked.done();
        Ok(TenantTx::new(link, tenant))
    }

    /// Begins to read or write rows that belong to no tenant.
    ///
    /// # Errors
    /// Unavailable when no connection can be had.
    pub async fn system(&self) -> Result<SystemTx> {
        let asked = Asked::of("begin-write");
        let link = match &self.pools {
            Pools::Postgres(pool) => postgres(pool, "BEGIN").await?,
            Pools::Sqlite { writes, .. } => Link::Sqlite(writes.begin(self.place).await?),
        };
        asked.done();
        Ok(SystemTx::new(link))
    }

    /// Begins to read rows that belong to no tenant.
    ///
    /// # Errors
    /// Unavailable when no connection can be had.
    pub async fn system_read(&self) -> Result<SystemTx> {
        let asked = Asked::of("begin-read");
        let link = match &self.pools {
            Pools::Postgres(pool) => postgres(pool, "BEGIN").await?,
            Pools::Sqlite { reads, .. } => Link::Sqlite(reads.begin(self.place).await?),
        };
        asked.done();
        Ok(SystemTx::new(link))
    }

    /// Waits for the connections to end.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Postgres(pool) => pool.close().await,
            Pools::Sqlite { reads, writes } => {
                reads.close().await;
                writes.close().await;
            }
        }
    }
}

/// The role that a PostgreSQL URL names.
pub fn role(url: &str) -> Option<String> {
    let options = PgConnectOptions::from_str(url).ok()?;
    Some(options.get_username().to_owned())
}

async fn open_postgres(url: &str, connections: u32) -> Result<Pools> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|error| {
            Error::invalid(
                "the database URL is malformed; write postgres://role:password@host/name",
            )
            .because(error)
        })?
        .application_name("sealift")
        .options([
            ("statement_timeout", "60s"),
            ("lock_timeout", "30s"),
            // No transaction of ours waits for anything but its own statements: one that does is of an instance
            // that is frozen or lost, and others must not wait for its locks.
            ("idle_in_transaction_session_timeout", "20s"),
            // The same, for when its machine or the line to it is lost.
            ("tcp_keepalives_idle", "10"),
            ("tcp_keepalives_interval", "5"),
            ("tcp_keepalives_count", "3"),
            // Compiling a statement takes longer than any of ours runs.
            ("jit", "off"),
        ])
        .disable_statement_logging();
    // A pool that gets no connection tries until it says only that time is up.
    let first = tokio::time::timeout(ACQUIRE_TIMEOUT, options.connect()).await;
    let first = first.map_err(|_| from_sqlx(sqlx::Error::PoolTimedOut))?;
    first.map_err(from_sqlx)?.close().await.map_err(from_sqlx)?;
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await
        .map_err(from_sqlx)?;
    Ok(Pools::Postgres(pool))
}

async fn open_sqlite(path: &Path) -> Result<Pools> {
    // The writer first: it makes the file.
    let writes = SqlitePool::open(path, 1, true).await?;
    let reads = SqlitePool::open(path, SQLITE_READERS, false).await?;
    Ok(Pools::Sqlite { reads, writes })
}

/// One round trip; the tenant is a number, so there is nothing to escape.
async fn postgres_tenant(pool: &PgPool, begin: &str, tenant: TenantId) -> Result<Link> {
    postgres(
        pool,
        format!("{begin}; SET LOCAL sealift.tenant = '{tenant}'"),
    )
    .await
}

/// Boxed: connecting takes 4 KiB of a future, and whatever asks the database would hold them.
async fn postgres(pool: &PgPool, begin: impl Into<String>) -> Result<Link> {
    let begin = PostgresTx::begin(pool, AssertSqlSafe(begin.into()).into_sql_str());
    Ok(Link::Postgres(Box::pin(begin).await.map_err(from_sqlx)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::SystemClock;
    use crate::domain::error::ErrorKind;

    #[tokio::test]
    async fn a_full_disk_fails_what_met_it_and_nothing_after() {
        let folder = std::env::temp_dir().join(format!("sealift-full-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let location = Location::Sqlite(folder.join("test.db"));
        let db = Database::open(&location, 1, Arc::new(SystemClock))
            .await
            .unwrap();
        let mut tx = db.write(TenantId(1)).await.unwrap();
        tx.script("CREATE TABLE big (bytes BLOB)").await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = db.write(TenantId(1)).await.unwrap();
        tx.script("PRAGMA max_page_count = 1").await.unwrap();
        let insert = "INSERT INTO big VALUES (zeroblob(100000))";
        let error = tx.script(insert).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        drop(tx);
        // There is room again.
        let mut tx = db.write(TenantId(1)).await.unwrap();
        tx.script("PRAGMA max_page_count = 1000000").await.unwrap();
        tx.script(insert).await.unwrap();
        tx.commit().await.unwrap();
        db.close().await;
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
