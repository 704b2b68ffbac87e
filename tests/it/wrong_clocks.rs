//! Instances whose own clock is wrong: by the database's time they all agree on what is over.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use russh::client;
use russh::keys::{Certificate, PrivateKey, PublicKeyOrCertificate};
use sealift::accounts::login::Accounts;
use sealift::accounts::manage::Directory;
use sealift::accounts::manage_accounts::{NewAccount, NewPassword};
use sealift::accounts::public_key::PublicKey;
use sealift::db::entries;
use sealift::db::instances;
use sealift::db::sql::Dialect;
use sealift::db::timekeeper::Side;
use sealift::domain::clock::{Clock as _, SystemClock};
use sealift::domain::error::{ErrorKind, Result};
use sealift::domain::principal::Principal;
use sealift::domain::secret::Secret;
use sealift::jobs::leaps::Leaps;
use sealift::jobs::runner::{self, JobSettings};
use sealift::server::keys::source;
use tokio_util::sync::CancellationToken;

use crate::sftp_raw::serve_until;
use crate::support::client::{run, succeed};
use crate::support::dialects::on_both;
use crate::support::folder::TempFolder;
use crate::support::installation::{door, name, quick_logins};
use crate::support::wait::until;
use crate::support::world::{World, clean, get, path, put, replace, update};

const ROUNDS: u32 = 1_000;
/// How much the clock of one of the instances is ahead.
const AHEAD: Duration = Duration::from_secs(3600);
/// Of both instances: less than that.
const LEASE: Duration = Duration::from_secs(600);

async fn apart() -> (World, World) {
    let (right, wrong) = World::apart(AHEAD).await;
    for one in [&right, &wrong] {
        let renewed = instances::renew(one.vfs.database(), one.vfs.instance(), LEASE);
        renewed.await.unwrap();
    }
    (right, wrong)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_lives_elsewhere_is_left_alone() {
    let (right, wrong) = apart().await;
    right.account("ann").await;
    let (mine, theirs) = (right.session_of("ann").await, wrong.session_of("ann").await);
    let (at, bytes) = (path("/f"), vec![7; 30 << 20]);
    let mut writer = mine.open_write(&at, replace()).await.unwrap();
    for (index, chunk) in bytes.chunks(1 << 20).enumerate() {
        if index == 20 {
            let hidden = theirs.stat(&at).await.unwrap_err();
            assert_eq!(hidden.kind(), ErrorKind::NotFound);
            let refused = theirs.open_write(&at, update()).await.err().unwrap();
            assert_eq!(refused.kind(), ErrorKind::Busy);
            // Another one that is stored as a whole takes nothing away from it either.
            put(&theirs, &at, b"whole").await.unwrap();
        }
        let (offset, chunk) = ((index << 20) as u64, Bytes::copy_from_slice(chunk));
        writer.write_at(offset, chunk).await.unwrap();
    }
    writer.commit().await.unwrap();
    assert!(get(&theirs, &at).await.unwrap() == bytes);
    wrong.vfs.drain().await;
    clean(&right).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_clock_may_be_set_while_it_runs() {
    let (right, wrong) = apart().await;
    for _ in 0..2 {
        let now = right.vfs.database().now().await.unwrap();
        let known = wrong.vfs.database().clock().now();
        let apart = known.since(now).max(now.since(known));
        assert!(apart < Duration::from_secs(60), "{apart:?}");
        let (off, side) = wrong.vfs.database().clock_off().unwrap();
        assert_eq!(side, Side::Ahead);
        assert!(off > AHEAD / 2, "{off:?}");
        wrong.clock.advance(AHEAD);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_fails_to_log_in_there_waits_no_longer_elsewhere() {
    let (right, wrong) = apart().await;
    let directory = Directory::new(right.vfs.committer().clone(), ROUNDS);
    let mut ann = NewAccount::new(name("ann@acme"));
    ann.password = NewPassword::Plain(Secret::new("secret"));
    directory.add_account(ann).await.unwrap();
    let (here, there) = (accounts(&right).await, accounts(&wrong).await);
    // The fourth has to be waited for.
    for _ in 0..4 {
        let refused = log_in(&there, "wrong").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unauthenticated);
    }
    until("the wait to be over", async || {
        match log_in(&here, "secret").await {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Busy, "{error:?}");
                false
            }
        }
    })
    .await;
}

/// Takes whichever host it is.
struct Trusting;

impl client::Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        _key: &PublicKeyOrCertificate,
    ) -> std::result::Result<bool, Self::Error> {
        Ok(true)
    }
}

