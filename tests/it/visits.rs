//! Sessions of browsers and tokens, as every instance knows them. On both databases.

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use sealift::accounts::bearer::{Bearer, Means, SessionLife};
use sealift::accounts::login::{Accounts, LoginSettings};
use sealift::accounts::manage::{Access, Limit};
use sealift::accounts::manage_logins::LoginChange;
use sealift::accounts::own_tokens::{NewToken, OwnToken};
use sealift::accounts::ticket::{Ticket, TicketKind};
use sealift::db::commit::Committer;
use sealift::db::instances;
use sealift::db::live_sessions::{self, LiveSession};
use sealift::domain::error::{ErrorKind, Result};
use sealift::domain::id::{AccountId, InstanceId, SessionId};
use sealift::domain::principal::Principal;
use sealift::domain::rights::Rights;
use sealift::domain::scope::Scopes;
use sealift::domain::secret::Secret;
use sealift::http::basic::{Basic, Credentials};
use sealift::http::visits::{Bounds, Visit, Visits, gives_way};

use crate::support::dialects::on_both_databases;
use crate::support::installation::{Installation, door, name, open};
use crate::support::wait::until;

const HERE: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.7";
const MINUTE: Duration = Duration::from_secs(60);
const LIFE: SessionLife = SessionLife {
    idle: Duration::from_secs(30 * 60),
    whole: Duration::from_secs(12 * 3600),
};

on_both_databases! {
    any_instance_knows_a_session,
    a_session_ends_when_it_is_idle_or_old,
    a_session_ends_with_what_opened_it,
    a_ticket_opens_nothing_in_another_tenant,
    a_token_is_a_ceiling,
    a_token_ends_when_it_is_said_to,
    a_ticket_is_taken_only_from_where_the_account_may_log_in,
    guesses_at_tickets_are_slowed_down,
    the_oldest_sessions_make_room,
    tokens_are_in_the_audit_log,
    a_transfer_holds_the_session_of_a_password,
}

async fn a_transfer_holds_the_session_of_a_password(world: Installation) {
    let basic = Basic::new(world.accounts.clone(), world.clock.clone());
    let credentials = Credentials {
        login: "ann@acme".to_owned(),
        password: Secret::new("acme-secret"),
    };
    let log_in = async || {
        let login = basic.log_in(door(HERE), None, &credentials);
        Box::pin(login).await.unwrap()
    };
    // What a request holds as long as its answer lasts.
    let held = log_in().await;
    let ann = held.principal.clone();
    let goes_on = || world.accounts.ended(&ann).now_or_never().is_none();
    for _ in 0..3 {
        world.clock.advance(6 * MINUTE);
        basic.end_silent().await;
        assert!(goes_on());
    }
    drop(held);
    // The silence begins with its end.
    world.clock.advance(4 * MINUTE);
    basic.end_silent().await;
    assert!(goes_on());
    assert_eq!(log_in().await.principal.session, ann.session);
    world.clock.advance(6 * MINUTE);
    basic.end_silent().await;
    assert!(!goes_on());
    assert_ne!(log_in().await.principal.session, ann.session);
}

#[tokio::test]
async fn an_account_that_comes_from_everywhere_keeps_what_comes_from_most_places() {
    let world = Installation::sqlite().await;
    let (_, ticket, _) = world.token(own(), None).await;
    let visits = Visits::new(world.accounts.clone(), LIFE);
    let from = async |address: &str| visits.of(&ticket, door(address)).await.unwrap();
    let (own, means) = {
        let visit = from("10.0.0.1").await;
        (visit.principal.clone(), visit.means)
    };
    let bounds = Bounds::default();
    let (half, share) = (bounds.most / 2, bounds.of_account);
    let all: Vec<_> = (0..half).map(|_| Visit::new(own.clone(), means)).collect();
    let gives_way = |places: usize, to: &Principal| {
        let kept = all.iter().take(places).enumerate();
        gives_way(kept.map(|(at, visit)| (at, visit, at)), to, bounds)
    };
    // With room for all, many rest side by side.
    assert_eq!(gives_way(share * 2, &own), None);
    assert_eq!(gives_way(half, &own), Some(0));
    // One that has a request under way stays.
    let _held = all[0].clone();
    assert_eq!(gives_way(half, &own), Some(1));
    let other = Principal {
        account: AccountId(own.account.0 + 1),
        ..own.clone()
    };
    assert_eq!(gives_way(half, &other), None);
    world.accounts.stop().await;
}

