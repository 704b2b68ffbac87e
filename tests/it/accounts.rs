//! Logging in and managing accounts, on both databases.

use std::time::Duration;

use futures_util::future::join_all;
use sealift::accounts::attempt::Attempt;
use sealift::accounts::bearer::Means;
use sealift::accounts::door::PublicKeyBlob;
use sealift::accounts::manage::{Access, Limit, TenantLimits};
use sealift::accounts::manage_accounts::{NewAccount, NewPassword};
use sealift::accounts::manage_grants::{Place, SubjectName};
use sealift::accounts::manage_groups::GroupName;
use sealift::accounts::own_tokens::NewToken;
use sealift::accounts::public_key::PublicKey;
use sealift::db::entries::{self, Moment};
use sealift::db::folders;
use sealift::domain::change::Committed;
use sealift::domain::error::{ErrorKind, Result};
use sealift::domain::path::{Name, VfsPath};
use sealift::domain::rights::Rights;
use sealift::domain::scope::Scopes;
use sealift::domain::secret::Secret;

use crate::support::dialects::on_both_databases;
use crate::support::installation::{Installation, door, name, new_tenant};

const HERE: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.7";
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl laptop";

on_both_databases! {
    one_name_in_two_tenants_is_two_accounts,
    every_refusal_reads_the_same,
    failures_cost_time_that_grows_and_is_forgotten,
    names_that_do_not_exist_are_delayed_alike,
    a_stranger_cannot_lock_out_a_usual_address,
    guesses_made_at_once_do_not_slip_past_the_count,
    many_right_logins_at_once_all_succeed,
    a_right_password_is_remembered_until_it_changes,
    a_locked_address_cannot_guess_at_what_is_remembered,
    disabling_an_account_ends_its_sessions,
    disabling_a_tenant_ends_its_sessions,
    nothing_that_lasts_is_made_by_a_session_that_has_ended_elsewhere,
    a_new_password_or_a_removed_key_ends_sessions,
    hashes_brought_in_verify_and_are_made_anew,
    a_key_opens_the_account_it_was_added_to,
    a_home_is_found_where_it_is_now_and_is_the_root_when_gone,
    grants_and_groups_are_kept_and_shown,
    managing_refuses_with_what_to_do,
    logins_and_failures_are_in_the_audit_log,
}

async fn one_name_in_two_tenants_is_two_accounts(world: Installation) {
    let acme = world.log_in("ann@acme", "acme-secret", HERE).await.unwrap();
    let bolt = world.log_in("ann@bolt", "bolt-secret", HERE).await.unwrap();
    assert_ne!(acme.tenant, bolt.tenant);
    assert_eq!(acme.home.to_string(), "/home/ann");
    let crossed = world.refusal("ann@acme", "bolt-secret", HERE).await;
    assert_eq!(crossed, ErrorKind::Unauthenticated);
}

async fn every_refusal_reads_the_same(world: Installation) {
    world
        .directory
        .add_account(NewAccount::new(name("keys@acme")))
        .await
        .unwrap();
    world.add("gone@acme", "gone-secret").await;
    let gone = name("gone@acme");
    world
        .directory
        .set_account_access(&gone, Access::Refuse)
        .await
        .unwrap();
    let mut sentences = Vec::new();
    for (login, password) in [
        ("ann@acme", "wrong"),
        ("ann@acme", ""),
        ("nobody@acme", "wrong"),
        ("ann@nowhere", "wrong"),
        ("ann", "wrong"),
        ("Ann@acme", "acme-secret"),
        (" ann@acme", "acme-secret"),
        ("keys@acme", "wrong"),
        ("gone@acme", "gone-secret"),
    ] {
        let error = world.log_in(login, password, HERE).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{login}");
        sentences.push(error.context().to_owned());
    }
    sentences.dedup();
    assert_eq!(sentences.len(), 1);
}

