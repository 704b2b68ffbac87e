//! SQLite, called in place: a transaction owns a connection, and a statement runs on the thread that
//! asks for it, which costs less than handing it to another.
//!
//! What may take long does not: commits, which wait for the disk, and every statement of work in the
//! background run on threads that may block; and whoever waits for another process that writes does so
//! without a thread.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use rusqlite::config::DbConfig;
use rusqlite::types::Value as Column;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use sqlx::SqlStr;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::db::value::Value;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::random;
use crate::domain::reserve::Room;

/// How long to wait for a free connection, and for another process that writes to the file.
const PATIENCE: Duration = Duration::from_secs(60);
const BUSY_PATIENCE: Duration = Duration::from_secs(15);
/// How long the other process is waited for at least, by who has waited for a connection all that time.
const LAST_TRY: Duration = Duration::from_millis(100);
/// How long a statement blocks its thread for another process; only its recovery makes it wait.
const BLOCKING: Duration = Duration::from_secs(1);
/// What the log beside the file keeps of its length when all of it is in the file.
const LOG_BYTES: i64 = 16 << 20;
/// Statements that a connection keeps prepared.
const PREPARED: usize = 256;

/// On which thread statements run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::db) enum Place {
    /// On the one that asks, which serves others too; all but commits.
    Here,
    /// On the one that asks, which may block.
    Blocking,
    /// On others, which may block: what asks is work in the background.
    Elsewhere,
}

/// Connections to one file.
pub(in crate::db) struct SqlitePool {
    path: PathBuf,
    writes: bool,
    connections: usize,
    free: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl SqlitePool {
    /// Opens the file; whoever `writes` makes it when it is missing, and closes it to other users of the machine.
    pub(in crate::db) async fn open(
        path: &Path,
        connections: usize,
        writes: bool,
    ) -> Result<Arc<Self>> {
        let pool = Self {
            path: path.to_owned(),
            writes,
            connections,
            free: Arc::new(Semaphore::new(connections)),
            idle: Mutex::default(),
        };
        blocking(move || {
            if writes {
                close_to_others(&pool.path)?;
            }
            let first = pool.connect().map_err(from_sqlite)?;
            pool.lock().push(first);
            Ok(Arc::new(pool))
        })
        .await
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(
            &self.path,
            OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_CREATE
                | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(BUSY_PATIENCE)?;
        connection.set_prepared_statement_cache_capacity(PREPARED);
        // Or plans are made anew for other values, which costs more than most statements.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
             PRAGMA cache_size = -32768; PRAGMA temp_store = memory;",
        )?;
        // After one large transaction it would stay as long as that for good.
        connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
        if !self.writes {
            connection.pragma_update(None, "query_only", true)?;
        }
        connection.busy_timeout(BLOCKING)?;
        Ok(connection)
    }

    /// Begins a transaction.
    pub(in crate::db) async fn begin(self: &Arc<Self>, place: Place) -> Result<SqliteTx> {
        let asked = Instant::now();
        let free = tokio::time::timeout(PATIENCE, self.free.clone().acquire_owned()).await;
        let free = free
            .map_err(|_| silent("no connection was free for a minute"))?
            .map_err(|_| silent("the database is closed"))?;
        let kept = self.lock().pop();
        let connection = match kept {
            Some(connection) => connection,
            None => {
                let pool = Arc::clone(self);
                blocking(move || pool.connect().map_err(from_sqlite)).await?
            }
        };
        let tx = SqliteTx {
            connection: Some(connection),
            pool: Arc::clone(self),
            place,
            _free: free,
        };
        // Those in front may have waited in vain all the time: who stands behind them is told so, too.
        let deadline = (asked + BUSY_PATIENCE).max(Instant::now() + LAST_TRY);
        loop {
            match tx.begin() {
                Err(error) if is_busy(&error) && Instant::now() < deadline => {
                    let pause = Duration::from_millis(5 + random::below(20));
                    tokio::time::sleep(pause).await;
                }
                begun => {
                    begun.map_err(from_sqlite)?;
                    return Ok(tx);
                }
            }
        }
    }

    /// Checks that the disk of the file has room for more than what makes room.
    ///
    /// # Errors
    /// StorageFull when it has not.
    pub(in crate::db) fn check_room(&self) -> Result<()> {
        // A disk that tells nothing tells so when it is written to.
        let Ok(found) = statvfs(&self.path) else {
            return Ok(());
        };
        let block = found.fragment_size();
        let room = Room {
            total: block.saturating_mul(found.blocks()),
            free: block.saturating_mul(found.blocks_available()),
        };
        match room.takes_entries() {
            true => Ok(()),
            false => Err(full().because(format!(
                "{} bytes are free beside the database, which are kept for deleting",
                room.free
            ))),
        }
    }

    /// Waits until all connections are back, and closes them.
    pub(in crate::db) async fn close(&self) {
        let all = u32::try_from(self.connections).unwrap_or(u32::MAX);
        drop(self.free.acquire_many(all).await);
        self.free.close();
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open transaction. Rolled back when dropped.
pub(in crate::db) struct SqliteTx {
    /// None only while a call has it.
    connection: Option<Connection>,
    pool: Arc<SqlitePool>,
    place: Place,
    _free: OwnedSemaphorePermit,
}

impl SqliteTx {
    fn begin(&self) -> rusqlite::Result<()> {
        let Some(connection) = &self.connection else {
            return Err(rusqlite::Error::InvalidQuery);
        };
        match self.pool.writes {
            false => run(connection, "BEGIN"),
            true => {
                // Another process may write for long: it is waited for without this thread.
                connection.busy_timeout(Duration::ZERO)?;
                let begun = run(connection, "BEGIN IMMEDIATE");
                connection.busy_timeout(BLOCKING)?;
                begun
            }
        }
    }

    /// Runs a query; its rows.
    pub(in crate::db) async fn rows(
        &mut self,
        sql: SqlStr,
        args: Vec<Value>,
    ) -> Result<Vec<Vec<Column>>> {
        self.run(move |connection| rows(connection, sql.as_str(), args))
            .await
    }

    /// Runs a statement; how many rows it touched.
    pub(in crate::db) async fn execute(&mut self, sql: SqlStr, args: Vec<Value>) -> Result<u64> {
        self.run(move |connection| execute(connection, sql.as_str(), args))
            .await
    }

    /// Runs statements without parameters.
    pub(in crate::db) async fn script(&mut self, sql: SqlStr) -> Result<()> {
        self.run(move |connection| connection.execute_batch(sql.as_str()))
            .await
    }

    /// Makes it so. Waits for the disk.
    pub(in crate::db) async fn commit(mut self) -> Result<()> {
        let commit = |connection: &mut Connection| run(connection, "COMMIT");
        match self.place {
            Place::Here if self.pool.writes => self.run_elsewhere(commit).await,
            // Nothing was written, or the thread may wait.
            _ => self.run(commit).await,
        }
    }

    async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        match self.place {
            Place::Elsewhere => return self.run_elsewhere(work).await,
            // Many statements one after the other, none of which waits, let others have a turn.
            Place::Here => tokio::task::consume_budget().await,
            Place::Blocking => {}
        }
        let connection = self.connection.as_mut().ok_or_else(lost)?;
        work(connection).map_err(from_sqlite)
    }

    async fn run_elsewhere<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut connection = self.connection.take().ok_or_else(lost)?;
        let (connection, done) = blocking(move || {
            let done = work(&mut connection);
            Ok((connection, done))
        })
        .await?;
        self.connection = Some(connection);
        done.map_err(from_sqlite)
    }
}

impl Drop for SqliteTx {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        // After an error SQLite may have rolled back by itself.
        let usable = connection.is_autocommit() || run(&connection, "ROLLBACK").is_ok();
        if usable && !self.pool.free.is_closed() {
            self.pool.lock().push(connection);
        }
    }
}

