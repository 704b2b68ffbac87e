//! Rotating, rewrapping and destroying keys, proved by reading files.

use std::net::TcpListener;
use std::time::Duration;

use sealift::crypto::keyring::KeyRing;
use sealift::crypto::kms::KmsKeys;
use sealift::db::blobs;
use sealift::db::sql::Dialect;
use sealift::db::tenants;
use sealift::domain::error::{Error, ErrorKind};
use sealift::domain::id::{BlobId, RegionId};
use sealift::domain::principal::Actor;
use sealift::jobs::fsck;
use sealift::jobs::fsck_report::{Depth, Repair};
use sealift::jobs::{purge, sweep};
use sealift::vfs::key_care;
use sealift::vfs::key_destroy::{self, KmsKey};
use sealift::vfs::keys::STATE_LIFE;

use crate::support::dialects::on_both;
use crate::support::kms::{Kind, Kms, on_each, ring, short};
use crate::support::placing::keyed_by;
use crate::support::world::{World, get, new_tenant, path, put, replace};

on_each! {
    keys_move_between_providers_and_files_stay_readable,
    destroyed_keys_take_the_tenants_own_key_of_the_service_with_them,
    a_key_that_was_the_tenants_own_before_is_named_when_its_keys_are_destroyed,
    what_can_be_destroyed_is_told_while_the_key_service_does_not_answer,
}

on_both! {
    new_files_are_sealed_with_the_new_version_and_old_ones_stay_readable,
    what_is_destroyed_is_read_by_nobody_and_still_purged,
}

const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

fn kind_of<T>(result: Result<T, Error>) -> ErrorKind {
    result.err().expect("is refused").kind()
}

async fn new_files_are_sealed_with_the_new_version_and_old_ones_stay_readable(dialect: Dialect) {
    let ring = KeyRing::for_tests();
    let world = World::with_ring(dialect, ring.clone()).await;
    let ann = world.account("ann").await;
    put(&ann, &path("/old"), b"old").await.unwrap();
    let elsewhere = world.restarted(ring.clone());
    let there = elsewhere.session_of("ann").await;
    // Which makes sealers for more than one.
    put(&there, &path("/old too"), b"old").await.unwrap();
    let tenant = world.tenant.id;
    assert_eq!(
        elsewhere.vfs.keys().current(tenant).await.unwrap().version,
        1
    );

    let actor = Actor::operator();
    let rotated = key_care::rotate(world.vfs.keys(), &actor, tenant).await;
    assert_eq!(rotated.unwrap().version, 2);
    assert_eq!(world.vfs.keys().current(tenant).await.unwrap().version, 2);
    assert_eq!(
        elsewhere.vfs.keys().current(tenant).await.unwrap().version,
        1
    );
    world.clock.advance(STATE_LIFE);
    assert_eq!(
        elsewhere.vfs.keys().current(tenant).await.unwrap().version,
        2
    );

    put(&there, &path("/new too"), b"new").await.unwrap();
    let fresh = world.restarted(ring);
    let ann = fresh.session_of("ann").await;
    put(&ann, &path("/new"), b"new").await.unwrap();
    let mut tx = world.vfs.database().read(tenant).await.unwrap();
    let all = blobs::scan(&mut tx, BlobId::NIL, 1_000).await.unwrap();
    drop(tx);
    let used = all.iter().filter(|blob| blob.uses > 0);
    let mut versions: Vec<_> = used.map(|blob| blob.info.key_version).collect();
    versions.sort_unstable();
    assert_eq!(versions, [1, 1, 2, 2]);
    assert_eq!(get(&ann, &path("/old")).await.unwrap(), b"old");
    assert_eq!(get(&ann, &path("/new")).await.unwrap(), b"new");
    let keys = key_care::list(world.vfs.database(), tenant).await.unwrap();
    let current: Vec<_> = keys.iter().map(|key| (key.version, key.current)).collect();
    assert_eq!(current, [(1, false), (2, true)]);
}

