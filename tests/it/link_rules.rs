//! Links and keys of requests, below the front end: what is counted, how long it lasts, who takes what over.
//! On both databases.

use std::time::Duration;

use sealift::accounts::bearer::{Grant, Means, SessionLife};
use sealift::accounts::link_downloads::{Leave, Part};
use sealift::accounts::links::{Found, GoodLink, PASS_LIFE};
use sealift::accounts::login::Accounts;
use sealift::accounts::manage::Access;
use sealift::accounts::once::{Ours, Standing};
use sealift::accounts::own_links::{LinkChange, NewLink};
use sealift::accounts::own_tokens::{NewToken, OwnToken};
use sealift::accounts::ticket::{Ticket, TicketKind};
use sealift::crypto::keyring::KeyRing;
use sealift::db::commit::Committer;
use sealift::db::entries::{self, Moment};
use sealift::domain::clock::Clock as _;
use sealift::domain::error::ErrorKind;
use sealift::domain::id::{InstanceId, LinkId, NodeId, TenantId};
use sealift::domain::link::{LinkKind, LinkLimits};
use sealift::domain::node::Version;
use sealift::domain::principal::Principal;
use sealift::domain::scope::Scopes;
use sealift::domain::secret::Secret;
use sealift::jobs::expire;
use sealift::net::budget::Budget;
use sealift::storage::memory::MemoryStore;
use sealift::storage::regions::Regions;
use sealift::vfs::keys::{KEY_LIFE, TenantKeys};
use sealift::vfs::service::Vfs;

use crate::support::dialects::on_both_databases;
use crate::support::installation::{Installation, door, name, open};

const HERE: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.7";
const DAY: Duration = Duration::from_secs(24 * 3600);
const SIZE: u64 = 1000;

on_both_databases! {
    parts_of_a_download_are_counted_once,
    a_beginning_that_breaks_off_early_is_counted_once,
    two_instances_give_the_last_download_once,
    a_link_ends_with_its_time_and_its_maker,
    what_was_made_by_a_token_ends_with_it,
    guesses_at_a_link_are_slowed_down_for_it_alone,
    what_shows_that_a_password_was_given_runs_out,
    a_request_is_taken_over_only_if_it_did_nothing,
    an_answer_is_kept_for_a_day_and_for_its_account,
    what_is_over_is_forgotten,
}

async fn what_was_made_by_a_token_ends_with_it(world: Installation) {
    let linked = Linked::new(world, LinkLimits::default(), None).await;
    let (accounts, ann) = (&linked.world.accounts, &linked.ann);
    let token = async |by: &Means| {
        let new = NewToken {
            name: "token".to_owned(),
            scopes: Scopes::ACCOUNT,
            life: None,
        };
        let made = accounts.add_token(ann, by, new).await;
        made.map(|(_, token)| token)
    };
    let by = |token: &OwnToken| {
        Means::Token(Grant {
            token: token.id,
            scopes: Scopes::ACCOUNT,
            expires_at: None,
        })
    };
    let parent = token(&Means::Password).await.unwrap();
    let child = token(&by(&parent)).await.unwrap();
    let grandchild = token(&by(&child)).await.unwrap();
    let other = token(&Means::Password).await.unwrap();
    let change = || LinkChange {
        name: Some("changed".to_owned()),
        ..LinkChange::default()
    };
    for token in [&grandchild, &grandchild, &other] {
        let means = by(token);
        let altered = accounts.alter_link(ann, &means, linked.id.1, change());
        altered.await.unwrap();
    }
    assert!(linked.found().await.is_some());
    let ended = accounts.remove_token(ann, parent.id).await.unwrap();
    let all = [&parent, &child, &grandchild].map(|token| token.id);
    assert_eq!(ended.tokens, all.into());
    assert_eq!(ended.links, [linked.id.1]);
    assert!(linked.found().await.is_none());
    let left = accounts.own_tokens(ann).await.unwrap();
    assert_eq!(left, std::slice::from_ref(&other));
    // A request that was let in a moment before makes nothing any more.
    let late = token(&by(&child)).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Unauthenticated);
    // Of two tokens the first that is revoked ended it.
    let ended = accounts.remove_token(ann, other.id).await.unwrap();
    assert!(ended.links.is_empty());
}

