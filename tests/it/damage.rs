//! A damaged blob: what it held cannot be read, everything else can, and the log names it.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sealift::db::sql::Dialect;
use sealift::domain::id::RegionId;
use sealift::domain::node::AttributeUpdate;
use sealift::jobs::fsck;
use sealift::jobs::fsck_report::{Depth, Repair};

use crate::support::client::{SshOptions, quote, sftp, sftp_ok};
use crate::support::dialects::on_both;
use crate::support::folder::{TempFolder, sha256, write_random};
use crate::support::server::{Server, sealift};
use crate::support::world::{World, path, put};

on_both!(a_lost_file_in_a_deleted_folder_is_named_by_where_it_was);

const FRAME: u64 = 65_536 + 16;

#[test]
fn a_damaged_frame_is_an_error_with_its_blob_in_the_log() {
    let folder = TempFolder::new();
    let data = folder.join("data");
    let server = Server::up(&data);
    let options = SshOptions::with_new_key(&server, folder.path());
    let (large, small, back) = (
        folder.join("large"),
        folder.join("small"),
        folder.join("back"),
    );
    write_random(&large, 10 * 65_536);
    write_random(&small, 1_000);
    let batch = format!("put {} large\nput {} small\n", quote(&large), quote(&small));
    sftp_ok(&server, &options, &batch);
    server.stop();
    let blob = damage_the_largest_blob(&data);

    let server = Server::up(&data);
    let read = sftp(
        &server,
        &options,
        &[],
        &format!("get large {}\n", quote(&back)),
    );
    assert!(
        !read.status.success(),
        "damaged content must not be handed out"
    );
    let id = blob.file_stem().unwrap().to_str().unwrap();
    let log = server.log();
    assert!(log.contains(id) && log.contains("frame"), "{id}: {log}");
    sftp_ok(&server, &options, &format!("get small {}\n", quote(&back)));
    assert_eq!(sha256(&small), sha256(&back));
    server.stop();
    // Whoever restores it needs to know what, from where, and whose it is.
    let ran = sealift(&["fsck", "--data", data.to_str().unwrap()], "");
    let told = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{told}");
    for word in [
        format!(
            "blob {id} is damaged in region main (object {}/{id})",
            &id[..2]
        ),
        "the file '/large' has it".to_owned(),
    ] {
        assert!(told.contains(&word), "{word}: {told}");
    }
}

async fn a_lost_file_in_a_deleted_folder_is_named_by_where_it_was(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    for folder in ["/in", "/in/deep"] {
        let folder = path(folder);
        let made = ann.make_folder(&folder, AttributeUpdate::default());
        made.await.unwrap();
    }
    put(&ann, &path("/in/deep/inner.txt"), b"inner")
        .await
        .unwrap();
    ann.remove_tree(&path("/in")).await.unwrap();
    for text in [&b"first"[..], b"second", b"third one"] {
        put(&ann, &path("/often.txt"), text).await.unwrap();
    }
    let store = world.vfs.store(RegionId::MAIN).unwrap();
    for stored in store.list(None, 10).await.unwrap() {
        store.delete(stored.id).await.unwrap();
    }
    let report = fsck::check(&world.vfs, Repair::No, Depth::Bytes).await;
    let problems = report.unwrap().problems.join("\n");
    for (named, times) in [
        (
            "the file '/in/deep/inner.txt', whose folder is deleted, has it",
            1,
        ),
        ("the file '/often.txt' has it", 1),
        ("an older version of '/often.txt' has it", 2),
    ] {
        assert_eq!(problems.matches(named).count(), times, "{problems}");
    }
}

/// Changes a byte in the fifth frame or so.
fn damage_the_largest_blob(data: &Path) -> PathBuf {
    let blob = largest(&data.join("blobs"));
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(&blob)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 5 * FRAME).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 5 * FRAME).unwrap();
    blob
}

fn largest(folder: &Path) -> PathBuf {
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let entries = fs::read_dir(path)
                .unwrap()
                .map(|entry| entry.unwrap().path());
            found.extend(entries.map(|path| (path.metadata().unwrap().len(), path)));
        }
    }
    found.into_iter().max().expect("a blob").1
}