async fn failures_cost_time_that_grows_and_is_forgotten(world: Installation) {
    world.fail("ann@acme", HERE, 4).await;
    let locked = world
        .log_in("ann@acme", "acme-secret", HERE)
        .await
        .unwrap_err();
    assert_eq!(locked.kind(), ErrorKind::Busy);
    assert_eq!(
        locked.context(),
        "too many failed logins; try again in 1 second"
    );
    world.clock.advance(Duration::from_secs(1));
    world.fail("ann@acme", HERE, 1).await;
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(
        world.refusal("ann@acme", "wrong", HERE).await,
        ErrorKind::Busy
    );
    world.clock.advance(Duration::from_secs(1));
    world.log_in("ann@acme", "acme-secret", HERE).await.unwrap();
    world.fail("ann@acme", HERE, 4).await;
    world.clock.advance(Duration::from_secs(2 * 3600));
    world.fail("ann@acme", HERE, 3).await;
    world.log_in("ann@acme", "acme-secret", HERE).await.unwrap();
}

async fn names_that_do_not_exist_are_delayed_alike(world: Installation) {
    let mut stories = Vec::new();
    for login in ["ann@acme", "nobody@acme", "ann@nowhere"] {
        let mut story = Vec::new();
        for pause in [0, 0, 0, 0, 0, 1, 0, 1, 1, 0, 4] {
            world.clock.advance(Duration::from_secs(pause));
            let error = world.log_in(login, "wrong", HERE).await.unwrap_err();
            story.push((error.kind(), error.context().to_owned()));
        }
        stories.push(story);
        world.clock.advance(Duration::from_secs(3600));
    }
    assert!(stories[0].iter().any(|(kind, _)| *kind == ErrorKind::Busy));
    assert_eq!(stories[0], stories[1]);
    assert_eq!(stories[0], stories[2]);
}

async fn a_stranger_cannot_lock_out_a_usual_address(world: Installation) {
    world.log_in("ann@acme", "acme-secret", HERE).await.unwrap();
    for last in 1..=21 {
        let stranger = format!("203.0.113.{last}");
        world.fail("ann@acme", &stranger, 1).await;
    }
    let new_address = world.refusal("ann@acme", "acme-secret", ELSEWHERE).await;
    assert_eq!(new_address, ErrorKind::Busy, "the account is locked in all");
    world.log_in("ann@acme", "acme-secret", HERE).await.unwrap();
    world.swap_password("ann@acme", "other-secret").await;
    world
        .log_in("ann@acme", "other-secret", HERE)
        .await
        .unwrap();
    world.clock.advance(Duration::from_secs(60));
    world
        .log_in("ann@acme", "other-secret", ELSEWHERE)
        .await
        .unwrap();
}

async fn guesses_made_at_once_do_not_slip_past_the_count(world: Installation) {
    let guesses: Vec<_> = (0..12).map(|n| format!("guess-{n}")).collect();
    let tries = guesses
        .iter()
        .map(|guess| world.refusal("ann@acme", guess, HERE));
    let kinds = join_all(tries).await;
    let looked_at = kinds
        .iter()
        .filter(|kind| **kind == ErrorKind::Unauthenticated)
        .count();
    assert_eq!(looked_at, 4, "{kinds:?}");
}

async fn many_right_logins_at_once_all_succeed(world: Installation) {
    let tries = (0..16).map(|_| world.log_in("ann@acme", "acme-secret", HERE));
    let sessions = join_all(tries).await;
    assert!(sessions.iter().all(Result::is_ok));
}

async fn a_right_password_is_remembered_until_it_changes(world: Installation) {
    world.log_in("ann@acme", "acme-secret", HERE).await.unwrap();
    world.swap_password("ann@acme", "other-secret").await;
    world
        .log_in("ann@acme", "acme-secret", HERE)
        .await
        .expect("it was right a moment ago");
    world.clock.advance(Duration::from_secs(301));
    let later = world.refusal("ann@acme", "acme-secret", HERE).await;
    assert_eq!(
        later,
        ErrorKind::Unauthenticated,
        "it is looked at again in the end"
    );

    world
        .log_in("ann@acme", "other-secret", HERE)
        .await
        .unwrap();
    let new = NewPassword::Plain(Secret::new("third-secret"));
    world
        .directory
        .set_password(&name("ann@acme"), new)
        .await
        .unwrap();
    let dropped = world.refusal("ann@acme", "other-secret", HERE).await;
    assert_eq!(
        dropped,
        ErrorKind::Unauthenticated,
        "a change drops what is remembered"
    );
    world
        .log_in("ann@acme", "third-secret", HERE)
        .await
        .unwrap();
}

