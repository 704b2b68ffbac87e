//! What doors beside SFTP ask of logins: the clear, hosts that lead to one tenant, options. On both
//! databases.

use std::time::Duration;

use sealift::accounts::attempt::{Attempt, Question, Step};
use sealift::accounts::door::{Door, Secrecy};
use sealift::accounts::manage::Access;
use sealift::accounts::manage_logins::LoginChange;
use sealift::accounts::methods::Method;
use sealift::domain::error::{ErrorKind, Result};
use sealift::domain::host::HostName;
use sealift::domain::principal::{DoorOptions, Protocol};

use crate::logins::{admitted, asked, further, refused, secret};
use crate::support::dialects::on_both_databases;
use crate::support::installation::{Installation, name};

const HERE: &str = "192.0.2.1";
const ANN: &str = "ann@acme";
const PASSWORD: &str = "acme-secret";
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKkjGQysShatvenjeHPCfNYL4J4K45ANo1lB0Yupl6Bq laptop";

on_both_databases! {
    only_accounts_that_may_log_in_in_the_clear_are_asked_for_a_secret_there,
    nobody_is_told_why_a_password_in_the_clear_opened_nothing,
    questions_at_a_door_in_the_clear_are_counted,
    a_new_rule_about_the_clear_ends_sessions,
    sessions_have_the_options_of_their_door_and_end_when_they_change,
    options_that_cannot_be_stored_are_refused,
    a_host_belongs_to_one_tenant,
    a_host_leads_to_its_tenant_only,
    a_change_of_the_host_undoes_what_was_proven,
}

async fn only_accounts_that_may_log_in_in_the_clear_are_asked_for_a_secret_there(
    world: Installation,
) {
    let may_ask =
        async |login: &str, door: Door| world.accounts.may_ask(login, door, any).await.unwrap();
    for login in [ANN, "nobody@acme", "ann@nowhere", "ann", "@", ""] {
        assert!(!may_ask(login, clear(HERE)).await, "{login}");
        assert!(may_ask(login, sealed(HERE)).await, "{login}");
    }
    world.allow_clear(true).await;
    assert!(may_ask(ANN, clear(HERE)).await);
    assert!(!may_ask("ann@bolt", clear(HERE)).await);
    let principal = world.line(clear(HERE), ANN, PASSWORD).await;
    assert_eq!(admitted(principal), ANN);
    // Whatever else keeps it out is answered in the same way.
    let directory = &world.directory;
    directory
        .set_account_access(&name(ANN), Access::Refuse)
        .await
        .unwrap();
    assert!(!may_ask(ANN, clear(HERE)).await);
    directory
        .set_account_access(&name(ANN), Access::Allow)
        .await
        .unwrap();
    directory
        .set_tenant_access("acme", Access::Refuse)
        .await
        .unwrap();
    assert!(!may_ask(ANN, clear(HERE)).await);
    directory
        .set_tenant_access("acme", Access::Allow)
        .await
        .unwrap();
    let change = LoginChange {
        networks: Some(vec!["198.51.100.0/24".parse().unwrap()]),
        ..LoginChange::default()
    };
    directory.set_login_rules(&name(ANN), change).await.unwrap();
    assert!(!may_ask(ANN, clear(HERE)).await);
    assert!(may_ask(ANN, clear("198.51.100.1")).await);
    // The operator reads why.
    let log = world.log("acme").await;
    for why in [
        "in the clear",
        "account is disabled",
        "tenant is disabled",
        "from this address",
        "no such account",
    ] {
        assert!(
            log.iter()
                .any(|r| r.kind == "login-failed" && r.detail.contains(why)),
            "{why}"
        );
    }
    assert!(log.iter().any(|r| r.protocol == "ftp"), "{log:?}");
}

