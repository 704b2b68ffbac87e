//! The namespace alone, in this process: publishes a second, and what folders cost however much
//! is below them.

use std::future::Future;
use std::time::Instant;

use sealift::accounts::manage::Directory;
use sealift::accounts::webhook_views::NewWebhook;
use sealift::db::sql::Dialect;
use sealift::db::tenants;
use sealift::domain::topic::Topics;
use sealift::net::reach::Reach;
use sealift::server::keys::source;
use sealift::vfs::history::Restore;
use sealift::vfs::rename::Overwrite;
use sealift::vfs::session::Session;

use crate::report::{Outcome, Report, Row, median};
use crate::support::world::{World, new_tenant, path, put};
use crate::{Case, Settings};

const WRITERS: usize = 64;
const PUBLISHES: usize = 4_000;
const MANY: usize = 1_000_000;
const DIALECTS: [(&str, Dialect); 2] = [
    ("sqlite", Dialect::Sqlite),
    ("postgresql", Dialect::Postgres),
];

/// The cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("publishes", |settings| block_on(publishes(settings))),
        Case::new("folders", |settings| block_on(folders(settings))),
        Case::new("first-page", |settings| block_on(first_page(settings))),
    ]
}

/// 64 writers store files of 1 KiB, all in one tenant or each in its own.
async fn publishes(settings: &Settings) -> Outcome<Report> {
    let mut rows = Vec::new();
    for (database, dialect) in DIALECTS {
        let mut world = World::new(dialect).await;
        let mut one = Vec::new();
        let mut many = Vec::new();
        let mut told = Vec::new();
        for number in 0..WRITERS {
            one.push(world.account(&format!("writer{number}")).await);
        }
        let first = world.tenant.clone();
        for number in 0..WRITERS {
            let new = new_tenant(&format!("tenant{number}"));
            world.tenant = tenants::add(world.vfs.database(), &new).await?;
            many.push(world.account("writer").await);
        }
        world.tenant = tenants::add(world.vfs.database(), &new_tenant("told")).await?;
        listen(&world).await?;
        for number in 0..WRITERS {
            told.push(world.account(&format!("writer{number}")).await);
        }
        world.tenant = first;
        let mut rates = [Vec::new(), Vec::new(), Vec::new()];
        for round in 0..settings.rounds {
            for (sessions, rates) in [&one, &many, &told].into_iter().zip(&mut rates) {
                rates.push(rate(sessions, round).await?);
            }
        }
        let names = ["one tenant", "64 tenants", "one tenant with a webhook"];
        for (tenants, rates) in names.into_iter().zip(rates) {
            rows.push(Row {
                subject: format!("{database}, {tenants}"),
                values: vec![median(rates)],
            });
        }
    }
    Ok(Report {
        about: format!("{WRITERS} writers store 1 KiB files, blobs in memory, database on disk"),
        columns: vec!["publishes/s"],
        rows,
    })
}

/// Gives a tenant a webhook; nothing is sent, as no job runs.
async fn listen(world: &World) -> Outcome<()> {
    let new = NewWebhook {
        name: "hook".to_owned(),
        url: "https://192.0.2.1/".to_owned(),
        topics: Topics::ALL,
        path: "/".to_owned(),
        made_by: "a measurement".to_owned(),
    };
    let reach = Reach {
        allow: vec!["192.0.2.0/24".parse()?],
        clear: false,
    };
    let directory = Directory::new(world.vfs.committer().clone(), 1_000);
    let keys = source(world.vfs.keys().clone());
    directory
        .add_webhook(&world.tenant.name, new, &reach, &keys)
        .await?;
    Ok(())
}

async fn rate(sessions: &[Session], round: usize) -> Outcome<f64> {
    let started = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for (number, session) in sessions.iter().enumerate() {
        let session = session.clone();
        writers.spawn(async move {
            for file in 0..PUBLISHES / WRITERS {
                let at = path(&format!("/{round}-{number}-{file}"));
                put(&session, &at, &[7; 1024]).await?;
            }
            Ok::<_, sealift::domain::error::Error>(())
        });
    }
    while let Some(done) = writers.join_next().await {
        done??;
    }
    Ok(PUBLISHES as f64 / started.elapsed().as_secs_f64())
}

