//! Logins in several steps: the state machine, attacked, on both databases.

use std::time::Duration;

use data_encoding::BASE32_NOPAD;
use sealift::accounts::attempt::{Attempt, Question, Step};
use sealift::accounts::door::PublicKeyBlob;
use sealift::accounts::login::{Accounts, LoginSettings};
use sealift::accounts::manage::{Access, Limit};
use sealift::accounts::manage_logins::LoginChange;
use sealift::accounts::methods::Method;
use sealift::accounts::public_key::PublicKey;
use sealift::crypto::totp::{TotpSecret, step_at};
use sealift::db::commit::Committer;
use sealift::domain::error::{ErrorKind, Result};
use sealift::domain::secret::Secret;
use sealift::http::account::pending::{MOST_OF_ACCOUNT, Pending, Waiting};
use zeroize::Zeroizing;

use crate::support::dialects::on_both_databases;
use crate::support::installation::{Installation, door, name, open};

const HERE: &str = "192.0.2.1";
const ANN: &str = "ann@acme";
const PASSWORD: &str = "acme-secret";
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKkjGQysShatvenjeHPCfNYL4J4K45ANo1lB0Yupl6Bq laptop";
const OTHER_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILYzrlPejdTRl0N6hnJikmzMjaWoaCVdnz++C3vULsD4 other";

on_both_databases! {
    methods_are_taken_in_their_order_only,
    what_was_proven_belongs_to_one_name,
    a_change_of_the_account_undoes_what_was_proven,
    a_key_that_was_only_offered_counts_for_nothing,
    a_code_opens_once_whichever_instance_looks_at_it,
    a_code_opens_once_when_two_come_at_the_same_moment,
    a_password_that_is_known_does_not_free_the_way_for_guessed_codes,
    recovery_codes_open_once,
    questions_are_asked_of_everybody_alike,
    answers_without_questions_open_nothing,
    a_code_may_stand_behind_the_password_where_the_account_says_so,
    accounts_are_opened_from_their_networks_only,
    sessions_are_limited_by_account_and_tenant,
    a_task_that_panics_gives_its_place_back,
    a_second_factor_can_be_taken_away,
    logins_of_an_account_that_wait_for_a_code_give_way_to_its_own,
}

async fn methods_are_taken_in_their_order_only(world: Installation) {
    world.set_methods("publickey,password").await;
    let key = world.add_key(KEY).await;
    let mut attempt = world.attempt(HERE);
    // The password first: refused as a wrong one is.
    refused(attempt.password(ANN, &secret(PASSWORD)).await);
    refused(attempt.password(ANN, &secret("wrong")).await);
    assert_eq!(attempt.methods(), None);
    further(attempt.key(ANN, &key).await, &[Method::Password]);
    // The same again is not asked for, and does not undo what was proven.
    refused(attempt.key(ANN, &key).await);
    refused(attempt.password(ANN, &secret("wrong")).await);
    admitted(attempt.password(ANN, &secret(PASSWORD)).await);
    let log = world.log("acme").await;
    let last = log.iter().rfind(|r| r.kind == "login").unwrap();
    assert!(last.detail.contains("by key SHA256:"), "{}", last.detail);
    assert!(last.detail.ends_with(" and password"), "{}", last.detail);
    // Doors that ask for one thing cannot be enough.
    assert_eq!(
        world.refusal(ANN, PASSWORD, HERE).await,
        ErrorKind::Unauthenticated
    );
    let by_key = world.accounts.login_key(ANN, &key, door(HERE)).await;
    assert_eq!(by_key.unwrap_err().kind(), ErrorKind::Unauthenticated);
}

