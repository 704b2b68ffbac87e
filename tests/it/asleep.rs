//! Instances that were frozen for longer than their lease, or could not reach the database: what they are about
//! is known again when they are awake.

use std::time::Duration;

use sealift::accounts::login::Accounts;
use sealift::db::commit::Committer;
use sealift::db::instances;
use sealift::domain::clock::Clock;
use sealift::domain::id::{InstanceId, SessionId};
use sealift::domain::secret::Secret;

use crate::support::dialects::on_both_databases;
use crate::support::installation::{Installation, door, open, quick_logins};
use crate::support::wait::until;

const LEASE: Duration = Duration::from_secs(600);

on_both_databases! {
    the_sessions_of_an_instance_that_wakes_up_are_seen_and_can_be_ended,
}

async fn the_sessions_of_an_instance_that_wakes_up_are_seen_and_can_be_ended(world: Installation) {
    let frozen = InstanceId::mint(world.clock.now());
    world.accounts.tell_sessions(frozen);
    renew(&world, frozen, LEASE).await;
    let ann = world.log_in("ann@acme", "acme-secret", "192.0.2.1");
    let ann = ann.await.unwrap();
    until("the session to be told", async || {
        sees(&world, ann.session).await
    })
    .await;

    renew(&world, frozen, Duration::ZERO).await;
    assert!(!sees(&world, ann.session).await);
    let other = InstanceId::mint(world.clock.now());
    let committer = Committer::new(open(&world.location, &world.clock).await);
    let accounts = Accounts::start(committer, quick_logins(), world.keys.clone());
    let accounts = accounts.await.unwrap();
    accounts.tell_sessions(other);
    renew(&world, other, LEASE).await;
    let password = Secret::new("acme-secret");
    let elsewhere = accounts.login_password("ann@acme", &password, door("192.0.2.2"));
    let elsewhere = elsewhere.await.unwrap();
    until("the other instance to tell of its own", async || {
        sees(&world, elsewhere.session).await
    })
    .await;

    renew(&world, frozen, LEASE).await;
    assert!(sees(&world, ann.session).await);
    let ended = world.directory.end_session("acme", ann.session);
    ended.await.unwrap();
    world.assert_ends(&ann).await;
}

async fn renew(world: &Installation, instance: InstanceId, lease: Duration) {
    let renewed = instances::renew(world.committer.database(), instance, lease);
    renewed.await.unwrap();
}

/// Whether whoever looks at the sessions of the tenant sees this one.
async fn sees(world: &Installation, session: SessionId) -> bool {
    let page = world.directory.sessions_page("acme", None, None, 100);
    let (sessions, _) = page.await.unwrap();
    sessions.iter().any(|one| one.id == session.to_string())
}