async fn keys_move_between_providers_and_files_stay_readable(kind: Kind) {
    let server = Kms::shared(kind);
    let (region_key, own_key) = (server.fresh_key().await, server.fresh_key().await);
    let local = KeyRing::for_tests();
    let world = World::with_ring(Dialect::Sqlite, local.clone()).await;
    let (tenant, actor) = (world.tenant.id, Actor::operator());
    let ann = world.account("ann").await;
    put(&ann, &path("/one"), b"one").await.unwrap();
    key_care::rotate(world.vfs.keys(), &actor, tenant)
        .await
        .unwrap();

    // From the key file to the region's key.
    let both = local.with_kms(RegionId::MAIN, server.keys(&region_key).await);
    let there = world.restarted(both.clone());
    assert_eq!(
        get(&there.session_of("ann").await, &path("/one"))
            .await
            .unwrap(),
        b"one"
    );
    let rewrapped = key_care::rewrap(there.vfs.keys(), &actor, tenant).await;
    assert_eq!(rewrapped.unwrap(), 2);
    let only_kms = ring(kind, &region_key).await;
    let there = world.restarted(only_kms.clone());
    let ann = there.session_of("ann").await;
    assert_eq!(get(&ann, &path("/one")).await.unwrap(), b"one");
    put(&ann, &path("/two"), b"two").await.unwrap();

    // To a key of the tenant's own; the region's is of no more use.
    world.place(keyed_by(Some(&own_key))).await;
    let rewrapped = key_care::rewrap(there.vfs.keys(), &actor, tenant).await;
    assert_eq!(rewrapped.unwrap(), 2);
    let client = server.client().await;
    let disabled = client.disable_key().key_id(short(&region_key)).send().await;
    disabled.unwrap();
    let there = world.restarted(only_kms);
    let ann = there.session_of("ann").await;
    assert_eq!(get(&ann, &path("/one")).await.unwrap(), b"one");
    assert_eq!(get(&ann, &path("/two")).await.unwrap(), b"two");
    let keys = key_care::list(world.vfs.database(), tenant).await.unwrap();
    assert!(
        keys.iter()
            .all(|key| key.kms_key.as_ref() == Some(&own_key))
    );

    // A key that may not be used keeps the old wrappings in their place.
    world.place(keyed_by(Some(&region_key))).await;
    let refused = key_care::rewrap(there.vfs.keys(), &actor, tenant).await;
    assert_eq!(kind_of(refused), ErrorKind::Unavailable);
    assert_eq!(
        key_care::list(world.vfs.database(), tenant).await.unwrap(),
        keys
    );
}

async fn what_is_destroyed_is_read_by_nobody_and_still_purged(dialect: Dialect) {
    let ring = KeyRing::for_tests();
    let world = World::with_ring(dialect, ring.clone()).await;
    let (db, tenant, actor) = (world.vfs.database(), world.tenant.id, Actor::operator());
    let ann = world.account("ann").await;
    put(&ann, &path("/file"), &[7; 100_000]).await.unwrap();
    put(&ann, &path("/gone"), &[8; 100_000]).await.unwrap();
    ann.remove_file(&path("/gone")).await.unwrap();
    let elsewhere = world.restarted(ring.clone());
    let there = elsewhere.session_of("ann").await;
    get(&there, &path("/file")).await.unwrap();

    let destroyed =
        key_destroy::destroy(world.vfs.keys(), &actor, tenant, KmsKey::Delete(30), MONTH)
            .await
            .unwrap();
    assert_eq!((destroyed.versions, destroyed.kms_key), (1, None));
    let month_later = db.now().await.unwrap().plus(MONTH).to_string();
    assert_eq!(destroyed.final_at[..10], month_later[..10]);
    assert!(tenants::by_id(db, tenant).await.unwrap().unwrap().disabled);
    assert!(key_care::list(db, tenant).await.unwrap().is_empty());

    // Here at once, elsewhere within a minute, after a restart, and also for what is new.
    world.clock.advance(STATE_LIFE);
    let restarted = world.restarted(ring);
    for world in [&world, &elsewhere, &restarted] {
        let ann = world.session_of("ann").await;
        let read = get(&ann, &path("/file")).await.unwrap_err();
        assert_eq!(read.kind(), ErrorKind::Corrupt);
        assert!(read.context().contains("were destroyed"), "{read}");
        let keys = world.vfs.keys();
        assert_eq!(kind_of(keys.current(tenant).await), ErrorKind::Corrupt);
        assert_eq!(kind_of(keys.version(tenant, 1).await), ErrorKind::Corrupt);
        let rotated = key_care::rotate(keys, &actor, tenant).await;
        let rewrapped = key_care::rewrap(keys, &actor, tenant).await.map(drop);
        for refused in [rotated.map(drop), rewrapped] {
            assert_eq!(kind_of(refused), ErrorKind::Invalid);
        }
        let written = async {
            let mut writer = ann.open_write(&path("/new"), replace()).await?;
            writer
                .write_at(0, bytes::Bytes::from_static(b"new"))
                .await?;
            writer.commit().await
        };
        assert_eq!(kind_of(written.await), ErrorKind::Corrupt);
    }

    world.clock.advance(MONTH * 2);
    assert!(purge::run(&restarted.vfs, &restarted.tenant).await.unwrap() > 0);
    let keep = sweep::Keep {
        blob_grace: Duration::ZERO,
        upload_expiry: Duration::ZERO,
    };
    world.clock.advance(Duration::from_secs(1));
    assert!(sweep::run(&restarted.vfs, tenant, keep).await.unwrap() > 0);
    let report = fsck::check(&restarted.vfs, Repair::No, Depth::Bytes).await;
    assert_eq!(report.unwrap().problems, Vec::<String>::new());

    let again = key_destroy::destroy(world.vfs.keys(), &actor, tenant, KmsKey::Keep, MONTH).await;
    let again = again.unwrap();
    assert_eq!(again.versions, 0);
    assert_eq!(again.final_at, destroyed.final_at);
}

