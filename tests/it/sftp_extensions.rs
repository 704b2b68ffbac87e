//! Extensions to SFTP, packet by packet.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use data_encoding::HEXLOWER;
use sealift::db::sql::Dialect;
use sealift::domain::path::VfsPath;
use sealift::storage::faulty::Operation;
use sealift::vfs::session::Session;
use sha2::{Digest, Sha256};

use crate::sftp_raw::{
    BAD_MESSAGE, CLOSE, Channel, EOF, FAILURE, NAME, NO_SUCH_FILE, OK, OP_UNSUPPORTED, READING,
    Reply, SYMLINK, WRITING, world,
};
use crate::support::dialects::on_both;
use crate::support::world::{World, get, path, put};

const EXTENDED: u8 = 200;
const READLINK: u8 = 19;
const EXTENDED_REPLY: u8 = 201;
const PERMISSION_DENIED: u32 = 3;

const BIG: u64 = 1 << 62;

/// The fields of a request for checksums after the file.
fn wanted(algorithms: &str, start: u64, length: u64, block: u32) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u32(u32::try_from(algorithms.len()).unwrap());
    out.put_slice(algorithms.as_bytes());
    out.put_u64(start);
    out.put_u64(length);
    out.put_u32(block);
    out.freeze()
}

async fn check(channel: &mut Channel, name: &str, wanted: &[u8]) -> Reply {
    let words: [&[u8]; 2] = [b"check-file-name", name.as_bytes()];
    channel.ask(EXTENDED, &words, wanted).await
}

/// The strings at the front of a body, and the rest.
fn strings(reply: &Reply, count: usize) -> (Vec<String>, Bytes) {
    assert_eq!(reply.kind, EXTENDED_REPLY, "{reply:?}");
    let mut rest = reply.body.clone();
    let mut found = Vec::new();
    for _ in 0..count {
        let length = rest.get_u32() as usize;
        found.push(String::from_utf8(rest.split_to(length).to_vec()).unwrap());
    }
    (found, rest)
}

