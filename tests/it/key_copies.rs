//! A second wrapping of each data key, for the replica, proved by reading files while key services are lost.

use std::sync::Arc;
use std::time::Duration;

use sealift::crypto::keyring::KeyRing;
use sealift::crypto::kms::KmsKeys;
use sealift::db::data_keys::StoredKey;
use sealift::db::key_copies::{self, KeyCopy};
use sealift::db::sql::Dialect;
use sealift::db::{regions, tenants};
use sealift::domain::clock::Clock;
use sealift::domain::error::{Error, ErrorKind, Result};
use sealift::domain::id::{RegionId, TenantId};
use sealift::domain::principal::Actor;
use sealift::jobs::copies as copying;
use sealift::net::budget::Budget;
use sealift::storage::memory::MemoryStore;
use sealift::storage::regions::Regions;
use sealift::storage::store::BlobStore;
use sealift::vfs::key_care;
use sealift::vfs::key_copies as second;
use sealift::vfs::key_destroy::{self, KmsKey};

use crate::support::kms::{Kind, Kms, on_each, short};
use crate::support::line::Line;
use crate::support::placing::{copied_to, keyed_by, moved_to};
use crate::support::world::{World, get, new_tenant, path, put};

on_each! {
    a_replica_is_read_by_the_key_of_its_own_region,
    a_key_that_is_refused_gives_way_unless_it_is_the_tenants_own,
    destroyed_keys_are_opened_by_no_region,
    a_replica_that_is_taken_away_takes_its_wrapping_along,
    a_second_wrapping_of_another_tenant_or_version_is_refused,
    a_tenant_is_moved_to_its_replica_without_its_first_region,
    a_replica_whose_keys_cannot_be_wrapped_is_behind,
    a_version_that_is_lost_keeps_no_other_from_its_second_wrapping,
    a_key_service_that_is_silent_keeps_no_version_of_another_from_its_second_wrapping,
    a_key_service_that_is_removed_keeps_no_version_of_another_from_its_second_wrapping,
}

const HERE: RegionId = RegionId::MAIN;
const THERE: RegionId = RegionId(1);
/// Which has no key service: the key file wraps its keys.
const BEYOND: RegionId = RegionId(2);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

/// Three regions, two of them with a key service behind a line that can be cut, and a tenant in the first.
struct Three {
    world: World,
    ring: KeyRing,
    /// What is left when the first region's key service is taken out of the settings.
    without_first: KeyRing,
    lines: [Line; 2],
    keys: [String; 2],
    server: &'static Kms,
}

impl Three {
    async fn new(kind: Kind, dialect: Dialect) -> Self {
        let server = Kms::shared(kind);
        let lines = [Line::to(server.port).await, Line::to(server.port).await];
        let keys = [server.fresh_key().await, server.fresh_key().await];
        let mut ring = KeyRing::for_tests();
        let service = KmsKeys::new(&Kms::config(lines[1].port()).await, keys[1].clone());
        let without_first = ring.clone().with_kms(THERE, service);
        for (region, (line, key)) in [HERE, THERE].into_iter().zip(lines.iter().zip(&keys)) {
            let service = KmsKeys::new(&Kms::config(line.port()).await, key.clone());
            ring = ring.with_kms(region, service);
        }
        let stores = |clock: Arc<dyn Clock>| {
            Regions::new([HERE, THERE, BEYOND].map(|region| {
                let store = MemoryStore::new(clock.clone());
                (region, Arc::new(store) as Arc<dyn BlobStore>)
            }))
        };
        let (tenant, budget) = (new_tenant("acme"), Budget::new(64 << 20));
        let world = World::keyed(dialect, tenant, budget, stores, ring.clone()).await;
        world.account("ann").await;
        for (region, name) in [(THERE, "there"), (BEYOND, "beyond")] {
            let number = regions::number(world.vfs.database(), name).await;
            assert_eq!(number.unwrap(), region);
        }
        Self {
            world,
            ring,
            without_first,
            lines,
            keys,
            server,
        }
    }

    fn tenant(&self) -> TenantId {
        self.world.tenant.id
    }

    /// As a server sees it that was started now and has no key in memory.
    fn restarted(&self) -> World {
        self.world.restarted(self.ring.clone())
    }

    async fn put(&self, name: &str) {
        let ann = self.restarted().session_of("ann").await;
        put(&ann, &path(name), name.as_bytes()).await.unwrap();
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        get(&self.restarted().session_of("ann").await, &path(name)).await
    }

    async fn assert_read(&self, name: &str) {
        assert_eq!(self.read(name).await.unwrap(), name.as_bytes());
    }

    async fn assert_refused(&self, name: &str) {
        assert_eq!(kind_of(self.read(name).await), ErrorKind::Unavailable);
    }