/// Makes the file for its owner only, before SQLite would for whoever the umask lets in, and takes from others what
/// was open to them: it holds the hashes of all passwords. SQLite gives what it keeps beside it the same mode.
///
/// A file that is there is not opened: whoever closes it loses the locks that SQLite has on it in this process.
fn close_to_others(path: &Path) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(unavailable().because(error));
        }
        _ => {}
    }
    let about = fs::metadata(path).map_err(|error| unavailable().because(error))?;
    if about.mode() & 0o077 == 0 {
        return Ok(());
    }
    for suffix in ["", "-wal", "-shm"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        match fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let shown = Path::new(&beside).display();
                return Err(Error::invalid(format!(
                    "the database file '{shown}' is open to other users of this machine; as its owner run: \
                     chmod 600 '{shown}'"
                ))
                .because(error));
            }
            _ => {}
        }
    }
    tracing::warn!(file = %path.display(), "the database was open to other users of this machine; it is its owner's only now");
    Ok(())
}

fn run(connection: &Connection, sql: &'static str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.raw_execute().map(drop)
}

fn rows(
    connection: &Connection,
    sql: &str,
    args: Vec<Value>,
) -> rusqlite::Result<Vec<Vec<Column>>> {
    let mut statement = connection.prepare_cached(sql)?;
    bind(&mut statement, args)?;
    let columns = statement.column_count();
    let mut found = statement.raw_query();
    let mut all = Vec::new();
    while let Some(row) = found.next()? {
        let row: rusqlite::Result<Vec<Column>> = (0..columns).map(|at| row.get(at)).collect();
        all.push(row?);
    }
    Ok(all)
}