async fn a_locked_address_cannot_guess_at_what_is_remembered(world: Installation) {
    world.log_in("ann@acme", "acme-secret", HERE).await.unwrap();
    world.fail("ann@acme", ELSEWHERE, 4).await;
    let guessed = world.refusal("ann@acme", "acme-secret", ELSEWHERE).await;
    assert_eq!(guessed, ErrorKind::Busy);
}

async fn disabling_an_account_ends_its_sessions(world: Installation) {
    let ann = world.log_in("ann@acme", "acme-secret", HERE).await.unwrap();
    let other = world.log_in("ann@bolt", "bolt-secret", HERE).await.unwrap();
    let elsewhere = world.other_process().await;
    elsewhere
        .set_account_access(&name("ann@acme"), Access::Refuse)
        .await
        .unwrap();
    world.assert_ends(&ann).await;
    let goes_on = tokio::time::timeout(Duration::ZERO, world.accounts.ended(&other)).await;
    assert!(goes_on.is_err(), "another account's session goes on");
    let kept_out = world.refusal("ann@acme", "acme-secret", HERE).await;
    assert_eq!(kept_out, ErrorKind::Unauthenticated);
    // As a program does that comes again and again; who comes when the account is enabled does not wait for that.
    world.fail("ann@acme", HERE, 3).await;
    let waits = world.refusal("ann@acme", "acme-secret", HERE).await;
    assert_eq!(waits, ErrorKind::Busy);
    elsewhere
        .set_account_access(&name("ann@acme"), Access::Allow)
        .await
        .unwrap();
    world.log_in("ann@acme", "acme-secret", HERE).await.unwrap();
    world.accounts.log_out(&other).await;
    world.assert_ends(&other).await;
    world.accounts.stop().await;
}

async fn disabling_a_tenant_ends_its_sessions(world: Installation) {
    let ann = world.log_in("ann@acme", "acme-secret", HERE).await.unwrap();
    let elsewhere = world.other_process().await;
    elsewhere
        .set_tenant_access("acme", Access::Refuse)
        .await
        .unwrap();
    world.assert_ends(&ann).await;
    let kept_out = world.refusal("ann@acme", "acme-secret", HERE).await;
    assert_eq!(kept_out, ErrorKind::Unauthenticated);
    world.log_in("ann@bolt", "bolt-secret", HERE).await.unwrap();
    world.fail("ann@acme", HERE, 3).await;
    elsewhere
        .set_tenant_access("acme", Access::Allow)
        .await
        .unwrap();
    world.log_in("ann@acme", "acme-secret", HERE).await.unwrap();
}

/// What lasts is made on one instance by whoever was let in there before another changed the account.
async fn nothing_that_lasts_is_made_by_a_session_that_has_ended_elsewhere(world: Installation) {
    let session = world.log_in("ann@acme", "acme-secret", HERE).await.unwrap();
    let token = async || {
        let new = NewToken {
            name: "t".to_owned(),
            scopes: Scopes::ACCOUNT,
            life: None,
        };
        let made = world.accounts.add_token(&session, &Means::Password, new);
        made.await.map(drop)
    };
    let own = world.directory.by_account(&session);
    let key = async || {
        own.add_key(&name("ann@acme"), &PublicKey::parse(KEY)?)
            .await
    };
    token().await.unwrap();
    key().await.unwrap();

    let elsewhere = world.other_process().await;
    let changed = NewPassword::Plain(Secret::new("another-secret"));
    let set = elsewhere.set_password(&name("ann@acme"), changed).await;
    set.unwrap();
    let mut refused = vec![token().await, key().await];
    let group = GroupName {
        name: "crew".to_owned(),
        tenant: "acme".to_owned(),
    };
    refused.push(own.add_group(&group).await);
    let again = NewPassword::Plain(Secret::new("acme-secret"));
    refused.push(own.set_password(&name("ann@acme"), again).await);
    for refused in refused {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unauthenticated);
    }
    let tokens = world.accounts.own_tokens(&session).await.unwrap();
    assert_eq!(tokens.len(), 1);
    assert!(world.directory.groups("acme").await.unwrap().is_empty());
    let again = world.log_in("ann@acme", "another-secret", HERE).await;
    let own = world.directory.by_account(&again.unwrap());
    own.add_group(&group).await.unwrap();
}