/// Six are kept, and from three on two of an account.
const FEW: Bounds = Bounds {
    most: 6,
    of_account: 2,
};

#[tokio::test]
async fn who_logs_in_by_password_from_everywhere_fills_no_more_than_half_alone() {
    let world = Installation::sqlite().await;
    for user in ["cat", "dan", "eve"] {
        let login = format!("{user}@acme");
        world.add(&login, "acme-secret").await;
    }
    let basic = Basic::bounded(world.accounts.clone(), world.clock.clone(), FEW);
    let log_in = async |user: &str, password: &str, from: &str| {
        world.clock.advance(Duration::from_secs(1));
        let credentials = Credentials {
            login: user.to_owned(),
            password: Secret::new(password),
        };
        let login = basic.log_in(door(from), None, &credentials);
        Box::pin(login).await
    };
    let ann = async |from: &str| log_in("ann@acme", "acme-secret", from).await;
    let goes_on = |principal: &Principal| world.accounts.ended(principal).now_or_never().is_none();
    let mut known = Vec::new();
    for from in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
        known.push(ann(from).await.unwrap().principal);
    }
    assert!(known.iter().all(goes_on));
    // Who was silent longest gives way, and who has a request under way does not.
    let held = ann("10.0.0.1").await.unwrap();
    assert_eq!(held.principal.session, known[0].session);
    ann("10.0.0.4").await.unwrap();
    let on: Vec<_> = known.iter().map(goes_on).collect();
    assert_eq!(on, [true, false, true]);
    // Others have the rest, until all is taken.
    for (user, password) in [
        ("ann@bolt", "bolt-secret"),
        ("cat@acme", "acme-secret"),
        ("dan@acme", "acme-secret"),
    ] {
        log_in(user, password, "10.0.0.5").await.unwrap();
    }
    let refused = log_in("eve@acme", "acme-secret", "10.0.0.5").await;
    assert_eq!(refused.err().unwrap().kind(), ErrorKind::Busy);
    // In the place of one of its own the account comes all the same.
    ann("10.0.0.6").await.unwrap();
    let on: Vec<_> = known.iter().map(goes_on).collect();
    assert_eq!(on, [true, false, false]);
    drop(held);
    world.accounts.stop().await;
}

#[tokio::test]
async fn a_token_that_is_shown_from_everywhere_fills_no_more_than_half_alone() {
    let world = Installation::sqlite().await;
    let (_, ticket, _) = world.token(own(), None).await;
    let visits = Visits::bounded(world.accounts.clone(), LIFE, FEW);
    let from = async |address: &str| visits.of(&ticket, door(address)).await.unwrap();
    let goes_on = |principal: &Principal| world.accounts.ended(principal).now_or_never().is_none();
    let held = from("10.0.0.1").await;
    let mut known = vec![held.principal.clone()];
    for address in ["10.0.0.2", "10.0.0.3"] {
        known.push(from(address).await.principal);
    }
    assert!(known.iter().all(goes_on));
    from("10.0.0.4").await;
    let on: Vec<_> = known.iter().map(goes_on).collect();
    assert_eq!(on, [true, false, true]);
    drop(held);
    from("10.0.0.5").await;
    let on: Vec<_> = known.iter().map(goes_on).collect();
    assert_eq!(on, [false, false, true]);
    world.accounts.stop().await;
}

