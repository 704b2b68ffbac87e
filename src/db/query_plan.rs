//! How SQLite would carry out a query, for tests that look at that.

use std::sync::Arc;

use sqlx::AssertSqlSafe;

use crate::db::database::{Database, Location};
use crate::db::migrate;
use crate::db::value::Value;
use crate::domain::clock::SystemClock;
use crate::domain::id::{BlobId, TenantId};

/// The steps of a query of one tenant, in a new database.
pub(in crate::db) async fn steps<const N: usize>(sql: &str, args: [Value; N]) -> Vec<String> {
    let folder = std::env::temp_dir().join(format!("sealift-plan-{}", BlobId::random()));
    std::fs::create_dir_all(&folder).expect("a folder for the database");
    let location = Location::Sqlite(folder.join("test.db"));
    let db = Database::open(&location, 1, Arc::new(SystemClock)).await;
    let db = db.expect("a new database");
    let migrated = migrate::migrate(&db, "sealift_server").await;
    migrated.expect("its tables");
    let mut tx = db.read(TenantId(1)).await.expect("a transaction");
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let rows = tx.rows(explain, args).await.expect("a plan");
    let steps = rows.iter().map(|row| row.text(3).expect("a step"));
    let steps = steps.collect();
    drop(tx);
    db.close().await;
    std::fs::remove_dir_all(&folder).expect("the folder to be the test's own");
    steps
}
