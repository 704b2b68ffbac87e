//! Whatever somebody who has logged in sends, and in whatever pieces: each request is answered once, nothing
//! stays under way or in memory when they are gone, and what is stored agrees with the database.
#![no_main]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use sealift::accounts::manage::Directory;
use sealift::accounts::manage_accounts::NewAccount;
use sealift::crypto::keyring::KeyRing;
use sealift::db::accounts;
use sealift::db::commit::Committer;
use sealift::db::database::{Database, Location};
use sealift::db::tenants::NewTenant;
use sealift::db::{instances, migrate};
use sealift::domain::clock::{Clock, SystemClock};
use sealift::domain::id::{InstanceId, RegionId, SessionId};
use sealift::domain::path::VfsPath;
use sealift::domain::principal::{DoorOptions, LoginName, Principal, Protocol};
use sealift::domain::rights::Rights;
use sealift::jobs::fsck;
use sealift::jobs::fsck_report::{Depth, Repair};
use sealift::net::budget::Budget;
use sealift::sftp::attrs::Viewer;
use sealift::sftp::context::Context;
use sealift::sftp::decode::Packet;
use sealift::sftp::gate::Gate;
use sealift::sftp::ledger::Ledger;
use sealift::sftp::outlet::Replies;
use sealift::sftp::packet::Packets;
use sealift::sftp::room::Room;
use sealift::sftp::session::SftpSession;
use sealift::storage::memory::MemoryStore;
use sealift::storage::regions::Regions;
use sealift::vfs::keys::{KEY_LIFE, TenantKeys};
use sealift::vfs::service::Vfs;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How many sessions one file system serves before it is checked and another is made.
const SESSIONS: u32 = 200;
const MOST_STEPS: usize = 64;
const MOST_HANDLES: usize = 4;

fuzz_target!(|input: (u8, u8, Vec<(u8, u8, u16, &[u8])>)| {
    let (piece, end, steps) = input;
    let mut house = HOUSE.lock().unwrap();
    let House { runtime, world } = &mut *house;
    runtime.block_on(async {
        if world
            .as_ref()
            .is_none_or(|world| world.sessions == SESSIONS)
        {
            if let Some(world) = world.take() {
                world.check().await;
            }
            *world = Some(World::new().await);
        }
        if let Some(world) = world {
            let mut client = Client::new(world, 1 + usize::from(piece)).await;
            for step in steps.into_iter().take(MOST_STEPS) {
                if !client.step(step).await {
                    break;
                }
            }
            client.leave(end).await;
        }
    });
});

static HOUSE: LazyLock<Mutex<House>> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    Mutex::new(House {
        runtime,
        world: None,
    })
});

struct House {
    runtime: Runtime,
    world: Option<World>,
}

/// A file system, each of whose tenants is somebody's own.
struct World {
    vfs: Vfs,
    budget: Budget,
    sessions: u32,
    folder: PathBuf,
}

impl World {
    async fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let name = format!("sealift-fuzz-{}-{}", std::process::id(), clock.now().0);
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        let location = Location::Sqlite(folder.join("fuzz.db"));
        let db = Database::open(&location, 4, clock.clone()).await.unwrap();
        migrate::migrate(&db, "nobody").await.unwrap();
        let instance = InstanceId::mint(clock.now());
        let lease = Duration::from_secs(1 << 30);
        instances::renew(&db, instance, lease).await.unwrap();
        let committer = Committer::new(db);
        let budget = Budget::new(64 << 20);
        let vfs = Vfs::new(
            committer.clone(),
            Regions::one(Arc::new(MemoryStore::new(clock))),
            TenantKeys::new(committer, KeyRing::for_tests(), KEY_LIFE),
            budget.clone(),
            instance,
        );
        Self {
            vfs,
            budget,
            sessions: 0,
            folder,
        }
    }

    /// Somebody new in a tenant of their own, with little room.
    async fn somebody(&mut self) -> Principal {
        self.sessions += 1;
        let directory = Directory::new(self.vfs.committer().clone(), 1);
        let tenant = NewTenant {
            name: format!("t{}", self.sessions),
            retention: Duration::from_secs(3600),
            quota_bytes: Some(1 << 20),
            quota_files: Some(12),
            region: RegionId::MAIN,
        };
        directory.add_tenant(&tenant).await.unwrap();
        let login = LoginName {
            user: "ann".to_owned(),
            tenant: tenant.name,
        };
        let new = NewAccount {
            home: Some(VfsPath::root()),
            ..NewAccount::new(login.clone())
        };
        directory.add_account(new).await.unwrap();
        let id = directory.tenant_id(&login.tenant).await.unwrap();
        let mut tx = self.vfs.database().read(id).await.unwrap();
        let account = accounts::by_name(&mut tx, &login.user)
            .await
            .unwrap()
            .unwrap();
        Principal {
            tenant: id,
            account: account.id,
            login,
            generation: account.generation,
            ceiling: account.ceiling,
            scope: Rights::ALL,
            sees_ways: true,
            home: VfsPath::root(),
            session: SessionId::random(),
            protocol: Protocol::Sftp,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            door_options: DoorOptions::default(),
            link: None,
            administrator: false,
        }
    }

    async fn check(self) {
        self.vfs.drain().await;
        assert_eq!(self.budget.used(), 0);
        let report = fsck::check(&self.vfs, Repair::No, Depth::Bytes)
            .await
            .unwrap();
        assert!(report.clean, "{:?}", report.problems);
        self.vfs.database().close().await;
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

struct Client {
    session: Option<SftpSession>,
    ledger: Ledger,
    tasks: TaskTracker,
    piece: usize,
    /// Cuts what is sent as the server should.
    sent: Packets,
    asked: HashMap<u32, usize>,
    heard: Arc<Heard>,
    next: u32,
}

#[derive(Default)]
struct Heard {
    state: Mutex<Answers>,
    came: Notify,
}

#[derive(Default)]
struct Answers {
    packets: Packets,
    count: usize,
    of: HashMap<u32, usize>,
    handles: Vec<Bytes>,
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.state.lock().unwrap()
    }

    fn take(&self, bytes: &[u8]) {
        let (mut answers, mut rest) = (self.lock(), bytes);
        while let Some(reply) = answers.packets.next(&mut rest).unwrap() {
            let (kind, number) = (
                reply[0],
                u32::from_be_bytes(reply[1..5].try_into().unwrap()),
            );
            match kind {
                VERSION => continue,
                HANDLE => answers.handles.push(reply.slice(5..)),
                _ => {}
            }
            answers.count += 1;
            *answers.of.entry(number).or_default() += 1;
        }
        drop(answers);
        self.came.notify_one();
    }
}