/// A link of ann's, and ways to ask for it.
struct Linked {
    world: Installation,
    ann: Principal,
    ticket: Ticket,
    id: (TenantId, LinkId),
}

impl Linked {
    async fn new(world: Installation, limits: LinkLimits, password: Option<&str>) -> Self {
        let ann = world.log_in("ann@acme", "acme-secret", HERE).await.unwrap();
        let node = {
            let mut tx = world.committer.database().read(ann.tenant).await.unwrap();
            let chain = entries::resolve(&mut tx, ann.home.names(), Moment::Now).await;
            chain.unwrap().last().unwrap().node
        };
        let new = NewLink {
            kind: LinkKind::Download,
            node,
            name: "home".to_owned(),
            password: password.map(Secret::new),
            limits,
        };
        let made = world.accounts.add_link(&ann, &Means::Password, new).await;
        let (text, own) = made.unwrap();
        assert_eq!(own.path.as_ref(), Some(&ann.home));
        let id = (ann.tenant, own.link.id);
        let ticket = Ticket::parse(TicketKind::Link, &text).unwrap();
        Self {
            world,
            ann,
            ticket,
            id,
        }
    }

    async fn found(&self) -> Option<GoodLink> {
        match self.world.accounts.link(&self.ticket, door(HERE)).await {
            Ok(Some(Found::Good(good))) => Some(*good),
            Ok(Some(Found::Over)) => None,
            Ok(None) => panic!("there is such a link"),
            Err(error) => panic!("{error}"),
        }
    }

    async fn take(&self, from: &str, at: u64, length: u64) -> Option<Leave> {
        let accounts = &self.world.accounts;
        accounts
            .count_download(self.id, door(from), part(at, length))
            .await
            .unwrap()
    }

    async fn end(&self, leave: &Leave, sent: u64) {
        self.world
            .accounts
            .download_ended(leave, sent)
            .await
            .unwrap();
    }

    async fn counted(&self) -> u64 {
        let own = self.world.accounts.own_link(&self.ann, self.id.1).await;
        own.unwrap().link.uses
    }
}

fn part(from: u64, length: u64) -> Part {
    Part {
        version: Version {
            node: NodeId::NIL,
            born: 7,
        },
        size: SIZE,
        from,
        length,
    }
}

fn at_most(uses: u64) -> LinkLimits {
    LinkLimits {
        uses: Some(uses),
        ..LinkLimits::default()
    }
}

async fn parts_of_a_download_are_counted_once(world: Installation) {
    let linked = Linked::new(world, at_most(2), None).await;
    // A download manager: the whole is begun, then parts beside it, and one of them again.
    let first = linked.take(HERE, 0, SIZE).await.unwrap();
    for from in [250, 500, 750] {
        let part = linked.take(HERE, from, 250).await.unwrap();
        linked.end(&part, if from == 500 { 100 } else { 250 }).await;
    }
    let again = linked.take(HERE, 600, 150).await.unwrap();
    linked.end(&again, 150).await;
    linked.end(&first, SIZE).await;
    assert_eq!(linked.counted().await, 1);
    // More than the file once more is another download, to which its beginning belongs as well.
    let more = linked.take(HERE, 1, SIZE - 1).await.unwrap();
    assert_eq!(linked.counted().await, 2);
    linked.end(&more, SIZE - 1).await;
    let beginning = linked.take(HERE, 0, SIZE).await.unwrap();
    assert_eq!(linked.counted().await, 2);
    linked.end(&beginning, SIZE).await;
    assert!(linked.take(HERE, 0, SIZE).await.is_none());
    // From elsewhere nothing was begun.
    assert!(linked.take(ELSEWHERE, 500, 10).await.is_none());
    assert_eq!(linked.counted().await, 2);
}