async fn a_new_password_or_a_removed_key_ends_sessions(world: Installation) {
    let login = name("ann@acme");
    let before = world.log_in("ann@acme", "acme-secret", HERE).await.unwrap();
    let new = NewPassword::Plain(Secret::new("new-secret"));
    world.directory.set_password(&login, new).await.unwrap();
    world.assert_ends(&before).await;

    let key = PublicKey::parse(KEY).unwrap();
    world.directory.add_key(&login, &key).await.unwrap();
    let blob = PublicKeyBlob(key.blob.clone());
    let by_key = world
        .accounts
        .login_key("ann@acme", &blob, door(HERE))
        .await
        .unwrap();
    world
        .directory
        .remove_key(&login, &key.fingerprint())
        .await
        .unwrap();
    world.assert_ends(&by_key).await;
}

async fn hashes_brought_in_verify_and_are_made_anew(world: Installation) {
    let right = "correct horse \u{e9}";
    for (index, hash) in [
        "$argon2id$v=19$m=256,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$U0eOBEEICDbiJprnHm1zBFs1X7/mC5R+UcAXrRyDdm4",
        "$2b$04$QFYpL3urrSVMdHQOZjYP9O/Lqpy/fiUxPbeRYJo3IFD8hMbzn31A2",
        "$6$saltstring$Vy1qkR4howG25g0MrA26uBcI9k9c5cxzfoR6VfYPEDH6Qz8CJGsLsSf6i7jmz6/3LKpWlmhxHaJqvorDx2KhI.",
        "$pbkdf2-sha512$i=2000$MDEyMzQ1Njc4OWFiY2RlZg$orgl9fNaI/i+6/3cyAKrv+4HCo8ngXXTRuiS5i9lEps",
    ]
    .into_iter()
    .enumerate()
    {
        let login = format!("moved-{index}@acme");
        let mut new = NewAccount::new(name(&login));
        new.password = NewPassword::Hashed(Secret::new(hash));
        world.directory.add_account(new).await.unwrap();
        world.fail(&login, HERE, 1).await;
        assert_eq!(world.stored_password(&login).await.expose(), hash.as_bytes());
        let principal = world.log_in(&login, right, HERE).await.unwrap();
        let stored = world.stored_password(&login).await;
        assert!(stored.expose().starts_with(b"$pbkdf2-sha512$i=1000$"), "{hash}");
        world.clock.advance(Duration::from_secs(301));
        world.log_in(&login, right, HERE).await.unwrap();
        let goes_on = tokio::time::timeout(Duration::from_millis(1500), world.accounts.ended(&principal));
        assert!(index > 0 || goes_on.await.is_err(), "a better hash ends no session");
    }
}

async fn a_key_opens_the_account_it_was_added_to(world: Installation) {
    let key = PublicKey::parse(KEY).unwrap();
    world
        .directory
        .add_key(&name("ann@acme"), &key)
        .await
        .unwrap();
    let blob = PublicKeyBlob(key.blob.clone());
    let knows = async |login: &str| {
        let mut attempt = Attempt::new(world.accounts.clone(), door(HERE));
        attempt.knows_key(login, &blob).await.unwrap()
    };
    assert!(knows("ann@acme").await);
    for login in ["ann@bolt", "nobody@acme", "ann@nowhere", "ann"] {
        assert!(!knows(login).await, "{login}");
        let refused = world.accounts.login_key(login, &blob, door(HERE)).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unauthenticated);
    }
    // A key cannot be guessed: failures with passwords do not keep it out.
    world.fail("ann@acme", HERE, 4).await;
    let ann = world
        .accounts
        .login_key("ann@acme", &blob, door(HERE))
        .await
        .unwrap();
    assert_eq!(ann.login, name("ann@acme"));
    let shown = world.directory.keys(&name("ann@acme")).await.unwrap();
    assert_eq!(shown[0].comment, "laptop");
    assert_eq!(shown[0].algorithm, "ssh-ed25519");
    world
        .directory
        .set_account_access(&name("ann@acme"), Access::Refuse)
        .await
        .unwrap();
    assert!(!knows("ann@acme").await, "of a disabled account");
}

