//! What those who write a file at the same time see of it, and what is left of it in the end.

use bytes::Bytes;
use sealift::db::sql::Dialect;
use sealift::domain::sum::SumKind;
use sha2::{Digest, Sha256};

use crate::support::dialects::on_both;
use crate::support::world::{World, clean, path, put, update};

on_both!(checksums_of_what_is_not_published_are_not_kept);

async fn checksums_of_what_is_not_published_are_not_kept(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let (at, old, new) = (path("/a"), [b'A'; 5000], [b'B'; 5000]);
    put(&ann, &at, &old).await.unwrap();
    let mut writer = ann.open_write(&at, update()).await.unwrap();
    let bytes = Bytes::copy_from_slice(&new);
    writer.write_at(0, bytes.clone()).await.unwrap();
    for kind in [SumKind::Md5, SumKind::Sha256] {
        let draft = writer.reader().await.unwrap();
        let own = ann.sum(&draft, kind).await.unwrap();
        let published = ann.open_sum(&at).await.unwrap();
        assert_ne!(own, ann.sum(&published, kind).await.unwrap());
    }
    let draft = writer.reader().await.unwrap();
    let sum = ann.sum(&draft, SumKind::Sha256).await.unwrap();
    assert_eq!(sum, Sha256::digest(new).to_vec());
    // Others may have changed it meanwhile, so that what is published by fsync is not what is seen here.
    let bob = world.account("bob").await;
    let mut other = bob.open_write(&at, update()).await.unwrap();
    other.write_at(5000, Bytes::from_static(b"C")).await.unwrap();
    other.commit().await.unwrap();
    writer.sync().await.unwrap();
    let draft = writer.reader().await.unwrap();
    ann.sum(&draft, SumKind::Md5).await.unwrap();
    let published = ann.open_sum(&at).await.unwrap();
    let kept = ann.sum(&published, SumKind::Md5).await.unwrap();
    let size = published.entry().size;
    let read = ann.sums_of(&published, SumKind::Md5, 0..size, size).await;
    assert_eq!((size, kept), (5001, read.unwrap()));
    writer.commit().await.unwrap();
    clean(&world).await;
}