async fn nobody_is_told_why_a_password_in_the_clear_opened_nothing(world: Installation) {
    world.add("off@acme", "off-secret").await;
    let off = name("off@acme");
    world
        .directory
        .set_account_access(&off, Access::Refuse)
        .await
        .unwrap();
    let key = world.add_key(KEY).await;
    let mut said = Vec::new();
    for (login, password) in [
        (ANN, PASSWORD),
        (ANN, "wrong"),
        ("off@acme", "off-secret"),
        ("nobody@acme", PASSWORD),
        ("ann@nowhere", PASSWORD),
        ("ann", PASSWORD),
    ] {
        for line in [false, true] {
            let mut attempt = Attempt::new(world.accounts.clone(), clear(HERE));
            let step = match line {
                false => attempt.password(login, &secret(password)).await,
                true => attempt.password_line(login, &secret(password)).await,
            };
            let error = step.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{login}");
            assert_eq!(attempt.methods(), None);
            said.push(error.context().to_owned());
            let mut attempt = Attempt::new(world.accounts.clone(), clear(HERE));
            asked(attempt.ask(login).await, Question::Password);
            refused(attempt.answer(login, &secret(password)).await);
            world.clock.advance(Duration::from_secs(4000));
        }
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
    // Not by key either, whose owner proved everything.
    let mut attempt = Attempt::new(world.accounts.clone(), clear(HERE));
    refused(attempt.key(ANN, &key).await);
    let by_key = world.accounts.login_key(ANN, &key, sealed(HERE)).await;
    by_key.unwrap();
}

async fn questions_at_a_door_in_the_clear_are_counted(world: Installation) {
    world.allow_clear(true).await;
    let known = "203.0.113.9";
    admitted(world.line(clear(known), ANN, PASSWORD).await);
    for from in [HERE, known] {
        let mut asked = 0;
        let busy = loop {
            let login = format!("guess{asked}@acme");
            match world.accounts.may_ask(&login, clear(from), any).await {
                Ok(false) => asked += 1,
                Ok(true) => panic!("{login} does not exist"),
                Err(error) => break error,
            }
            assert!(asked < 100, "names can be guessed without end");
        };
        assert_eq!(busy.kind(), ErrorKind::Busy);
    }
    // Who logged in from there before need not wait for others' guesses.
    let elsewhere = world.accounts.may_ask(ANN, clear(HERE), any).await;
    assert_eq!(elsewhere.unwrap_err().kind(), ErrorKind::Busy);
    assert!(
        world
            .accounts
            .may_ask(ANN, clear(known), any)
            .await
            .unwrap()
    );
    // But nobody fills the audit log of an account that may not, wherever its owner comes from.
    world.allow_clear(false).await;
    let before = world.log("acme").await.len();
    for _ in 0..50 {
        let refused = world
            .accounts
            .may_ask(ANN, clear(known), any)
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Busy);
    }
    assert_eq!(world.log("acme").await.len(), before);
}

async fn a_new_rule_about_the_clear_ends_sessions(world: Installation) {
    world.allow_clear(true).await;
    let Step::Admitted(session) = world.line(clear(HERE), ANN, PASSWORD).await.unwrap() else {
        panic!("more was asked for");
    };
    assert_eq!(session.protocol, Protocol::Ftp);
    world.allow_clear(false).await;
    world.assert_ends(&session).await;
    refused(world.line(clear(HERE), ANN, PASSWORD).await);
    admitted(world.line(sealed(HERE), ANN, PASSWORD).await);
    let rules = world.directory.login_rules(&name(ANN)).await.unwrap();
    assert!(!rules.clear_text);
}