fn execute(connection: &Connection, sql: &str, args: Vec<Value>) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached(sql)?;
    bind(&mut statement, args)?;
    // Also a statement that returns rows may be run for what it does.
    if statement.column_count() > 0 {
        let mut found = statement.raw_query();
        while found.next()?.is_some() {}
        return Ok(connection.changes());
    }
    statement.raw_execute().map(|touched| touched as u64)
}

/// Binds `$n` to the n-th value, wherever and how often it stands.
fn bind(statement: &mut rusqlite::CachedStatement<'_>, args: Vec<Value>) -> rusqlite::Result<()> {
    for index in 1..=statement.parameter_count() {
        let name = statement.parameter_name(index);
        let number = name.and_then(|name| name.strip_prefix('$')?.parse::<usize>().ok());
        let arg = number.and_then(|number| args.get(number.checked_sub(1)?));
        let Some(arg) = arg else {
            return Err(rusqlite::Error::InvalidParameterCount(index, args.len()));
        };
        match arg {
            Value::Bytes(value) => statement.raw_bind_parameter(index, value.as_deref())?,
            Value::Int(value) => statement.raw_bind_parameter(index, value)?,
            Value::Text(value) => statement.raw_bind_parameter(index, value.as_deref())?,
            Value::ManyBytes(_) | Value::ManyInts(_) | Value::ManyTexts(_) => {
                return Err(rusqlite::Error::InvalidParameterName("a list".to_owned()));
            }
        }
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::internal(error)))
}

fn lost() -> Error {
    Error::internal("a connection was lost in a statement that panicked or was given up")
}

fn silent(why: &'static str) -> Error {
    unavailable().because(why)
}

fn unavailable() -> Error {
    let context = "the server's database does not answer; try again in a moment";
    Error::new(ErrorKind::Unavailable, context)
}

fn full() -> Error {
    let context = "the server's storage is full; tell the operator";
    Error::new(ErrorKind::StorageFull, context)
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// Turns SQLite's error into ours: a taken key, a database that does not answer, or a defect.
fn from_sqlite(error: rusqlite::Error) -> Error {
    use rusqlite::ffi;
    let (code, extended) = match error.sqlite_error() {
        Some(inner) => (Some(inner.code), inner.extended_code),
        None => (None, 0),
    };
    match code {
        Some(ErrorCode::ConstraintViolation)
            if matches!(
                extended,
                ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            ) =>
        {
            Error::new(ErrorKind::AlreadyExists, "the record exists already").because(error)
        }
        Some(ErrorCode::DiskFull) => full().because(error),
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            // So SQLite calls also what a disk does not give back when it is read.
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase,
        ) => unavailable().because(error),
        _ => Error::internal(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileExt as _;

    use sqlx::SqlSafeStr as _;

    use super::*;

    /// A file with a table `t`, in a folder of the test's own.
    async fn pool(name: &str) -> (PathBuf, Arc<SqlitePool>) {
        let folder = std::env::temp_dir().join(format!("sealift-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let pool = SqlitePool::open(&folder.join("test.db"), 1, true).await;
        let pool = pool.unwrap();
        write(&pool, "CREATE TABLE t (bytes BLOB)").await;
        (folder, pool)
    }

    async fn write(pool: &Arc<SqlitePool>, sql: &'static str) {
        let mut tx = pool.begin(Place::Here).await.unwrap();
        tx.script(sql.into_sql_str()).await.unwrap();
        tx.commit().await.unwrap();
    }

    #[tokio::test]
    async fn the_log_does_not_stay_as_long_as_it_ever_was() {
        let (folder, pool) = pool("log").await;
        let log = folder.join("test.db-wal");
        let length = || i64::try_from(fs::metadata(&log).unwrap().len()).unwrap();
        write(&pool, "INSERT INTO t VALUES (zeroblob(50000000))").await;
        assert!(length() > 2 * LOG_BYTES);
        for _ in 0..2 {
            write(&pool, "INSERT INTO t VALUES (zeroblob(1))").await;
        }
        assert!(length() <= LOG_BYTES, "{}", length());
        pool.close().await;
        fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_does_not_answer() {
        let (folder, pool) = pool("unreadable").await;
        write(&pool, "INSERT INTO t VALUES (zeroblob(1000000))").await;
        pool.close().await;
        let file = OpenOptions::new().write(true).open(folder.join("test.db"));
        file.unwrap().write_all_at(&[0xff; 4096], 4096).unwrap();
        let pool = SqlitePool::open(&folder.join("test.db"), 1, true).await;
        let mut tx = pool.unwrap().begin(Place::Here).await.unwrap();
        let read = tx
            .rows("SELECT bytes FROM t".into_sql_str(), Vec::new())
            .await;
        assert_eq!(read.unwrap_err().kind(), ErrorKind::Unavailable);
        drop(tx);
        fs::remove_dir_all(&folder).unwrap();
    }
}
