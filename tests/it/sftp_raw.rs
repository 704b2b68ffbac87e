//! The SFTP layer without SSH around it: packets in, packets out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use sealift::accounts::login::{Accounts, LoginSettings};
use sealift::db::sql::Dialect;
use sealift::domain::error::{ErrorKind, Result};
use sealift::net::budget::Budget;
use sealift::server::keys::source;
use sealift::sftp::attrs::Viewer;
use sealift::sftp::connection::{self, Parts};
use sealift::sftp::context::Context;
use sealift::sftp::gate::Gate;
use sealift::sftp::host_keys::HostKeys;
use sealift::sftp::ledger::Ledger;
use sealift::sftp::outlet::Replies;
use sealift::sftp::packet::Packets;
use sealift::sftp::room::Room;
use sealift::sftp::session::SftpSession;
use sealift::sftp::settings::{SftpSettings, ssh_config};
use sealift::storage::faulty::Operation;
use sealift::vfs::session::Session;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc::{Receiver, channel};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::wait::until;
use crate::support::world::{World, get, path, put};

const INIT: u8 = 1;
pub(crate) const OPEN: u8 = 3;
pub(crate) const CLOSE: u8 = 4;
const READ: u8 = 5;
const WRITE: u8 = 6;
const FSTAT: u8 = 8;
pub(crate) const READDIR: u8 = 12;
pub(crate) const SETSTAT: u8 = 9;
pub(crate) const OPENDIR: u8 = 11;
pub(crate) const MKDIR: u8 = 14;
pub(crate) const STAT: u8 = 17;
pub(crate) const RENAME: u8 = 18;
pub(crate) const SYMLINK: u8 = 20;
const EXTENDED: u8 = 200;

pub(crate) const STATUS: u8 = 101;
pub(crate) const HANDLE: u8 = 102;
const DATA: u8 = 103;
pub(crate) const NAME: u8 = 104;
pub(crate) const ATTRS: u8 = 105;
const EXTENDED_REPLY: u8 = 201;

pub(crate) const OK: u32 = 0;
pub(crate) const EOF: u32 = 1;
pub(crate) const NO_SUCH_FILE: u32 = 2;
pub(crate) const FAILURE: u32 = 4;
pub(crate) const BAD_MESSAGE: u32 = 5;
pub(crate) const OP_UNSUPPORTED: u32 = 8;

pub(crate) const READING: u32 = 1;
pub(crate) const WRITING: u32 = 2 | 8 | 16;

/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(60);

/// A reply without its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) kind: u8,
    pub(crate) id: u32,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn code(&self) -> u32 {
        assert_eq!(self.kind, STATUS, "{self:?}");
        self.body.clone().get_u32()
    }

    pub(crate) fn message(&self) -> String {
        self.code();
        let mut rest = self.body.slice(4..);
        let length = rest.get_u32() as usize;
        String::from_utf8(rest[..length].to_vec()).unwrap()
    }

    pub(crate) fn string(&self) -> Bytes {
        self.body.slice(4..)
    }
}

/// A channel whose client is the test.
pub(crate) struct Channel {
    pub(crate) session: Option<SftpSession>,
    replies: Receiver<Bytes>,
    packets: Packets,
    unread: Bytes,
    tasks: TaskTracker,
    pub(crate) budget: Budget,
    pub(crate) ledger: Ledger,
    next: u32,
}

impl Channel {
    /// Begun, with the greeting taken.
    pub(crate) async fn open(files: &Session) -> Self {
        Self::within(files, Budget::new(256 << 20)).await
    }

    /// The same with a memory budget of the test's own.
    async fn within(files: &Session, budget: Budget) -> Self {
        let mut channel = Self::start(files, budget);
        let reply = channel.receive().await;
        assert_eq!((reply.kind, reply.id), (2, 3));
        channel
    }

