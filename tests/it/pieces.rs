//! Files that are written in very many pieces, each published before the next or all at once: what they cost,
//! and that they can be read again.

use bytes::Bytes;
use sealift::db::sql::Dialect;
use sealift::domain::error::ErrorKind;
use sealift::net::budget::Budget;
use sealift::vfs::options::WriteOptions;

use crate::support::dialects::on_both;
use crate::support::world::{World, clean, get, new_tenant, path, put, replace, update};

on_both!(
    a_log_to_which_lines_are_added_costs_no_more_for_each_line,
    what_is_stored_after_each_piece_costs_no_more_for_each_piece,
    pieces_at_random_places_are_gathered,
    a_byte_at_each_of_many_places_stores_little_more,
    what_others_write_while_pieces_are_gathered_stays,
    a_file_in_more_pieces_than_can_be_read_is_refused,
);

/// Rows for the runs of all versions that there are.
async fn rows(world: &World) -> i64 {
    let mut tx = world.vfs.database().read(world.tenant.id).await.unwrap();
    let rows = tx.rows_without_tenant("SELECT count(*) FROM extents").await;
    rows.unwrap()[0].int(0).unwrap()
}

fn appending() -> WriteOptions {
    WriteOptions {
        append: true,
        ..update()
    }
}

async fn a_log_to_which_lines_are_added_costs_no_more_for_each_line(dialect: Dialect) {
    let world = World::new(dialect).await;
    let (ann, log) = (world.account("ann").await, path("/log"));
    let mut whole = Vec::new();
    for number in 0..400 {
        let line = format!("line {number} of a log\n").into_bytes();
        let mut writer = ann.open_write(&log, appending()).await.unwrap();
        writer.append(line.clone().into()).await.unwrap();
        writer.commit().await.unwrap();
        whole.extend(line);
    }
    assert!(get(&ann, &log).await.unwrap() == whole);
    let rows = rows(&world).await;
    assert!(rows <= 400 * 16, "{rows}");
    clean(&world).await;
}

async fn what_is_stored_after_each_piece_costs_no_more_for_each_piece(dialect: Dialect) {
    let world = World::new(dialect).await;
    let (ann, at) = (world.account("ann").await, path("/a"));
    let mut writer = ann.open_write(&at, replace()).await.unwrap();
    let mut whole = Vec::new();
    for number in 0..300_u32 {
        let piece = number.to_be_bytes().repeat(50);
        let offset = whole.len() as u64;
        writer.write_at(offset, piece.clone().into()).await.unwrap();
        writer.sync().await.unwrap();
        whole.extend(piece);
    }
    let seen = writer.reader().await.unwrap().read_at(0, 1 << 20).await;
    assert!(seen.unwrap() == whole);
    writer.commit().await.unwrap();
    assert!(get(&ann, &at).await.unwrap() == whole);
    let rows = rows(&world).await;
    assert!(rows <= 300 * 16, "{rows}");
    clean(&world).await;
}

async fn pieces_at_random_places_are_gathered(dialect: Dialect) {
    let world = World::new(dialect).await;
    let (ann, at) = (world.account("ann").await, path("/a"));
    let mut random = fastrand::Rng::with_seed(11);
    let mut whole = vec![0; 1 << 20];
    random.fill(&mut whole);
    put(&ann, &at, &whole).await.unwrap();
    let mut writer = ann.open_write(&at, update()).await.unwrap();
    for round in 0..2 {
        for _ in 0..6_000 {
            let (start, length) = (random.usize(0..whole.len() - 8), random.usize(1..8));
            let mut piece = vec![0; length];
            random.fill(&mut piece);
            whole[start..start + length].copy_from_slice(&piece);
            writer.write_at(start as u64, piece.into()).await.unwrap();
        }
        match round {
            0 => writer.sync().await.unwrap(),
            _ => break,
        }
        let seen = writer.reader().await.unwrap().read_at(0, 1 << 20).await;
        assert!(seen.unwrap() == whole);
    }
    writer.commit().await.unwrap();
    assert!(get(&ann, &at).await.unwrap() == whole);
    let rows = rows(&world).await;
    assert!(rows < 100, "{rows}");
    clean(&world).await;
}