async fn what_was_proven_belongs_to_one_name(world: Installation) {
    world.set_methods("publickey,password").await;
    let key = world.add_key(KEY).await;
    for other in ["ann@bolt", "nobody@acme", "ann@nowhere", "ann", "ANN@acme"] {
        let mut attempt = world.attempt(HERE);
        further(attempt.key(ANN, &key).await, &[Method::Password]);
        if other == "ann@bolt" {
            // Another account's own password opens that account, by its own rules.
            let other = attempt.password(other, &secret("bolt-secret")).await;
            assert_eq!(admitted(other), "ann@bolt");
        } else {
            refused(attempt.password(other, &secret(PASSWORD)).await);
        }
        refused(attempt.password(ANN, &secret(PASSWORD)).await);
        world.clock.advance(Duration::from_secs(4000));
    }
}

async fn a_change_of_the_account_undoes_what_was_proven(world: Installation) {
    world.set_methods("publickey,password").await;
    let key = world.add_key(KEY).await;
    let mut attempt = world.attempt(HERE);
    further(attempt.key(ANN, &key).await, &[Method::Password]);
    let directory = &world.directory;
    directory
        .remove_key(&name(ANN), &PublicKey::parse(KEY).unwrap().fingerprint())
        .await
        .unwrap();
    refused(attempt.password(ANN, &secret(PASSWORD)).await);

    let key = world.add_key(OTHER_KEY).await;
    let mut attempt = world.attempt(HERE);
    further(attempt.key(ANN, &key).await, &[Method::Password]);
    directory
        .set_account_access(&name(ANN), Access::Refuse)
        .await
        .unwrap();
    refused(attempt.password(ANN, &secret(PASSWORD)).await);
    directory
        .set_account_access(&name(ANN), Access::Allow)
        .await
        .unwrap();
    refused(attempt.password(ANN, &secret(PASSWORD)).await);
}

async fn a_key_that_was_only_offered_counts_for_nothing(world: Installation) {
    world.set_methods("publickey,password").await;
    let key = world.add_key(KEY).await;
    let mut attempt = world.attempt(HERE);
    for _ in 0..3 {
        assert!(attempt.knows_key(ANN, &key).await.unwrap());
    }
    refused(attempt.password(ANN, &secret(PASSWORD)).await);
    refused(attempt.answer(ANN, &secret(PASSWORD)).await);
    assert_eq!(attempt.methods(), None);
    // And once a key is no longer asked for, none is known.
    further(attempt.key(ANN, &key).await, &[Method::Password]);
    assert!(!attempt.knows_key(ANN, &key).await.unwrap());
    assert_eq!(attempt.methods(), Some(vec![Method::Password]));
}

async fn a_code_opens_once_whichever_instance_looks_at_it(world: Installation) {
    let totp = world.enrol().await;
    let code = world.code(&totp, 0);
    admitted(world.by_questions(&world.accounts, &code).await);
    let elsewhere = world.another_instance().await;
    refused(world.by_questions(&elsewhere, &code).await);
    refused(world.by_questions(&world.accounts, &code).await);
    // Nor does an older one that was not used.
    refused(world.by_questions(&elsewhere, &world.code(&totp, -1)).await);
    // One step ahead is within the window, two are not.
    world.clock.advance(Duration::from_secs(4000));
    refused(world.by_questions(&elsewhere, &world.code(&totp, 2)).await);
    admitted(world.by_questions(&elsewhere, &world.code(&totp, 1)).await);
    refused(
        world
            .by_questions(&world.accounts, &world.code(&totp, 0))
            .await,
    );
    world.clock.advance(Duration::from_secs(4000));
    let spaced = world.code(&totp, 0);
    let spaced = format!("{} {}", &spaced[..3], &spaced[3..]);
    admitted(world.by_questions(&world.accounts, &spaced).await);
    elsewhere.stop().await;
}

