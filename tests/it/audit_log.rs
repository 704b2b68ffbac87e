//! The audit log where it is long, and where whoever asks for all of it goes away.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use sealift::accounts::manage::Directory;
use sealift::accounts::manage_audit::AuditQuery;
use sealift::db::audit::{ChainState, Happening};
use sealift::db::database::{Database, Location};
use sealift::db::operation::{Operation, Record};
use sealift::db::sql::{Dialect, TenantTx};
use sealift::domain::audit_kind::AuditKind;
use sealift::domain::change::Committed;
use sealift::domain::clock::SystemClock;
use sealift::domain::error::Result;
use sealift::domain::id::TenantId;
use sealift::domain::principal::Actor;
use serde_json::Value;

use crate::support::dialects::on_both;
use crate::support::two::Two;
use crate::support::wait::until;
use crate::support::world::World;

/// Two pages, and so a third without a record.
const LINES: i64 = 2000;

on_both!(a_long_log_is_followed_to_its_end);

async fn a_long_log_is_followed_to_its_end(dialect: Dialect) {
    let world = World::new(dialect).await;
    let directory = long_log(&world).await;
    let state = directory.audit_verify("acme").await.unwrap();
    assert_eq!(state, ChainState::Whole(LINES));
    let query = AuditQuery::default();
    let span = directory.audit_span("acme", query).await.unwrap();
    let (newest, next) = directory.audit_search(&span, None, 3).await.unwrap();
    let numbers: Vec<_> = newest.iter().map(|line| line.number).collect();
    assert_eq!(numbers, [LINES, LINES - 1, LINES - 2]);
    assert_eq!(next, Some(LINES - 2));
    let (oldest, next) = directory.audit_export(&span, 0).await.unwrap();
    let numbers = oldest.iter().map(|line| line.number);
    assert!(numbers.eq(1..=next.unwrap()));
}

#[tokio::test]
async fn who_reads_a_log_keeps_nobodys_thread_and_gives_all_back() {
    let world = World::new(Dialect::Sqlite).await;
    let directory = long_log(&world).await;
    let query = AuditQuery::default();
    let span = directory.audit_span("acme", query).await.unwrap();
    // More often than there are connections, or turns.
    for _ in 0..20 {
        assert!(directory.audit_verify("acme").now_or_never().is_none());
        assert!(directory.audit_export(&span, 0).now_or_never().is_none());
        let search = directory.audit_search(&span, None, 3).now_or_never();
        assert!(search.is_none());
    }
    let state = directory.audit_verify("acme").await.unwrap();
    assert_eq!(state, ChainState::Whole(LINES));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_away_makes_room_for_the_next_who_asks() {
    let two = Two::new();
    let one = two.start("one");
    let words = ["admin", "token", "create", "--name", "root", "--role"];
    let made = two.run(&[&words[..], &["operator", "--json"]].concat());
    let made: Value = serde_json::from_str(&made).unwrap();
    let bearer = format!("Authorization: Bearer {}", made["token"].as_str().unwrap());
    let admin = one.admin.unwrap();
    let ask = || {
        let url = format!("https://{admin}/api/v1/tenants/acme/audit/verify");
        let mut curl = Command::new("curl");
        curl.args(["-s", "-k", "-H", &bearer, &url]);
        curl.stdout(Stdio::piped()).spawn().unwrap()
    };
    let owner = Location::Postgres(two.urls.owner.clone());
    let owner = Database::open(&owner, 2, Arc::new(SystemClock)).await;
    let mut holder = owner.unwrap().write(TenantId(1)).await.unwrap();
    let lock = "LOCK TABLE events IN ACCESS EXCLUSIVE MODE";
    holder.rows_without_tenant(lock).await.unwrap();
    let first: Vec<Child> = vec![ask(), ask()];
    readers(&mut holder, 2).await;
    for mut gone in first {
        gone.kill().unwrap();
        gone.wait().unwrap();
    }
    // The database does not know yet, but there are turns again: at most two are read at a time.
    let third = ask();
    readers(&mut holder, 3).await;
    holder.commit().await.unwrap();
    let told: Value = serde_json::from_slice(&third.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(told["whole"], true, "{told}");
    one.stop();
}

/// Waits until so many wait to read events.
async fn readers(holder: &mut TenantTx, count: usize) {
    let waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'AccessShareLock' \
                   AND relation = 'events'::regclass";
    until("the log to be read", async || {
        let found = holder.rows_without_tenant(waiting).await.unwrap();
        found.len() == count
    })
    .await;
}

/// Writes a log of [`LINES`] records.
async fn long_log(world: &World) -> Directory {
    let (committer, actor) = (world.vfs.committer(), Actor::operator());
    let lines = (0..LINES).map(|_| committer.run(world.tenant.id, &actor, Line));
    for written in join_all(lines).await {
        written.unwrap();
    }
    Directory::new(committer.clone(), 1_000)
}

struct Line;

#[async_trait]
impl Operation for Line {
    async fn apply(&self, _tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        Ok(Record::Event(Happening::new(AuditKind::Store, "something")))
    }
}