async fn a_byte_at_each_of_many_places_stores_little_more(dialect: Dialect) {
    let world = World::new(dialect).await;
    let (ann, sparse, large) = (world.account("ann").await, path("/sparse"), path("/large"));
    put(&ann, &sparse, b"x").await.unwrap();
    put(&ann, &large, &vec![7; 24 << 20]).await.unwrap();
    let before = stored(&world).await;
    for round in 0..3_u8 {
        for (at, count, apart) in [(&sparse, 2_200, 1_000_000), (&large, 48, 500_000)] {
            let mut writer = ann.open_write(at, update()).await.unwrap();
            for number in 0..count {
                let byte = Bytes::copy_from_slice(&[round]);
                writer.write_at(number * apart, byte).await.unwrap();
            }
            writer.commit().await.unwrap();
        }
    }
    let more = stored(&world).await - before;
    assert!(more < 4 << 20, "{more}");
    clean(&world).await;
}

/// Bytes in all blobs.
async fn stored(world: &World) -> i64 {
    let mut tx = world.vfs.database().read(world.tenant.id).await.unwrap();
    let sum = "SELECT CAST(sum(size) AS bigint) FROM blobs";
    let rows = tx.rows_without_tenant(sum).await;
    rows.unwrap()[0].int(0).unwrap()
}

async fn what_others_write_while_pieces_are_gathered_stays(dialect: Dialect) {
    let world = World::new(dialect).await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let log = path("/log");
    let mut whole = Vec::new();
    for _ in 0..15 {
        let mut writer = ann.open_write(&log, appending()).await.unwrap();
        writer
            .append(Bytes::from_static(b"0123456789"))
            .await
            .unwrap();
        writer.commit().await.unwrap();
        whole.extend(b"0123456789");
    }
    // The sixteenth piece gathers them all.
    let mut writer = ann.open_write(&log, appending()).await.unwrap();
    writer
        .append(Bytes::from_static(b"the last"))
        .await
        .unwrap();
    let mut other = bob.open_write(&log, update()).await.unwrap();
    other
        .write_at(25, Bytes::from_static(b"bob"))
        .await
        .unwrap();
    other.commit().await.unwrap();
    let mut other = bob.open_write(&log, appending()).await.unwrap();
    other
        .append(Bytes::from_static(b"bob's end"))
        .await
        .unwrap();
    other.commit().await.unwrap();
    writer.sync().await.unwrap();
    writer.append(Bytes::from_static(b"!")).await.unwrap();
    writer.commit().await.unwrap();
    whole[25..28].copy_from_slice(b"bob");
    whole.extend(b"bob's endthe last!");
    assert_eq!(
        String::from_utf8(get(&ann, &log).await.unwrap()).unwrap(),
        String::from_utf8(whole).unwrap()
    );
    clean(&world).await;
}

async fn a_file_in_more_pieces_than_can_be_read_is_refused(dialect: Dialect) {
    let world = World::within(dialect, new_tenant("acme"), Budget::new(8 << 20)).await;
    let (ann, at) = (world.account("ann").await, path("/a"));
    put(&ann, &at, b"before").await.unwrap();
    let mut writer = ann.open_write(&at, update()).await.unwrap();
    // Too far from each other to be gathered.
    for number in 1..4_000 {
        let piece = Bytes::from_static(b"x");
        writer.write_at(number << 30, piece).await.unwrap();
    }
    let refused = writer.commit().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy);
    assert!(refused.context().contains("pieces"), "{refused}");
    assert_eq!(get(&ann, &at).await.unwrap(), b"before");
    clean(&world).await;
}