#[tokio::test]
async fn a_certificate_is_valid_by_the_databases_time() {
    // The world's is far from the machine's.
    let world = World::new(Dialect::Sqlite).await;
    world.account("ann").await;
    let folder = TempFolder::new();
    let keygen = |words: &[&str]| {
        let mut keygen = Command::new("ssh-keygen");
        keygen.arg("-q").args(words).current_dir(folder.path());
        succeed(&run(keygen, ""));
    };
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    for key in ["authority", "ann"] {
        keygen(&["-t", "ed25519", "-N", "", "-f", key]);
    }
    let directory = Directory::new(world.vfs.committer().clone(), ROUNDS);
    let authority = PublicKey::parse(&read("authority.pub")).unwrap();
    directory.add_authority("acme", &authority).await.unwrap();
    let key = Arc::new(PrivateKey::from_openssh(read("ann")).unwrap());
    let times = [world.clock.now(), SystemClock.now()].map(|now| now.seconds());
    for (now, opens) in times.into_iter().zip([true, false]) {
        let valid = format!("0x{:x}:0x{:x}", now - 100, now + 100);
        keygen(&[
            "-s",
            "authority",
            "-I",
            "x",
            "-n",
            "ann",
            "-V",
            &valid,
            "ann.pub",
        ]);
        let certificate = Certificate::from_openssh(&read("ann-cert.pub")).unwrap();
        let long = Duration::from_secs(60);
        let (stream, tasks) = serve_until(&world, long, CancellationToken::new()).await;
        let config = Arc::new(client::Config::default());
        let connected = client::connect_stream(config, stream, Trusting).await;
        let mut client = connected.unwrap();
        let tried = client.authenticate_openssh_cert("ann@acme", key.clone(), certificate);
        assert_eq!(tried.await.unwrap().success(), opens, "{valid}");
        drop(client);
        tasks.wait().await;
    }
}

on_both!(a_clock_that_is_set_ends_no_retention_before_it_has_gone_evenly);

async fn a_clock_that_is_set_ends_no_retention_before_it_has_gone_evenly(dialect: Dialect) {
    const DAY: u64 = 24 * 3600;
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    put(&ann, &path("/f"), b"f").await.unwrap();
    ann.remove_file(&path("/f")).await.unwrap();
    let uptime = Arc::new(AtomicU64::new(0));
    let told = uptime.clone();
    let leaps = Leaps::by(move || Some(Duration::from_secs(told.load(Ordering::SeqCst))));
    let kept_after_round = async || {
        let settings = JobSettings::default();
        let round = runner::round_by(&world.vfs, settings, &leaps);
        round.await.unwrap();
        let mut tx = world.vfs.database().read(world.tenant.id).await.unwrap();
        let past = entries::past_until(&mut tx, i64::MAX, 10).await;
        past.unwrap().len()
    };
    assert_eq!(kept_after_round().await, 1);
    world.clock.advance(Duration::from_secs(300 * DAY));
    assert_eq!(kept_after_round().await, 1);
    // If nobody sets it right, it is right.
    world.clock.advance(Duration::from_secs(DAY));
    uptime.store(DAY, Ordering::SeqCst);
    assert_eq!(kept_after_round().await, 0);
    clean(&world).await;
}

async fn accounts(world: &World) -> Accounts {
    let settings = quick_logins();
    let keys = source(world.vfs.keys().clone());
    let started = Accounts::start(world.vfs.committer().clone(), settings, keys);
    started.await.unwrap()
}

async fn log_in(accounts: &Accounts, password: &str) -> Result<Principal> {
    let (password, door) = (Secret::new(password), door("192.0.2.7"));
    accounts.login_password("ann@acme", &password, door).await
}