async fn a_home_is_found_where_it_is_now_and_is_the_root_when_gone(world: Installation) {
    let tenant = world.tenant("acme").await;
    let home = VfsPath::parse("/home/ann").unwrap();
    let mut tx = world.committer.database().write(tenant).await.unwrap();
    let chain = entries::resolve(&mut tx, home.names(), Moment::Now)
        .await
        .unwrap();
    let mut parent = chain[1].clone();
    parent.name = "people".to_owned();
    entries::replace(&mut tx, &parent).await.unwrap();
    tx.commit().await.unwrap();
    let ann = world.log_in("ann@acme", "acme-secret", HERE).await.unwrap();
    assert_eq!(ann.home.to_string(), "/people/ann");

    // Somebody with rights above moves it down, beyond what can be named.
    let mut tx = world.committer.database().write(tenant).await.unwrap();
    let deep: Vec<Name> = (0..20)
        .map(|_| Name::parse(&[b'x'; 250]).unwrap())
        .collect();
    let next = Committed {
        seq: chain[0].born,
        at: parent.attributes.modified,
    };
    let made = folders::make_below(&mut tx, chain[0].node, &deep, None, next)
        .await
        .unwrap();
    parent.parent = made.last().unwrap().node;
    entries::replace(&mut tx, &parent).await.unwrap();
    tx.commit().await.unwrap();
    let ann = world.log_in("ann@acme", "acme-secret", HERE).await.unwrap();
    assert!(ann.home.to_string().len() > 4096);
    let all = world.directory.accounts(Some("acme")).await.unwrap();
    assert!(
        all.iter()
            .any(|account| account.home.as_ref().is_some_and(|home| home.len() > 4096))
    );

    let mut tx = world.committer.database().write(tenant).await.unwrap();
    entries::remove(&mut tx, parent.node).await.unwrap();
    tx.commit().await.unwrap();
    let ann = world.log_in("ann@acme", "acme-secret", HERE).await.unwrap();
    assert_eq!(ann.home, VfsPath::root());
}

async fn grants_and_groups_are_kept_and_shown(world: Installation) {
    let directory = &world.directory;
    let staff: GroupName = "staff@acme".parse().unwrap();
    directory.add_group(&staff).await.unwrap();
    directory
        .add_member(&staff, &name("ann@acme"))
        .await
        .unwrap();
    directory
        .add_member(&staff, &name("ann@acme"))
        .await
        .unwrap();
    let groups = directory.groups("acme").await.unwrap();
    assert_eq!(groups[0].members, ["ann@acme"]);

    let subject: SubjectName = "group:staff@acme".parse().unwrap();
    let place: Place = "acme:/in/orders".parse().unwrap();
    directory
        .add_grant(&subject, &place, Rights::READ_ONLY)
        .await
        .unwrap();
    directory
        .add_grant(&subject, &place, Rights::ALL)
        .await
        .unwrap();
    let shown = async || {
        let grants = directory.grants("acme").await.unwrap();
        let text = grants.iter().map(|grant| {
            let path = grant.path.as_deref().unwrap_or("-");
            format!("{} {path} {}", grant.subject, grant.rights)
        });
        text.collect::<Vec<_>>()
    };
    assert_eq!(
        shown().await,
        ["ann@acme /home/ann all", "group:staff@acme /in/orders all"]
    );
    directory.remove_grant(&subject, &place).await.unwrap();
    let again = directory.remove_grant(&subject, &place).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotFound);
    directory
        .add_grant(&subject, &place, Rights::READ)
        .await
        .unwrap();
    directory
        .remove_member(&staff, &name("ann@acme"))
        .await
        .unwrap();
    directory.remove_group(&staff).await.unwrap();
    assert_eq!(shown().await, ["ann@acme /home/ann all"]);
    assert!(directory.groups("acme").await.unwrap().is_empty());
    assert!(directory.groups("bolt").await.unwrap().is_empty());
}

