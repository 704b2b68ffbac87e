//! PostgreSQL when others are in the way: a row that somebody else holds, no connection left.

use std::error::Error as _;

use sealift::db::database::{Database, Location};
use sealift::db::sql::Dialect;
use sealift::domain::error::ErrorKind;
use tokio::task::JoinSet;

use crate::support::installation::clock;
use crate::support::postgres::Postgres;
use crate::support::wait::until;
use crate::support::world::{World, clean, path, put};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_waits_in_vain_leaves_nothing_to_those_after_it() {
    let world = World::new(Dialect::Postgres).await;
    let ann = world.account("ann").await;
    let (db, tenant) = (world.vfs.database(), world.tenant.id);
    let mut holder = db.write(tenant).await.unwrap();
    let lock = "SELECT 1 FROM clocks FOR UPDATE";
    holder.rows_without_tenant(lock).await.unwrap();
    let mut waiting = JoinSet::new();
    let late = ann.clone();
    waiting.spawn(async move { put(&late, &path("/late"), b"late").await });
    let mut outcome = None;
    until("the change to be given up", async || {
        let mut tx = db.read(tenant).await.unwrap();
        // As lock_timeout does it, which nobody wants to wait for here.
        let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity \
                      WHERE datname = current_database() AND wait_event_type = 'Lock'";
        tx.rows_without_tenant(cancel).await.unwrap();
        outcome = waiting.try_join_next();
        outcome.is_some()
    })
    .await;
    let error = outcome.unwrap().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    drop(holder);
    // On whichever connection.
    for number in 0..30 {
        put(&ann, &path(&format!("/{number}")), b"x").await.unwrap();
    }
    let mut tx = db.read(tenant).await.unwrap();
    let aborted = "SELECT 1 FROM pg_stat_activity \
                   WHERE datname = current_database() AND state = 'idle in transaction (aborted)'";
    assert_eq!(tx.rows_without_tenant(aborted).await.unwrap().len(), 0);
    drop(tx);
    clean(&world).await;
}

#[tokio::test]
async fn a_server_without_a_free_connection_says_so() {
    let postgres = Postgres::shared();
    let urls = postgres.fresh_database();
    let name = urls.server.rsplit('/').next().unwrap();
    postgres.run_sql(&format!("ALTER DATABASE {name} CONNECTION LIMIT 0"));
    let opened = Database::open(&Location::Postgres(urls.server), 5, clock()).await;
    let error = opened.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let why = error.source().unwrap().to_string();
    assert!(why.contains("too many connections"), "{why}");
}
