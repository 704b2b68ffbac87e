//! Two sessions that use the same names, packet by packet.

use crate::sftp_raw::{CLOSE, Channel, NO_SUCH_FILE, OK, RENAME, world};
use crate::support::world::{clean, get, path, put};
use sealift::domain::error::ErrorKind;
use sealift::vfs::rename::Overwrite;

const REMOVE: u8 = 13;
const CREATING: u32 = 2 | 8 | 16;
const UPDATING: u32 = 2;

#[tokio::test]
async fn renaming_what_is_not_published_yet_leaves_what_another_published_under_the_name() {
    let (world, ann) = world().await;
    let bob = world.account("bob").await;
    for flags in [CREATING, 2 | 8] {
        let mut channel = Channel::open(&ann).await;
        let handle = channel.open_file("/n1", flags).await;
        channel.write(&handle, 0, b"MINE");
        assert_eq!(channel.receive().await.code(), OK);
        put(&bob, &path("/n1"), b"OTHER").await.unwrap();
        let renamed = channel.ask(RENAME, &[b"/n1", b"/n2"], &[]).await;
        assert_eq!(renamed.code(), OK);
        channel.write(&handle, 4, b"++");
        assert_eq!(channel.receive().await.code(), OK);
        assert_eq!(channel.ask(CLOSE, &[&handle], &[]).await.code(), OK);
        assert_eq!(get(&bob, &path("/n1")).await.unwrap(), b"OTHER");
        assert_eq!(get(&bob, &path("/n2")).await.unwrap(), b"MINE++");
        for name in ["/n1", "/n2"] {
            bob.remove_file(&path(name)).await.unwrap();
        }
    }
    clean(&world).await;
}

#[tokio::test]
async fn what_is_written_to_a_file_that_another_moved_is_published_there_whatever_has_its_old_name()
{
    let (world, ann) = world().await;
    let bob = world.account("bob").await;
    for comes in [false, true] {
        put(&ann, &path("/r1"), b"old").await.unwrap();
        let mut channel = Channel::open(&ann).await;
        let handle = channel.open_file("/r1", UPDATING).await;
        channel.write(&handle, 0, b"new");
        assert_eq!(channel.receive().await.code(), OK);
        let (from, to) = (path("/r1"), path("/r2"));
        bob.rename(&from, &to, Overwrite::Allow).await.unwrap();
        if comes {
            put(&bob, &from, b"another").await.unwrap();
        }
        let removed = channel.ask(REMOVE, &[b"/r1"], &[]).await;
        assert_eq!(removed.code(), if comes { OK } else { NO_SUCH_FILE });
        assert_eq!(channel.ask(CLOSE, &[&handle], &[]).await.code(), OK);
        assert_eq!(get(&bob, &to).await.unwrap(), b"new");
        let gone = get(&bob, &from).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
    }
    clean(&world).await;
}

#[tokio::test]
async fn an_open_file_that_was_removed_goes_when_it_is_closed_whoever_removed_it() {
    let (world, ann) = world().await;
    let bob = world.account("bob").await;
    for by_other in [false, true] {
        put(&ann, &path("/r1"), b"old").await.unwrap();
        let mut channel = Channel::open(&ann).await;
        let handle = channel.open_file("/r1", UPDATING).await;
        channel.write(&handle, 0, b"new");
        assert_eq!(channel.receive().await.code(), OK);
        if by_other {
            bob.remove_file(&path("/r1")).await.unwrap();
        }
        assert_eq!(channel.ask(REMOVE, &[b"/r1"], &[]).await.code(), OK);
        assert_eq!(channel.ask(CLOSE, &[&handle], &[]).await.code(), OK);
        let gone = get(&bob, &path("/r1")).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
    }
    clean(&world).await;
}
