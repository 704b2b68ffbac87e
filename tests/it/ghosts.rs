//! Sessions that were told to end, and those of instances that are gone: what is seen of them, and the places that they
//! take.

use std::time::Duration;

use sealift::accounts::live::Ended;
use sealift::accounts::manage::Limit;
use sealift::accounts::manage_logins::LoginChange;
use sealift::db::instances;
use sealift::db::live_sessions::{self, LiveSession};
use sealift::domain::clock::Clock;
use sealift::domain::error::{ErrorKind, Result};
use sealift::domain::id::{InstanceId, SessionId};
use sealift::domain::principal::Principal;

use crate::support::dialects::on_both_databases;
use crate::support::installation::{Installation, name};
use crate::support::wait::until;

const HERE: &str = "192.0.2.1";
const LEASE: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(24 * 3600);

on_both_databases! {
    a_session_that_was_told_to_end_is_seen_no_more_and_keeps_its_place_until_it_is_gone,
    sessions_of_an_instance_that_is_gone_for_long_are_forgotten,
}

impl Installation {
    /// As an instance that lives, with one place for `ann@acme`.
    async fn with_one_place(&self) -> InstanceId {
        let change = LoginChange {
            sessions: Limit::Set(1),
            ..LoginChange::default()
        };
        let login = name("ann@acme");
        let set = self.directory.set_login_rules(&login, change);
        set.await.unwrap();
        let own = InstanceId::mint(self.clock.now());
        self.accounts.tell_sessions(own);
        self.renew(own).await;
        own
    }

    async fn renew(&self, instance: InstanceId) {
        let renewed = instances::renew(self.committer.database(), instance, LEASE);
        renewed.await.unwrap();
    }

    async fn ann(&self) -> Result<Principal> {
        self.log_in("ann@acme", "acme-secret", HERE).await
    }

    async fn sees(&self, session: SessionId) -> bool {
        let page = self.directory.sessions_page("acme", None, None, 100);
        let (sessions, _) = page.await.unwrap();
        sessions.iter().any(|one| one.id == session.to_string())
    }

    /// A session of `ann@acme` at an instance that lives for [`LEASE`] and says nothing more.
    async fn ghost(&self) -> LiveSession {
        let ann = self.ann().await.unwrap();
        self.accounts.log_out(&ann).await;
        let now = self.clock.now();
        let ghost = LiveSession {
            id: SessionId::random(),
            instance: InstanceId::mint(now),
            account: ann.account,
            protocol: "sftp".to_owned(),
            address: HERE.to_owned(),
            began_at: now,
            counts: true,
        };
        self.renew(ghost.instance).await;
        let tenant = self.tenant("acme").await;
        let mut tx = self.committer.database().write(tenant).await.unwrap();
        live_sessions::insert(&mut tx, &ghost).await.unwrap();
        tx.commit().await.unwrap();
        ghost
    }
}

async fn a_session_that_was_told_to_end_is_seen_no_more_and_keeps_its_place_until_it_is_gone(
    world: Installation,
) {
    world.with_one_place().await;
    let ann = world.ann().await.unwrap();
    let session = ann.session;
    until("the session to be told", async || world.sees(session).await).await;
    let ended = world.directory.end_session("acme", session);
    ended.await.unwrap();
    assert!(!world.sees(session).await);
    // Whoever serves it hears of it, and from then on ends it.
    world.assert_ends(&ann).await;
    let why = world.accounts.ended(&ann).await;
    assert_eq!(why, Ended::Asked);
    assert_eq!(why.sentence(), "an administrator ended this session");
    let refused = world.ann().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy);
    world.accounts.log_out(&ann).await;
    let next = world.ann().await.unwrap();
    assert_ne!(next.session, session);
    // Once its end was told it is nowhere.
    until("the session to be forgotten", async || {
        let again = world.directory.end_session("acme", session).await;
        again.is_err_and(|error| error.kind() == ErrorKind::NotFound)
    })
    .await;
    until("the next one to be told", async || {
        world.sees(next.session).await
    })
    .await;
    world.accounts.stop().await;
}

#[tokio::test]
async fn the_places_of_an_instance_that_is_gone_are_free_when_its_lease_is_over() {
    let world = Installation::postgres().await;
    let own = world.with_one_place().await;
    let ghost = world.ghost().await;
    let refused = world.ann().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy);
    assert!(world.sees(ghost.id).await);
    world.clock.advance(LEASE);
    world.renew(own).await;
    assert!(!world.sees(ghost.id).await);
    let ann = world.ann().await.unwrap();
    world.accounts.log_out(&ann).await;
    // One that wakes up has them again.
    world.renew(ghost.instance).await;
    assert!(world.sees(ghost.id).await);
    until("the place to be taken again", async || {
        let ann = world.ann().await;
        if let Ok(ann) = &ann {
            world.accounts.log_out(ann).await;
        }
        ann.is_err_and(|error| error.kind() == ErrorKind::Busy)
    })
    .await;
    world.accounts.stop().await;
}

async fn sessions_of_an_instance_that_is_gone_for_long_are_forgotten(world: Installation) {
    let own = world.with_one_place().await;
    let ghost = world.ghost().await;
    // Asleep for less than a day, it is about them when it wakes up.
    for (asleep, is_kept) in [(DAY, true), (DAY + LEASE, false)] {
        world.clock.advance(asleep);
        world.renew(own).await;
        // Whoever tells of their own sessions forgets those.
        let ann = world.ann().await.unwrap();
        until("a session to be told", async || {
            world.sees(ann.session).await
        })
        .await;
        world.accounts.log_out(&ann).await;
        until("its end to be told", async || {
            !world.sees(ann.session).await
        })
        .await;
        world.renew(ghost.instance).await;
        assert_eq!(world.sees(ghost.id).await, is_kept);
    }
    world.accounts.stop().await;
}