async fn a_beginning_that_breaks_off_early_is_counted_once(world: Installation) {
    let linked = Linked::new(world, at_most(2), None).await;
    let first = linked.take(HERE, 0, SIZE).await.unwrap();
    linked.end(&first, 300).await;
    let retried = linked.take(HERE, 0, SIZE).await.unwrap();
    assert_eq!(linked.counted().await, 1);
    // While it goes on, who begins another has begun another.
    let other = linked.take(HERE, 0, SIZE).await.unwrap();
    assert_eq!(linked.counted().await, 2);
    assert!(linked.take(HERE, 0, SIZE).await.is_none());
    linked.end(&other, SIZE).await;
    linked.end(&retried, 300).await;
    assert!(
        linked.take(HERE, 0, SIZE).await.is_none(),
        "600 of 1000 were sent"
    );
    // It is gone on with for a day.
    assert!(linked.take(HERE, 900, 100).await.is_some());
    linked.world.clock.advance(DAY);
    assert!(linked.take(HERE, 900, 100).await.is_none());
}

async fn two_instances_give_the_last_download_once(world: Installation) {
    let linked = Linked::new(world, at_most(3), None).await;
    let other = instance(&linked.world).await;
    let mut taking = tokio::task::JoinSet::new();
    for number in 0..16 {
        let accounts = match number % 2 {
            0 => linked.world.accounts.clone(),
            _ => other.clone(),
        };
        let id = linked.id;
        taking.spawn(async move {
            let part = part(0, SIZE);
            accounts.count_download(id, door(HERE), part).await.unwrap()
        });
    }
    let taken = taking.join_all().await;
    assert_eq!(taken.iter().flatten().count(), 3);
    assert_eq!(linked.counted().await, 3);
    other.stop().await;
}

async fn a_link_ends_with_its_time_and_its_maker(world: Installation) {
    let now = world.clock.now();
    let limits = LinkLimits {
        expires_at: Some(now.plus(DAY)),
        ..LinkLimits::default()
    };
    let linked = Linked::new(world, limits, None).await;
    let good = linked.found().await.unwrap();
    let guest = linked.world.accounts.admit_link(&good, door(HERE)).await;
    let guest = guest.unwrap();
    let (directory, ann) = (&linked.world.directory, name("ann@acme"));
    directory
        .set_account_access(&ann, Access::Refuse)
        .await
        .unwrap();
    assert!(linked.found().await.is_none());
    linked.world.assert_ends(&guest).await;
    directory
        .set_account_access(&ann, Access::Allow)
        .await
        .unwrap();
    assert!(linked.found().await.is_some());
    directory
        .set_tenant_access("acme", Access::Refuse)
        .await
        .unwrap();
    assert!(linked.found().await.is_none());
    directory
        .set_tenant_access("acme", Access::Allow)
        .await
        .unwrap();
    linked.world.clock.advance(DAY - Duration::from_secs(1));
    assert!(linked.found().await.is_some());
    linked.world.clock.advance(Duration::from_secs(1));
    assert!(linked.found().await.is_none());
    let change = LinkChange {
        expires_at: Some(None),
        ..LinkChange::default()
    };
    let accounts = &linked.world.accounts;
    // The session by which it was made has ended when its account was disabled.
    let again = linked.world.log_in("ann@acme", "acme-secret", HERE).await;
    let again = again.unwrap();
    let altered = accounts.alter_link(&again, &Means::Password, linked.id.1, change);
    altered.await.unwrap();
    assert!(linked.found().await.is_some());
    // Whoever has it in another tenant's place, or changed, has nothing.
    let other = Ticket::random(TicketKind::Link, linked.ann.tenant);
    assert!(accounts.link(&other, door(HERE)).await.unwrap().is_none());
    let bolt = linked.world.tenant("bolt").await;
    let mut text = linked.ticket.text().to_string();
    text.replace_range(..4, "slt_");
    assert!(Ticket::parse(TicketKind::Link, &text).is_none());
    let ann_of_bolt = linked
        .world
        .log_in("ann@bolt", "bolt-secret", HERE)
        .await
        .unwrap();
    assert_eq!(ann_of_bolt.tenant, bolt);
    let theirs = accounts
        .own_link(&ann_of_bolt, linked.id.1)
        .await
        .unwrap_err();
    assert_eq!(theirs.kind(), ErrorKind::NotFound);
}

