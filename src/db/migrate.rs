//! The schema: its versions, and how one becomes the next.

use sqlx::AssertSqlSafe;

use crate::db::database::Database;
use crate::db::server_role;
use crate::db::sql::{Dialect, SystemTx};
use crate::db::value::Value;
use crate::domain::error::{Error, ErrorKind, Result};

/// A step of the schema. Steps expand first and contract in a later release.
struct Migration {
    version: i64,
    /// What PostgreSQL does first, in a transaction of its own: it takes long, and must not hold the locks of the rest for
    /// so long. It may be done again.
    before: Option<&'static str>,
    shared: &'static str,
    postgres: &'static str,
    sqlite: &'static str,
}

/// A step that is the same for SQLite but for the names of types.
const fn step(version: i64, shared: &'static str, postgres: &'static str) -> Migration {
    Migration {
        version,
        before: None,
        shared,
        postgres,
        sqlite: "",
    }
}

/// What whoever waits for it is told.
pub const PATIENCE: &str = "the database's schema is being brought up to date; with millions of files that takes some minutes";

const MIGRATIONS: &[Migration] = &[
    step(
        1,
        include_str!("../../migrations/0001_base.sql"),
        include_str!("../../migrations/0001_base.postgres.sql"),
    ),
    step(
        2,
        include_str!("../../migrations/0002_regions.sql"),
        include_str!("../../migrations/0002_regions.postgres.sql"),
    ),
    step(
        3,
        include_str!("../../migrations/0003_logins.sql"),
        include_str!("../../migrations/0003_logins.postgres.sql"),
    ),
    step(
        4,
        include_str!("../../migrations/0004_sums.sql"),
        include_str!("../../migrations/0004_sums.postgres.sql"),
    ),
    step(
        5,
        include_str!("../../migrations/0005_uploads.sql"),
        include_str!("../../migrations/0005_uploads.postgres.sql"),
    ),
    step(
        6,
        include_str!("../../migrations/0006_doors.sql"),
        include_str!("../../migrations/0006_doors.postgres.sql"),
    ),
    step(
        7,
        include_str!("../../migrations/0007_tls.sql"),
        include_str!("../../migrations/0007_tls.postgres.sql"),
    ),
    step(
        8,
        include_str!("../../migrations/0008_sha512.sql"),
        include_str!("../../migrations/0008_sha512.postgres.sql"),
    ),
    step(
        9,
        include_str!("../../migrations/0009_visits.sql"),
        include_str!("../../migrations/0009_visits.postgres.sql"),
    ),
    step(
        10,
        include_str!("../../migrations/0010_addressed.sql"),
        include_str!("../../migrations/0010_addressed.postgres.sql"),
    ),
    step(
        11,
        include_str!("../../migrations/0011_shares.sql"),
        include_str!("../../migrations/0011_shares.postgres.sql"),
    ),
    step(
        12,
        include_str!("../../migrations/0012_locks.sql"),
        include_str!("../../migrations/0012_locks.postgres.sql"),
    ),
    step(
        13,
        include_str!("../../migrations/0013_webhooks.sql"),
        include_str!("../../migrations/0013_webhooks.postgres.sql"),
    ),
    step(
        14,
        include_str!("../../migrations/0014_operators.sql"),
        include_str!("../../migrations/0014_operators.postgres.sql"),
    ),
    step(
        15,
        include_str!("../../migrations/0015_acme.sql"),
        include_str!("../../migrations/0015_acme.postgres.sql"),
    ),
    step(
        16,
        include_str!("../../migrations/0016_kin.sql"),
        include_str!("../../migrations/0016_kin.postgres.sql"),
    ),
    step(
        17,
        include_str!("../../migrations/0017_news.sql"),
        include_str!("../../migrations/0017_news.postgres.sql"),
    ),
    step(
        18,
        include_str!("../../migrations/0018_created.sql"),
        include_str!("../../migrations/0018_created.postgres.sql"),
    ),
    Migration {
        version: 19,
        before: Some(include_str!(
            "../../migrations/0019_compact.before.postgres.sql"
        )),
        shared: include_str!("../../migrations/0019_compact.sql"),
        postgres: include_str!("../../migrations/0019_compact.postgres.sql"),
        sqlite: include_str!("../../migrations/0019_compact.sqlite.sql"),
    },
    step(
        20,
        include_str!("../../migrations/0020_host_keys.sql"),
        include_str!("../../migrations/0020_host_keys.postgres.sql"),
    ),
    step(
        21,
        include_str!("../../migrations/0021_places.sql"),
        include_str!("../../migrations/0021_places.postgres.sql"),
    ),
    step(
        22,
        include_str!("../../migrations/0022_key_copies.sql"),
        include_str!("../../migrations/0022_key_copies.postgres.sql"),
    ),
];