/// The cookie of a browser shown twice at the same time, from two addresses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_waits_for_its_place_is_waited_for() {
    let world = Installation::postgres().await;
    let db = world.committer.database().clone();
    let change = LoginChange {
        sessions: Limit::Set(1),
        ..LoginChange::default()
    };
    let login = name("ann@acme");
    let set = world.directory.set_login_rules(&login, change);
    set.await.unwrap();
    let (ann, ticket) = world.browser().await;
    let means = Means::Session(ann.session);
    world.accounts.rest(&ann, &means).await;
    // The only place is taken at another instance.
    let now = db.now().await.unwrap();
    world.accounts.tell_sessions(InstanceId::mint(now));
    let elsewhere = LiveSession {
        id: SessionId::random(),
        instance: InstanceId::mint(now),
        account: ann.account,
        protocol: "sftp".to_owned(),
        address: ELSEWHERE.to_owned(),
        began_at: now,
        counts: true,
    };
    let lease = instances::renew(&db, elsewhere.instance, 60 * MINUTE);
    lease.await.unwrap();
    let mut tx = db.write(ann.tenant).await.unwrap();
    live_sessions::insert(&mut tx, &elsewhere).await.unwrap();
    tx.commit().await.unwrap();

    let bearer = world.look_up(&ticket).await.unwrap();
    let accounts = &world.accounts;
    let turn = db.write_in_turn(ann.tenant).await.unwrap();
    let mut one = pin!(accounts.admit_bearer(&bearer, door(HERE)));
    let waits = until("the first to wait", async || {
        let mut tx = db.read(ann.tenant).await.unwrap();
        let waited_for = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        !tx.rows_without_tenant(waited_for).await.unwrap().is_empty()
    });
    tokio::select! {
        _ = &mut one => panic!("it was let in, or refused, out of turn"),
        () = waits => {}
    }
    let mut other = pin!(accounts.admit_bearer(&bearer, door(ELSEWHERE)));
    let mut looks = 0;
    let for_a_while = until("some looks", async || {
        looks += 1;
        looks > 20
    });
    tokio::select! {
        _ = &mut one => panic!("it was let in, or refused, out of turn"),
        _ = &mut other => panic!("it went on with a session that has not begun"),
        () = for_a_while => {}
    }
    drop(turn);
    let (one, other) = tokio::join!(one, other);
    for refused in [one, other] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Busy);
    }
    // The same where there is a place.
    let mut tx = db.write(ann.tenant).await.unwrap();
    let left = live_sessions::remove(&mut tx, elsewhere.id, elsewhere.instance);
    left.await.unwrap();
    tx.commit().await.unwrap();
    let one = accounts.admit_bearer(&bearer, door(HERE));
    let other = accounts.admit_bearer(&bearer, door(ELSEWHERE));
    let (one, other) = tokio::join!(one, other);
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!((one.session, other.session), (ann.session, ann.session));
    assert!(accounts.ended(&one).now_or_never().is_none());
    accounts.stop().await;
}

impl Installation {
    /// Another instance of the server.
    async fn instance(&self) -> Accounts {
        let committer = Committer::new(open(&self.location, &self.clock).await);
        let started = Accounts::start(committer, LoginSettings::default(), self.keys.clone());
        started.await.unwrap()
    }

    async fn browser(&self) -> (Principal, Ticket) {
        let ann = self.log_in("ann@acme", "acme-secret", HERE).await.unwrap();
        let kept = self.accounts.keep_session(&ann, "Lynx", LIFE).await;
        let (ticket, _) = kept.unwrap();
        (ann, ticket)
    }

    async fn token(&self, scopes: Scopes, life: Option<Duration>) -> (Principal, Ticket, OwnToken) {
        let ann = self.log_in("ann@acme", "acme-secret", HERE).await.unwrap();
        let new = NewToken {
            name: "backup".to_owned(),
            scopes,
            life,
        };
        let made = self.accounts.add_token(&ann, &Means::Password, new).await;
        let (text, token) = made.unwrap();
        (ann, Ticket::parse(TicketKind::Token, &text).unwrap(), token)
    }

    async fn look_up(&self, ticket: &Ticket) -> Result<Bearer> {
        self.accounts.look_up(ticket, door(HERE), LIFE).await
    }

    async fn assert_over(&self, ticket: &Ticket) {
        let kind = self.look_up(ticket).await.err().map(|error| error.kind());
        assert_eq!(kind, Some(ErrorKind::Unauthenticated));
    }
}