async fn a_code_opens_once_when_two_come_at_the_same_moment(world: Installation) {
    let totp = world.enrol().await;
    let elsewhere = world.another_instance().await;
    for _ in 0..5 {
        let code = world.code(&totp, 0);
        let mut attempts = Vec::new();
        for accounts in [&world.accounts, &elsewhere, &world.accounts] {
            let mut attempt = Attempt::new(accounts.clone(), door(HERE));
            asked(attempt.ask(ANN).await, Question::Password);
            asked(attempt.answer(ANN, &secret(PASSWORD)).await, Question::Code);
            attempts.push(attempt);
        }
        let [a, b, c] = attempts.as_mut_slice() else {
            unreachable!()
        };
        let code = secret(&code);
        let (a, b, c) = tokio::join!(
            a.answer(ANN, &code),
            b.answer(ANN, &code),
            c.answer(ANN, &code)
        );
        let let_in = [a, b, c].iter().filter(|step| step.is_ok()).count();
        assert_eq!(let_in, 1);
        world.clock.advance(Duration::from_secs(4000));
    }
    elsewhere.stop().await;
}

async fn a_password_that_is_known_does_not_free_the_way_for_guessed_codes(world: Installation) {
    let totp = world.enrol().await;
    let mut guesses = 0;
    let busy = loop {
        match world.by_questions(&world.accounts, "000000").await {
            Err(error) if error.kind() == ErrorKind::Busy => break error,
            step => refused(step),
        }
        guesses += 1;
        assert!(guesses < 6, "codes can be guessed without end");
    };
    assert!(
        busy.context().starts_with("too many failed logins"),
        "{busy}"
    );
    // The right code has to wait as well.
    let right = world.code(&totp, 0);
    let waits = world.by_questions(&world.accounts, &right).await;
    assert_eq!(waits.unwrap_err().kind(), ErrorKind::Busy);
    world.clock.advance(Duration::from_secs(60));
    let right = world.code(&totp, 0);
    admitted(world.by_questions(&world.accounts, &right).await);
    let log = world.log("acme").await;
    assert!(
        log.iter()
            .any(|r| r.kind == "login-failed" && r.detail.contains("wrong or used code")),
        "{log:?}"
    );
}

async fn recovery_codes_open_once(world: Installation) {
    let made = world
        .directory
        .add_second_factor(&name(ANN), &world.keys)
        .await
        .unwrap();
    assert_eq!(made.recovery_codes.len(), 10);
    let code = &made.recovery_codes[3];
    admitted(
        world
            .by_questions(&world.accounts, &code.to_uppercase())
            .await,
    );
    refused(world.by_questions(&world.accounts, code).await);
    let rules = world.directory.login_rules(&name(ANN)).await.unwrap();
    assert_eq!((rules.second_factor, rules.recovery_codes), (true, 9));
    // A new secret comes with new ones.
    world.enrol().await;
    refused(
        world
            .by_questions(&world.accounts, &made.recovery_codes[4])
            .await,
    );
}

async fn questions_are_asked_of_everybody_alike(world: Installation) {
    world.enrol().await;
    world
        .set_methods("publickey,keyboard-interactive:totp")
        .await;
    for login in [ANN, "nobody@acme", "ann@nowhere", "ann", "ann@bolt"] {
        let mut attempt = world.attempt(HERE);
        asked(attempt.ask(login).await, Question::Password);
        refused(attempt.answer(login, &secret("wrong")).await);
    }
    // Not even the right password is told apart where a key must come first.
    let mut attempt = world.attempt(HERE);
    asked(attempt.ask(ANN).await, Question::Password);
    refused(attempt.answer(ANN, &secret(PASSWORD)).await);
}

