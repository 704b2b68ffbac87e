//! The role that a server connects to PostgreSQL as: what it may do too much, and what it is granted.

use std::fmt::Write as _;

use sqlx::AssertSqlSafe;

use crate::db::database::Database;
use crate::db::sql::{Dialect, SystemTx};
use crate::domain::error::{Error, ErrorKind, Result};

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

/// Refuses a role that there is not, or that is everybody's.
pub(in crate::db) async fn require(tx: &mut SystemTx, role: &str) -> Result<()> {
    if role.starts_with("pg_") {
        return Err(Error::invalid(format!(
            "database.server_role: '{role}' is a role of PostgreSQL's own, which others may be in; make one for the \
             server (CREATE ROLE sealift_server LOGIN PASSWORD '...')"
        )));
    }
    let sql = "SELECT 1::bigint FROM pg_roles WHERE rolname = $1";
    match tx.row(sql, [role.into()]).await? {
        Some(_) => Ok(()),
        None => Err(Error::not_found(format!(
            "database.server_role: PostgreSQL has no role '{role}'; make it (CREATE ROLE {role} LOGIN PASSWORD \
             '...'), or name the one that database.url names"
        ))),
    }
}

/// Whether this is the role that is connected.
pub(in crate::db) async fn is_connected(tx: &mut SystemTx, role: &str) -> Result<bool> {
    let sql = "SELECT 1::bigint WHERE current_user = $1";
    Ok(tx.row(sql, [role.into()]).await?.is_some())
}

/// Whether the role that is connected may read the schema's version, and so was granted what a server needs.
pub(in crate::db) async fn may_read(tx: &mut SystemTx) -> Result<bool> {
    let sql =
        "SELECT 1::bigint WHERE has_table_privilege(to_regclass('schema_versions'), 'SELECT')";
    Ok(tx.row(sql, []).await?.is_some())
}

/// Whether there is a schema of which the role that is connected was granted nothing.
pub(in crate::db) async fn is_strange(tx: &mut SystemTx) -> Result<bool> {
    if tx.dialect() != Dialect::Postgres {
        return Ok(false);
    }
    let sql =
        "SELECT 1::bigint WHERE NOT has_table_privilege(to_regclass('schema_versions'), 'SELECT')";
    Ok(tx.row(sql, []).await?.is_some())
}

/// Whether the role that is connected acts for the owner of the tables, or may make some where there are none.
pub(in crate::db) async fn owns(tx: &mut SystemTx) -> Result<bool> {
    let sql = "SELECT 1::bigint WHERE CASE WHEN to_regclass('schema_versions') IS NULL \
         THEN has_schema_privilege('public', 'CREATE') \
         ELSE (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class \
               WHERE oid = to_regclass('schema_versions')) END";
    Ok(tx.row(sql, []).await?.is_some())
}

/// That somebody else owns the tables than who migrates.
pub(in crate::db) fn not_owner() -> Error {
    Error::new(
        ErrorKind::Denied,
        "the role that migrates does not own the tables, or may not make any; name the role that does in \
         database.owner_url",
    )
}

/// Grants `role` what these steps grant, each a shared script and PostgreSQL's own, and takes whatever else it has of
/// the tables: the schema stays as it is.
pub(in crate::db) async fn grant(
    tx: &mut SystemTx,
    role: &str,
    steps: &[(&str, &str)],
) -> Result<()> {
    let script = format!("{}{}", revokes(steps), grants(steps));
    tx.script(AssertSqlSafe(script.replace("SERVER_ROLE", role)))
        .await
}

/// What takes all rights to the tables of these steps. In a transaction with what grants some again, nobody is ever
/// without those.
fn revokes(steps: &[(&str, &str)]) -> String {
    let dropped = dropped(steps);
    let mut out = String::new();
    for (shared, _) in steps {
        for table in tables(shared, "CREATE TABLE ").filter(|table| !dropped.contains(table)) {
            let _ = writeln!(out, "REVOKE ALL ON {table} FROM SERVER_ROLE;");
        }
    }
    out + "REVOKE ALL ON schema_versions FROM SERVER_ROLE;\n\
           REVOKE CREATE ON SCHEMA public FROM SERVER_ROLE;\n"
}

fn dropped<'a>(steps: &[(&'a str, &str)]) -> Vec<&'a str> {
    let shared = steps.iter().map(|(shared, _)| *shared);
    shared
        .flat_map(|shared| tables(shared, "DROP TABLE "))
        .collect()
}

/// What grants and revokes in the steps, for the tables that each of them knew and that are still there.
fn grants(steps: &[(&str, &str)]) -> String {
    let dropped = dropped(steps);
    let mut out = String::new();
    for (shared, postgres) in steps {
        let made: Vec<&str> = tables(shared, "CREATE TABLE ")
            .filter(|table| !dropped.contains(table))
            .chain(["schema_versions"])
            .collect();
        let lines = postgres.lines().filter(|line| !line.starts_with("--"));
        let script = lines.collect::<Vec<_>>().join("\n");
        for statement in script.split(';').map(str::trim) {
            if statement.starts_with("GRANT ") || statement.starts_with("REVOKE ") {
                let named = statement.replace("ALL TABLES IN SCHEMA public", &made.join(", "));
                let _ = writeln!(out, "{named};");
            }
        }
    }
    out + "GRANT SELECT ON schema_versions TO SERVER_ROLE;\n"
}

/// The tables that lines of a script begin to speak of by `words`.
fn tables<'a>(script: &'a str, words: &'static str) -> impl Iterator<Item = &'a str> {
    let names = script
        .lines()
        .filter_map(move |line| line.strip_prefix(words));
    names.filter_map(|rest| rest.split([' ', ';', '(']).next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_on_all_tables_is_one_on_those_that_there_were() {
        let steps = [
            (
                "CREATE TABLE one (\nid BIGINT);\nCREATE TABLE two (id BIGINT);\n",
                "-- For all; but one.\nDO $$ BEGIN x; END $$;\n\
                 GRANT SELECT, DELETE ON ALL TABLES IN SCHEMA public TO SERVER_ROLE;\n\
                 REVOKE DELETE ON schema_versions FROM SERVER_ROLE;\n",
            ),
            (
                "CREATE TABLE three (id BIGINT);\nDROP TABLE two;\n",
                "GRANT SELECT ON three\n    TO SERVER_ROLE;\n",
            ),
        ];
        assert_eq!(
            revokes(&steps),
            "REVOKE ALL ON one FROM SERVER_ROLE;\n\
             REVOKE ALL ON three FROM SERVER_ROLE;\n\
             REVOKE ALL ON schema_versions FROM SERVER_ROLE;\n\
             REVOKE CREATE ON SCHEMA public FROM SERVER_ROLE;\n"
        );
        assert_eq!(
            grants(&steps),
            "GRANT SELECT, DELETE ON one, schema_versions TO SERVER_ROLE;\n\
             REVOKE DELETE ON schema_versions FROM SERVER_ROLE;\n\
             GRANT SELECT ON three\n    TO SERVER_ROLE;\n\
             GRANT SELECT ON schema_versions TO SERVER_ROLE;\n"
        );
    }
}