async fn sessions_have_the_options_of_their_door_and_end_when_they_change(world: Installation) {
    let first = world.log_in(ANN, PASSWORD, HERE).await.unwrap();
    assert_eq!(
        (
            first.door_options.account.as_ref(),
            first.door_options.tenant.as_ref()
        ),
        (None, None)
    );
    let directory = &world.directory;
    let set = async |options: Option<&str>| {
        let change = LoginChange {
            door_options: Some(options.map(str::to_owned)),
            ..LoginChange::default()
        };
        directory.set_login_rules(&name(ANN), change).await.unwrap();
    };
    set(Some("charset=shift_jis stall=60s")).await;
    world.assert_ends(&first).await;
    directory
        .set_door_options("acme", Some("data-tls=required"))
        .await
        .unwrap();
    let second = world.log_in(ANN, PASSWORD, HERE).await.unwrap();
    assert_eq!(
        second.door_options.account.as_deref(),
        Some("charset=shift_jis stall=60s")
    );
    assert_eq!(
        second.door_options.tenant.as_deref(),
        Some("data-tls=required")
    );
    assert_eq!(
        directory.door_options("acme").await.unwrap().as_deref(),
        Some("data-tls=required")
    );
    // Another rule leaves them; the tenant's are for logins from now on.
    world.allow_clear(true).await;
    world.assert_ends(&second).await;
    directory.set_door_options("acme", None).await.unwrap();
    let third = world.log_in(ANN, PASSWORD, HERE).await.unwrap();
    assert_eq!(
        third.door_options.account.as_deref(),
        Some("charset=shift_jis stall=60s")
    );
    assert_eq!(third.door_options.tenant, None);
    let other = world.log_in("ann@bolt", "bolt-secret", HERE).await.unwrap();
    assert_eq!(other.door_options.account, None);
    set(None).await;
    world.assert_ends(&third).await;
    let kinds: Vec<_> = world
        .log("acme")
        .await
        .into_iter()
        .map(|r| r.detail)
        .collect();
    assert!(
        kinds
            .iter()
            .any(|d| d.contains("doors charset=shift_jis stall=60s")),
        "{kinds:?}"
    );
}

async fn options_that_cannot_be_stored_are_refused(world: Installation) {
    let directory = &world.directory;
    for options in ["", "a\nb", "a\0b", &"a".repeat(1001)] {
        let change = LoginChange {
            door_options: Some(Some(options.to_owned())),
            ..LoginChange::default()
        };
        let refused = directory
            .set_login_rules(&name(ANN), change)
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        let refused = directory
            .set_door_options("acme", Some(options))
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
    }
    let nowhere = directory
        .set_door_options("nowhere", None)
        .await
        .unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::NotFound);
}

async fn a_host_belongs_to_one_tenant(world: Installation) {
    let directory = &world.directory;
    let files = host("Files.Example.ORG.");
    directory.add_host("acme", &files).await.unwrap();
    directory
        .add_host("acme", &host("a.example.org"))
        .await
        .unwrap();
    for tenant in ["acme", "bolt"] {
        let taken = directory
            .add_host(tenant, &host("FILES.example.org"))
            .await
            .unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
        assert!(taken.context().contains("files.example.org"), "{taken}");
    }
    assert_eq!(
        directory.hosts("acme").await.unwrap(),
        ["a.example.org", "files.example.org"]
    );
    assert!(directory.hosts("bolt").await.unwrap().is_empty());
    let tenant_of = async |host: &str| world.accounts.tenant_of_host(host).await.unwrap();
    for asked in [
        "files.example.org",
        "FILES.EXAMPLE.ORG",
        "files.example.org.",
    ] {
        assert_eq!(tenant_of(asked).await.as_deref(), Some("acme"));
    }
    for asked in [
        "example.org",
        "other.example.org",
        "",
        "[::1]",
        "files.example.org/",
        "%",
        "a\0b",
    ] {
        assert_eq!(tenant_of(asked).await, None, "{asked}");
    }
    // Only who has it can be rid of it.
    let foreign = directory.remove_host("bolt", &files).await.unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::NotFound);
    directory.remove_host("acme", &files).await.unwrap();
    assert_eq!(tenant_of("files.example.org").await, None);
    directory.add_host("bolt", &files).await.unwrap();
    assert_eq!(
        tenant_of("files.example.org").await.as_deref(),
        Some("bolt")
    );
    let nowhere = directory
        .add_host("nowhere", &host("b.example.org"))
        .await
        .unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::NotFound);
    let log = world.log("acme").await;
    for kind in ["tenant-host-add", "tenant-host-remove"] {
        assert!(log.iter().any(|r| r.kind == kind), "{kind}");
    }
}

