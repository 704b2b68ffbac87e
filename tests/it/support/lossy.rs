//! A database whose answers get lost.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use sealift::crypto::keyring::KeyRing;
use sealift::db::database::{Database, Location};
use sealift::db::{migrate, tenants};
use sealift::domain::clock::{ManualClock, Timestamp};
use sealift::net::budget::Budget;
use sealift::storage::memory::MemoryStore;
use sealift::storage::regions::Regions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use crate::support::folder::TempFolder;
use crate::support::postgres::Postgres;
use crate::support::world::{World, new_tenant};

/// A file system on such a database.
pub(crate) async fn losing() -> (World, LossyProxy) {
    let urls = Postgres::shared().fresh_database();
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_800_000_000)));
    let db = Database::open(&Location::Postgres(urls.owner), 2, clock.clone()).await;
    let db = db.unwrap();
    migrate::migrate(&db, "sealift_server").await.unwrap();
    db.close().await;
    let (head, rest) = urls.server.split_once("@127.0.0.1:").unwrap();
    let (port, name) = rest.split_once('/').unwrap();
    let proxy = LossyProxy::before(port.parse().unwrap()).await;
    let server = Location::Postgres(format!("{head}@127.0.0.1:{}/{name}", proxy.port));
    let db = Database::open(&server, 8, clock.clone()).await.unwrap();
    let db = db.timed_by(clock.clone());
    let tenant = tenants::add(&db, &new_tenant("acme")).await.unwrap();
    let regions = Regions::one(Arc::new(MemoryStore::new(clock.clone())));
    let (budget, ring) = (Budget::new(64 << 20), KeyRing::for_tests());
    let folder = TempFolder::new();
    let world = World::on(db, clock, tenant, regions, budget, ring, folder);
    (world.await, proxy)
}

/// Between client and database; on demand it passes a COMMIT on and loses the answer.
#[derive(Clone)]
pub(crate) struct LossyProxy {
    pub(crate) port: u16,
    /// How many answers to COMMIT are still to be lost.
    pub(crate) lose: Arc<AtomicUsize>,
    /// How many COMMITs are still to be cut off before the database has them.
    pub(crate) stop: Arc<AtomicUsize>,
    /// How many transactions that only read are still to be cut off at their beginning.
    pub(crate) cut: Arc<AtomicUsize>,
    tasks: TaskTracker,
}

impl LossyProxy {
    pub(crate) async fn before(database: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Self {
            port,
            lose: Arc::default(),
            stop: Arc::default(),
            cut: Arc::default(),
            tasks: TaskTracker::new(),
        };
        let passing = proxy.clone();
        proxy.tasks.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", database)).await.unwrap();
                let pass = passing.clone().pass(client, server);
                passing.tasks.spawn(pass);
            }
        });
        proxy
    }

    async fn pass(self, client: TcpStream, server: TcpStream) {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let muted = Arc::new(AtomicBool::new(false));
        let mute = muted.clone();
        let answers = self.tasks.spawn(async move {
            let mut bytes = vec![0; 65_536];
            while let Ok(length @ 1..) = from_server.read(&mut bytes).await {
                if !muted.load(SeqCst) && to_client.write_all(&bytes[..length]).await.is_err() {
                    return;
                }
            }
        });
        let mut bytes = vec![0; 65_536];
        while let Ok(length @ 1..) = from_client.read(&mut bytes).await {
            let sent = &bytes[..length];
            let commit = sent.windows(6).any(|window| window == b"COMMIT");
            let reads = sent.windows(15).any(|window| window == b"BEGIN READ ONLY");
            let lost = |left: usize| left.checked_sub(1);
            let is_cut = |when: bool, left: &AtomicUsize| {
                when && left.fetch_update(SeqCst, SeqCst, lost).is_ok()
            };
            if is_cut(reads, &self.cut) || is_cut(commit, &self.stop) {
                // Both ends see that.
                answers.abort();
                return;
            }
            if commit && self.lose.fetch_update(SeqCst, SeqCst, lost).is_ok() {
                mute.store(true, SeqCst);
                to_server.write_all(sent).await.unwrap();
                // Terminate: the server closes when the commit is done.
                to_server.write_all(b"X\0\0\0\x04").await.unwrap();
                answers.await.unwrap();
                return;
            }
            to_server.write_all(sent).await.unwrap();
        }
    }
}
