//! Many FTP sessions and long listings: memory, and how long the first bytes take.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;

use crate::ftp_line::{FtpLine, Login};
use crate::measure::measure;
use crate::report::{Outcome, Report, Row};
use crate::support::server::{DEMO, Server};
use crate::{Case, Settings};

const IDLE: usize = 8_000;
const AT_ONCE: usize = 16;
const UPLOADS: usize = 1_000;
const UPLOAD_BYTES: usize = 4 << 20;
const BUDGET_MIB: f64 = 256.0;
const NAMES: usize = 100_000;
const MAKERS: usize = 8;

/// The cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("ftp-idle-tls", |_| idle()),
        Case::new("ftp-uploads", |_| uploads(false)),
        Case::new("ftp-uploads-tls", |_| uploads(true)),
        Case::new("ftp-list", list),
    ]
}

/// Sealift in memory, with places for all that come at once.
struct Bench {
    server: Server,
    folder: PathBuf,
    login: Arc<Login>,
}

impl Bench {
    fn new() -> Outcome<Self> {
        let name = format!("sealift-ftp-sessions-{}", std::process::id());
        let folder = PathBuf::from("/dev/shm").join(name);
        fs::create_dir_all(&folder)?;
        let variables = [
            ("LIMITS__CONNECTIONS", "10000"),
            ("LIMITS__CONNECTIONS_PER_ADDRESS", "10000"),
            ("LIMITS__SESSIONS_PER_ACCOUNT", "10000"),
            ("FTP__SESSIONS_PER_ADDRESS", "10000"),
            ("FTP__IDLE_TIME", "1h"),
            ("MEMORY__BUDGET", "256MiB"),
        ];
        let variables =
            variables.map(|(name, value)| (format!("SEALIFT__{name}"), value.to_owned()));
        let server = Server::up_with(&folder.join("data"), &variables);
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec!["bench".to_owned()])?.self_signed(&key)?;
        let pem = folder.join("client.pem");
        fs::write(&pem, certificate.pem())?;
        let pem = pem.display().to_string();
        server.admin(&["account", "certificate", "add", DEMO, &pem], "");
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Ok(Self {
            server,
            folder,
            login: Arc::new(Login::Certificate(certificate.der().clone(), key)),
        })
    }

    fn pid(&self) -> u32 {
        self.server.ready.pid
    }

    fn sealed_port(&self) -> Outcome<SocketAddr> {
        Ok(self.server.ready.listeners.ftps.ok_or("it has no FTPS")?)
    }

    /// Logs `count` in, some at a time: by certificate over TLS, else by password.
    async fn lines(&self, count: usize, is_tls: bool) -> Outcome<Vec<FtpLine>> {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let (sealed, clear) = (self.sealed_port()?, self.server.ready.listeners.ftp);
        let password = self.server.password();
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let (places, login) = (places.clone(), self.login.clone());
            let password = password.clone();
            tasks.spawn(async move {
                let _place = places.acquire().await.map_err(|error| error.to_string())?;
                let line = match (is_tls, clear) {
                    (false, Some(address)) => FtpLine::clear(address, DEMO, &password).await,
                    _ => FtpLine::sealed(sealed, DEMO, &login).await,
                };
                line.map_err(|error| error.to_string())
            });
        }
        let mut lines = Vec::with_capacity(count);
        while let Some(line) = tasks.join_next().await {
            lines.push(line??);
        }
        Ok(lines)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn run<T>(work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    tokio::runtime::Runtime::new()?.block_on(work)
}

