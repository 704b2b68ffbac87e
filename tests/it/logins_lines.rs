//! A password and a code on lines of their own, as with FTP's PASS and ACCT. On both databases.

use std::time::Duration;

use sealift::accounts::attempt::{Attempt, Question, Step};
use sealift::accounts::manage_logins::LoginChange;
use sealift::accounts::methods::Method;
use sealift::crypto::totp::TotpSecret;
use sealift::domain::error::ErrorKind;
use sealift::domain::principal::Protocol;

use crate::logins::{admitted, asked, further, refused, secret};
use crate::logins_doors::sealed;
use crate::support::dialects::on_both_databases;
use crate::support::installation::{Installation, name};

const HERE: &str = "192.0.2.1";
const ANN: &str = "ann@acme";
const PASSWORD: &str = "acme-secret";
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKkjGQysShatvenjeHPCfNYL4J4K45ANo1lB0Yupl6Bq laptop";

on_both_databases! {
    a_password_and_a_code_are_taken_on_lines_of_their_own,
    a_code_is_taken_behind_the_password_or_on_the_next_line,
    guessed_codes_on_the_next_line_lock_the_account,
    lines_serve_whichever_method_an_account_asks_for,
    what_a_line_cannot_give_stays_open,
}

async fn a_password_and_a_code_are_taken_on_lines_of_their_own(world: Installation) {
    let totp = world.enrol().await;
    // The wrong password is not asked for a code.
    let mut attempt = world.ftps();
    refused(attempt.password_line(ANN, &secret("wrong")).await);
    refused(attempt.answer(ANN, &secret(&world.code(&totp, 0))).await);
    // The right one is, and the code opens.
    let mut attempt = world.ftps();
    asked(
        attempt.password_line(ANN, &secret(PASSWORD)).await,
        Question::Code,
    );
    let code = secret(&world.code(&totp, 0));
    let Step::Admitted(session) = attempt.answer(ANN, &code).await.unwrap() else {
        panic!("more was asked for");
    };
    assert_eq!(session.protocol, Protocol::Ftps);
    let log = world.log("acme").await;
    let last = log.iter().rfind(|r| r.kind == "login").unwrap();
    assert!(
        last.detail.ends_with("by password and code"),
        "{}",
        last.detail
    );
    // Once only; a code for another name, or without the password, opens nothing.
    let mut attempt = world.ftps();
    asked(
        attempt.password_line(ANN, &secret(PASSWORD)).await,
        Question::Code,
    );
    refused(attempt.answer(ANN, &code).await);
    refused(attempt.answer(ANN, &code).await);
    world.clock.advance(Duration::from_secs(4000));
    let code = secret(&world.code(&totp, 0));
    let mut attempt = world.ftps();
    asked(
        attempt.password_line(ANN, &secret(PASSWORD)).await,
        Question::Code,
    );
    refused(attempt.answer("ann@bolt", &code).await);
    let mut attempt = world.ftps();
    refused(attempt.answer(ANN, &code).await);
    // After that the whole login opens, by a recovery code as well.
    asked(
        attempt.password_line(ANN, &secret(PASSWORD)).await,
        Question::Code,
    );
    assert_eq!(admitted(attempt.answer(ANN, &code).await), ANN);
    // Accounts without a second factor need no second line.
    assert_eq!(
        admitted(world.line(sealed(HERE), "ann@bolt", "bolt-secret").await),
        "ann@bolt"
    );
}

async fn a_code_is_taken_behind_the_password_or_on_the_next_line(world: Installation) {
    let totp = world.enrol().await;
    let appended = |totp: &TotpSecret| format!("{PASSWORD}{}", world.code(totp, 0));
    refused(world.line(sealed(HERE), ANN, &appended(&totp)).await);
    let change = LoginChange {
        appended_code: Some(true),
        ..LoginChange::default()
    };
    world
        .directory
        .set_login_rules(&name(ANN), change)
        .await
        .unwrap();
    let both = appended(&totp);
    assert_eq!(admitted(world.line(sealed(HERE), ANN, &both).await), ANN);
    refused(world.line(sealed(HERE), ANN, &both).await);
    world.clock.advance(Duration::from_secs(4000));
    // Who can give a second line may.
    let mut attempt = world.ftps();
    asked(
        attempt.password_line(ANN, &secret(PASSWORD)).await,
        Question::Code,
    );
    assert_eq!(
        admitted(attempt.answer(ANN, &secret(&world.code(&totp, 0))).await),
        ANN
    );
    refused(world.line(sealed(HERE), ANN, "wrong").await);
    refused(world.line(sealed(HERE), ANN, "").await);
}