/// Renames, deletes and restores a folder with 10 entries below it and one with 100,000.
async fn folders(settings: &Settings) -> Outcome<Report> {
    let mut rows = Vec::new();
    for (database, dialect) in DIALECTS {
        let world = World::new(dialect).await;
        let session = world.account("ann").await;
        let sizes = [10, 100_000];
        for size in sizes {
            fill(&session, size).await?;
        }
        let mut times = [[const { Vec::new() }; 3], [const { Vec::new() }; 3]];
        for _ in 0..settings.rounds {
            for (size, times) in sizes.into_iter().zip(&mut times) {
                let (at, moved) = (path(&format!("/f{size}")), path(&format!("/moved{size}")));
                let [renames, deletes, restores] = times;
                let rename = session.rename(&at, &moved, Overwrite::Forbid);
                renames.push(Box::pin(milliseconds(rename)).await?);
                session.rename(&moved, &at, Overwrite::Forbid).await?;
                let node = session.stat(&at).await?.node;
                deletes.push(Box::pin(milliseconds(session.remove_tree(&at))).await?);
                let actor = session.principal().actor();
                let committer = world.vfs.committer();
                let restore = committer.run(world.tenant.id, &actor, Restore { node });
                restores.push(milliseconds(restore).await?);
            }
        }
        for (size, times) in sizes.into_iter().zip(times) {
            rows.push(Row {
                subject: format!("{database}, {size} below"),
                values: times.into_iter().map(median).collect(),
            });
        }
    }
    Ok(Report {
        about: "a folder with 10 and with 100,000 entries below it".to_owned(),
        columns: vec!["rename ms", "delete ms", "restore ms"],
        rows,
    })
}

/// Opens a folder of a million names and takes its first page, and then the others. The folder is made once for each
/// database, which takes minutes.
async fn first_page(settings: &Settings) -> Outcome<Report> {
    let mut rows = Vec::new();
    for (database, dialect) in DIALECTS {
        let world = World::new(dialect).await;
        let session = world.account("ann").await;
        fill(&session, MANY).await?;
        let folder = path(&format!("/f{MANY}"));
        let (mut first, mut all) = (Vec::new(), Vec::new());
        for _ in 0..settings.rounds {
            let started = Instant::now();
            let mut names = session.list(&folder).await?;
            let mut count = names.next_page().await?.len();
            first.push(started.elapsed().as_secs_f64() * 1000.0);
            loop {
                match names.next_page().await?.len() {
                    0 => break,
                    more => count += more,
                }
            }
            if count != MANY {
                return Err(format!("{count} names were listed").into());
            }
            all.push(MANY as f64 / started.elapsed().as_secs_f64());
        }
        rows.push(Row {
            subject: database.to_owned(),
            values: vec![median(first), median(all)],
        });
    }
    Ok(Report {
        about: "a folder of 1,000,000 names, listed".to_owned(),
        columns: vec!["first page ms", "names/s"],
        rows,
    })
}

async fn fill(session: &Session, size: usize) -> Outcome<()> {
    session
        .make_folder(&path(&format!("/f{size}")), Default::default())
        .await?;
    let mut makers = tokio::task::JoinSet::new();
    for maker in 0..WRITERS {
        let session = session.clone();
        makers.spawn(async move {
            for entry in (maker..size).step_by(WRITERS) {
                put(&session, &path(&format!("/f{size}/entry{entry}")), b"").await?;
            }
            Ok::<_, sealift::domain::error::Error>(())
        });
    }
    while let Some(done) = makers.join_next().await {
        done??;
    }
    Ok(())
}

async fn milliseconds<T>(
    work: impl Future<Output = sealift::domain::error::Result<T>>,
) -> Outcome<f64> {
    let started = Instant::now();
    work.await?;
    Ok(started.elapsed().as_secs_f64() * 1000.0)
}

fn block_on(work: impl Future<Output = Outcome<Report>>) -> Outcome<Report> {
    tokio::runtime::Runtime::new()?.block_on(work)
}