async fn a_host_leads_to_its_tenant_only(world: Installation) {
    world.add("ann@bolt@acme", "mail-secret").await;
    let at = |tenant: Option<&str>| {
        let mut attempt = Attempt::new(world.accounts.clone(), sealed(HERE));
        attempt.in_tenant(tenant.map(str::to_owned));
        attempt
    };
    for (login, password, who) in [
        ("ann", PASSWORD, Some(ANN)),
        (ANN, PASSWORD, Some(ANN)),
        // A name of the tenant's own with an '@' in it, with the tenant and without.
        ("ann@bolt", "mail-secret", Some("ann@bolt@acme")),
        ("ann@bolt@acme", "mail-secret", Some("ann@bolt@acme")),
        // Another tenant's account is not reached by its own password.
        ("ann@bolt", "bolt-secret", None),
        ("ann@acme@bolt", PASSWORD, None),
        ("ann@bolt@acme@acme", "mail-secret", None),
        ("", PASSWORD, None),
        ("@acme", PASSWORD, None),
        ("nobody", PASSWORD, None),
    ] {
        for line in [false, true] {
            let mut attempt = at(Some("acme"));
            let step = match line {
                false => attempt.password(login, &secret(password)).await,
                true => attempt.password_line(login, &secret(password)).await,
            };
            match who {
                Some(who) => assert_eq!(admitted(step), who),
                None => refused(step),
            }
            let mut attempt = at(Some("acme"));
            asked(attempt.ask(login).await, Question::Password);
            let step = attempt.answer(login, &secret(password)).await;
            assert_eq!(step.is_ok(), who.is_some(), "{login}");
            world.clock.advance(Duration::from_secs(4000));
        }
    }
    let key = world.add_key(KEY).await;
    assert_eq!(admitted(at(Some("acme")).key("ann", &key).await), ANN);
    assert!(!at(Some("bolt")).knows_key(ANN, &key).await.unwrap());
    // Without a host nothing is added, and with an unknown tenant nobody is known.
    refused(at(None).password("ann", &secret(PASSWORD)).await);
    assert_eq!(
        admitted(at(None).password("ann@bolt", &secret("bolt-secret")).await),
        "ann@bolt"
    );
    refused(at(Some("nowhere")).password(ANN, &secret(PASSWORD)).await);
    // Nor is a secret asked for in the clear.
    world.allow_clear(true).await;
    for (tenant, login, may) in [
        ("acme", "ann", true),
        ("bolt", "ann", false),
        ("bolt", ANN, false),
    ] {
        let mut attempt = Attempt::new(world.accounts.clone(), clear(HERE));
        attempt.in_tenant(Some(tenant.to_owned()));
        assert_eq!(
            attempt.may_ask(login, any).await.unwrap(),
            may,
            "{login} at {tenant}"
        );
    }
}

async fn a_change_of_the_host_undoes_what_was_proven(world: Installation) {
    world.set_methods("publickey,password").await;
    let key = world.add_key(KEY).await;
    let mut attempt = Attempt::new(world.accounts.clone(), sealed(HERE));
    attempt.in_tenant(Some("acme".to_owned()));
    further(attempt.key("ann", &key).await, &[Method::Password]);
    attempt.in_tenant(Some("bolt".to_owned()));
    assert_eq!(attempt.methods(), None);
    refused(attempt.password("ann", &secret(PASSWORD)).await);
    attempt.in_tenant(Some("acme".to_owned()));
    refused(attempt.password("ann", &secret(PASSWORD)).await);
}

impl Installation {
    async fn allow_clear(&self, clear_text: bool) {
        let change = LoginChange {
            clear_text: Some(clear_text),
            ..LoginChange::default()
        };
        self.directory
            .set_login_rules(&name(ANN), change)
            .await
            .unwrap();
    }

    /// A password on a line of its own, at a new login.
    pub(crate) async fn line(&self, door: Door, login: &str, password: &str) -> Result<Step> {
        let mut attempt = Attempt::new(self.accounts.clone(), door);
        attempt.password_line(login, &secret(password)).await
    }
}

/// The door has nothing to say about logins.
fn any(_: &DoorOptions) -> bool {
    true
}

fn clear(from: &str) -> Door {
    Door {
        protocol: Protocol::Ftp,
        address: from.parse().unwrap(),
        secrecy: Secrecy::Clear,
    }
}

pub(crate) fn sealed(from: &str) -> Door {
    Door {
        protocol: Protocol::Ftps,
        address: from.parse().unwrap(),
        secrecy: Secrecy::Sealed,
    }
}

fn host(name: &str) -> HostName {
    name.parse().unwrap()
}