/// Sessions that are there and do nothing any more: how much memory each takes.
fn idle() -> Outcome<Report> {
    let bench = Bench::new()?;
    // What is there once, such as threads, counts for none.
    run(async { bench.lines(AT_ONCE, true).await.map(drop) })?;
    let empty = measure(bench.pid(), || Ok(()))?.peak_mib;
    let full = measure(bench.pid(), || {
        run(async {
            let mut lines = bench.lines(IDLE, true).await?;
            // A session that was used keeps no more than one that was not.
            for line in &mut lines {
                line.expect("PWD\r\n", 257).await?;
                line.fetch("MLSD").await?;
            }
            // As many looks at memory as it takes to see all of them.
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(lines);
            Ok(())
        })
    })?;
    Ok(Report {
        about: "8,000 FTPS sessions by TLS 1.3 and certificate that do nothing".to_owned(),
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

/// All uploads at once and as fast as they go, each held in its middle until all are there.
fn uploads(is_tls: bool) -> Outcome<Report> {
    let bench = Bench::new()?;
    let mut rates = Vec::new();
    let cost = measure(bench.pid(), || {
        rates = run(upload_all(&bench, is_tls))?;
        Ok(())
    })?;
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    let slowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
    let how = if is_tls { "by TLS 1.3" } else { "in clear" };
    Ok(Report {
        about: format!("1,000 uploads of 4 MiB at once at full speed, {how}; budget 256 MiB"),
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

/// The rate of each behind its middle, in bytes per second.
async fn upload_all(bench: &Bench, is_tls: bool) -> Outcome<Vec<f64>> {
    let lines = bench.lines(UPLOADS, is_tls).await?;
    let half = Arc::new(Barrier::new(UPLOADS));
    let mut tasks = JoinSet::new();
    for (number, mut line) in lines.into_iter().enumerate() {
        let half = half.clone();
        tasks.spawn(async move {
            let sent = upload(&mut line, number, &half).await;
            sent.map_err(|error| format!("{number}: {error}"))
        });
    }
    let mut rates = Vec::with_capacity(UPLOADS);
    while let Some(rate) = tasks.join_next().await {
        rates.push(rate??);
    }
    Ok(rates)
}

async fn upload(line: &mut FtpLine, number: usize, half: &Barrier) -> Outcome<f64> {
    let block = vec![u8::try_from(number % 251)?; 64 << 10];
    let mut data = line.begin(&format!("STOR at-once-{number}")).await?;
    let mut sent = 0;
    let mut started = Instant::now();
    while sent < UPLOAD_BYTES {
        if sent == UPLOAD_BYTES / 2 {
            half.wait().await;
            started = Instant::now();
        }
        data.write_all(&block).await?;
        sent += block.len();
    }
    data.shutdown().await?;
    drop(data);
    line.expect("", 226).await?;
    Ok((UPLOAD_BYTES / 2) as f64 / started.elapsed().as_secs_f64())
}

/// A folder of 100,000 names; they are folders, which are made without a data connection each.
fn list(settings: &Settings) -> Outcome<Report> {
    let bench = Bench::new()?;
    run(make_names(&bench))?;
    let empty = measure(bench.pid(), || Ok(()))?.peak_mib;
    let mut rows = Vec::new();
    for command in ["NLST", "LIST", "MLSD"] {
        let mut found = Vec::new();
        let cost = measure(bench.pid(), || {
            found = run(async {
                let login = bench.login.clone();
                let mut line = FtpLine::sealed(bench.sealed_port()?, DEMO, &login).await?;
                let mut found = Vec::new();
                for _ in 0..settings.rounds {
                    let started = Instant::now();
                    let (length, first) = line.fetch(&format!("{command} many")).await?;
                    found.push((started.elapsed().as_secs_f64(), first, length));
                }
                Ok(found)
            })?;
            Ok(())
        })?;
        let seconds = found.iter().map(|(seconds, ..)| *seconds);
        let first = found.iter().map(|(_, first, _)| first * 1000.0);
        rows.push(Row {
            subject: command.to_owned(),
            values: vec![
                crate::report::median(seconds),
                first.fold(0.0, f64::max),
                found.iter().map(|(.., length)| *length).max().unwrap_or(0) as f64 / 1e6,
                cost.peak_mib - empty,
            ],
        });
    }
    Ok(Report {
        about: "listings of a folder with 100,000 names over TLS 1.3".to_owned(),
        columns: vec!["seconds", "first byte ms", "MB", "MiB more"],
        rows,
    })
}

async fn make_names(bench: &Bench) -> Outcome<()> {
    let mut lines = bench.lines(MAKERS, true).await?;
    if let Some(line) = lines.first_mut() {
        line.expect("MKD many\r\n", 257).await?;
    }
    let mut tasks = JoinSet::new();
    for (maker, mut line) in lines.into_iter().enumerate() {
        tasks.spawn(async move {
            for number in (maker..NAMES).step_by(MAKERS) {
                let command = format!("MKD many/name-{number:06}\r\n");
                let made = line.expect(&command, 257).await;
                made.map_err(|error| error.to_string())?;
            }
            Ok::<_, String>(())
        });
    }
    while let Some(made) = tasks.join_next().await {
        made??;
    }
    Ok(())
}