const VERSION: u8 = 2;
const HANDLE: u8 = 102;

impl Client {
    async fn new(world: &mut World, piece: usize) -> Self {
        let principal = world.somebody().await;
        let heard = Arc::new(Heard::default());
        let (at_once, listening) = (heard.clone(), heard.clone());
        let (replies, outlet) = Replies::new(move |bytes| {
            at_once.take(&bytes);
            Ok(())
        });
        let (ledger, tasks) = (Ledger::new(world.budget.clone()), TaskTracker::new());
        let context = Context {
            files: world.vfs.session(principal.clone()),
            viewer: Arc::new(Viewer::new(&principal)),
            replies,
            room: Room::new(world.budget.clone()),
            ahead: Room::new(world.budget.clone()),
            gate: Gate::new(world.budget.clone(), 1 << 20),
            ledger: ledger.clone(),
            clock: Arc::new(SystemClock),
            broken: CancellationToken::new(),
        };
        let session = SftpSession::start(context, MOST_HANDLES, &tasks);
        tasks.spawn(outlet.run(move |bytes| {
            listening.take(&bytes);
            std::future::ready(true)
        }));
        let mut client = Self {
            session: Some(session),
            ledger,
            tasks,
            piece,
            sent: Packets::default(),
            asked: HashMap::new(),
            heard,
            next: 0,
        };
        client.send(&framed(&[1, 0, 0, 0, 3]));
        client
    }

    /// Takes one step; false when the session is over.
    async fn step(&mut self, (kind, die, number, data): (u8, u8, u16, &[u8])) -> bool {
        if die & 0x80 != 0 {
            self.settle().await;
        }
        match kind {
            // Anything, also what is no packet.
            250.. => self.send(data),
            240.. => self.send(&framed(data)),
            _ => {
                let packet = self.packet(kind, die, number, data);
                self.send(&framed(&packet))
            }
        }
    }

    fn packet(&mut self, kind: u8, die: u8, number: u16, data: &[u8]) -> BytesMut {
        self.next += 1;
        let mut packet = BytesMut::new();
        let (kind, extension) = match EXTENSIONS.get(usize::from(kind / 2)) {
            Some(name) if kind % 2 == 1 => (200, Some(*name)),
            _ => (3 + kind % 18, None),
        };
        packet.put_u8(kind);
        packet.put_u32(self.next);
        if let Some(name) = extension {
            string(&mut packet, name.as_bytes());
        }
        let far = u64::from(number) << (8 * (die >> 4 & 3));
        match (kind, extension) {
            (4 | 5 | 6 | 8 | 10 | 12, _)
            | (_, Some("fstatvfs@openssh.com" | "fsync@openssh.com" | "check-file-handle")) => {
                packet.put_slice(&self.handle(die));
            }
            (_, Some("copy-data")) => {
                packet.put_slice(&self.handle(die));
                packet.put_u64(far);
                packet.put_u64(u64::from(die));
                packet.put_slice(&self.handle(die >> 2));
                packet.put_u64(u64::from(number));
            }
            (_, Some("users-groups-by-id@openssh.com" | "limits@openssh.com")) => {}
            _ => string(&mut packet, path(die)),
        }
        match (kind, extension) {
            (3, _) => {
                packet.put_u32(u32::from(number & 0x3f));
                attributes(&mut packet, data);
            }
            (5, _) => {
                packet.put_u64(far);
                packet.put_u32(u32::from(number) << (die & 7));
            }
            (6, _) => {
                packet.put_u64(far);
                // As long as it says, of what there is.
                let data = match data.is_empty() {
                    true => b"data",
                    false => data,
                };
                let long = data.repeat(1 + usize::from(number & 0x1ff));
                string(&mut packet, &long);
            }
            (9 | 10 | 14, _) => attributes(&mut packet, data),
            (18, _)
            | (_, Some("posix-rename@openssh.com" | "hardlink@openssh.com" | "copy-file")) => {
                string(&mut packet, path((number >> 8) as u8));
                packet.put_u8(number as u8 & 1);
            }
            (_, Some("lsetstat@openssh.com")) => attributes(&mut packet, data),
            (_, Some("check-file-name" | "check-file-handle")) => {
                string(&mut packet, b"sha256,md5,crc32");
                packet.put_u64(far);
                packet.put_u64(u64::from(die));
                packet.put_u32(u32::from(number) << 8);
            }
            (_, Some("users-groups-by-id@openssh.com")) => {
                string(&mut packet, data);
                string(&mut packet, data);
            }
            _ => packet.put_slice(data),
        }
        packet
    }