fn name_in(reply: &Reply) -> String {
    assert_eq!(reply.kind, NAME, "{reply:?}");
    let mut rest = reply.body.clone();
    assert_eq!(rest.get_u32(), 1);
    let length = rest.get_u32() as usize;
    String::from_utf8(rest[..length].to_vec()).unwrap()
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

async fn ask_path(channel: &mut Channel, extension: &str, path: &[u8]) -> Reply {
    let words: [&[u8]; 2] = [extension.as_bytes(), path];
    channel.ask(EXTENDED, &words, b"").await
}

on_both!(checksums_of_whole_files_are_made_once_and_kept);

async fn checksums_of_whole_files_are_made_once_and_kept(dialect: Dialect) {
    let world = World::new(dialect).await;
    let files = world.account("ann").await;
    put(&files, &path("/file"), b"abc").await.unwrap();
    put(&files, &path("/empty"), b"").await.unwrap();
    let mut channel = Channel::open(&files).await;
    let mut reads = Vec::new();
    for _ in 0..2 {
        for (list, kind, sum) in [
            ("md5", "md5", "900150983cd24fb0d6963f7d28e17f72"),
            ("SHA1", "sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            ("whirlpool,crc32,md5", "crc32", "352441c2"),
            (
                "sha256",
                "sha256",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
        ] {
            let reply = check(&mut channel, "/file", &wanted(list, 0, 0, 0)).await;
            let (told, rest) = strings(&reply, 2);
            assert_eq!(told, ["check-file", kind]);
            assert_eq!(HEXLOWER.encode(&rest), sum);
        }
        reads.push(world.faults.calls(Operation::Read));
    }
    assert!(reads[0] > 0);
    assert_eq!(reads[0], reads[1], "what is kept is not read again");
    let reply = check(&mut channel, "/empty", &wanted("md5", 0, 0, 0)).await;
    let (_, rest) = strings(&reply, 2);
    assert_eq!(HEXLOWER.encode(&rest), "d41d8cd98f00b204e9800998ecf8427e");
}

#[tokio::test]
async fn blocks_and_parts_have_checksums_of_their_own() {
    let (_world, files) = world().await;
    let content: Vec<u8> = (0..600_000_u32).flat_map(u32::to_le_bytes).collect();
    put(&files, &path("/file"), &content).await.unwrap();
    let mut channel = Channel::open(&files).await;
    let reply = check(
        &mut channel,
        "/file",
        &wanted("sha256", 1000, 2_000_000, 700_000),
    )
    .await;
    let (_, rest) = strings(&reply, 2);
    let expected: Vec<u8> = content[1000..2_001_000]
        .chunks(700_000)
        .flat_map(sha256)
        .collect();
    assert_eq!(rest, expected);

    let handle = channel.open_file("/file", READING).await;
    for extension in [&b"check-file-handle"[..], b"check-file"] {
        let whole = wanted("sha256", 5, BIG, 0);
        let reply = channel.ask(EXTENDED, &[extension, &handle], &whole).await;
        assert_eq!(strings(&reply, 2).1, sha256(&content[5..]));
    }
}

#[tokio::test]
async fn checksums_that_make_no_sense_are_refused_in_words() {
    let (_world, files) = world().await;
    put(&files, &path("/file"), &[7; 3_000_000]).await.unwrap();
    let mut channel = Channel::open(&files).await;
    for (request, code, word) in [
        (wanted("sha256", 0, 0, 255), BAD_MESSAGE, "256"),
        (wanted("sha256", 3_000_000, 0, 0), BAD_MESSAGE, "3000000"),
        (
            wanted("sha256", u64::MAX, u64::MAX, u32::MAX),
            BAD_MESSAGE,
            "none is at",
        ),
        (wanted("sha256", 0, 0, 256), BAD_MESSAGE, "larger blocks"),
        (
            wanted("sha3-256,whirlpool", 0, 0, 0),
            OP_UNSUPPORTED,
            "sha256",
        ),
        (
            wanted(&",".repeat(200_000), 0, 0, 0),
            OP_UNSUPPORTED,
            "sha256",
        ),
    ] {
        let reply = check(&mut channel, "/file", &request).await;
        assert_eq!(reply.code(), code);
        assert!(reply.message().contains(word), "{}", reply.message());
    }
    let reply = check(&mut channel, "/absent", &wanted("md5", 0, 0, 0)).await;
    assert_eq!(reply.code(), NO_SUCH_FILE);
    let reply = check(&mut channel, "/", &wanted("md5", 0, 0, 0)).await;
    assert_eq!(reply.code(), FAILURE);
    let handle = channel.open_file("/new", WRITING).await;
    let words: [&[u8]; 2] = [b"check-file-handle", &handle];
    let reply = channel.ask(EXTENDED, &words, &wanted("md5", 0, 0, 0)).await;
    assert!(reply.message().contains("close the file first"));
}

#[tokio::test]
async fn holes_that_would_take_years_to_read_are_refused() {
    let (_world, files) = world().await;
    put(&files, &path("/file"), b"x").await.unwrap();
    files.truncate(&path("/file"), BIG).await.unwrap();
    let mut channel = Channel::open(&files).await;
    for request in [wanted("md5", 0, 0, 0), wanted("md5", 1, BIG / 2, 1 << 30)] {
        let reply = check(&mut channel, "/file", &request).await;
        assert_eq!(reply.code(), BAD_MESSAGE);
    }
    let reply = check(&mut channel, "/file", &wanted("md5", 0, 1, 0)).await;
    assert_eq!(
        HEXLOWER.encode(&strings(&reply, 2).1),
        "9dd4e461268c8034f5c8564e155c67a6"
    );
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_reading_for_its_checksums() {
    let (_world, files) = world().await;
    put(&files, &path("/file"), b"x").await.unwrap();
    files.truncate(&path("/file"), (1 << 30) - 1).await.unwrap();
    let mut channel = Channel::open(&files).await;
    let words: [&[u8]; 2] = [b"check-file-name", b"/file"];
    for _ in 0..100 {
        channel.send(EXTENDED, &words, &wanted("sha256", 1, 0, 0));
    }
    channel.session = None;
    channel.drained().await;
}

async fn in_home() -> (World, Session) {
    let (world, files) = world().await;
    files
        .make_folder(&path("/home"), Default::default())
        .await
        .unwrap();
    let mut principal = files.principal().clone();
    principal.home = VfsPath::parse("/home").unwrap();
    let files = world.vfs.session(principal);
    (world, files)
}

#[tokio::test]
async fn tildes_lead_to_the_home_folder_and_nowhere_else() {
    let (_world, files) = in_home().await;
    let mut channel = Channel::open(&files).await;
    for (given, expected) in [
        (&b"~"[..], "/home"),
        (b"~/", "/home"),
        (b"~/a/../b", "/home/b"),
        (b"~ann/b", "/home/b"),
        (b"~/../../..", "/"),
        (b"b~", "/home/b~"),
        (b"/x/~", "/x/~"),
        (b"", "/home"),
    ] {
        let reply = ask_path(&mut channel, "expand-path@openssh.com", given).await;
        assert_eq!(name_in(&reply), expected);
    }
    for user in [&b""[..], b"ann", b"ann@acme"] {
        let reply = ask_path(&mut channel, "home-directory", user).await;
        assert_eq!(name_in(&reply), "/home");
    }
    for (extension, given) in [
        ("expand-path@openssh.com", &b"~root/x"[..]),
        ("home-directory", b"root"),
    ] {
        let reply = ask_path(&mut channel, extension, given).await;
        assert_eq!(reply.code(), PERMISSION_DENIED);
    }
}

#[tokio::test]
async fn ids_have_the_names_that_listings_show() {
    let (_world, files) = world().await;
    let (account, tenant) = (files.principal().account.0, files.principal().tenant.0);
    let ids = |ids: &[i64]| -> Vec<u8> {
        let four = |id: &i64| u32::try_from(*id).unwrap().to_be_bytes();
        ids.iter().flat_map(four).collect()
    };
    let mut channel = Channel::open(&files).await;
    let (users, groups) = (ids(&[account, 4711]), ids(&[4711, tenant]));
    let words: [&[u8]; 3] = [b"users-groups-by-id@openssh.com", &users, &groups];
    let reply = channel.ask(EXTENDED, &words, b"").await;
    let (told, rest) = strings(&reply, 2);
    assert!(rest.is_empty());
    assert_eq!(told[0], "\0\0\0\x03ann\0\0\0\0");
    assert_eq!(told[1], "\0\0\0\0\0\0\0\x04acme");
    let many = ids(&vec![account; 30_000]);
    let words: [&[u8]; 3] = [b"users-groups-by-id@openssh.com", &many, &groups];
    assert_eq!(channel.ask(EXTENDED, &words, b"").await.code(), FAILURE);
}

#[tokio::test]
async fn lsetstat_space_and_vendor_are_answered() {
    let (_world, files) = world().await;
    put(&files, &path("/file"), b"abc").await.unwrap();
    let mut channel = Channel::open(&files).await;
    let words: [&[u8]; 2] = [b"lsetstat@openssh.com", b"/file"];
    let mut rest = BytesMut::new();
    rest.put_u32(4);
    rest.put_u32(0o600);
    assert_eq!(channel.ask(EXTENDED, &words, &rest).await.code(), OK);
    assert_eq!(
        files.stat(&path("/file")).await.unwrap().attributes.mode,
        0o600
    );

    let reply = ask_path(&mut channel, "space-available", b"/").await;
    assert_eq!((reply.kind, reply.body.len()), (EXTENDED_REPLY, 36));
    assert!(reply.body.slice(8..).get_u64() <= reply.body.clone().get_u64());
    let reply = ask_path(&mut channel, "space-available", b"/absent").await;
    assert_eq!(reply.code(), NO_SUCH_FILE);

    let reply = ask_path(&mut channel, "vendor-id", b"whatever").await;
    assert_eq!(reply.code(), OK);
}

#[tokio::test]
async fn links_are_refused_and_what_is_refused_hurts_nothing() {
    let (_world, files) = world().await;
    put(&files, &path("/file"), b"abc").await.unwrap();
    let mut channel = Channel::open(&files).await;
    for (kind, words) in [
        (SYMLINK, &[&b"/file"[..], b"/link"][..]),
        (READLINK, &[b"/file"]),
        (EXTENDED, &[b"hardlink@openssh.com", b"/file", b"/link"]),
    ] {
        let reply = channel.ask(kind, words, b"").await;
        assert_eq!(reply.code(), OP_UNSUPPORTED);
        assert!(reply.message().contains("copy the file"));
    }
    let reply = channel.ask(EXTENDED, &[&[b'x'; 200_000]], b"").await;
    assert_eq!(reply.code(), OP_UNSUPPORTED);
    assert!(reply.message().len() < 200);
    let handle = channel.open_file("/file", READING).await;
    assert_eq!(channel.ask(CLOSE, &[&handle], b"").await.code(), OK);
}

/// The fields of copy-data.
fn copy(read: &[u8], from: u64, length: u64, write: &[u8], to: u64) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u32(u32::try_from(read.len()).unwrap());
    out.put_slice(read);
    out.put_u64(from);
    out.put_u64(length);
    out.put_u32(u32::try_from(write.len()).unwrap());
    out.put_slice(write);
    out.put_u64(to);
    out.freeze()
}

#[tokio::test]
async fn parts_of_files_are_copied_without_moving_a_byte() {
    let (world, files) = world().await;
    let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    put(&files, &path("/from"), &content).await.unwrap();
    let mut channel = Channel::open(&files).await;
    let read = channel.open_file("/from", READING).await;
    let write = channel.open_file("/to", READING | WRITING).await;
    let before = world.faults.calls(Operation::Read);
    let words: [&[u8]; 1] = [b"copy-data"];
    // Asked for at once, done in order: the whole, a part over it, from the file being written.
    channel.send(EXTENDED, &words, &copy(&read, 0, 0, &write, 0));
    channel.write(&write, 10, b"between");
    channel.send(EXTENDED, &words, &copy(&read, 5, 20, &write, 100));
    channel.send(EXTENDED, &words, &copy(&write, 10, 7, &write, 400_000));
    let other = channel.send(EXTENDED, &words, &copy(&read, 399_990, 20, &write, 200));
    for _ in 0..5 {
        let reply = channel.receive().await;
        // Of twenty bytes there were ten.
        let expected = if reply.id == other { EOF } else { OK };
        assert_eq!(reply.code(), expected, "{reply:?}");
    }
    let third = channel.open_file("/third", WRITING).await;
    channel.send(EXTENDED, &words, &copy(&write, 0, 0, &third, 0));
    channel.send(CLOSE, &[&third], b"");
    channel.send(CLOSE, &[&write], b"");
    for _ in 0..3 {
        assert_eq!(channel.receive().await.code(), OK);
    }
    assert_eq!(world.faults.calls(Operation::Read), before);
    let mut expected = content.clone();
    expected[10..17].copy_from_slice(b"between");
    expected.splice(100..120, content[5..25].iter().copied());
    expected.splice(200..210, content[399_990..].iter().copied());
    expected.extend_from_slice(b"between");
    for name in ["/to", "/third"] {
        assert!(
            get(&files, &path(name)).await.unwrap() == expected,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_copy_into_a_handle_that_appends_goes_to_the_end() {
    const READING_APPENDING: u32 = 1 | 2 | 4;
    let (_world, files) = world().await;
    put(&files, &path("/from"), b"abc").await.unwrap();
    put(&files, &path("/to"), b"0123456789").await.unwrap();
    let mut channel = Channel::open(&files).await;
    let read = channel.open_file("/from", READING).await;
    let write = channel.open_file("/to", READING_APPENDING).await;
    let words: [&[u8]; 1] = [b"copy-data"];
    // Also of the file itself, whose end no part of it overlaps.
    for request in [copy(&read, 1, 0, &write, 0), copy(&write, 0, 3, &write, 1)] {
        assert_eq!(channel.ask(EXTENDED, &words, &request).await.code(), OK);
    }
    assert_eq!(channel.ask(CLOSE, &[&write], b"").await.code(), OK);
    assert_eq!(get(&files, &path("/to")).await.unwrap(), b"0123456789bc012");
}

#[tokio::test]
async fn copies_that_make_no_sense_are_refused_in_words() {
    let (_world, files) = world().await;
    put(&files, &path("/from"), b"abc").await.unwrap();
    let mut channel = Channel::open(&files).await;
    let read = channel.open_file("/from", READING).await;
    let write = channel.open_file("/to", READING | WRITING).await;
    channel.write(&write, 0, b"0123456789");
    assert_eq!(channel.receive().await.code(), OK);
    let words: [&[u8]; 1] = [b"copy-data"];
    for (request, word) in [
        (copy(&read, 0, 0, &read, 0), "not open for writing"),
        (copy(b"12345678", 0, 0, &write, 0), "not open for reading"),
        (copy(&write, 0, 0, &write, 5), "overlap"),
        (copy(&write, 0, 10, &write, 9), "overlap"),
    ] {
        let reply = channel.ask(EXTENDED, &words, &request).await;
        assert_eq!(reply.code(), FAILURE);
        assert!(reply.message().contains(word), "{}", reply.message());
    }
    for (request, code) in [
        (copy(&read, u64::MAX, 0, &write, 0), OK),
        (copy(&read, u64::MAX, u64::MAX, &write, u64::MAX), EOF),
        (copy(&read, 0, 0, &write, u64::MAX), BAD_MESSAGE),
    ] {
        let reply = channel.ask(EXTENDED, &words, &request).await;
        assert_eq!(reply.code(), code, "{reply:?}");
    }
    // After an error nothing is published.
    assert_eq!(channel.ask(CLOSE, &[&write], b"").await.code(), BAD_MESSAGE);
    assert!(files.stat(&path("/to")).await.is_err());
}

#[tokio::test]
async fn parts_of_one_file_that_only_touch_are_copied() {
    let (_world, files) = world().await;
    let mut channel = Channel::open(&files).await;
    let write = channel.open_file("/file", READING | WRITING).await;
    channel.write(&write, 0, b"0123456789");
    assert_eq!(channel.receive().await.code(), OK);
    let words: [&[u8]; 1] = [b"copy-data"];
    // What is there counts, however much is asked for.
    for (request, code) in [
        (copy(&write, 0, 0, &write, 10), OK),
        (copy(&write, 15, 100, &write, 20), EOF),
        (copy(&write, 24, 0, &write, 0), OK),
    ] {
        let reply = channel.ask(EXTENDED, &words, &request).await;
        assert_eq!(reply.code(), code, "{reply:?}");
    }
    assert_eq!(channel.ask(CLOSE, &[&write], b"").await.code(), OK);
    let whole = get(&files, &path("/file")).await.unwrap();
    assert_eq!(whole, b"9123456789012345678956789");
}

#[tokio::test]
async fn a_file_that_is_being_written_is_not_copied_by_name() {
    let (_world, files) = world().await;
    put(&files, &path("/file"), b"old").await.unwrap();
    let mut channel = Channel::open(&files).await;
    for name in ["/file", "/new"] {
        let write = channel.open_file(name, WRITING).await;
        channel.write(&write, 0, b"of this session");
        assert_eq!(channel.receive().await.code(), OK);
        let words: [&[u8]; 3] = [b"copy-file", name.as_bytes(), b"/copy"];
        let reply = channel.ask(EXTENDED, &words, &[1]).await;
        assert_eq!(reply.code(), FAILURE);
        assert!(reply.message().contains("close it first"), "{reply:?}");
        assert_eq!(channel.ask(CLOSE, &[&write], b"").await.code(), OK);
        assert_eq!(channel.ask(EXTENDED, &words, &[1]).await.code(), OK);
        let copied = get(&files, &path("/copy")).await.unwrap();
        assert_eq!(copied, b"of this session");
    }
}

#[tokio::test]
async fn a_file_that_is_opened_to_be_emptied_begins_anew_after_an_error() {
    let (_world, files) = world().await;
    let mut channel = Channel::open(&files).await;
    let first = channel.open_file("/file", READING | WRITING).await;
    channel.write(&first, 1 << 63, b"far beyond what a file may hold");
    assert_eq!(channel.receive().await.code(), BAD_MESSAGE);
    let second = channel.open_file("/file", READING | WRITING).await;
    channel.write(&second, 0, b"anew");
    assert_eq!(channel.receive().await.code(), OK);
    // Who wrote what failed hears of it, and does no harm.
    let closed = channel.ask(CLOSE, &[&first], b"").await;
    assert_eq!(closed.code(), BAD_MESSAGE);
    assert_eq!(channel.ask(CLOSE, &[&second], b"").await.code(), OK);
    assert_eq!(get(&files, &path("/file")).await.unwrap(), b"anew");
}

#[tokio::test]
async fn a_file_is_copied_by_name() {
    let (_world, files) = world().await;
    put(&files, &path("/from"), b"abc").await.unwrap();
    let mut channel = Channel::open(&files).await;
    for (from, to, replace, code) in [
        ("/from", "/to", 0, OK),
        ("/from", "/to", 0, FAILURE),
        ("/from", "/to", 1, OK),
        ("/absent", "/to", 1, NO_SUCH_FILE),
        ("/from", "/absent/to", 1, NO_SUCH_FILE),
        ("/from", "/from", 1, BAD_MESSAGE),
        ("/", "/to", 1, FAILURE),
    ] {
        let words: [&[u8]; 3] = [b"copy-file", from.as_bytes(), to.as_bytes()];
        let reply = channel.ask(EXTENDED, &words, &[replace]).await;
        assert_eq!(reply.code(), code, "{from} {to}: {reply:?}");
    }
    assert_eq!(get(&files, &path("/to")).await.unwrap(), b"abc");
    // What is being closed is waited for.
    let write = channel.open_file("/late", WRITING).await;
    channel.write(&write, 0, b"late");
    channel.send(CLOSE, &[&write], b"");
    let words: [&[u8]; 3] = [b"copy-file", b"/late", b"/copy of late"];
    channel.send(EXTENDED, &words, &[0]);
    for _ in 0..3 {
        assert_eq!(channel.receive().await.code(), OK);
    }
    assert_eq!(get(&files, &path("/copy of late")).await.unwrap(), b"late");
}