async fn answers_without_questions_open_nothing(world: Installation) {
    let totp = world.enrol().await;
    let mut attempt = world.attempt(HERE);
    refused(attempt.answer(ANN, &secret(PASSWORD)).await);
    // Asked under one name, answered under another.
    asked(attempt.ask("ann@bolt").await, Question::Password);
    refused(attempt.answer(ANN, &secret("bolt-secret")).await);
    // Questions end when something else is tried.
    asked(attempt.ask(ANN).await, Question::Password);
    asked(attempt.answer(ANN, &secret(PASSWORD)).await, Question::Code);
    refused(attempt.password(ANN, &secret("wrong")).await);
    let code = secret(&world.code(&totp, 0));
    refused(attempt.answer(ANN, &code).await);
    // The password of the first question does not serve a second conversation.
    asked(attempt.ask(ANN).await, Question::Password);
    asked(attempt.answer(ANN, &secret(PASSWORD)).await, Question::Code);
    asked(attempt.ask(ANN).await, Question::Password);
    refused(attempt.answer(ANN, &code).await);
    // Nor one that has changed meanwhile.
    world.clock.advance(Duration::from_secs(4000));
    asked(attempt.ask(ANN).await, Question::Password);
    asked(attempt.answer(ANN, &secret(PASSWORD)).await, Question::Code);
    let new = sealift::accounts::manage_accounts::NewPassword::Plain(secret("another"));
    world.directory.set_password(&name(ANN), new).await.unwrap();
    let code = secret(&world.code(&totp, 0));
    refused(attempt.answer(ANN, &code).await);
}

async fn a_code_may_stand_behind_the_password_where_the_account_says_so(world: Installation) {
    let totp = world.enrol().await;
    let both = format!("{PASSWORD}{}", world.code(&totp, 0));
    assert_eq!(
        world.refusal(ANN, &both, HERE).await,
        ErrorKind::Unauthenticated
    );
    let change = LoginChange {
        appended_code: Some(true),
        ..LoginChange::default()
    };
    world
        .directory
        .set_login_rules(&name(ANN), change)
        .await
        .unwrap();
    world.log_in(ANN, &both, HERE).await.unwrap();
    assert_eq!(
        world.refusal(ANN, &both, HERE).await,
        ErrorKind::Unauthenticated
    );
    assert_eq!(
        world.refusal(ANN, PASSWORD, HERE).await,
        ErrorKind::Unauthenticated
    );
    world.clock.advance(Duration::from_secs(4000));
    let wrong = format!("wrong{}", world.code(&totp, 0));
    assert_eq!(
        world.refusal(ANN, &wrong, HERE).await,
        ErrorKind::Unauthenticated
    );
    // The code of a wrong password was not spent.
    let right = format!("{PASSWORD}{}", world.code(&totp, 0));
    world.log_in(ANN, &right, HERE).await.unwrap();
}

async fn accounts_are_opened_from_their_networks_only(world: Installation) {
    let key = world.add_key(KEY).await;
    let networks = ["192.0.2.0/24", "2001:db8::/32"].map(|text| text.parse().unwrap());
    let change = LoginChange {
        networks: Some(networks.to_vec()),
        ..LoginChange::default()
    };
    world
        .directory
        .set_login_rules(&name(ANN), change)
        .await
        .unwrap();
    for from in ["192.0.2.200", "::ffff:192.0.2.7", "2001:db8:1::5"] {
        world.log_in(ANN, PASSWORD, from).await.unwrap();
        world
            .accounts
            .login_key(ANN, &key, door(from))
            .await
            .unwrap();
    }
    for from in ["192.0.3.1", "::ffff:198.51.100.1", "2001:db9::1"] {
        assert_eq!(
            world.refusal(ANN, PASSWORD, from).await,
            ErrorKind::Unauthenticated
        );
        let by_key = world.accounts.login_key(ANN, &key, door(from)).await;
        assert_eq!(by_key.unwrap_err().kind(), ErrorKind::Unauthenticated);
    }
    world
        .log_in("ann@bolt", "bolt-secret", "192.0.3.1")
        .await
        .unwrap();
    let log = world.log("acme").await;
    assert!(
        log.iter()
            .any(|r| r.detail.contains("may not log in from this address")),
        "{log:?}"
    );
}