async fn any_instance_knows_a_session(world: Installation) {
    let (ann, ticket) = world.browser().await;
    let other = world.instance().await;
    let read = Ticket::parse(TicketKind::Session, &ticket.text()).unwrap();
    let bearer = other.look_up(&read, door(HERE), LIFE).await.unwrap();
    let same = other.admit_bearer(&bearer, door(HERE)).await.unwrap();
    assert_eq!((same.session, same.account), (ann.session, ann.account));
    let shown = other.own_sessions(&same, LIFE).await.unwrap();
    assert_eq!((shown.len(), shown[0].agent.as_str()), (1, "Lynx"));
    other.end_session(&same, shown[0].id).await.unwrap();
    world.assert_over(&ticket).await;
    let again = other.end_session(&same, shown[0].id).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotFound);
    other.stop().await;
}

async fn a_session_ends_when_it_is_idle_or_old(world: Installation) {
    let (ann, ticket) = world.browser().await;
    world.clock.advance(29 * MINUTE);
    world.look_up(&ticket).await.unwrap();
    world.clock.advance(29 * MINUTE);
    world.look_up(&ticket).await.unwrap();
    world.clock.advance(30 * MINUTE + Duration::from_secs(1));
    world.assert_over(&ticket).await;
    assert_eq!(world.accounts.own_sessions(&ann, LIFE).await.unwrap(), []);

    let (ann, ticket) = world.browser().await;
    for _ in 0..35 {
        world.clock.advance(20 * MINUTE);
        world.look_up(&ticket).await.unwrap();
    }
    world.clock.advance(20 * MINUTE);
    world.assert_over(&ticket).await;
    assert_eq!(world.accounts.own_sessions(&ann, LIFE).await.unwrap(), []);
}

async fn a_session_ends_with_what_opened_it(world: Installation) {
    let ann = name("ann@acme");
    let (_, ticket) = world.browser().await;
    world
        .directory
        .set_account_access(&ann, Access::Refuse)
        .await
        .unwrap();
    world.assert_over(&ticket).await;
    world
        .directory
        .set_account_access(&ann, Access::Allow)
        .await
        .unwrap();
    // What was ended does not come back.
    world.assert_over(&ticket).await;
    let (_, ticket) = world.browser().await;
    let acme = world.directory.set_tenant_access("acme", Access::Refuse);
    acme.await.unwrap();
    world.assert_over(&ticket).await;
}

async fn a_ticket_opens_nothing_in_another_tenant(world: Installation) {
    let (_, ticket) = world.browser().await;
    let (_, token, _) = world.token(own(), None).await;
    let bolt = world.tenant("bolt").await;
    for ticket in [&ticket, &token] {
        // The same secret, said to be of the other tenant.
        let text = ticket.text();
        let coded = text.split_once('_').unwrap().1;
        let mut bytes = data_encoding::BASE32_DNSSEC
            .decode(coded.as_bytes())
            .unwrap();
        bytes.truncate(40);
        bytes[..8].copy_from_slice(&bolt.0.to_be_bytes());
        let sum = crc32fast::hash(&bytes).to_be_bytes();
        bytes.extend(sum);
        let moved = format!(
            "{}_{}",
            &text[..3],
            data_encoding::BASE32_DNSSEC.encode(&bytes)
        );
        let moved = Ticket::parse(ticket.kind(), &moved).unwrap();
        assert_eq!((moved.tenant(), moved.hash()), (bolt, ticket.hash()));
        world.assert_over(&moved).await;
        world.look_up(ticket).await.unwrap();
    }
}

async fn a_token_is_a_ceiling(world: Installation) {
    let (ann, ticket, token) = world.token(Scopes::FILES_READ, None).await;
    let bearer = world.look_up(&ticket).await.unwrap();
    let admitted = world
        .accounts
        .admit_bearer(&bearer, door(HERE))
        .await
        .unwrap();
    assert_eq!(admitted.ceiling, Rights::READ_ONLY);
    assert_ne!(admitted.session, ann.session);
    // The account's own ceiling holds as well.
    let login = name("ann@acme");
    let lower = world.directory.set_ceiling(&login, Rights::LIST);
    lower.await.unwrap();
    world.assert_ends(&admitted).await;
    let bearer = world.look_up(&ticket).await.unwrap();
    assert!(!bearer.still_is(&admitted));
    let admitted = world
        .accounts
        .admit_bearer(&bearer, door(HERE))
        .await
        .unwrap();
    assert_eq!(admitted.ceiling, Rights::LIST);
    world.accounts.remove_token(&ann, token.id).await.unwrap();
    world.assert_over(&ticket).await;
}

