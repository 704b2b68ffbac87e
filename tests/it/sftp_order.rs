//! Requests about one file, some by its name and some through handles, that a client sends without waiting.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::sftp_raw::{
    ATTRS, CLOSE, Channel, HANDLE, NAME, OK, OPENDIR, READDIR, Reply, SETSTAT, STAT, world,
};
use crate::support::world::{clean, get, path};
use sealift::domain::error::ErrorKind;
use sealift::vfs::session::Session;

const FSTAT: u8 = 8;
const REMOVE: u8 = 13;
const EXTENDED: u8 = 200;
/// Read, write, create, truncate.
const NEW: u32 = 1 | 2 | 8 | 16;
/// How often: what is wrong depends on which task comes first.
const ROUNDS: usize = 30;

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
        // The size.
        let ten = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 10];
        channel.send(SETSTAT, &[b"/a"], &ten);
        channel.write(&handle, 100, b"x");
        channel.send(CLOSE, &[&handle], &[]);
        let [before, rest @ ..] = replies::<4>(&mut channel).await;
        all_ok(&rest);
        assert_eq!(before.kind, ATTRS, "{before:?}");
        assert_eq!(before.body.slice(4..12)[..], 50_u64.to_be_bytes());
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
        assert_eq!(shown.body.slice(4..12)[..], 9_u64.to_be_bytes(), "{round}");
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
        let copy = |from: &[u8], to: &[u8]| {
            let mut rest = BytesMut::new();
            rest.put_u64(0);
            rest.put_u64(3);
            rest.put_u32(u32::try_from(to.len()).unwrap());
            rest.put_slice(to);
            rest.put_u64(20);
            ([&b"copy-data"[..], from].map(<[u8]>::to_vec), rest)
        };
        channel.send(OPENDIR, &[b"/"], &[]);
        rename(&mut channel, "/1", "/3");
        let ([word, from], rest) = copy(&one, &two);
        channel.send(EXTENDED, &[&word, &from], &rest);
        channel.send(OPENDIR, &[b"/"], &[]);
        rename(&mut channel, "/2", "/4");
        let ([word, from], rest) = copy(&two, &one);
        channel.send(EXTENDED, &[&word, &from], &rest);
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