async fn managing_refuses_with_what_to_do(world: Installation) {
    let directory = &world.directory;
    let taken = directory.add_tenant(&new_tenant("acme")).await.unwrap_err();
    assert_eq!(taken.context(), "there is a tenant 'acme' already");
    let bad = directory.add_tenant(&new_tenant("Acme")).await.unwrap_err();
    assert_eq!(bad.kind(), ErrorKind::Invalid);
    let again = directory
        .add_account(NewAccount::new(name("ann@acme")))
        .await;
    assert_eq!(
        again.unwrap_err().context(),
        "there is an account 'ann@acme' already"
    );
    let nowhere = directory
        .add_account(NewAccount::new(name("ann@nowhere")))
        .await;
    let nowhere = nowhere.unwrap_err();
    assert_eq!(nowhere.context(), "there is no tenant 'nowhere'");
    assert_eq!(nowhere.hint(), Some("'sealift tenant list' shows all"));
    let mut new = NewAccount::new(name("bob@acme"));
    new.password = NewPassword::Hashed(Secret::new("$1$old$hash"));
    let unknown = directory.add_account(new).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::Invalid);
    let empty = NewPassword::Plain(Secret::new(""));
    let empty = directory
        .set_password(&name("ann@acme"), empty)
        .await
        .unwrap_err();
    assert_eq!(empty.context(), "the password is empty; give one");
    let subject: SubjectName = "ann@acme".parse().unwrap();
    let place: Place = "bolt:/".parse().unwrap();
    let crossing = directory.add_grant(&subject, &place, Rights::ALL).await;
    assert!(
        crossing
            .unwrap_err()
            .context()
            .contains("nothing crosses tenants")
    );
    let missing = directory
        .set_account_access(&name("bob@acme"), Access::Refuse)
        .await;
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    let key = PublicKey::parse(KEY).unwrap();
    directory.add_key(&name("ann@acme"), &key).await.unwrap();
    let twice = directory
        .add_key(&name("ann@acme"), &key)
        .await
        .unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::AlreadyExists);
}

async fn logins_and_failures_are_in_the_audit_log(world: Installation) {
    world.fail("ann@acme", HERE, 1).await;
    world.fail("nobody@acme", HERE, 1).await;
    let ann = world.log_in("ann@acme", "acme-secret", HERE).await.unwrap();
    world.accounts.log_out(&ann).await;
    let limits = TenantLimits {
        quota_bytes: Limit::Set(1_000_000),
        ..TenantLimits::default()
    };
    world
        .directory
        .set_tenant_limits("acme", limits)
        .await
        .unwrap();
    let bytes = Limit::Set(500);
    world
        .directory
        .set_account_quota(&name("ann@acme"), bytes, Limit::Keep)
        .await
        .unwrap();
    let log = world.log("acme").await;
    let lines: Vec<_> = log
        .iter()
        .map(|record| format!("{}: {}", record.kind, record.detail))
        .collect();
    let expected = [
        "tenant-add: acme",
        "account-add: ann@acme with home /home/ann",
        "login-failed: ann@acme: wrong password",
        "login-failed: nobody@acme: no such account",
        "login: ann@acme by password",
        "logout: ann@acme",
        "tenant-limits: acme: 1000000 bytes, any files, past kept for 2592000 s",
        "account-set: ann@acme: quota 500 bytes, any files",
    ];
    assert_eq!(lines, expected);
    assert_eq!(log[4].address.as_deref(), Some(HERE));
    assert_eq!(log[4].account, Some(ann.account));
    assert_eq!(
        world.directory.placed_tenants().await.unwrap()[0]
            .tenant
            .quota_bytes,
        Some(1_000_000)
    );
    let shown = world.directory.accounts(Some("acme")).await.unwrap();
    assert_eq!(
        (shown[0].login.as_str(), shown[0].quota_bytes),
        ("ann@acme", Some(500))
    );
}