    fn start(files: &Session, budget: Budget) -> Self {
        let (replies, outlet) = Replies::new(Err);
        let ledger = Ledger::new(budget.clone());
        let context = Context {
            files: files.clone(),
            viewer: Arc::new(Viewer::new(files.principal())),
            replies,
            room: Room::new(budget.clone()),
            ahead: Room::new(budget.clone()),
            gate: Gate::new(budget.clone(), usize::MAX),
            ledger: ledger.clone(),
            clock: Arc::new(sealift::domain::clock::SystemClock),
            broken: CancellationToken::new(),
        };
        let tasks = TaskTracker::new();
        let mut session = SftpSession::start(context, 4, &tasks);
        session.feed(&[0, 0, 0, 5, INIT, 0, 0, 0, 3]).unwrap();
        // One batch waits, as in SSH when the client's window is used up.
        let (sender, receiver) = channel(1);
        tasks.spawn(outlet.run(move |bytes| {
            let sender = sender.clone();
            async move { sender.send(bytes).await.is_ok() }
        }));
        Self {
            session: Some(session),
            replies: receiver,
            packets: Packets::default(),
            unread: Bytes::new(),
            tasks,
            budget,
            ledger,
            next: 0,
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        self.session.as_mut().unwrap().feed(bytes)
    }

    /// Sends a request made of `strings` and then `rest`, and returns its number.
    pub(crate) fn send(&mut self, kind: u8, strings: &[&[u8]], rest: &[u8]) -> u32 {
        self.next += 1;
        let packet = request(kind, self.next, strings, rest);
        self.feed(&packet).unwrap();
        self.next
    }

    pub(crate) fn write(&mut self, handle: &[u8], offset: u64, data: &[u8]) -> u32 {
        let mut rest = BytesMut::new();
        rest.put_u64(offset);
        rest.put_u32(u32::try_from(data.len()).unwrap());
        rest.put_slice(data);
        self.send(WRITE, &[handle], &rest)
    }

    pub(crate) fn read(&mut self, handle: &[u8], offset: u64, length: u32) -> u32 {
        let mut rest = BytesMut::new();
        rest.put_u64(offset);
        rest.put_u32(length);
        self.send(READ, &[handle], &rest)
    }

    pub(crate) async fn receive(&mut self) -> Reply {
        loop {
            let mut input = &self.unread[..];
            let before = input.len();
            let packet = self.packets.next(&mut input).unwrap();
            let used = before - input.len();
            self.unread.advance(used);
            if let Some(mut body) = packet {
                let (kind, id) = (body.get_u8(), body.get_u32());
                return Reply { kind, id, body };
            }
            let more = tokio::time::timeout(WITHIN, self.replies.recv()).await;
            self.unread = more.expect("a reply in time").expect("not the end");
        }
    }

    pub(crate) async fn ask(&mut self, kind: u8, strings: &[&[u8]], rest: &[u8]) -> Reply {
        let id = self.send(kind, strings, rest);
        let reply = self.receive().await;
        assert_eq!(reply.id, id);
        reply
    }

    pub(crate) fn send_open(&mut self, name: &str, flags: u32) -> u32 {
        let mut rest = BytesMut::new();
        rest.put_u32(flags);
        rest.put_u32(0);
        self.send(OPEN, &[name.as_bytes()], &rest)
    }

    pub(crate) async fn open_file(&mut self, name: &str, flags: u32) -> Bytes {
        let id = self.send_open(name, flags);
        let reply = self.receive().await;
        assert_eq!((reply.kind, reply.id), (HANDLE, id), "{reply:?}");
        reply.string()
    }

    /// Takes no more replies and waits until all is done.
    pub(crate) async fn drained(&mut self) {
        self.replies.close();
        self.tasks.close();
        tokio::time::timeout(WITHIN, self.tasks.wait())
            .await
            .expect("all tasks end");
    }
}

pub(crate) fn request(kind: u8, id: u32, strings: &[&[u8]], rest: &[u8]) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u8(kind);
    body.put_u32(id);
    for string in strings {
        body.put_u32(u32::try_from(string.len()).unwrap());
        body.put_slice(string);
    }
    body.put_slice(rest);
    let mut packet = BytesMut::new();
    packet.put_u32(u32::try_from(body.len()).unwrap());
    packet.put_slice(&body);
    packet.freeze()
}

pub(crate) async fn world() -> (World, Session) {
    let world = World::new(Dialect::Sqlite).await;
    let files = world.account("ann").await;
    (world, files)
}