    async fn copy(&self) -> Result<u64> {
        copying::run(&self.world.vfs, self.tenant()).await
    }

    async fn replicate_to(&self, region: Option<RegionId>) {
        self.world.place(copied_to(region)).await;
    }

    async fn set_own_key(&self, key: Option<&str>) {
        self.world.place(keyed_by(key)).await;
    }

    async fn rotate(&self) -> Result<u32> {
        let (keys, actor) = (self.world.vfs.keys(), Actor::operator());
        let rotated = key_care::rotate(keys, &actor, self.tenant()).await?;
        Ok(rotated.version)
    }

    async fn rewrap(&self) -> Result<usize> {
        let (keys, actor) = (self.world.vfs.keys(), Actor::operator());
        key_care::rewrap(keys, &actor, self.tenant()).await
    }

    async fn copies_of(&self, tenant: TenantId) -> Vec<KeyCopy> {
        let mut tx = self.world.vfs.database().read(tenant).await.unwrap();
        key_copies::list(&mut tx).await.unwrap()
    }

    /// For which regions there are second wrappings, by version.
    async fn copies(&self) -> Vec<(u32, RegionId)> {
        let copies = self.copies_of(self.tenant()).await.into_iter();
        copies.map(|copy| (copy.key.version, copy.region)).collect()
    }

    /// How many versions the replica could not be read by.
    async fn lacking(&self, replica: RegionId) -> usize {
        let mut tx = self.world.vfs.database().read(self.tenant()).await.unwrap();
        second::lacking(&mut tx, replica).await.unwrap().len()
    }

    async fn disable(&self, key: &str) {
        let client = self.server.client().await;
        let disabled = client.disable_key().key_id(short(key)).send().await;
        disabled.unwrap();
    }

    async fn enable(&self, key: &str) {
        let client = self.server.client().await;
        let enabled = client.enable_key().key_id(short(key)).send().await;
        enabled.unwrap();
    }
}

fn kind_of<T>(result: std::result::Result<T, Error>) -> ErrorKind {
    result.err().expect("is refused").kind()
}