async fn guesses_at_a_link_are_slowed_down_for_it_alone(world: Installation) {
    let linked = Linked::new(world, LinkLimits::default(), Some("open sesame")).await;
    let accounts = &linked.world.accounts;
    let good = linked.found().await.unwrap();
    let try_with = async |password: &str, from: &str| {
        let tried = accounts
            .prove_link(&good, &Secret::new(password), door(from))
            .await;
        tried.map_err(|error| error.kind())
    };
    assert_eq!(try_with("open sesame", ELSEWHERE).await, Ok(()));
    for _ in 0..4 {
        assert_eq!(
            try_with("wrong", HERE).await,
            Err(ErrorKind::Unauthenticated)
        );
    }
    assert_eq!(try_with("open sesame", HERE).await, Err(ErrorKind::Busy));
    // From where it was opened before, and for the maker, nothing is different.
    assert_eq!(try_with("open sesame", ELSEWHERE).await, Ok(()));
    linked
        .world
        .log_in("ann@acme", "acme-secret", HERE)
        .await
        .unwrap();
    linked.world.clock.advance(Duration::from_secs(2));
    assert_eq!(try_with("open sesame", HERE).await, Ok(()));
    let log = linked.world.log("acme").await;
    let failed: Vec<_> = log.iter().filter(|r| r.kind == "link-failed").collect();
    assert_eq!(failed.len(), 4);
    assert_eq!(failed[0].address.as_deref(), Some(HERE));
}

async fn what_shows_that_a_password_was_given_runs_out(world: Installation) {
    let linked = Linked::new(world, LinkLimits::default(), Some("open sesame")).await;
    let good = linked.found().await.unwrap();
    let now = linked.world.clock.now();
    let pass = good.pass(now);
    assert!(good.is_pass(&pass, now));
    assert!(!good.is_pass(&pass, now.plus(PASS_LIFE)));
    let (until, mark) = pass.split_once('.').unwrap();
    let later = until.parse::<i64>().unwrap() + 1;
    assert!(!good.is_pass(&format!("{later}.{mark}"), now));
    for wrong in ["", ".", "1", "x.y", until, mark] {
        assert!(!good.is_pass(wrong, now), "{wrong}");
    }
    let change = LinkChange {
        password: Some(Some(Secret::new("another"))),
        ..LinkChange::default()
    };
    let accounts = &linked.world.accounts;
    let altered = accounts.alter_link(&linked.ann, &Means::Password, linked.id.1, change);
    altered.await.unwrap();
    assert!(!linked.found().await.unwrap().is_pass(&pass, now));
}

async fn ours(accounts: &Accounts, principal: &Principal) -> Ours {
    match stand(accounts, principal, 1).await {
        Standing::Ours(ours) => *ours,
        _ => panic!("nobody else has it"),
    }
}

async fn stand(accounts: &Accounts, principal: &Principal, request: u8) -> Standing {
    let stood = accounts.stand(principal, [9; 32], [request; 32]).await;
    stood.unwrap()
}