#[tokio::test]
async fn a_malformed_request_is_answered_by_its_number_and_the_session_goes_on() {
    let (_world, files) = world().await;
    let mut channel = Channel::open(&files).await;
    let reply = channel.ask(STAT, &[], &[0, 0, 1, 0, b'x']).await;
    assert_eq!(reply.code(), BAD_MESSAGE);
    assert!(reply.message().contains("256 bytes"), "{}", reply.message());
    let reply = channel.ask(SYMLINK, &[b"a", b"b"], &[]).await;
    assert_eq!(reply.code(), OP_UNSUPPORTED);
    let reply = channel.ask(CLOSE, &[b"nonsense"], &[]).await;
    assert_eq!(reply.code(), FAILURE);
    assert_eq!(channel.ask(STAT, &[b"/"], &[]).await.kind, ATTRS);
}

#[tokio::test]
async fn nothing_is_understood_after_a_bad_length_or_before_a_greeting() {
    let (_world, files) = world().await;
    for bytes in [&[0, 0, 0, 0][..], &[0xff; 4], &[0, 0, 0, 2, STAT, 0]] {
        let mut channel = Channel::open(&files).await;
        let error = channel.feed(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    let mut channel = Channel::open(&files).await;
    assert!(channel.feed(&[0, 0, 0, 5, INIT, 0, 0, 0, 3]).is_err());
}

#[tokio::test]
async fn what_is_asked_after_a_close_sees_the_closed_file() {
    let (_world, files) = world().await;
    let mut channel = Channel::open(&files).await;
    let handle = channel.open_file("/a", WRITING).await;
    let first = channel.write(&handle, 0, b"hello ");
    channel.write(&handle, 6, b"world");
    channel.send(FSTAT, &[&handle], &[]);
    channel.send(CLOSE, &[&handle], &[]);
    channel.send(STAT, &[b"/a"], &[]);
    channel.send(RENAME, &[b"/a", b"/b"], &[]);
    channel.send(STAT, &[b"/a"], &[]);
    let mut replies = Vec::new();
    for _ in 0..7 {
        replies.push(channel.receive().await);
    }
    replies.sort_by_key(|reply| reply.id);
    let size = |reply: &Reply| {
        assert_eq!(reply.kind, ATTRS, "{reply:?}");
        reply.body.slice(4..).get_u64()
    };
    assert_eq!(replies[0].id, first);
    assert_eq!(replies[1].code(), OK);
    assert_eq!(size(&replies[2]), 11);
    assert_eq!(replies[3].code(), OK);
    assert_eq!(size(&replies[4]), 11);
    assert_eq!(replies[5].code(), OK);
    assert_eq!(replies[6].code(), NO_SUCH_FILE);
    assert_eq!(get(&files, &path("/b")).await.unwrap(), b"hello world");
}

#[tokio::test]
async fn a_file_being_written_answers_to_its_name_until_that_is_taken_away() {
    let (_world, files) = world().await;
    let mut channel = Channel::open(&files).await;
    let handle = channel.open_file("/a", WRITING).await;
    let attributes = channel.ask(STAT, &[b"/a"], &[]).await;
    assert_eq!(attributes.kind, ATTRS, "{attributes:?}");
    channel.write(&handle, 0, b"hello");
    assert_eq!(channel.receive().await.code(), OK);
    let attributes = channel.ask(STAT, &[b"/a"], &[]).await;
    assert_eq!(attributes.body.slice(4..).get_u64(), 5);
    // Permissions, as chmod by name.
    let private = [0, 0, 0, 4, 0, 0, 0b1, 0b1000_0000];
    assert_eq!(channel.ask(SETSTAT, &[b"/a"], &private).await.code(), OK);
    assert_eq!(channel.ask(CLOSE, &[&handle], &[]).await.code(), OK);
    assert_eq!(
        files.stat(&path("/a")).await.unwrap().attributes.mode,
        0o600
    );
    let handle = channel.open_file("/a", WRITING).await;
    assert_eq!(channel.ask(RENAME, &[b"/a", b"/b"], &[]).await.code(), OK);
    let gone = channel.ask(STAT, &[b"/a"], &[]).await;
    assert_eq!(gone.code(), NO_SUCH_FILE);
    assert_eq!(channel.ask(CLOSE, &[&handle], &[]).await.code(), OK);
}

#[tokio::test]
async fn reads_wait_for_a_client_that_takes_nothing_and_cost_bounded_memory() {
    let (_world, files) = world().await;
    let content: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
    put(&files, &path("/a"), &content).await.unwrap();
    let mut channel = Channel::open(&files).await;
    let handle = channel.open_file("/a", READING).await;
    const READS: u32 = 2000;
    let mut asked = HashMap::new();
    for index in 0..READS {
        let offset = index as usize * 500;
        asked.insert(channel.read(&handle, offset as u64, 100_000), offset);
    }
    let full = async {
        while channel.budget.used() < 15 << 20 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WITHIN, full)
        .await
        .expect("many reads at once");
    for _ in 0..READS {
        let reply = channel.receive().await;
        let offset = asked[&reply.id];
        assert_eq!(reply.kind, DATA);
        let end = content.len().min(offset + 100_000);
        assert!(reply.string() == content[offset..end], "at {offset}");
    }
    assert!(channel.budget.peak() <= 17 << 20);
    channel.read(&handle, 1 << 40, 10);
    assert_eq!(channel.receive().await.code(), EOF);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_of_a_file_are_answered_in_order_and_hold_back_no_other() {
    let (world, files) = world().await;
    let content = vec![7; 200_000];
    put(&files, &path("/a"), &content).await.unwrap();
    put(&files, &path("/b"), b"another").await.unwrap();
    let mut channel = Channel::open(&files).await;
    let a = channel.open_file("/a", READING).await;
    let b = channel.open_file("/b", READING).await;
    let first = channel.read(&b, 0, 10);
    assert_eq!(channel.receive().await.id, first);
    world.faults.hold(Operation::Read);
    // The end is known at once, what comes before it is not.
    let slow = channel.read(&a, 0, 1000);
    let nothing = channel.read(&a, 10, 0);
    let end = channel.read(&a, 200_000, 1000);
    let other = channel.read(&b, 0, 10);
    assert_eq!(channel.receive().await.id, other);
    world.faults.release(Operation::Read);
    let mut answered = Vec::new();
    for _ in 0..3 {
        answered.push(channel.receive().await.id);
    }
    assert_eq!(answered, [slow, nothing, end]);
}

#[tokio::test]
async fn a_handle_of_another_channel_leads_nowhere() {
    let (_world, files) = world().await;
    let mut mine = Channel::open(&files).await;
    let mut other = Channel::open(&files).await;
    let handle = mine.open_file("/a", WRITING).await;
    other.write(&handle, 0, b"x");
    assert_eq!(other.receive().await.code(), FAILURE);
    mine.write(&handle, 0, b"x");
    assert_eq!(mine.receive().await.code(), OK);
}

#[tokio::test]
async fn a_listing_asked_for_in_advance_has_each_name_once() {
    let (_world, files) = world().await;
    many_folders(&mut Channel::open(&files).await).await;
    // Without memory for the rest of a page that is fetched again.
    for budget in [256 << 20, 0] {
        list_in_advance(Channel::within(&files, Budget::new(budget)).await).await;
    }
}

/// More than a page of a listing has.
async fn many_folders(channel: &mut Channel) {
    for index in 0..1200 {
        let name = format!("/{index:04}-{}", "x".repeat(60));
        let reply = channel.ask(MKDIR, &[name.as_bytes()], &[0; 4]).await;
        assert_eq!(reply.code(), OK);
    }
}

async fn list_in_advance(mut channel: Channel) {
    let handle = channel.ask(OPENDIR, &[b"/"], &[]).await.string();
    for _ in 0..40 {
        channel.send(READDIR, &[&handle], &[]);
    }
    let mut names = Vec::new();
    let mut ends = 0;
    for _ in 0..40 {
        let reply = channel.receive().await;
        if reply.kind == STATUS {
            assert_eq!(reply.code(), EOF);
            ends += 1;
            continue;
        }
        assert_eq!((reply.kind, ends), (NAME, 0));
        assert!(reply.body.len() < 34_000);
        let mut body = reply.body.clone();
        for _ in 0..body.get_u32() {
            let length = body.get_u32() as usize;
            names.push(body.split_to(length));
            let length = body.get_u32() as usize;
            body.advance(length + 32);
        }
    }
    assert!(ends > 0);
    assert_eq!((&names[0][..], &names[1][..]), (&b"."[..], &b".."[..]));
    assert_eq!(names.len(), 1202);
    assert!(names[2..].is_sorted());
}

#[tokio::test]
async fn what_is_left_of_a_page_counts_until_the_folder_is_closed() {
    let (_world, files) = world().await;
    let mut channel = Channel::open(&files).await;
    many_folders(&mut channel).await;
    let mut handles = Vec::new();
    for _ in 0..4 {
        let handle = channel.ask(OPENDIR, &[b"/"], &[]).await.string();
        assert_eq!(channel.ask(READDIR, &[&handle], &[]).await.kind, NAME);
        handles.push(handle);
    }
    // Far more than the replies.
    assert!(channel.budget.used() > 400_000, "{:?}", channel.budget);
    for handle in handles {
        assert_eq!(channel.ask(CLOSE, &[&handle], &[]).await.code(), OK);
    }
    let budget = channel.budget.clone();
    until("all to be given back", async || budget.used() == 0).await;
}

#[tokio::test]
async fn a_close_says_why_the_file_was_not_stored_and_the_old_one_stays() {
    let (world, files) = world().await;
    put(&files, &path("/a"), b"old").await.unwrap();
    let mut channel = Channel::open(&files).await;
    let handle = channel.open_file("/a", WRITING).await;
    channel.write(&handle, 0, b"new");
    assert_eq!(channel.receive().await.code(), OK);
    world
        .faults
        .fail(Operation::Put, ErrorKind::StorageFull, 100);
    let reply = channel.ask(CLOSE, &[&handle], &[]).await;
    assert_eq!(reply.code(), FAILURE);
    assert!(!reply.message().is_empty());
    world.faults.mend();
    assert_eq!(get(&files, &path("/a")).await.unwrap(), b"old");
}

#[tokio::test]
async fn too_many_open_handles_are_refused_in_words() {
    let (_world, files) = world().await;
    let mut channel = Channel::open(&files).await;
    for name in ["/1", "/2", "/3", "/4"] {
        channel.open_file(name, WRITING).await;
    }
    let reply = channel.ask(OPENDIR, &[b"/"], &[]).await;
    assert_eq!(reply.code(), FAILURE);
    assert!(reply.message().contains('4'), "{}", reply.message());
}

#[tokio::test]
async fn files_that_wait_for_their_checksums_are_as_few_as_open_ones() {
    let (world, files) = world().await;
    put(&files, &path("/a"), b"abc").await.unwrap();
    let mut channel = Channel::open(&files).await;
    world.faults.hold(Operation::Read);
    let wanted = [&b"check-file-name"[..], b"/a", b"md5"];
    let asked: Vec<u32> = (0..4)
        .map(|_| channel.send(EXTENDED, &wanted, &[0; 20]))
        .collect();
    let reply = channel.ask(EXTENDED, &wanted, &[0; 20]).await;
    assert_eq!(reply.code(), FAILURE);
    assert!(reply.message().contains('4'), "{}", reply.message());
    channel.send_open("/a", READING);
    assert_eq!(channel.receive().await.code(), FAILURE);
    world.faults.mend();
    let mut answered = Vec::new();
    for _ in &asked {
        let reply = channel.receive().await;
        assert_eq!(reply.kind, EXTENDED_REPLY);
        answered.push(reply.id);
    }
    answered.sort_unstable();
    assert_eq!(answered, asked);
    // One that was closed has its place as long as something is asked of it.
    world.faults.hold(Operation::Read);
    for _ in 0..4 {
        let handle = channel.open_file("/a", READING).await;
        let wanted = [&b"check-file-handle"[..], &handle, b"sha1"];
        channel.send(EXTENDED, &wanted, &[0; 20]);
        assert_eq!(channel.ask(CLOSE, &[&handle], &[]).await.code(), OK);
    }
    channel.send_open("/a", READING);
    assert_eq!(channel.receive().await.code(), FAILURE);
    world.faults.mend();
    for _ in 0..4 {
        assert_eq!(channel.receive().await.kind, EXTENDED_REPLY);
    }
    channel.open_file("/a", READING).await;
}

#[tokio::test]
async fn a_client_that_is_gone_leaves_nothing_behind() {
    let (_world, files) = world().await;
    let mut channel = Channel::open(&files).await;
    let handle = channel.open_file("/a", WRITING).await;
    for index in 0..50 {
        channel.write(&handle, index * 1000, &[7; 1000]);
    }
    channel.send(STAT, &[b"/a"], &[]);
    drop(channel.session.take());
    channel.drained().await;
    assert!(channel.ledger.is_quiet());
    assert_eq!(channel.budget.used(), 0);
    assert_eq!(
        get(&files, &path("/a")).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn what_was_asked_before_the_end_of_input_is_done() {
    let (_world, files) = world().await;
    let mut channel = Channel::open(&files).await;
    let handle = channel.open_file("/a", WRITING).await;
    for index in 0..50 {
        channel.write(&handle, index * 1000, &[7; 1000]);
    }
    channel.send(CLOSE, &[&handle], &[]);
    channel.send(RENAME, &[b"/a", b"/b"], &[]);
    channel.session.take().unwrap().finish();
    channel.drained().await;
    assert_eq!(get(&files, &path("/b")).await.unwrap(), vec![7; 50_000]);
}

/// Serves one end of a stream with a stranger's patience of `login_time`.
async fn serve(world: &World, login_time: Duration) -> (DuplexStream, TaskTracker) {
    serve_until(world, login_time, CancellationToken::new()).await
}

/// The same until it is told to drain.
pub(crate) async fn serve_until(
    world: &World,
    login_time: Duration,
    drain: CancellationToken,
) -> (DuplexStream, TaskTracker) {
    let settings = SftpSettings {
        login_time,
        ..SftpSettings::default()
    };
    let committer = world.vfs.committer().clone();
    let parts = Parts {
        ssh: Arc::new(ssh_config(&settings, HostKeys::for_tests().unwrap())),
        settings: Arc::new(settings),
        vfs: world.vfs.clone(),
        accounts: Accounts::start(
            committer,
            LoginSettings::default(),
            source(world.vfs.keys().clone()),
        )
        .await
        .unwrap(),
        budget: world.vfs.budget().clone(),
        clock: world.clock.clone(),
        drain,
        end: CancellationToken::new(),
    };
    let (ours, theirs) = duplex(64 * 1024);
    let tasks = TaskTracker::new();
    let peer = ([192, 0, 2, 1], 22).into();
    tasks.spawn(connection::serve(Arc::new(parts), ours, peer, None));
    tasks.close();
    (theirs, tasks)
}

#[tokio::test]
async fn strangers_who_say_nothing_are_sent_away() {
    let (world, _) = world().await;
    for greeting in ["", "SSH-2.0-Test\r\n"] {
        let (mut client, tasks) = serve(&world, Duration::from_millis(200)).await;
        client.write_all(greeting.as_bytes()).await.unwrap();
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        assert!(heard.starts_with(b"SSH-2.0-Sealift\r\n"));
        tasks.wait().await;
    }
}

#[tokio::test]
async fn strangers_who_say_nothing_hold_up_no_drain() {
    let (world, _) = world().await;
    for greeting in ["", "SSH-2.0-Test\r\n"] {
        let drain = CancellationToken::new();
        let long = Duration::from_secs(600);
        let (mut client, tasks) = serve_until(&world, long, drain.clone()).await;
        client.write_all(greeting.as_bytes()).await.unwrap();
        client.read_u8().await.unwrap();
        drain.cancel();
        let ended = tokio::time::timeout(WITHIN, tasks.wait()).await;
        ended.expect("the connection ends");
    }
}

#[tokio::test]
async fn garbage_ends_the_connection() {
    let (world, _) = world().await;
    let (mut client, tasks) = serve(&world, Duration::from_secs(600)).await;
    client.write_all(b"SSH-2.0-Test\r\n").await.unwrap();
    client.write_all(&[0xff; 1024]).await.unwrap();
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    tasks.wait().await;
}