/// What a look at the schema found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// As this program needs it.
    Current,
    /// No schema yet.
    Empty,
    /// Made by a newer program.
    Newer,
    /// Made by an older program: `migrate` brings it up to date.
    Older,
}

/// Looks at the schema and changes nothing.
///
/// # Errors
/// Denied when nothing was granted to the role that is connected; Unavailable when the database does not answer.
pub async fn state(db: &Database) -> Result<SchemaState> {
    let mut tx = db.system_read().await?;
    if server_role::is_strange(&mut tx).await? {
        return Err(Error::new(
            ErrorKind::Denied,
            "the role of database.url was granted nothing in this database; name it in database.server_role, and \
             run 'sealift migrate'",
        ));
    }
    let version = version(&mut tx).await?;
    let newest = newest();
    Ok(match version {
        None => SchemaState::Empty,
        Some(version) if version == newest => SchemaState::Current,
        Some(version) if version > newest => SchemaState::Newer,
        Some(_) => SchemaState::Older,
    })
}

/// Fails unless the schema is the one this program was built for.
///
/// # Errors
/// Invalid, with what to do.
pub async fn require_current(db: &Database) -> Result<()> {
    match state(db).await? {
        SchemaState::Current => Ok(()),
        SchemaState::Empty => Err(Error::invalid(
            "the database is empty; run 'sealift migrate'",
        )),
        SchemaState::Older => Err(Error::invalid(
            "the database's schema is older than this program; run 'sealift migrate'",
        )),
        SchemaState::Newer => Err(newer()),
    }
}

/// Brings the schema up to date, each step in a transaction, and returns the steps taken.
///
/// Run with a role that may create tables; `server_role` (PostgreSQL) is then granted what the
/// server needs and no more, also where the schema was up to date.
///
/// # Errors
/// Invalid when the schema is newer than this program or the role's name is not plain; NotFound when there is no
/// such role; Denied when another role owns the tables.
pub async fn migrate(db: &Database, server_role: &str) -> Result<usize> {
    migrate_to(db, server_role, newest()).await
}