/// Everything that an account may do for itself.
fn own() -> Scopes {
    Scopes::ACCOUNT | Scopes::FILES_READ | Scopes::FILES_WRITE
}

async fn a_token_ends_when_it_is_said_to(world: Installation) {
    let (ann, ticket, _) = world.token(own(), Some(60 * MINUTE)).await;
    world.clock.advance(59 * MINUTE);
    world.look_up(&ticket).await.unwrap();
    world.clock.advance(MINUTE);
    world.assert_over(&ticket).await;
    let all = world.accounts.own_tokens(&ann).await.unwrap();
    assert_eq!(all.len(), 1, "it is still shown");
    assert!(all[0].used_at.is_some());
    let good = [(ann.tenant, world_means(&all[0]))];
    let good = world.accounts.still_good(&good).await.unwrap();
    assert!(!good.holds(&world_means(&all[0])));
}

fn world_means(token: &OwnToken) -> Means {
    Means::Token(sealift::accounts::bearer::Grant {
        token: token.id,
        scopes: own(),
        expires_at: None,
    })
}

async fn a_ticket_is_taken_only_from_where_the_account_may_log_in(world: Installation) {
    let (_, token, _) = world.token(own(), None).await;
    let change = LoginChange {
        networks: Some(vec!["192.0.2.0/24".parse().unwrap()]),
        ..LoginChange::default()
    };
    let login = name("ann@acme");
    let rules = world.directory.set_login_rules(&login, change);
    rules.await.unwrap();
    let (_, session) = world.browser().await;
    for ticket in [&token, &session] {
        world.look_up(ticket).await.unwrap();
        let stolen = world.accounts.look_up(ticket, door(ELSEWHERE), LIFE).await;
        assert_eq!(stolen.err().unwrap().kind(), ErrorKind::Unauthenticated);
    }
}

async fn guesses_at_tickets_are_slowed_down(world: Installation) {
    let acme = world.tenant("acme").await;
    let mut refusals = Vec::new();
    for _ in 0..40 {
        let guess = Ticket::random(TicketKind::Token, acme);
        let refused = world.accounts.look_up(&guess, door(ELSEWHERE), LIFE).await;
        refusals.push(refused.err().unwrap().kind());
    }
    assert_eq!(refusals[0], ErrorKind::Unauthenticated);
    assert_eq!(refusals[39], ErrorKind::Busy);
    // Nobody else is kept out, and people there still log in.
    let (_, ticket) = world.browser().await;
    world.look_up(&ticket).await.unwrap();
    world
        .log_in("ann@acme", "acme-secret", ELSEWHERE)
        .await
        .unwrap();
}

async fn the_oldest_sessions_make_room(world: Installation) {
    let (ann, first) = world.browser().await;
    for _ in 0..100 {
        world.clock.advance(Duration::from_secs(1));
        let next = Principal {
            session: SessionId::random(),
            ..ann.clone()
        };
        world.accounts.keep_session(&next, "", LIFE).await.unwrap();
    }
    let all = world.accounts.own_sessions(&ann, LIFE).await.unwrap();
    assert_eq!(all.len(), 100);
    world.assert_over(&first).await;
}

async fn tokens_are_in_the_audit_log(world: Installation) {
    let (ann, ticket, token) = world.token(own(), Some(MINUTE)).await;
    let bearer = world.look_up(&ticket).await.unwrap();
    let admitted = world
        .accounts
        .admit_bearer(&bearer, door(HERE))
        .await
        .unwrap();
    world.accounts.log_out(&admitted).await;
    world.clock.advance(2 * MINUTE);
    world.assert_over(&ticket).await;
    world.accounts.remove_token(&ann, token.id).await.unwrap();
    let log = world.log("acme").await;
    let told = |kind: &str, what: &str| {
        let mut found = log.iter();
        found.any(|record| record.kind == kind && record.detail.contains(what))
    };
    assert!(told(
        "token-add",
        "'backup', account files:read files:write, until "
    ));
    assert!(told("login", "ann@acme by token 'backup'"));
    assert!(told("login-failed", "token 'backup': it has expired"));
    assert!(told("token-remove", "ann@acme: 'backup'"));
    assert!(log.iter().all(|record| !record.detail.contains("slt_")));
}
