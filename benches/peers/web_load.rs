//! Many at once over HTTPS, and many small requests: memory, and what a request costs.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;

use crate::measure::{Cost, measure};
use crate::report::{Outcome, Report, Row, median};
use crate::support::server::{DEMO, Server};
use crate::web_line::WebLine;
use crate::{Case, Settings};

const BUDGET_MIB: f64 = 256.0;
/// How many connect at the same time.
const AT_ONCE: usize = 16;
const DOWNLOADS: usize = 500;
const DOWNLOAD_BYTES: usize = 10 << 20;
const UPLOADS: usize = 1_000;
const UPLOAD_BYTES: usize = 1 << 20;
const BYTES_PER_SECOND: usize = 20 << 10;
const PIECE: usize = 16 << 10;
const PAGE: usize = 1_000;
const PAGES: usize = 200;
const REQUESTS: usize = 20_000;
const ASKERS: usize = 8;
const NAMES: usize = 100_000;

/// The cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("web-downloads", |_| downloads()),
        Case::new("web-slow-lines", |_| slow_lines()),
        Case::new("web-page", |_| page()),
        Case::new("web-requests", requests),
        Case::new("web-archive", |_| archive()),
    ]
}

/// Sealift in memory, with places for all that come at once.
struct Bench {
    folder: PathBuf,
    server: Server,
    address: SocketAddr,
    password: String,
}

impl Bench {
    fn new() -> Outcome<Self> {
        let name = format!("sealift-web-load-{}", std::process::id());
        let folder = PathBuf::from("/dev/shm").join(name);
        fs::create_dir_all(&folder)?;
        let variables = [
            ("HTTPS__CONNECTIONS_PER_ADDRESS", "10000"),
            ("LIMITS__CONNECTIONS_PER_ADDRESS", "1024"),
            ("MEMORY__BUDGET", "256MiB"),
        ];
        let variables =
            variables.map(|(name, value)| (format!("SEALIFT__{name}"), value.to_owned()));
        let server = Server::up_with(&folder.join("data"), &variables);
        let address = server.ready.listeners.https.ok_or("it has no HTTPS")?;
        let password = server.password();
        Ok(Self {
            folder,
            server,
            address,
            password,
        })
    }

    fn measure<T>(&self, work: impl Future<Output = Outcome<T>>) -> Outcome<(Cost, T)> {
        let mut done = None;
        let cost = measure(self.server.ready.pid, || {
            done = Some(run(work)?);
            Ok(())
        })?;
        Ok((cost, done.ok_or("nothing was done")?))
    }

    async fn line(&self) -> Outcome<WebLine> {
        WebLine::open(self.address, DEMO, &self.password).await
    }

    /// So many connections, each of which has been answered once.
    async fn lines(&self, count: usize) -> Outcome<Vec<WebLine>> {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let (address, password) = (self.address, self.password.clone());
            let places = places.clone();
            tasks.spawn(async move {
                let _place = places.acquire().await.map_err(|error| error.to_string())?;
                let line = WebLine::open(address, DEMO, &password).await;
                let mut line = line.map_err(|error| error.to_string())?;
                let me = line.ask("GET /api/v1/me", &[], &[]).await;
                me.map_err(|error| error.to_string())?;
                Ok::<_, String>(line)
            });
        }
        gather(tasks).await
    }

    /// Makes a folder with that many small files.
    async fn fill(&self, folder: &str, count: usize) -> Outcome<()> {
        let mut tasks = JoinSet::new();
        let request = format!("POST /api/v1/folders/{folder}");
        self.line().await?.ask(&request, &[], &[]).await?;
        for (maker, mut line) in self.lines(ASKERS).await?.into_iter().enumerate() {
            let folder = folder.to_owned();
            tasks.spawn(async move {
                for number in (maker..count).step_by(ASKERS) {
                    let request = format!("PUT /api/v1/files/{folder}/name-{number:06}");
                    let made = line.ask(&request, &[], b"something").await;
                    made.map_err(|error| error.to_string())?;
                }
                Ok::<_, String>(())
            });
        }
        gather(tasks).await.map(drop)
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

async fn gather<T: 'static>(mut tasks: JoinSet<Result<T, String>>) -> Outcome<Vec<T>> {
    let mut all = Vec::with_capacity(tasks.len());
    while let Some(done) = tasks.join_next().await {
        all.push(done??);
    }
    Ok(all)
}

fn memory(about: &str, cost: &Cost, mib: f64) -> Report {
    Report {
        about: format!("{about}; budget 256 MiB"),
        columns: vec!["seconds", "MiB/s", "CPU s", "peak MiB", "above budget"],
        rows: vec![Row {
            subject: "sealift".to_owned(),
            values: vec![
                cost.seconds,
                mib / cost.seconds,
                cost.cpu_seconds,
                cost.peak_mib,
                cost.peak_mib - BUDGET_MIB,
            ],
        }],
    }
}

fn downloads() -> Outcome<Report> {
    let bench = Bench::new()?;
    let body = vec![7; DOWNLOAD_BYTES];
    let put = "PUT /api/v1/files/ten";
    run(async { bench.line().await?.ask(put, &[], &body).await })?;
    let (cost, _) = bench.measure(async {
        let lines = bench.lines(DOWNLOADS).await?;
        let ready = Arc::new(Barrier::new(DOWNLOADS));
        let mut tasks = JoinSet::new();
        for mut line in lines {
            let ready = ready.clone();
            tasks.spawn(async move {
                ready.wait().await;
                let got = line.ask("GET /api/v1/files/ten", &[], &[]).await;
                let got = got.map_err(|error| error.to_string())?;
                match got.length == DOWNLOAD_BYTES as u64 {
                    true => Ok(()),
                    false => Err(format!("{} bytes came", got.length)),
                }
            });
        }
        gather(tasks).await
    })?;
    let mib = (DOWNLOADS * DOWNLOAD_BYTES) as f64 / f64::from(1 << 20);
    Ok(memory("500 downloads of 10 MiB at once", &cost, mib))
}

