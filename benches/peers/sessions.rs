//! Many SFTP sessions, long lines and long listings, against OpenSSH's sshd where it can follow.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;

use crate::client::{Key, rclone, sftp, sftp_at};
use crate::measure::measure;
use crate::peer::{Kind, Peer};
use crate::report::{Outcome, Report, Row, median};
use crate::slow_lines::{Line, log_in};
use crate::support::proxy::{Harm, Proxy};
use crate::transfer::write_file;
use crate::{Case, Settings};

const AES: &str = "aes128-gcm@openssh.com";
const LOGINS: usize = 400;
const LOGINS_AT_ONCE: usize = 8;
const IDLE: usize = 5_000;
const UPLOADS: usize = 500;
const UPLOAD_BYTES: usize = 4 << 20;
/// No pace: as fast as it goes.
const FULL_SPEED: usize = 1 << 40;
const ROUND_TRIP: std::time::Duration = std::time::Duration::from_millis(100);
const FAR_BYTES: u64 = 256 << 20;
/// OpenSSH's client takes 2 MiB before the server has to wait for it, so that a round trip of 100 ms leaves 20 MB/s.
const WINDOW: u32 = 32 << 20;
const PARALLEL: usize = 4;
const PARALLEL_BYTES: u64 = 256 << 20;
const NAMES: usize = 100_000;
const BUDGET_MIB: f64 = 256.0;

/// The cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("ssh-logins", logins),
        Case::new("ssh-idle", |_| idle()),
        Case::new("ssh-uploads", |_| uploads()),
        Case::new("ssh-far", far),
        Case::new("ssh-4-at-once", four_at_once),
        Case::new("ssh-list", list),
    ]
}

struct Bench {
    folder: PathBuf,
    key: Key,
}