async fn sessions_are_limited_by_account_and_tenant(world: Installation) {
    world.add("bob@acme", "bob-secret").await;
    let change = LoginChange {
        sessions: Limit::Set(2),
        ..LoginChange::default()
    };
    world
        .directory
        .set_login_rules(&name(ANN), change)
        .await
        .unwrap();
    let first = world.log_in(ANN, PASSWORD, HERE).await.unwrap();
    world.log_in(ANN, PASSWORD, HERE).await.unwrap();
    let third = world.log_in(ANN, PASSWORD, HERE).await.unwrap_err();
    assert_eq!(third.kind(), ErrorKind::Busy);
    assert!(
        third.context().contains("the account has 2 sessions"),
        "{third}"
    );
    world
        .directory
        .set_sessions("acme", Limit::Set(3))
        .await
        .unwrap();
    world.log_in("bob@acme", "bob-secret", HERE).await.unwrap();
    let fourth = world
        .log_in("bob@acme", "bob-secret", HERE)
        .await
        .unwrap_err();
    assert!(
        fourth.context().contains("the tenant has 3 sessions"),
        "{fourth}"
    );
    world.log_in("ann@bolt", "bolt-secret", HERE).await.unwrap();
    world.accounts.log_out(&first).await;
    world.log_in(ANN, PASSWORD, HERE).await.unwrap();
}

async fn a_task_that_panics_gives_its_place_back(world: Installation) {
    let change = LoginChange {
        sessions: Limit::Set(1),
        ..LoginChange::default()
    };
    world
        .directory
        .set_login_rules(&name(ANN), change)
        .await
        .unwrap();
    let principal = world.log_in(ANN, PASSWORD, HERE).await.unwrap();
    let presence = world.accounts.presence(principal.clone());
    let session = async move {
        let _held = presence;
        panic!("on purpose");
    };
    let mut tasks = tokio::task::JoinSet::<()>::new();
    tasks.spawn(session);
    let ended = tasks.join_next().await.unwrap();
    assert!(ended.unwrap_err().is_panic());
    world.assert_ends(&principal).await;
    world.log_in(ANN, PASSWORD, HERE).await.unwrap();
    let log = world.log("acme").await;
    assert!(log.iter().any(|r| r.kind == "logout"), "{log:?}");
}

async fn a_second_factor_can_be_taken_away(world: Installation) {
    world.enrol().await;
    assert_eq!(
        world.refusal(ANN, PASSWORD, HERE).await,
        ErrorKind::Unauthenticated
    );
    world
        .directory
        .remove_second_factor(&name(ANN))
        .await
        .unwrap();
    world.log_in(ANN, PASSWORD, HERE).await.unwrap();
    let again = world.directory.remove_second_factor(&name(ANN)).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::NotFound);
    // What asked for it stays closed.
    world
        .set_methods("password,keyboard-interactive:totp")
        .await;
    let rules = world.directory.login_rules(&name(ANN)).await.unwrap();
    assert!(rules.closed);
    assert_eq!(
        world.refusal(ANN, PASSWORD, HERE).await,
        ErrorKind::Unauthenticated
    );
}

async fn logins_of_an_account_that_wait_for_a_code_give_way_to_its_own(world: Installation) {
    world.enrol().await;
    let totp = world.enrol_one("ann@bolt").await;
    let pending = Pending::default();
    let wait = async |login: &str, password: &str| {
        let mut attempt = world.attempt(HERE);
        let step = attempt.password_line(login, &secret(password)).await;
        asked(step, Question::Code);
        let waiting = Waiting {
            attempt,
            login: login.to_owned(),
            address: HERE.parse().unwrap(),
        };
        pending.add(waiting).unwrap()
    };
    let other = wait("ann@bolt", "bolt-secret").await;
    let mut own = Vec::new();
    for _ in 0..=MOST_OF_ACCOUNT {
        own.push(wait(ANN, PASSWORD).await);
    }
    let here = HERE.parse().unwrap();
    assert!(pending.take(&own[0], here).is_none());
    assert!(pending.take(&own[1], here).is_some());
    assert!(pending.take(own.last().unwrap(), here).is_some());
    let mut other = pending.take(&other, here).unwrap();
    let code = secret(&world.code(&totp, 0));
    let step = other.attempt.answer(&other.login, &code).await;
    assert_eq!(admitted(step), "ann@bolt");
}