/// The same, up to the version `wanted` and no further.
///
/// # Errors
/// As [`migrate`].
pub async fn migrate_to(db: &Database, server_role: &str, wanted: i64) -> Result<usize> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if server_role.is_empty() || !server_role.chars().all(plain) {
        return Err(Error::invalid(
            "the server role's name must be of a-z, 0-9 and _",
        ));
    }
    let (mut taken, mut prepared) = (0, 0);
    loop {
        let mut tx = db.system().await?;
        lock(&mut tx).await?;
        let on_postgres = tx.dialect() == Dialect::Postgres;
        let owns = !on_postgres || server_role::owns(&mut tx).await?;
        if on_postgres {
            server_role::require(&mut tx, server_role).await?;
            // A server's own role may find that there is nothing to do.
            if !owns && !server_role::may_read(&mut tx).await? {
                return Err(server_role::not_owner());
            }
            if owns && server_role::is_connected(&mut tx, server_role).await? {
                return Err(Error::invalid(
                    "database.server_role: the role that migrates owns the tables, and a server's may not; name the \
                     server's own role there",
                ));
            }
        }
        let now = db.clock().now();
        let done = version(&mut tx).await?.unwrap_or(0);
        if done > newest() {
            return Err(newer());
        }
        let next = MIGRATIONS
            .iter()
            .find(|m| m.version > done && m.version <= wanted);
        if next.is_some() && !owns {
            return Err(server_role::not_owner());
        }
        let Some(next) = next else {
            if on_postgres && owns {
                server_role::grant(&mut tx, server_role, &scripts(done)).await?;
            }
            tx.commit().await?;
            return Ok(taken);
        };
        // A new database has nothing that takes time.
        let is_new = usize::try_from(done) == Ok(taken);
        if !is_new && prepared < next.version {
            tracing::info!(version = next.version, "{PATIENCE}");
        }
        if let Some(before) = next
            .before
            .filter(|_| on_postgres && prepared < next.version)
        {
            tx.script(before).await?;
            tx.commit().await?;
            prepared = next.version;
            continue;
        }
        if done == 0 {
            tx.script(
                "CREATE TABLE IF NOT EXISTS schema_versions \
                 (version BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL)",
            )
            .await?;
        }
        tx.script(AssertSqlSafe(text(next, tx.dialect(), server_role)))
            .await?;
        tx.execute(
            "INSERT INTO schema_versions (version, applied_at) VALUES ($1, $2)",
            [next.version.into(), now.0.into()],
        )
        .await?;
        if tx.dialect() == Dialect::Postgres {
            tx.script(AssertSqlSafe(format!(
                "GRANT SELECT ON schema_versions TO {server_role}"
            )))
            .await?;
        }
        tx.commit().await?;
        taken += 1;
    }
}

/// What was done up to a version: shared, and PostgreSQL's own.
fn scripts(done: i64) -> Vec<(&'static str, &'static str)> {
    let done = MIGRATIONS.iter().filter(|m| m.version <= done);
    done.map(|m| (m.shared, m.postgres)).collect()
}

/// Two programs that migrate at once take turns. SQLite's transaction is a lock already.
///
/// What a step does, and who waits for another that takes it, may take as long as it takes: the time that statements of a
/// server have is not enough for large tables. For a table's lock it waits no longer than those do, since all who want the
/// table wait behind it.
async fn lock(tx: &mut SystemTx) -> Result<()> {
    if tx.dialect() == Dialect::Postgres {
        tx.script("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
            .await?;
        let key = Value::from(0x5ea1_1f7e_i64);
        tx.rows("SELECT 1 FROM pg_advisory_xact_lock($1)", [key])
            .await?;
        tx.script("SET LOCAL lock_timeout = '30s'").await?;
    }
    Ok(())
}

async fn version(tx: &mut SystemTx) -> Result<Option<i64>> {
    let there = match tx.dialect() {
        Dialect::Postgres => "SELECT 1::bigint WHERE to_regclass('schema_versions') IS NOT NULL",
        Dialect::Sqlite => {
            "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_versions'"
        }
    };
    if tx.row(there, []).await?.is_none() {
        return Ok(None);
    }
    let row = tx
        .row("SELECT max(version) FROM schema_versions", [])
        .await?;
    row.map_or(Ok(None), |row| row.opt_int(0))
}

/// The version that this program needs.
pub fn newest() -> i64 {
    MIGRATIONS.last().map_or(0, |m| m.version)
}

fn newer() -> Error {
    Error::invalid(
        "the database was made by a newer version of sealift; install that version or a later one",
    )
}

fn text(migration: &Migration, dialect: Dialect, server_role: &str) -> String {
    let (bytes, name) = match dialect {
        Dialect::Postgres => ("BYTEA", "TEXT COLLATE \"C\""),
        Dialect::Sqlite => ("BLOB", "TEXT"),
    };
    let mut out = migration
        .shared
        .replace(" BYTES", &format!(" {bytes}"))
        .replace(" NAME ", &format!(" {name} "));
    match dialect {
        Dialect::Postgres => {
            out.push_str(&migration.postgres.replace("SERVER_ROLE", server_role));
        }
        Dialect::Sqlite => out.push_str(migration.sqlite),
    }
    out
}