fn slow_lines() -> Outcome<Report> {
    let bench = Bench::new()?;
    let (cost, _) = bench.measure(async {
        let mut tasks = JoinSet::new();
        for (number, line) in bench.lines(UPLOADS).await?.into_iter().enumerate() {
            tasks.spawn(async move {
                let sent = upload_slowly(line, number).await;
                sent.map_err(|error| format!("{number}: {error}"))
            });
        }
        gather(tasks).await
    })?;
    let mib = (UPLOADS * UPLOAD_BYTES) as f64 / f64::from(1 << 20);
    let about = "1,000 tus uploads of 1 MiB at once, each at 20 KiB/s";
    Ok(memory(about, &cost, mib))
}

async fn upload_slowly(mut line: WebLine, number: usize) -> Outcome<()> {
    let path = data_encoding::BASE64.encode(format!("/slow-{number}").as_bytes());
    let (length, metadata) = (UPLOAD_BYTES.to_string(), format!("path {path}"));
    let tus = ("Tus-Resumable", "1.0.0");
    let headers = [
        tus,
        ("Upload-Length", length.as_str()),
        ("Upload-Metadata", &metadata),
    ];
    let made = line.ask("POST /api/v1/uploads", &headers, &[]).await?;
    let location = made.header("location").ok_or("no Location")?;
    let path = location.find("/api/").and_then(|at| location.get(at..));
    let request = format!("PATCH {}", path.ok_or("an odd Location")?);
    let headers = [
        tus,
        ("Upload-Offset", "0"),
        ("Content-Type", "application/offset+octet-stream"),
    ];
    line.begin(&request, &headers, UPLOAD_BYTES).await?;
    let piece = vec![7; PIECE];
    let every = Duration::from_secs_f64(PIECE as f64 / BYTES_PER_SECOND as f64);
    let mut clock = tokio::time::interval(every);
    for _ in 0..UPLOAD_BYTES / PIECE {
        clock.tick().await;
        line.send(&piece).await?;
    }
    line.answer(&request).await.map(drop)
}

fn page() -> Outcome<Report> {
    let bench = Bench::new()?;
    run(bench.fill("many", PAGE))?;
    let request = format!("GET /api/v1/folders/many?limit={PAGE}");
    let (cost, times) = bench.measure(async {
        let mut line = bench.line().await?;
        let mut times = Vec::with_capacity(PAGES);
        for _ in 0..PAGES {
            let started = Instant::now();
            line.ask(&request, &[], &[]).await?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
        Ok(times)
    })?;
    let worst = times.iter().copied().fold(0.0, f64::max);
    Ok(Report {
        about: "a page of 1,000 entries, as its client sees it".to_owned(),
        columns: vec!["median ms", "worst ms", "CPU ms each"],
        rows: vec![Row {
            subject: "sealift".to_owned(),
            values: vec![median(times), worst, cost.cpu_seconds * 1e3 / PAGES as f64],
        }],
    })
}

/// What one request takes of a core says how many one core answers: the client has the other one.
fn requests(settings: &Settings) -> Outcome<Report> {
    let bench = Bench::new()?;
    run(bench.fill("few", 1))?;
    let mut found = Vec::new();
    for _ in 0..settings.rounds {
        let (cost, _) = bench.measure(async {
            let mut tasks = JoinSet::new();
            for mut line in bench.lines(ASKERS).await? {
                tasks.spawn(async move {
                    for _ in 0..REQUESTS / ASKERS {
                        let request = "GET /api/v1/entries/few/name-000000";
                        let answer = line.ask(request, &[], &[]).await;
                        answer.map_err(|error| error.to_string())?;
                    }
                    Ok(())
                });
            }
            gather(tasks).await
        })?;
        found.push(cost);
    }
    let cpu = median(found.iter().map(|cost| cost.cpu_seconds));
    let seconds = median(found.iter().map(|cost| cost.seconds));
    Ok(Report {
        about: "looks at a file by Basic on 8 connections over TLS 1.3".to_owned(),
        columns: vec!["requests/s", "CPU ms each", "one core/s"],
        rows: vec![Row {
            subject: "sealift".to_owned(),
            values: vec![
                REQUESTS as f64 / seconds,
                cpu * 1e3 / REQUESTS as f64,
                REQUESTS as f64 / cpu,
            ],
        }],
    })
}

fn archive() -> Outcome<Report> {
    let bench = Bench::new()?;
    run(bench.fill("many", NAMES))?;
    let empty = bench.measure(async { Ok(()) })?.0.peak_mib;
    let mut rows = Vec::new();
    for format in ["zip", "tar"] {
        let request = format!("GET /api/v1/archive?path=/many&format={format}");
        let (cost, length) = bench.measure(async {
            let answer = bench.line().await?.ask(&request, &[], &[]).await?;
            Ok(answer.length)
        })?;
        rows.push(Row {
            subject: format.to_owned(),
            values: vec![
                cost.seconds,
                length as f64 / 1e6,
                cost.cpu_seconds,
                cost.peak_mib,
                cost.peak_mib - empty,
            ],
        });
    }
    Ok(Report {
        about: "a folder of 100,000 small files as one archive".to_owned(),
        columns: vec!["seconds", "MB", "CPU s", "peak MiB", "MiB more"],
        rows,
    })
}