async fn a_request_is_taken_over_only_if_it_did_nothing(world: Installation) {
    let ann = world.log_in("ann@acme", "acme-secret", HERE).await.unwrap();
    let other = instance(&world).await;
    let token = |name: &str| NewToken {
        name: name.to_owned(),
        scopes: Scopes::ACCOUNT,
        life: None,
    };
    let minute = Duration::from_secs(60);
    // An instance that is gone before it did anything: another does it.
    let gone = ours(&world.accounts, &ann).await;
    assert!(matches!(stand(&other, &ann, 1).await, Standing::UnderWay));
    assert!(matches!(stand(&other, &ann, 2).await, Standing::Other));
    world.clock.advance(minute);
    let taken = ours(&other, &ann).await;
    // It was only frozen, and wakes up: it does nothing any more.
    let late = gone.run(
        world
            .accounts
            .add_token(&ann, &Means::Password, token("late")),
    );
    assert_eq!(Box::pin(late).await.unwrap_err().kind(), ErrorKind::Stale);
    assert_eq!(world.accounts.own_tokens(&ann).await.unwrap(), []);
    assert!(!gone.give_up().await.unwrap());
    let made = taken.run(other.add_token(&ann, &Means::Password, token("made")));
    Box::pin(made).await.unwrap();
    // It dies before its answer is kept: nobody does it again, whenever they ask.
    assert!(!taken.give_up().await.unwrap());
    assert!(matches!(stand(&other, &ann, 1).await, Standing::UnderWay));
    world.clock.advance(minute);
    assert!(matches!(
        stand(&world.accounts, &ann, 1).await,
        Standing::Lost
    ));
    assert_eq!(world.accounts.own_tokens(&ann).await.unwrap().len(), 1);
    other.stop().await;
}

async fn an_answer_is_kept_for_a_day_and_for_its_account(world: Installation) {
    let ann = world.log_in("ann@acme", "acme-secret", HERE).await.unwrap();
    let one = ours(&world.accounts, &ann).await;
    one.keep(b"the answer").await.unwrap();
    let again = stand(&world.accounts, &ann, 1).await;
    assert!(matches!(again, Standing::Answered(answer) if answer == b"the answer"));
    let theirs = world.log_in("ann@bolt", "bolt-secret", HERE).await.unwrap();
    assert!(matches!(
        stand(&world.accounts, &theirs, 2).await,
        Standing::Ours(_)
    ));
    world.clock.advance(DAY);
    assert!(matches!(
        stand(&world.accounts, &ann, 2).await,
        Standing::Ours(_)
    ));
}

async fn what_is_over_is_forgotten(world: Installation) {
    let expires_at = Some(world.clock.now().plus(DAY));
    let limits = LinkLimits {
        expires_at,
        ..at_most(5)
    };
    let linked = Linked::new(world, limits, None).await;
    linked.take(HERE, 0, SIZE).await.unwrap();
    let one = ours(&linked.world.accounts, &linked.ann).await;
    one.keep(b"the answer").await.unwrap();
    let life = SessionLife::default();
    let kept = linked
        .world
        .accounts
        .keep_session(&linked.ann, "Lynx", life);
    kept.await.unwrap();
    let vfs = vfs(&linked.world);
    let forget = async || expire::run(&vfs, linked.ann.tenant).await.unwrap();
    assert_eq!(forget().await, 0);
    linked.world.clock.advance(DAY);
    assert_eq!(forget().await, 3, "a session, a download and an answer");
    // Who still has the link is told for a month that it has ended.
    linked.world.clock.advance(29 * DAY);
    assert!(linked.found().await.is_none());
    assert_eq!(forget().await, 0);
    linked.world.clock.advance(2 * DAY);
    assert_eq!(forget().await, 1);
    let unknown = linked.world.accounts.link(&linked.ticket, door(HERE)).await;
    assert!(unknown.unwrap().is_none());
}

/// Another instance of the server.
async fn instance(world: &Installation) -> Accounts {
    let committer = Committer::new(open(&world.location, &world.clock).await);
    let started = Accounts::start(committer, Default::default(), world.keys.clone());
    started.await.unwrap()
}

fn vfs(world: &Installation) -> Vfs {
    let committer = world.committer.clone();
    let regions = Regions::one(std::sync::Arc::new(MemoryStore::new(world.clock.clone())));
    let keys = TenantKeys::new(committer.clone(), KeyRing::for_tests(), KEY_LIFE);
    let instance = InstanceId::mint(world.clock.now());
    Vfs::new(committer, regions, keys, Budget::new(1 << 20), instance)
}
