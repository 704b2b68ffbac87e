//! Keys of session tickets: shared by all instances, renewed in time, forgotten in time.

use std::time::Duration;

use rustls::server::ProducesTickets as _;
use sealift::crypto::keyring::{KeyRing, WrappedKey};
use sealift::db::sql::Dialect;
use sealift::db::ticket_keys;
use sealift::domain::id::{RegionId, TenantId};
use sealift::net::tickets::{ConnectionTickets, Mark, TicketKeys};
use sealift::server::tickets::SharedTicketKeys;

use crate::support::dialects::on_both;
use crate::support::world::World;

on_both! {
    instances_share_keys_from_the_first_moment,
    a_new_key_is_known_to_all_before_it_seals,
    of_instances_that_make_a_key_at_once_one_wins,
    a_key_that_cannot_be_unwrapped_does_not_keep_others_from_use,
    keys_lie_in_the_database_wrapped_and_go_when_they_are_over,
}

const TERM: Duration = Duration::from_secs(4 * 3600);
const MINUTE: Duration = Duration::from_secs(60);

fn instance(world: &World) -> SharedTicketKeys {
    let db = world.vfs.database().clone();
    let ring = world.vfs.keys().ring().clone();
    SharedTicketKeys::new(db, ring, RegionId(1))
}

fn ticket(keys: &TicketKeys) -> Vec<u8> {
    let tickets = ConnectionTickets::new(keys.clone(), Mark([1; 16]));
    tickets.encrypt(b"session").unwrap()
}

fn opens(keys: &TicketKeys, ticket: &[u8]) -> bool {
    let tickets = ConnectionTickets::new(keys.clone(), Mark([2; 16]));
    tickets.decrypt(ticket).is_some()
}

async fn instances_share_keys_from_the_first_moment(dialect: Dialect) {
    let world = World::new(dialect).await;
    let (mut here, mut there) = (instance(&world), instance(&world));
    // An instance that cannot reach the others yet has one of its own.
    let own = ticket(&here.keys());
    assert!(opens(&here.keys(), &own) && !opens(&there.keys(), &own));
    here.look().await.unwrap();
    there.look().await.unwrap();
    let (one, other) = (ticket(&here.keys()), ticket(&there.keys()));
    assert!(opens(&there.keys(), &one));
    assert!(opens(&here.keys(), &other));
}

async fn a_new_key_is_known_to_all_before_it_seals(dialect: Dialect) {
    let world = World::new(dialect).await;
    let (mut here, mut there) = (instance(&world), instance(&world));
    here.look().await.unwrap();
    there.look().await.unwrap();
    let first = ticket(&here.keys());
    world.clock.advance(TERM);
    // One makes a new key, and does not use it while the other has not looked.
    here.look().await.unwrap();
    let db = world.vfs.database();
    assert_eq!(ticket_keys::list(db).await.unwrap().len(), 2);
    assert!(opens(&there.keys(), &ticket(&here.keys())));
    there.look().await.unwrap();
    world.clock.advance(3 * MINUTE);
    here.look().await.unwrap();
    let second = ticket(&here.keys());
    assert_ne!(first[..16], second[..16]);
    assert!(opens(&there.keys(), &second) && opens(&there.keys(), &first));
}

async fn of_instances_that_make_a_key_at_once_one_wins(dialect: Dialect) {
    let world = World::new(dialect).await;
    let mut all: Vec<_> = (0..6).map(|_| instance(&world)).collect();
    let looks = all.iter_mut().map(SharedTicketKeys::look);
    for looked in futures_util::future::join_all(looks).await {
        looked.unwrap();
    }
    let db = world.vfs.database();
    assert_eq!(ticket_keys::list(db).await.unwrap().len(), 1);
    let sealed = ticket(&all[0].keys());
    assert!(all.iter().all(|instance| opens(&instance.keys(), &sealed)));
}

async fn a_key_that_cannot_be_unwrapped_does_not_keep_others_from_use(dialect: Dialect) {
    let world = World::new(dialect).await;
    let (mut here, mut there) = (instance(&world), instance(&world));
    let db = world.vfs.database();
    let mut broken = SharedTicketKeys::new(db.clone(), KeyRing::for_tests(), RegionId(1));
    broken.look().await.unwrap();
    assert!(here.look().await.is_err());
    world.clock.advance(TERM);
    assert!(here.look().await.is_err());
    assert!(there.look().await.is_err());
    world.clock.advance(3 * MINUTE);
    assert!(here.look().await.is_err());
    assert!(opens(&there.keys(), &ticket(&here.keys())));
    for _ in 0..5 {
        world.clock.advance(TERM);
        here.try_look().await;
    }
    here.look().await.unwrap();
}

async fn keys_lie_in_the_database_wrapped_and_go_when_they_are_over(dialect: Dialect) {
    let world = World::new(dialect).await;
    let mut here = instance(&world);
    here.look().await.unwrap();
    let first = ticket(&here.keys());
    let db = world.vfs.database();
    let stored = ticket_keys::list(db).await.unwrap().remove(0);
    let wrapped = WrappedKey {
        provider: stored.provider.clone(),
        bytes: stored.wrapped.clone(),
    };
    let ring = world.vfs.keys().ring();
    assert!(ring.unwrap(TenantId(0), stored.id, &wrapped).await.is_ok());
    let strange = KeyRing::for_tests();
    for opened in [
        ring.unwrap(world.tenant.id, stored.id, &wrapped).await,
        ring.unwrap(TenantId(0), stored.id + 1, &wrapped).await,
        strange.unwrap(TenantId(0), stored.id, &wrapped).await,
    ] {
        assert!(opened.is_err());
    }
    // As long as a ticket may be used, it can be.
    for _ in 0..3 {
        world.clock.advance(TERM);
        here.look().await.unwrap();
        assert!(opens(&here.keys(), &first));
    }
    world.clock.advance(TERM + 3 * MINUTE);
    here.look().await.unwrap();
    assert!(!opens(&here.keys(), &first));
    let left = ticket_keys::list(db).await.unwrap();
    assert!(left.iter().all(|key| key.id != stored.id), "{left:?}");
    assert!(left.len() <= 5);
}
