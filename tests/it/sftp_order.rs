//! Requests about one file, some by its name and some through handles, that a client sends without waiting.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::sftp_raw::{
    ATTRS, CLOSE, Channel, HANDLE, MKDIR, NAME, NO_SUCH_FILE, OK, OPENDIR, READDIR, READING, Reply,
    SETSTAT, STAT, WRITING, world,
};
use crate::support::wait::until;
use crate::support::world::{clean, get, path};
use sealift::domain::error::ErrorKind;
use sealift::storage::faulty::Operation;
use sealift::vfs::session::Session;

const FSTAT: u8 = 8;
const REMOVE: u8 = 13;
const EXTENDED: u8 = 200;
const EXTENDED_REPLY: u8 = 201;
/// Read, write, create, truncate.
const NEW: u32 = 1 | 2 | 8 | 16;
/// How often: what is wrong depends on which task comes first.
const ROUNDS: usize = 30;
/// So many are made to keep requests about names waiting.
const FOLDERS: usize = 10;

/// As many replies, in the order of their requests.
async fn replies<const COUNT: usize>(channel: &mut Channel) -> [Reply; COUNT] {
    let mut replies = Vec::new();
    for _ in 0..COUNT {
        replies.push(channel.receive().await);
    }
    replies.sort_by_key(|reply| reply.id);
    replies.try_into().unwrap()
}

/// A new file that is open, with some bytes in it.
async fn begun(channel: &mut Channel, name: &str, bytes: &[u8]) -> Bytes {
    let handle = channel.open_file(name, NEW).await;
    channel.write(&handle, 0, bytes);
    assert_eq!(channel.receive().await.code(), OK);
    handle
}

fn rename(channel: &mut Channel, from: &str, to: &str) {
    let words = [
        &b"posix-rename@openssh.com"[..],
        from.as_bytes(),
        to.as_bytes(),
    ];
    channel.send(EXTENDED, &words, &[]);
}

fn sync(channel: &mut Channel, handle: &[u8]) {
    channel.send(EXTENDED, &[b"fsync@openssh.com", handle], &[]);
}

/// copy-data of `length` bytes, all if there are 0, from the beginning to `place`.
fn copy(channel: &mut Channel, from: &[u8], length: u64, to: &[u8], place: u64) {
    let mut rest = BytesMut::new();
    rest.put_u64(0);
    rest.put_u64(length);
    rest.put_u32(u32::try_from(to.len()).unwrap());
    rest.put_slice(to);
    rest.put_u64(place);
    channel.send(EXTENDED, &[b"copy-data", from], &rest);
}

fn make_folders(channel: &mut Channel, round: usize) {
    for index in 0..FOLDERS {
        let name = format!("/folder-{round}-{index}");
        channel.send(MKDIR, &[name.as_bytes()], &[0; 4]);
    }
}

/// SETSTAT of the size.
fn cut(channel: &mut Channel, name: &str, size: u64) {
    let wanted = [&1_u32.to_be_bytes()[..], &size.to_be_bytes()].concat();
    channel.send(SETSTAT, &[name.as_bytes()], &wanted);
}

fn size(attributes: &Reply) -> u64 {
    assert_eq!(attributes.kind, ATTRS, "{attributes:?}");
    u64::from_be_bytes(attributes.body[4..12].try_into().unwrap())
}

fn all_ok(replies: &[Reply]) {
    for reply in replies {
        assert_eq!(reply.code(), OK, "{reply:?}");
    }
}