impl Bench {
    fn new() -> Outcome<Self> {
        let name = format!("sealift-sessions-{}", std::process::id());
        let folder = PathBuf::from("/dev/shm").join(name);
        fs::create_dir_all(folder.join("in"))?;
        fs::create_dir_all(folder.join("out"))?;
        let key = Key::make(&folder.join("key"))?;
        Ok(Self { folder, key })
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Sealift with places for all that come at once.
    fn roomy(&self) -> Outcome<Peer> {
        let limits = [
            ("SEALIFT__LIMITS__CONNECTIONS", "10000"),
            ("SEALIFT__LIMITS__CONNECTIONS_PER_ADDRESS", "10000"),
            ("SEALIFT__LIMITS__SESSIONS_PER_ACCOUNT", "10000"),
            ("SEALIFT__MEMORY__BUDGET", "256MiB"),
            ("SEALIFT__SFTP__IDLE_TIME", "1h"),
        ];
        let limits = limits.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Peer::start_with(&self.folder, &self.key, &limits)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Runs `work` on both servers in turn, and compares their medians.
fn compare(
    settings: &Settings,
    about: &str,
    unit: &'static str,
    amount: f64,
    bench: &Bench,
    work: impl Fn(&Peer) -> Outcome<Vec<(&'static str, f64)>>,
) -> Outcome<Report> {
    let mut found: Vec<(String, usize, Vec<f64>)> = Vec::new();
    for _ in 0..settings.rounds {
        for (which, kind) in Kind::ALL.into_iter().enumerate() {
            let peer = Peer::start(kind, &bench.folder, &bench.key)?;
            for (step, seconds) in work(&peer)? {
                let subject = format!("{step} {}", kind.name());
                match found.iter_mut().find(|(name, ..)| *name == subject) {
                    Some((_, _, all)) => all.push(seconds),
                    None => found.push((subject, which, vec![seconds])),
                }
            }
        }
    }
    let of_sshd = |subject: &str| {
        let step = subject.split(' ').next().unwrap_or_default();
        let theirs = found
            .iter()
            .find(|(name, which, _)| *which == 0 && name.starts_with(step));
        theirs.map_or(f64::NAN, |(_, _, all)| median(all.iter().copied()))
    };
    let rows = found.iter().map(|(subject, _, all)| {
        let seconds = median(all.iter().copied());
        Row {
            subject: subject.clone(),
            values: vec![seconds, amount / seconds, of_sshd(subject) / seconds],
        }
    });
    Ok(Report {
        about: about.to_owned(),
        columns: vec!["seconds", unit, "times sshd"],
        rows: rows.collect(),
    })
}

fn timed(work: impl FnOnce() -> Outcome<()>) -> Outcome<f64> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed().as_secs_f64())
}

fn logins(settings: &Settings) -> Outcome<Report> {
    let bench = Bench::new()?;
    let about = "logins by key, 8 at a time; the client is russh";
    compare(settings, about, "logins/s", LOGINS as f64, &bench, |peer| {
        let all = timed(|| tokio::runtime::Runtime::new()?.block_on(log_all_in(peer, &bench.key)))?;
        Ok(vec![("login", all)])
    })
}

async fn log_all_in(peer: &Peer, key: &Key) -> Outcome<()> {
    let places = Arc::new(Semaphore::new(LOGINS_AT_ONCE));
    let mut tasks = JoinSet::new();
    for _ in 0..LOGINS {
        let place = places.clone().acquire_owned().await?;
        let (port, user, key) = (peer.port, peer.user.clone(), key.private.clone());
        tasks.spawn(async move {
            let connection = log_in(port, &user, &key).await;
            drop(place);
            connection.map(drop).map_err(|error| error.to_string())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// Sessions that are there and do nothing: how much memory each takes.
fn idle() -> Outcome<Report> {
    let bench = Bench::new()?;
    let peer = bench.roomy()?;
    let empty = measure(peer.pid(), || Ok(()))?.peak_mib;
    let full = measure(peer.pid(), || {
        tokio::runtime::Runtime::new()?.block_on(async {
            let lines = open_lines(&peer, &bench.key, IDLE).await?;
            // As many looks at memory as it takes to see all of them.
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            drop(lines);
            Ok(())
        })
    })?;
    Ok(Report {
        about: "5,000 sessions with SFTP open that do nothing".to_owned(),
        columns: vec!["seconds", "MiB before", "MiB with all", "KiB each"],
        rows: vec![Row {
            subject: "sealift".to_owned(),
            values: vec![
                full.seconds,
                empty,
                full.peak_mib,
                (full.peak_mib - empty) * 1024.0 / IDLE as f64,
            ],
        }],
    })
}

async fn open_lines(peer: &Peer, key: &Key, count: usize) -> Outcome<Vec<Line>> {
    let places = Arc::new(Semaphore::new(LOGINS_AT_ONCE));
    let mut tasks = JoinSet::new();
    for _ in 0..count {
        let (port, user, key) = (peer.port, peer.user.clone(), key.private.clone());
        let places = places.clone();
        tasks.spawn(async move {
            let _place = places.acquire().await.map_err(|error| error.to_string())?;
            let line = Line::open(port, &user, &key).await;
            line.map_err(|error| error.to_string())
        });
    }
    let mut lines = Vec::with_capacity(count);
    while let Some(line) = tasks.join_next().await {
        lines.push(line??);
    }
    Ok(lines)
}

/// All uploads at once and as fast as they go: memory, and whether they are served alike.
fn uploads() -> Outcome<Report> {
    let bench = Bench::new()?;
    let peer = bench.roomy()?;
    let mut rates = Vec::new();
    let cost = measure(peer.pid(), || {
        rates = tokio::runtime::Runtime::new()?.block_on(upload_all(&peer, &bench.key))?;
        Ok(())
    })?;
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    let slowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
    Ok(Report {
        about: "500 uploads of 4 MiB at once at full speed; budget 256 MiB".to_owned(),
        columns: vec!["seconds", "peak MiB", "above budget", "slowest/mean"],
        rows: vec![Row {
            subject: "sealift".to_owned(),
            values: vec![
                cost.seconds,
                cost.peak_mib,
                cost.peak_mib - BUDGET_MIB,
                slowest / mean,
            ],
        }],
    })
}

/// The rate of each, in bytes per second.
async fn upload_all(peer: &Peer, key: &Key) -> Outcome<Vec<f64>> {
    let lines = open_lines(peer, key, UPLOADS).await?;
    let ready = Arc::new(Barrier::new(UPLOADS));
    let mut tasks = JoinSet::new();
    for (number, mut line) in lines.into_iter().enumerate() {
        let ready = ready.clone();
        tasks.spawn(async move {
            ready.wait().await;
            let started = Instant::now();
            let sent = line
                .upload(&format!("at-once-{number}"), UPLOAD_BYTES, FULL_SPEED)
                .await;
            let seconds = started.elapsed().as_secs_f64();
            sent.map(|()| UPLOAD_BYTES as f64 / seconds)
                .map_err(|error| error.to_string())
        });
    }
    let mut rates = Vec::with_capacity(UPLOADS);
    while let Some(rate) = tasks.join_next().await {
        rates.push(rate??);
    }
    Ok(rates)
}

fn far(settings: &Settings) -> Outcome<Report> {
    let bench = Bench::new()?;
    write_file(&bench.folder.join("in/large"), FAR_BYTES, 1)?;
    let about = "256 MiB by OpenSSH's sftp over a line with a round trip of 100 ms; \
                 wide: the client is russh with a window of 32 MiB";
    compare(
        settings,
        about,
        "MB/s",
        FAR_BYTES as f64 / 1e6,
        &bench,
        |peer| {
            let proxy = Proxy::before(peer.port);
            proxy.set(Harm::Delay(ROUND_TRIP));
            let batch = |port, text: String| sftp_at(port, &peer.user, &bench.key, AES, &text);
            let put = format!("put {} large\n", bench.path("in/large"));
            let get = format!("get large {}\n", bench.path("out/large"));
            Ok(vec![
                ("put", timed(|| batch(proxy.port(), put))?),
                ("get", timed(|| batch(proxy.port(), get))?),
                (
                    "wide-get",
                    timed(|| {
                        tokio::runtime::Runtime::new()?.block_on(async {
                            let (user, key) = (&peer.user, &bench.key.private);
                            let mut line = Line::wide(proxy.port(), user, key, WINDOW).await?;
                            line.download("large", FAR_BYTES, WINDOW.into()).await
                        })
                    })?,
                ),
            ])
        },
    )
}

fn four_at_once(settings: &Settings) -> Outcome<Report> {
    let bench = Bench::new()?;
    for number in 0..PARALLEL {
        let path = bench.folder.join(format!("in/large-{number}"));
        write_file(&path, PARALLEL_BYTES, number as u64)?;
    }
    let all = PARALLEL as f64 * PARALLEL_BYTES as f64 / (1 << 20) as f64;
    let about = "4 files of 256 MiB at once by 4 of OpenSSH's sftp, aes128-gcm, tmpfs";
    compare(settings, about, "MiB/s", all, &bench, |peer| {
        let key = &bench.key;
        let at_once = |batch: &(dyn Fn(usize) -> String + Sync)| {
            std::thread::scope(|scope| {
                let clients: Vec<_> = (0..PARALLEL)
                    .map(|number| {
                        scope.spawn(move || {
                            let sent = sftp(peer, key, AES, &batch(number));
                            sent.map_err(|error| error.to_string())
                        })
                    })
                    .collect();
                for client in clients {
                    client
                        .join()
                        .map_err(|_| "a client's thread ended early")??;
                }
                Ok(())
            })
        };
        let put = |number| {
            format!(
                "put {} large-{number}\n",
                bench.path(&format!("in/large-{number}"))
            )
        };
        let get = |number| {
            format!(
                "get large-{number} {}\n",
                bench.path(&format!("out/large-{number}"))
            )
        };
        Ok(vec![
            ("put", timed(|| at_once(&put))?),
            ("get", timed(|| at_once(&get))?),
        ])
    })
}

/// The folder is made once for each server: that takes far longer than listing it.
fn list(settings: &Settings) -> Outcome<Report> {
    let bench = Bench::new()?;
    for number in 0..NAMES {
        fs::write(bench.folder.join(format!("in/name-{number:06}")), b"")?;
    }
    let once = Settings { rounds: 1 };
    let about = "ls of a folder with 100,000 names by OpenSSH's sftp";
    compare(&once, about, "names/s", NAMES as f64, &bench, |peer| {
        rclone(peer, &bench.key, 16, &bench.path("in"), "peer:many")?;
        let mut times = Vec::new();
        for _ in 0..settings.rounds {
            times.push(timed(|| sftp(peer, &bench.key, AES, "ls -1 many\n"))?);
        }
        Ok(vec![("ls", median(times))])
    })
}