impl Installation {
    fn attempt(&self, from: &str) -> Attempt {
        Attempt::new(self.accounts.clone(), door(from))
    }

    pub(crate) async fn set_methods(&self, policy: &str) {
        let change = LoginChange {
            methods: Some(Some(policy.parse().unwrap())),
            ..LoginChange::default()
        };
        self.directory
            .set_login_rules(&name(ANN), change)
            .await
            .unwrap();
    }

    pub(crate) async fn add_key(&self, line: &str) -> PublicKeyBlob {
        let key = PublicKey::parse(line).unwrap();
        self.directory.add_key(&name(ANN), &key).await.unwrap();
        PublicKeyBlob(key.blob)
    }

    /// Gives Ann a second factor, as her authenticator app sees it.
    pub(crate) async fn enrol(&self) -> TotpSecret {
        self.enrol_one(ANN).await
    }

    async fn enrol_one(&self, login: &str) -> TotpSecret {
        let made = self
            .directory
            .add_second_factor(&name(login), &self.keys)
            .await
            .unwrap();
        from_uri(&made.uri)
    }

    /// The code some steps from now.
    pub(crate) fn code(&self, totp: &TotpSecret, off: i64) -> String {
        use sealift::domain::clock::Clock;
        totp.code(step_at(self.clock.now()) + off)
    }

    /// Answers the questions for password and code.
    async fn by_questions(&self, accounts: &Accounts, code: &str) -> Result<Step> {
        let mut attempt = Attempt::new(accounts.clone(), door(HERE));
        asked(attempt.ask(ANN).await, Question::Password);
        match attempt.answer(ANN, &secret(PASSWORD)).await? {
            Step::Ask(Question::Code) => attempt.answer(ANN, &secret(code)).await,
            step => panic!("{step:?}"),
        }
    }

    /// Another server on the same database.
    async fn another_instance(&self) -> Accounts {
        let committer = Committer::new(open(&self.location, &self.clock).await);
        Accounts::start(committer, LoginSettings::default(), self.keys.clone())
            .await
            .unwrap()
    }
}

pub(crate) fn from_uri(uri: &str) -> TotpSecret {
    let (_, rest) = uri.split_once("secret=").unwrap();
    let (secret, _) = rest.split_once('&').unwrap();
    TotpSecret::new(Zeroizing::new(
        BASE32_NOPAD.decode(secret.as_bytes()).unwrap(),
    ))
}

pub(crate) fn secret(text: &str) -> Secret {
    Secret::new(text)
}

#[track_caller]
pub(crate) fn refused(step: Result<Step>) {
    assert_eq!(step.unwrap_err().kind(), ErrorKind::Unauthenticated);
}

#[track_caller]
pub(crate) fn further(step: Result<Step>, wanted: &[Method]) {
    match step.unwrap() {
        Step::Further(methods) => assert_eq!(methods, wanted),
        step => panic!("{step:?}"),
    }
}

#[track_caller]
pub(crate) fn asked(step: Result<Step>, wanted: Question) {
    match step.unwrap() {
        Step::Ask(question) => assert_eq!(question, wanted),
        step => panic!("{step:?}"),
    }
}

/// Who was let in.
#[track_caller]
pub(crate) fn admitted(step: Result<Step>) -> String {
    match step.unwrap() {
        Step::Admitted(principal) => principal.login.to_string(),
        step => panic!("{step:?}"),
    }
}