async fn is_gone(files: &Session, name: &str) {
    let error = files.stat(&path(name)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_behind_a_cut_by_name_stays() {
    let (world, files) = world().await;
    let mut channel = Channel::open(&files).await;
    for _ in 0..ROUNDS {
        let handle = begun(&mut channel, "/a", &[b'a'; 50]).await;
        channel.send(STAT, &[b"/a"], &[]);
        cut(&mut channel, "/a", 10);
        channel.write(&handle, 100, b"x");
        channel.send(CLOSE, &[&handle], &[]);
        let [before, rest @ ..] = replies::<4>(&mut channel).await;
        all_ok(&rest);
        assert_eq!(size(&before), 50);
        let mut wanted = vec![0; 101];
        wanted[..10].fill(b'a');
        wanted[100] = b'x';
        assert_eq!(get(&files, &path("/a")).await.unwrap(), wanted);
    }
    clean(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_file_that_is_removed_and_then_closed_is_gone() {
    let (world, files) = world().await;
    let mut channel = Channel::open(&files).await;
    for _ in 0..ROUNDS {
        let handle = begun(&mut channel, "/a", b"what must not stay").await;
        channel.send(REMOVE, &[b"/a"], &[]);
        channel.send(CLOSE, &[&handle], &[]);
        all_ok(&replies::<2>(&mut channel).await);
        is_gone(&files, "/a").await;
    }
    clean(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_renamed_away_from_its_name_is_not_published_there_again() {
    let (world, files) = world().await;
    let mut channel = Channel::open(&files).await;
    for round in 0..ROUNDS {
        let second = begun(&mut channel, "/2", b"the second one").await;
        let first = begun(&mut channel, "/1", b"the first").await;
        if round % 2 == 0 {
            sync(&mut channel, &first);
            all_ok(&replies::<1>(&mut channel).await);
        }
        rename(&mut channel, "/1", "/2");
        if round % 3 != 0 {
            sync(&mut channel, &second);
            all_ok(&replies::<2>(&mut channel).await);
        }
        channel.send(CLOSE, &[&second], &[]);
        channel.send(CLOSE, &[&first], &[]);
        channel.send(STAT, &[b"/2"], &[]);
        let [done @ .., shown] = match round % 3 {
            0 => {
                let [renamed, rest @ ..] = replies::<4>(&mut channel).await;
                all_ok(&[renamed]);
                rest
            }
            _ => replies::<3>(&mut channel).await,
        };
        all_ok(&done);
        assert_eq!(size(&shown), 9, "{round}");
        assert_eq!(get(&files, &path("/2")).await.unwrap(), b"the first");
        is_gone(&files, "/1").await;
        files.remove_file(&path("/2")).await.unwrap();
    }
    clean(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_waits_for_whatever_all_is_answered() {
    let (world, files) = world().await;
    let mut channel = Channel::open(&files).await;
    for _ in 0..ROUNDS {
        let one = begun(&mut channel, "/1", b"one").await;
        let two = begun(&mut channel, "/2", b"two and more").await;
        channel.send(OPENDIR, &[b"/"], &[]);
        rename(&mut channel, "/1", "/3");
        copy(&mut channel, &one, 3, &two, 20);
        channel.send(OPENDIR, &[b"/"], &[]);
        rename(&mut channel, "/2", "/4");
        copy(&mut channel, &two, 3, &one, 20);
        channel.send(STAT, &[b"/4"], &[]);
        channel.send(CLOSE, &[&two], &[]);
        channel.send(CLOSE, &[&one], &[]);
        let [listing, renamed, copied, later, rest @ ..] = replies::<9>(&mut channel).await;
        all_ok(&[renamed, copied]);
        let [again, back, shown, closes @ ..] = rest;
        all_ok(&[again, back]);
        assert_eq!(shown.kind, ATTRS);
        all_ok(&closes);
        for listing in [listing, later] {
            assert_eq!(listing.kind, HANDLE, "{listing:?}");
            let handle = listing.string();
            assert_eq!(channel.ask(READDIR, &[&handle], &[]).await.kind, NAME);
            all_ok(&[channel.ask(CLOSE, &[&handle], &[]).await]);
        }
        let wanted = |begin: &[u8], end: &[u8]| {
            let mut wanted = begin.to_vec();
            wanted.resize(20, 0);
            [&wanted, end].concat()
        };
        assert_eq!(
            get(&files, &path("/3")).await.unwrap(),
            wanted(b"one", b"two")
        );
        let four = get(&files, &path("/4")).await.unwrap();
        assert_eq!(four, wanted(b"two and more", b"one"));
        for name in ["/3", "/4"] {
            files.remove_file(&path(name)).await.unwrap();
        }
    }
    clean(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_into_a_file_without_a_name_that_is_then_closed_holds_up_nothing() {
    let (world, files) = world().await;
    let mut channel = Channel::open(&files).await;
    for round in 0..ROUNDS {
        let one = begun(&mut channel, "/1", &[7; 1000]).await;
        let two = begun(&mut channel, "/2", b"two").await;
        channel.send(REMOVE, &[b"/2"], &[]);
        all_ok(&replies::<1>(&mut channel).await);
        make_folders(&mut channel, round);
        channel.send(OPENDIR, &[b"/"], &[]);
        copy(&mut channel, &one, 0, &two, 0);
        channel.send(CLOSE, &[&two], &[]);
        channel.send(STAT, &[b"/"], &[]);
        let [folders @ .., listing, copied, closed, shown] =
            replies::<{ FOLDERS + 4 }>(&mut channel).await;
        all_ok(&folders);
        all_ok(&[copied, closed]);
        assert_eq!(shown.kind, ATTRS);
        channel.send(CLOSE, &[&listing.string()], &[]);
        channel.send(CLOSE, &[&one], &[]);
        all_ok(&replies::<2>(&mut channel).await);
        is_gone(&files, "/2").await;
    }
    clean(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_wait_for_others_give_all_back_when_the_client_is_gone() {
    let (world, files) = world().await;
    for round in 0..ROUNDS {
        let mut channel = Channel::open(&files).await;
        let slow = begun(&mut channel, "/slow", b"slow").await;
        let puts = world.faults.calls(Operation::Put);
        world.faults.hold(Operation::Put);
        sync(&mut channel, &slow);
        until("a put", async || world.faults.calls(Operation::Put) > puts).await;
        let alone = world.vfs.budget().used();
        let one = begun(&mut channel, "/1", b"one").await;
        let two = begun(&mut channel, "/2", b"two").await;
        assert!(world.vfs.budget().used() > alone);
        if round % 2 == 0 {
            channel.send(REMOVE, &[b"/2"], &[]);
        }
        // This waits for what was begun, and so does one after the other.
        channel.send(OPENDIR, &[b"/"], &[]);
        channel.write(&one, 3, b"more");
        copy(&mut channel, &one, 0, &two, 0);
        channel.send(CLOSE, &[&two], &[]);
        channel.send(CLOSE, &[&one], &[]);
        channel.send(STAT, &[b"/1"], &[]);
        make_folders(&mut channel, round);
        drop(channel.session.take());
        until("the memory of two files", async || {
            world.vfs.budget().used() <= alone
        })
        .await;
        world.faults.release(Operation::Put);
        channel.drained().await;
        assert!(channel.ledger.is_quiet());
        assert_eq!(channel.budget.used(), 0);
        assert_eq!(world.vfs.budget().used(), 0);
        is_gone(&files, "/1").await;
        files.remove_file(&path("/slow")).await.unwrap();
    }
    clean(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_between_two_requests_about_a_name_is_done_between_them() {
    let (world, files) = world().await;
    let mut channel = Channel::open(&files).await;
    for _ in 0..ROUNDS {
        let first = begun(&mut channel, "/a", b"").await;
        channel.send(STAT, &[b"/a"], &[]);
        channel.write(&first, 0, &[b'o'; 900]);
        channel.send_open("/a", WRITING);
        let [_, written, opened] = replies::<3>(&mut channel).await;
        all_ok(&[written]);
        let second = opened.string();
        channel.write(&second, 0, b"new");
        channel.send(CLOSE, &[&first], &[]);
        channel.send(CLOSE, &[&second], &[]);
        all_ok(&replies::<3>(&mut channel).await);
        assert_eq!(get(&files, &path("/a")).await.unwrap(), b"new");
        files.remove_file(&path("/a")).await.unwrap();

        let handle = begun(&mut channel, "/a", b"").await;
        channel.send(STAT, &[b"/a"], &[]);
        channel.write(&handle, 0, &[7; 900]);
        cut(&mut channel, "/a", 3);
        channel.send(STAT, &[b"/a"], &[]);
        channel.write(&handle, 0, &[8; 2]);
        channel.send_open("/a", READING);
        channel.send(CLOSE, &[&handle], &[]);
        let [before, written, set, after, again, opened, closed] = replies::<7>(&mut channel).await;
        all_ok(&[written, set, again, closed]);
        assert_eq!((size(&before), size(&after)), (0, 3));
        let reader = opened.string();
        channel.read(&reader, 0, 1000);
        channel.send(CLOSE, &[&reader], &[]);
        let [read, closed] = replies::<2>(&mut channel).await;
        all_ok(&[closed]);
        assert_eq!(read.string()[..], [8, 8, 7]);
        assert_eq!(get(&files, &path("/a")).await.unwrap(), [8, 8, 7]);
        files.remove_file(&path("/a")).await.unwrap();
    }
    clean(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_into_a_new_file_comes_after_what_was_asked_of_its_name_before() {
    let (world, files) = world().await;
    let mut channel = Channel::open(&files).await;
    for round in 0..ROUNDS {
        channel.send_open("/a", WRITING);
        make_folders(&mut channel, round);
        cut(&mut channel, "/a", 3);
        let handle = channel.receive().await.string();
        channel.write(&handle, 0, &[7; 900]);
        channel.send(CLOSE, &[&handle], &[]);
        all_ok(&replies::<{ FOLDERS + 3 }>(&mut channel).await);
        assert_eq!(get(&files, &path("/a")).await.unwrap(), [7; 900]);
        files.remove_file(&path("/a")).await.unwrap();
    }
    clean(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_just_published_is_there_for_requests_about_its_name() {
    let (world, files) = world().await;
    let mut channel = Channel::open(&files).await;
    for _ in 0..ROUNDS {
        let handle = begun(&mut channel, "/a", b"").await;
        channel.send(EXTENDED, &[b"statvfs@openssh.com", b"/a"], &[]);
        channel.write(&handle, 0, &[7; 900]);
        sync(&mut channel, &handle);
        let whole = [0; 20];
        channel.send(EXTENDED, &[b"check-file-name", b"/a", b"sha256"], &whole);
        channel.send(REMOVE, &[b"/a"], &[]);
        channel.send(STAT, &[b"/a"], &[]);
        channel.send(CLOSE, &[&handle], &[]);
        let [space, written, synced, sum, removed, shown, closed] =
            replies::<7>(&mut channel).await;
        all_ok(&[written, synced, removed, closed]);
        assert_eq!(shown.code(), NO_SUCH_FILE);
        for told in [space, sum] {
            assert_eq!(told.kind, EXTENDED_REPLY, "{told:?}");
        }
        is_gone(&files, "/a").await;
    }
    clean(&world).await;
}

#[tokio::test]
async fn the_time_that_a_handle_shows_is_that_of_the_file() {
    let (world, files) = world().await;
    let mut channel = Channel::open(&files).await;
    let later = || world.clock.advance(Duration::from_secs(3));
    let time = |attributes: &Reply| {
        assert_eq!(attributes.kind, ATTRS, "{attributes:?}");
        // The last four bytes are when it was changed.
        attributes.body.slice(attributes.body.len() - 4..)
    };
    let mut before = Bytes::new();
    for name in ["/new", "/new", "/empty"] {
        later();
        let handle = channel.open_file(name, NEW).await;
        if name == "/new" {
            later();
            channel.write(&handle, 0, b"some");
            assert_eq!(channel.receive().await.code(), OK);
        }
        later();
        let told = time(&channel.ask(FSTAT, &[&handle], &[]).await);
        assert_ne!(told, before);
        later();
        assert_eq!(channel.ask(CLOSE, &[&handle], &[]).await.code(), OK);
        let shown = time(&channel.ask(STAT, &[name.as_bytes()], &[]).await);
        assert_eq!(shown, told, "{name}");
        before = told;
    }
    clean(&world).await;
}
