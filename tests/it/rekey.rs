//! SSH keys that are exchanged anew as time goes by, under OpenSSH's client.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sealift::accounts::login::{Accounts, LoginSettings};
use sealift::accounts::manage::Directory;
use sealift::accounts::manage_accounts::{NewAccount, NewPassword};
use sealift::accounts::places::SessionLimits;
use sealift::accounts::verify::PasswordSettings;
use sealift::db::sql::Dialect;
use sealift::domain::secret::Secret;
use sealift::net::limit::{ConnectionLimits, Places};
use sealift::net::listen::bind;
use sealift::server::keys::source;
use sealift::sftp::algorithms::Algorithms;
use sealift::sftp::host_keys::HostKeys;
use sealift::sftp::server::SftpServer;
use sealift::sftp::settings::SftpSettings;
use sealift::vfs::keys::{KEY_LIFE, TenantKeys};
use tokio_util::sync::CancellationToken;

use crate::support::folder::{TempFolder, sha256, write_random};
use crate::support::wait::{until, wait_for};
use crate::support::world::{World, get, path};

const ROUNDS: u32 = 1_000;
const PASSWORD: &str = "a secret of this test";
/// What OpenSSH says once for each exchange of keys, the first one included.
const EXCHANGED: &str = "SSH2_MSG_NEWKEYS received";
const FILE_BYTES: u64 = 3 << 20;
/// Kilobits each second, so that the file takes many times as long as keys live.
const PACE: &str = "6000";

async fn accounts(world: &World) -> Accounts {
    let committer = world.vfs.committer().clone();
    let directory = Directory::new(committer.clone(), ROUNDS);
    let mut ann = NewAccount::new("ann@acme".parse().unwrap());
    ann.password = NewPassword::Plain(Secret::new(PASSWORD));
    directory.add_account(ann).await.unwrap();
    let settings = LoginSettings {
        passwords: PasswordSettings {
            rounds: ROUNDS,
            at_once: 2,
            waiting: 10,
        },
        sessions: SessionLimits::default(),
    };
    let ring = world.vfs.keys().ring().clone();
    let keys = TenantKeys::new(committer.clone(), ring, KEY_LIFE);
    Accounts::start(committer, settings, source(Arc::new(keys)))
        .await
        .unwrap()
}

fn client(port: u16, log: &Path) -> Child {
    Command::new("sshpass")
        .args(["-p", PASSWORD, "sftp", "-v", "-F", "none", "-l", PACE])
        .args(["-o", "StrictHostKeyChecking=no"])
        .args(["-o", "UserKnownHostsFile=/dev/null"])
        .args(["-P", &port.to_string(), "ann@acme@127.0.0.1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(fs::File::create(log).unwrap())
        .spawn()
        .unwrap()
}

fn exchanges(log: &Path) -> usize {
    let said = fs::read_to_string(log).unwrap();
    said.matches(EXCHANGED).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_exchanged_anew_in_time_while_a_client_idles_and_while_it_transfers() {
    let world = World::new(Dialect::Sqlite).await;
    let accounts = accounts(&world).await;
    let folder = TempFolder::new();
    let settings = SftpSettings {
        rekey_time: Duration::from_millis(500),
        ..SftpSettings::default()
    };
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (drain, end) = (CancellationToken::new(), CancellationToken::new());
    let keys = HostKeys::load_or_create(&folder.join("keys"), Algorithms::Strict).unwrap();
    let budget = world.vfs.budget().clone();
    let server = SftpServer::new(settings, keys, world.vfs.clone(), accounts.clone(), budget);
    let places = Places::new(ConnectionLimits::default());
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(server.serve(vec![listener], places, drain.clone(), end.clone()));

    let (file, back, log) = (folder.join("in"), folder.join("out"), folder.join("log"));
    write_random(&file, FILE_BYTES);
    let mut client = client(port, &log);
    let mut commands = client.stdin.take().unwrap();
    until("keys to be exchanged while nothing is asked", async || {
        exchanges(&log) >= 4
    })
    .await;
    let before = exchanges(&log);
    let batch = format!(
        "put {} big\nget big {}\nbye\n",
        file.display(),
        back.display()
    );
    commands.write_all(batch.as_bytes()).unwrap();
    drop(commands);
    let ended = tokio::task::spawn_blocking(move || {
        wait_for("the client to end", Duration::from_secs(60), || {
            client.try_wait().unwrap()
        })
    });
    assert!(ended.await.unwrap().success());
    // Both ways take some eight times as long as keys live.
    let during = exchanges(&log) - before;
    assert!(during >= 4, "{during}");
    assert_eq!(sha256(&back), sha256(&file));
    let stored = get(&world.session_of("ann").await, &path("/home/ann/big")).await;
    assert!(stored.unwrap() == fs::read(&file).unwrap());
    drain.cancel();
    end.cancel();
    serving.join_all().await;
    accounts.stop().await;
}