async fn destroyed_keys_take_the_tenants_own_key_of_the_service_with_them(kind: Kind) {
    let server = Kms::shared(kind);
    let (region_key, own_key) = (server.fresh_key().await, server.fresh_key().await);
    let ring = ring(kind, &region_key).await;
    let world = World::with_ring(Dialect::Sqlite, ring).await;
    let (db, keys) = (world.vfs.database(), world.vfs.keys());
    let actor = Actor::operator();
    let other = tenants::add(db, &new_tenant("other")).await.unwrap();
    for tenant in [&world.tenant, &other] {
        let own_key = keyed_by(Some(&own_key));
        world.place_tenant(&tenant.name, own_key).await;
        keys.current(tenant.id).await.unwrap();
    }
    let destroy = async |tenant| {
        let kms_key = KmsKey::Delete(7);
        key_destroy::destroy(keys, &actor, tenant, kms_key, MONTH).await
    };
    let state = async |key: &str| {
        let client = server.client().await;
        let described = client.describe_key().key_id(key).send().await.unwrap();
        described.key_metadata.unwrap().key_state.unwrap()
    };

    let first = destroy(other.id).await.unwrap();
    assert_eq!(first.kms_key, None, "acme needs it");
    assert!(first.explanation.contains("tenant acme"), "{first:?}");
    assert_eq!(state(&own_key).await.as_str(), "Enabled");

    let second = destroy(world.tenant.id).await.unwrap();
    assert_eq!(second.kms_key.as_ref(), Some(&own_key));
    assert!(second.explanation.contains("is deleted at"), "{second:?}");
    assert_eq!(state(&own_key).await.as_str(), "PendingDeletion");
    assert_eq!(state(&region_key).await.as_str(), "Enabled");
    assert!(second.explanation.ends_with(&second.final_at));

    let again = destroy(world.tenant.id).await.unwrap();
    assert_eq!((again.versions, again.kms_key), (0, Some(own_key)));
}

async fn a_key_that_was_the_tenants_own_before_is_named_when_its_keys_are_destroyed(kind: Kind) {
    let server = Kms::shared(kind);
    let (region_key, own_key) = (server.fresh_key().await, server.fresh_key().await);
    let world = World::with_ring(Dialect::Sqlite, ring(kind, &region_key).await).await;
    let (keys, tenant) = (world.vfs.keys(), world.tenant.id);
    world.place(keyed_by(Some(&own_key))).await;
    keys.current(tenant).await.unwrap();
    world.place(keyed_by(None)).await;
    let kms_key = KmsKey::Delete(7);
    let destroyed = key_destroy::destroy(keys, &Actor::operator(), tenant, kms_key, MONTH).await;
    let destroyed = destroyed.unwrap();
    assert_eq!((destroyed.versions, &destroyed.kms_key), (1, &None));
    let told = &destroyed.explanation;
    assert!(
        told.contains(&own_key) && told.contains("which stays"),
        "{told}"
    );
    assert!(!told.contains(&region_key), "{told}");
}

async fn what_can_be_destroyed_is_told_while_the_key_service_does_not_answer(kind: Kind) {
    let server = Kms::shared(kind);
    let (region_key, own_key) = (server.fresh_key().await, server.fresh_key().await);
    let world = World::with_ring(Dialect::Sqlite, ring(kind, &region_key).await).await;
    let (db, tenant, actor) = (world.vfs.database(), world.tenant.id, Actor::operator());
    world.place(keyed_by(Some(&own_key))).await;
    world.vfs.keys().current(tenant).await.unwrap();

    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = port.local_addr().unwrap().port();
    let silent = KmsKeys::new(&Kms::config(port).await, region_key);
    let silent = KeyRing::empty().with_kms(RegionId::MAIN, silent);
    let silent = world.restarted(silent);
    let destroy = async |kms_key| {
        let keys = silent.vfs.keys();
        key_destroy::destroy(keys, &actor, tenant, kms_key, MONTH).await
    };
    let refused = destroy(KmsKey::Delete(7)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    let told = refused.context();
    assert!(
        told.contains("nothing was destroyed") && told.contains("--keep-kms-key"),
        "{told}"
    );
    assert_eq!(key_care::list(db, tenant).await.unwrap().len(), 1);
    assert_eq!(destroy(KmsKey::Keep).await.unwrap().versions, 1);
}