async fn a_replica_is_read_by_the_key_of_its_own_region(kind: Kind) {
    read_by_the_replicas_key(kind, Dialect::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_read_by_the_key_of_its_own_region_on_postgres() {
    read_by_the_replicas_key(Kind::Moto, Dialect::Postgres).await;
}

async fn read_by_the_replicas_key(kind: Kind, dialect: Dialect) {
    let three = Three::new(kind, dialect).await;
    three.put("/one").await;
    three.lines[0].cut().await;
    three.assert_refused("/one").await;
    three.lines[0].mend();
    three.replicate_to(Some(THERE)).await;
    assert_eq!(three.lacking(THERE).await, 1);
    three.copy().await.unwrap();
    assert_eq!(three.copies().await, [(1, THERE)]);
    assert_eq!(three.lacking(THERE).await, 0);
    let listed = key_care::list(three.world.vfs.database(), three.tenant()).await;
    let listed = listed.unwrap();
    assert_eq!(listed[0].kms_key.as_ref(), Some(&three.keys[0]));
    let copy = &listed[0].copies[0];
    assert_eq!(copy.kms_key.as_ref(), Some(&three.keys[1]));
    assert_eq!(copy.region, "there");

    three.lines[0].cut().await;
    three.assert_read("/one").await;
    // What is made anew needs the first.
    assert_eq!(kind_of(three.rotate().await), ErrorKind::Unavailable);
    three.lines[0].mend();
    assert_eq!(three.rotate().await.unwrap(), 2);
    three.put("/two").await;
    three.copy().await.unwrap();
    assert_eq!(three.copies().await, [(1, THERE), (2, THERE)]);
    three.lines[0].cut().await;
    three.assert_read("/one").await;
    three.assert_read("/two").await;

    // Wrapped anew, both are.
    three.lines[0].mend();
    let before = three.copies_of(three.tenant()).await;
    assert_eq!(three.rewrap().await.unwrap(), 2);
    let after = three.copies_of(three.tenant()).await;
    assert_eq!(three.copies().await, [(1, THERE), (2, THERE)]);
    assert!(before.iter().all(|copy| !after.contains(copy)));
    three.lines[0].cut().await;
    three.assert_read("/two").await;
    three.lines[0].mend();
    three.lines[1].cut().await;
    three.assert_read("/one").await;
    three.lines[0].cut().await;
    three.assert_refused("/one").await;
}

async fn a_key_that_is_refused_gives_way_unless_it_is_the_tenants_own(kind: Kind) {
    let three = Three::new(kind, Dialect::Sqlite).await;
    three.put("/file").await;
    three.replicate_to(Some(THERE)).await;
    three.copy().await.unwrap();
    three.disable(&three.keys[0]).await;
    three.assert_read("/file").await;
    three.enable(&three.keys[0]).await;

    // Which is a lock that others hold.
    let own = three.server.fresh_key().await;
    three.set_own_key(Some(&own)).await;
    three.rewrap().await.unwrap();
    assert_eq!(three.copies().await, [(1, THERE)]);
    three.assert_read("/file").await;
    three.disable(&own).await;
    three.assert_refused("/file").await;
    // Without its key service nobody can tell.
    three.lines[0].cut().await;
    three.assert_read("/file").await;
}

async fn destroyed_keys_are_opened_by_no_region(kind: Kind) {
    let three = Three::new(kind, Dialect::Sqlite).await;
    let own = three.server.fresh_key().await;
    three.set_own_key(Some(&own)).await;
    three.put("/file").await;
    three.replicate_to(Some(THERE)).await;
    three.copy().await.unwrap();
    assert_eq!(three.copies().await, [(1, THERE)]);

    let keys = three.world.vfs.keys();
    let (actor, week) = (Actor::operator(), KmsKey::Delete(7));
    let destroyed = key_destroy::destroy(keys, &actor, three.tenant(), week, MONTH).await;
    let destroyed = destroyed.unwrap();
    assert_eq!(destroyed.versions, 1);
    assert_eq!(destroyed.kms_key, Some(own));
    // The other wrapping is in backups of the database for longer than the key of the first is there.
    let now = three.world.vfs.database().now().await.unwrap();
    let until_backups = now.plus(MONTH).to_string();
    assert_eq!(destroyed.final_at[..10], until_backups[..10]);
    let told = &destroyed.explanation;
    assert!(told.contains("by another key as well"), "{told}");
    assert_eq!(three.copies().await, []);
    assert_eq!(kind_of(three.read("/file").await), ErrorKind::Corrupt);
    assert_eq!(three.copy().await.unwrap(), 0);
    three.lines[0].cut().await;
    let refused = three.read("/file").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
    assert!(refused.context().contains("were destroyed"), "{refused}");
    assert_eq!(three.copies().await, []);
}

async fn a_replica_that_is_taken_away_takes_its_wrapping_along(kind: Kind) {
    let three = Three::new(kind, Dialect::Sqlite).await;
    three.put("/file").await;
    three.replicate_to(Some(THERE)).await;
    three.copy().await.unwrap();

    // Not before the first was seen to open; but nothing is read by it.
    three.lines[0].cut().await;
    three.replicate_to(None).await;
    three.assert_refused("/file").await;
    three.copy().await.unwrap();
    assert_eq!(three.copies().await, [(1, THERE)]);
    three.replicate_to(Some(THERE)).await;
    three.assert_read("/file").await;
    three.lines[0].mend();
    three.replicate_to(None).await;
    three.copy().await.unwrap();
    assert_eq!(three.copies().await, []);

    // One that is changed has another.
    three.replicate_to(Some(THERE)).await;
    three.copy().await.unwrap();
    three.replicate_to(Some(BEYOND)).await;
    three.copy().await.unwrap();
    assert_eq!(three.copies().await, [(1, BEYOND)]);
    for line in &three.lines {
        line.cut().await;
    }
    three.assert_read("/file").await;
}

async fn a_second_wrapping_of_another_tenant_or_version_is_refused(kind: Kind) {
    let three = Three::new(kind, Dialect::Sqlite).await;
    let db = three.world.vfs.database();
    three.put("/file").await;
    three.rotate().await.unwrap();
    three.replicate_to(Some(THERE)).await;
    three.copy().await.unwrap();
    let other = tenants::add(db, &new_tenant("other")).await.unwrap().id;
    let replica = copied_to(Some(THERE));
    three.world.place_tenant("other", replica).await;
    let keys = three.world.vfs.keys();
    keys.current(other).await.unwrap();
    second::make(keys, other, THERE).await.unwrap();
    let right = three.copies_of(three.tenant()).await;
    let theirs = three.copies_of(other).await;
    assert_eq!((right.len(), theirs.len()), (2, 1));

    three.lines[0].cut().await;
    let put_in_place = async |copy: &KeyCopy| {
        let at = db.now().await.unwrap();
        let mut tx = db.write(three.tenant()).await.unwrap();
        key_copies::remove_all(&mut tx).await.unwrap();
        let key = StoredKey {
            version: 1,
            ..copy.key.clone()
        };
        let copy = KeyCopy { region: THERE, key };
        assert!(key_copies::add(&mut tx, &copy, at).await.unwrap());
        tx.commit().await.unwrap();
    };
    for wrong in [&theirs[0], &right[1]] {
        put_in_place(wrong).await;
        three.assert_refused("/file").await;
    }
    put_in_place(&right[0]).await;
    three.assert_read("/file").await;
}

async fn a_tenant_is_moved_to_its_replica_without_its_first_region(kind: Kind) {
    let three = Three::new(kind, Dialect::Sqlite).await;
    let db = three.world.vfs.database();
    three.put("/file").await;
    three.replicate_to(Some(THERE)).await;
    three.copy().await.unwrap();
    three.lines[0].cut().await;
    three.world.place(moved_to(THERE)).await;
    three.copy().await.unwrap();
    assert_eq!(three.copies().await, [(1, THERE)]);
    three.assert_read("/file").await;

    assert_eq!(three.rewrap().await.unwrap(), 1);
    let listed = key_care::list(db, three.tenant()).await.unwrap();
    assert_eq!(listed[0].kms_key.as_ref(), Some(&three.keys[1]));
    assert_eq!(three.copies().await, []);
    let service = KmsKeys::new(&Kms::config(three.server.port).await, three.keys[1].clone());
    let without = KeyRing::empty().with_kms(THERE, service);
    let ann = three.world.restarted(without).session_of("ann").await;
    assert_eq!(get(&ann, &path("/file")).await.unwrap(), b"/file");

    three.replicate_to(Some(BEYOND)).await;
    three.copy().await.unwrap();
    assert_eq!(three.copies().await, [(1, BEYOND)]);
}

async fn a_replica_whose_keys_cannot_be_wrapped_is_behind(kind: Kind) {
    let three = Three::new(kind, Dialect::Sqlite).await;
    three.put("/file").await;
    three.replicate_to(Some(THERE)).await;
    three.lines[1].cut().await;
    // The bytes are copied all the same.
    let failed = three.copy().await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Unavailable);
    assert!(failed.context().contains("replica"), "{failed}");
    assert_eq!(three.lacking(THERE).await, 1);
    three.assert_read("/file").await;
    three.lines[1].mend();
    assert_eq!(three.copy().await.unwrap(), 0, "they are there");
    assert_eq!(three.lacking(THERE).await, 0);
}

async fn a_version_that_is_lost_keeps_no_other_from_its_second_wrapping(kind: Kind) {
    let three = Three::new(kind, Dialect::Sqlite).await;
    let own = three.server.fresh_key().await;
    three.set_own_key(Some(&own)).await;
    three.put("/lost").await;
    three.set_own_key(None).await;
    three.rotate().await.unwrap();
    three.put("/kept").await;
    three.disable(&own).await;
    three.replicate_to(Some(THERE)).await;
    assert_eq!(kind_of(three.copy().await), ErrorKind::Unavailable);
    assert_eq!(three.copies().await, [(2, THERE)]);
    assert_eq!(three.lacking(THERE).await, 1);
    three.lines[0].cut().await;
    three.assert_read("/kept").await;
}

async fn a_key_service_that_is_silent_keeps_no_version_of_another_from_its_second_wrapping(
    kind: Kind,
) {
    let three = moved_and_rotated(kind).await;
    three.lines[0].cut().await;
    the_later_version_is_wrapped(&three, &three.restarted()).await;
}

async fn a_key_service_that_is_removed_keeps_no_version_of_another_from_its_second_wrapping(
    kind: Kind,
) {
    let three = moved_and_rotated(kind).await;
    let restarted = three.world.restarted(three.without_first.clone());
    the_later_version_is_wrapped(&three, &restarted).await;
}

/// The first version is kept by the first region's key service, the second by the second's.
async fn moved_and_rotated(kind: Kind) -> Three {
    let three = Three::new(kind, Dialect::Sqlite).await;
    three.put("/one").await;
    three.world.place(moved_to(THERE)).await;
    three.copy().await.unwrap();
    assert_eq!(three.rotate().await.unwrap(), 2);
    three.put("/two").await;
    three.replicate_to(Some(BEYOND)).await;
    three
}

/// What there is of the first key service is lost to `without`.
async fn the_later_version_is_wrapped(three: &Three, without: &World) {
    let failed = copying::run(&without.vfs, three.tenant()).await;
    assert_eq!(kind_of(failed), ErrorKind::Unavailable);
    assert_eq!(three.copies().await, [(2, BEYOND)]);
    assert_eq!(three.lacking(BEYOND).await, 1);
    three.lines[1].cut().await;
    three.assert_read("/two").await;
    for line in &three.lines {
        line.cut().await;
        line.mend();
    }
    three.copy().await.unwrap();
    assert_eq!(three.copies().await, [(1, BEYOND), (2, BEYOND)]);
    for line in &three.lines {
        line.cut().await;
    }
    three.assert_read("/one").await;
}
