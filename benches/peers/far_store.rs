//! Sealift over a store that takes its time: an SFTP server in a process of its own, whose blobs go to the
//! sink that stands for S3, with 20 ms added to every operation of the store.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealift::accounts::login::{Accounts, LoginSettings};
use sealift::accounts::manage::Directory;
use sealift::accounts::public_key::PublicKey;
use sealift::db::sql::Dialect;
use sealift::domain::id::RegionId;
use sealift::net::budget::Budget;
use sealift::net::limit::{ConnectionLimits, Places};
use sealift::net::listen::bind;
use sealift::server::keys::source;
use sealift::sftp::host_keys::HostKeys;
use sealift::sftp::server::SftpServer;
use sealift::sftp::settings::SftpSettings;
use sealift::storage::faulty::{FaultyStore, Operation};
use sealift::storage::regions::Regions;
use sealift::vfs::keys::{KEY_LIFE, TenantKeys};
use tokio_util::sync::CancellationToken;

use crate::client::{Key, sftp_with};
use crate::content::s3_store;
use crate::part::Part;
use crate::report::{Outcome, Report, Row, median};
use crate::sink::Sink;
use crate::support::world::{World, new_tenant};
use crate::transfer::write_file;
use crate::{Case, Settings};

/// The first argument that makes this program the server.
pub(crate) const ARGUMENT: &str = "far-store";
const AWAY: Duration = Duration::from_millis(20);
const BYTES: u64 = 256 << 20;
const USER: &str = "ann";
const CIPHER: &str = "aes128-gcm@openssh.com";

/// The cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new("ssh-far-store", far_store)]
}

fn far_store(settings: &Settings) -> Outcome<Report> {
    let folder = PathBuf::from("/dev/shm").join(format!("sealift-far-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let measured = measure(settings, &folder);
    fs::remove_dir_all(&folder)?;
    measured
}

fn measure(settings: &Settings, folder: &Path) -> Outcome<Report> {
    let key = Key::make(&folder.join("key"))?;
    let (from, to) = (folder.join("in"), folder.join("out"));
    write_file(&from, BYTES, 1)?;
    let mut rows = Vec::new();
    for request in ["261120", "32768"] {
        let (mut put, mut get) = (Vec::new(), Vec::new());
        for _ in 0..settings.rounds {
            let server = Server::start(&key)?;
            let run = |batch: String| {
                let started = Instant::now();
                let more = ["-c", CIPHER, "-B", request];
                sftp_with(server.port, &format!("{USER}@acme"), &key, &more, &batch)?;
                Outcome::Ok(started.elapsed().as_secs_f64())
            };
            put.push(run(format!("put {} large\n", from.display()))?);
            get.push(run(format!("get large {}\n", to.display()))?);
            fs::remove_file(&to)?;
        }
        for (what, seconds) in [("put", median(put)), ("get", median(get))] {
            let mib = BYTES as f64 / f64::from(1 << 20);
            rows.push(Row {
                subject: format!("{what}, requests of {request} bytes"),
                values: vec![seconds, mib / seconds],
            });
        }
    }
    Ok(Report {
        about: "256 MiB by OpenSSH's sftp, aes128-gcm; 20 ms added to every operation of a store \
                that is a sink in memory"
            .to_owned(),
        columns: vec!["seconds", "MiB/s"],
        rows,
    })
}

/// The server's process and its sink; both end when dropped.
struct Server {
    port: u16,
    _part: Part,
    _sink: Sink,
}

impl Server {
    fn start(key: &Key) -> Outcome<Self> {
        let sink = Sink::start(true)?;
        let (address, key) = (sink.address.to_string(), key.public());
        let key = key.to_str().ok_or("a path that is no text")?;
        let part = Part::start(&[ARGUMENT, &address, key])?;
        Ok(Self {
            port: part.place.parse()?,
            _part: part,
            _sink: sink,
        })
    }
}

/// What the process that [`Server::start`] starts does.
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    let [sink, key] = arguments else {
        return Err("two arguments are wanted".into());
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let (port, serving) = runtime.block_on(start(sink, key))?;
    runtime.spawn(serving);
    writeln!(std::io::stdout(), "{port}")?;
    std::io::stdout().flush()?;
    // Until whoever started it is gone.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Makes a server ready; says at which port, and what has to run.
async fn start(sink: &str, key: &str) -> Outcome<(u16, impl Future<Output = ()> + use<>)> {
    let store = FaultyStore::new(s3_store(&format!("http://{sink}")).await?);
    for operation in [
        Operation::Begin,
        Operation::Checkpoint,
        Operation::Finish,
        Operation::Length,
        Operation::Put,
        Operation::Read,
        Operation::Write,
    ] {
        store.faults().delay(operation, AWAY);
    }
    let regions = |_| Regions::new([(RegionId::MAIN, Arc::new(store) as _)]);
    let budget = Budget::new(256 << 20);
    let world = World::across(Dialect::Sqlite, new_tenant("acme"), budget, regions).await;
    world.account(USER).await;
    let committer = world.vfs.committer().clone();
    let directory = Directory::new(committer.clone(), 1);
    let key = PublicKey::parse(&fs::read_to_string(key)?)?;
    directory
        .add_key(&format!("{USER}@acme").parse()?, &key)
        .await?;
    let ring = world.vfs.keys().ring().clone();
    let keys = source(Arc::new(TenantKeys::new(committer.clone(), ring, KEY_LIFE)));
    let accounts = Accounts::start(committer, LoginSettings::default(), keys).await?;
    let listener = bind("127.0.0.1:0".parse()?)?;
    let port = listener.local_addr()?.port();
    let (vfs, budget) = (world.vfs.clone(), world.vfs.budget().clone());
    let server = SftpServer::new(
        SftpSettings::default(),
        HostKeys::for_tests()?,
        vfs,
        accounts,
        budget,
    );
    let places = Places::new(ConnectionLimits::default());
    let never = CancellationToken::new;
    let serving = async move {
        server.serve(vec![listener], places, never(), never()).await;
        drop(world);
    };
    Ok((port, serving))
}
