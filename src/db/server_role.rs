//! The role that a server connects to PostgreSQL as: what it may do too much.

use crate::db::database::Database;
use crate::db::sql::Dialect;
use crate::domain::error::Result;

/// Why row security does not bind a role, or not for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// It is exempt, or may become a role that is.
    Exempt,
    /// It owns tables, and can take row security off them.
    Owner,
    /// It is a superuser, or may become one.
    Superuser,
}

/// What the role that is connected may do too much; nothing on SQLite.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn excess(db: &Database) -> Result<Option<Excess>> {
    if db.dialect() != Dialect::Postgres {
        return Ok(None);
    }
    let mut tx = db.system_read().await?;
    for (sql, excess) in [
        (
            "SELECT 1::bigint FROM pg_roles WHERE rolsuper AND pg_has_role(oid, 'MEMBER') LIMIT 1",
            Excess::Superuser,
        ),
        (
            "SELECT 1::bigint FROM pg_roles WHERE rolbypassrls AND pg_has_role(oid, 'MEMBER') LIMIT 1",
            Excess::Exempt,
        ),
        (
            "SELECT 1::bigint FROM pg_class WHERE relkind = 'r' AND relrowsecurity \
             AND pg_table_is_visible(oid) AND pg_has_role(relowner, 'MEMBER') LIMIT 1",
            Excess::Owner,
        ),
    ] {
        if tx.row(sql, []).await?.is_some() {
            return Ok(Some(excess));
        }
    }
    Ok(None)
}
