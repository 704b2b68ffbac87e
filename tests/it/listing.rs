//! Listing a folder that changes all the time.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Buf;
use futures_util::StreamExt;
use sealift::db::sql::Dialect;
use sealift::domain::node::AttributeUpdate;
use sealift::vfs::rename::Overwrite;
use sealift::vfs::session::Session;

use crate::sftp_raw::{Channel, NAME, OPENDIR, READDIR, Reply};
use crate::support::dialects::on_both;
use crate::support::world::{World, path};

/// Names that are there all the time: several pages from the database.
const STAYING: usize = 2_500;
/// Requests that are on their way at once.
const PIPELINED: usize = 8;

on_both!(names_that_stay_are_listed_once_while_others_come_and_go);

async fn names_that_stay_are_listed_once_while_others_come_and_go(dialect: Dialect) {
    let world = World::new(dialect).await;
    let files = world.account("ann").await;
    let expected: BTreeSet<String> = (0..STAYING)
        .map(|index| format!("{index:05} stays"))
        .collect();
    futures_util::stream::iter(&expected)
        .for_each_concurrent(64, |name| make(&files, name.clone()))
        .await;
    let is_over = AtomicBool::new(false);
    let churning = (0..4).map(|worker| churn(&files, worker, &is_over));
    let listing = async {
        for _ in 0..4 {
            let listed = list(&files).await;
            let (staying, others): (Vec<_>, Vec<_>) =
                listed.into_iter().partition(|name| name.ends_with("stays"));
            let names: BTreeSet<_> = staying.iter().cloned().collect();
            assert!(names == expected, "a name is missing");
            assert_eq!(staying.len(), names.len(), "a name is there twice");
            let different: BTreeSet<_> = others.iter().collect();
            assert_eq!(different.len(), others.len(), "a name is there twice");
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let (_, ()) = tokio::join!(futures_util::future::join_all(churning), listing);
}

async fn make(files: &Session, name: String) {
    let at = path(&format!("/{name}"));
    files
        .make_folder(&at, AttributeUpdate::default())
        .await
        .unwrap();
}

/// Makes, renames (forwards and backwards) and removes names between those that stay.
async fn churn(files: &Session, worker: u64, is_over: &AtomicBool) {
    let mut dice = fastrand::Rng::with_seed(worker);
    while !is_over.load(Ordering::Relaxed) {
        let mut name = || path(&format!("/{:05} moves {worker}", dice.usize(0..STAYING)));
        let (first, second) = (name(), name());
        files
            .make_folder(&first, AttributeUpdate::default())
            .await
            .unwrap();
        if first != second {
            files
                .rename(&first, &second, Overwrite::Forbid)
                .await
                .unwrap();
        }
        files.remove_folder(&second).await.unwrap();
    }
}

/// The names of the root, asked for by a client that does not wait for answers.
async fn list(files: &Session) -> Vec<String> {
    let mut channel = Channel::open(files).await;
    let handle = channel.ask(OPENDIR, &[b"/"], &[]).await.string();
    for _ in 0..PIPELINED {
        channel.send(READDIR, &[&handle], &[]);
    }
    let mut names = Vec::new();
    loop {
        let reply = channel.receive().await;
        if reply.kind != NAME {
            return names;
        }
        channel.send(READDIR, &[&handle], &[]);
        names.extend(
            names_in(&reply)
                .into_iter()
                .filter(|name| !name.starts_with('.')),
        );
    }
}

fn names_in(reply: &Reply) -> Vec<String> {
    let mut body = reply.body.clone();
    let count = body.get_u32();
    (0..count)
        .map(|_| {
            let length = body.get_u32() as usize;
            let name = String::from_utf8(body.split_to(length).to_vec()).unwrap();
            let length = body.get_u32() as usize;
            body.advance(length + 32);
            name
        })
        .collect()
}