async fn guessed_codes_on_the_next_line_lock_the_account(world: Installation) {
    let totp = world.enrol().await;
    let mut guesses = 0;
    loop {
        let mut attempt = world.ftps();
        match attempt.password_line(ANN, &secret(PASSWORD)).await {
            Ok(Step::Ask(Question::Code)) => {}
            Err(error) if error.kind() == ErrorKind::Busy => break,
            step => panic!("{step:?}"),
        }
        refused(attempt.answer(ANN, &secret("000000")).await);
        guesses += 1;
        assert!(guesses < 6, "codes can be guessed without end");
    }
    world.clock.advance(Duration::from_secs(60));
    let mut attempt = world.ftps();
    asked(
        attempt.password_line(ANN, &secret(PASSWORD)).await,
        Question::Code,
    );
    admitted(attempt.answer(ANN, &secret(&world.code(&totp, 0))).await);
}

async fn lines_serve_whichever_method_an_account_asks_for(world: Installation) {
    let totp = world.enrol().await;
    for methods in [
        "password",
        "keyboard-interactive",
        "password,keyboard-interactive:totp",
        "keyboard-interactive:password,keyboard-interactive:totp",
    ] {
        world.set_methods(methods).await;
        let mut attempt = world.ftps();
        refused(attempt.password_line(ANN, &secret("wrong")).await);
        asked(
            attempt.password_line(ANN, &secret(PASSWORD)).await,
            Question::Code,
        );
        let step = attempt.answer(ANN, &secret(&world.code(&totp, 0))).await;
        assert_eq!(admitted(step), ANN, "{methods}");
        world.clock.advance(Duration::from_secs(4000));
    }
    // After a key, which a certificate stands for, what is left is asked for.
    let key = world.add_key(KEY).await;
    for methods in ["publickey,password", "publickey,keyboard-interactive"] {
        world.set_methods(methods).await;
        let mut attempt = world.ftps();
        assert!(matches!(attempt.key(ANN, &key).await, Ok(Step::Further(_))));
        asked(
            attempt.password_line(ANN, &secret(PASSWORD)).await,
            Question::Code,
        );
        let step = attempt.answer(ANN, &secret(&world.code(&totp, 0))).await;
        assert_eq!(admitted(step), ANN, "{methods}");
        world.clock.advance(Duration::from_secs(4000));
    }
    world
        .set_methods("publickey,keyboard-interactive:totp")
        .await;
    let mut attempt = world.ftps();
    further(attempt.key(ANN, &key).await, &[Method::Interactive]);
    let step = attempt
        .password_line(ANN, &secret(&world.code(&totp, 0)))
        .await;
    assert_eq!(admitted(step), ANN);
}

async fn what_a_line_cannot_give_stays_open(world: Installation) {
    let key = world.add_key(KEY).await;
    world.set_methods("publickey,password").await;
    refused(world.line(sealed(HERE), ANN, PASSWORD).await);
    world.set_methods("password,publickey").await;
    let mut attempt = world.ftps();
    further(
        attempt.password_line(ANN, &secret(PASSWORD)).await,
        &[Method::PublicKey],
    );
    assert_eq!(admitted(attempt.key(ANN, &key).await), ANN);
    world.set_methods("publickey").await;
    refused(world.line(sealed(HERE), ANN, PASSWORD).await);
}

impl Installation {
    fn ftps(&self) -> Attempt {
        Attempt::new(self.accounts.clone(), sealed(HERE))
    }
}