    /// A handle that was given out, if there is one.
    fn handle(&self, die: u8) -> Bytes {
        let answers = self.heard.lock();
        let last = answers.handles.iter().rev().take(MOST_HANDLES + 1);
        let mut last = last.cycle();
        let found = last.nth(usize::from(die & 7)).cloned();
        found.unwrap_or_else(|| Bytes::from_static(b"\0\0\0\x0812345678"))
    }

    fn send(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while let Ok(Some(packet)) = self.sent.next(&mut rest) {
            match Packet::parse(packet) {
                Ok(Packet::Request(id, _)) => *self.asked.entry(id).or_default() += 1,
                Ok(Packet::Init(_)) => {}
                Err(_) => break,
            }
        }
        let Some(session) = &mut self.session else {
            return false;
        };
        let mut pieces = bytes.chunks(self.piece);
        if pieces.all(|piece| session.feed(piece).is_ok()) {
            return true;
        }
        self.session = None;
        false
    }

    /// Waits until all that was asked is answered.
    async fn settle(&self) {
        let asked: usize = self.asked.values().sum();
        while self.heard.lock().count < asked {
            self.heard.came.notified().await;
        }
    }

    /// Goes in one of three ways: with everything answered, by ending what it sends, or without a word.
    async fn leave(mut self, end: u8) {
        let is_whole = match self.session.take() {
            None => false,
            Some(session) => {
                if end % 3 == 0 {
                    self.settle().await;
                }
                match end % 3 {
                    2 => drop(session),
                    _ => session.finish(),
                }
                end % 3 < 2
            }
        };
        self.tasks.close();
        self.tasks.wait().await;
        let answers = self.heard.lock();
        assert!(!answers.packets.is_cut());
        for (id, count) in &answers.of {
            assert!(*count <= self.asked[id], "{id} was answered {count} times");
        }
        if is_whole {
            assert_eq!(answers.of, self.asked);
        }
        assert!(self.ledger.is_quiet());
    }
}

const EXTENSIONS: [&str; 19] = [
    "posix-rename@openssh.com",
    "hardlink@openssh.com",
    "fsync@openssh.com",
    "statvfs@openssh.com",
    "fstatvfs@openssh.com",
    "limits@openssh.com",
    "lsetstat@openssh.com",
    "expand-path@openssh.com",
    "users-groups-by-id@openssh.com",
    "copy-data",
    "home-directory",
    "check-file-name",
    "check-file-handle",
    "copy-file",
    "space-available",
    "vendor-id",
    "copy-data",
    "check-file-handle",
    "nobody@knows",
];

fn path(die: u8) -> &'static [u8] {
    const PATHS: [&[u8]; 10] = [
        b"a",
        b"b",
        b"d",
        b"d/a",
        b"d/e",
        b"/",
        b"",
        b"../d/./b",
        b"a\0b",
        b"\xff/\xc0",
    ];
    // Mostly good ones.
    PATHS[usize::from(die & 15) % if die & 0x40 != 0 { 10 } else { 5 }]
}

fn attributes(packet: &mut BytesMut, data: &[u8]) {
    match data {
        [] => packet.put_u32(0),
        [size, rest @ ..] if *size < 128 => {
            packet.put_u32(1);
            packet.put_u64(u64::from(*size) << (8 * (rest.len() % 4)));
        }
        _ => packet.put_slice(data),
    }
}

fn string(packet: &mut BytesMut, bytes: &[u8]) {
    packet.put_u32(bytes.len() as u32);
    packet.put_slice(bytes);
}

fn framed(packet: &[u8]) -> BytesMut {
    let mut framed = BytesMut::new();
    string(&mut framed, packet);
    framed
}
