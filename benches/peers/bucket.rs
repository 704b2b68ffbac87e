//! Sealift over a real S3 server (SeaweedFS): against clients that speak to that server themselves,
//! on a long line to it, and with a thousand slow uploads at once.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumAlgorithm;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use sealift::net::cloud::sdk_config;
use sealift::storage::s3_settings::S3Settings;

use crate::client::{Key, rclone, rclone_copy, sftp};
use crate::measure::{Cost, measure};
use crate::peer::{Kind, Peer};
use crate::report::{Outcome, Report, Row, median};
use crate::slow_lines;
use crate::support::cloud;
use crate::support::proxy::{Harm, Proxy};
use crate::support::seaweed::{AWS_REGION, Seaweed, client, s3_settings};
use crate::transfer::write_file;
use crate::{Case, Settings};

const GIB: u64 = 1 << 30;
const SMALL_FILES: usize = 10_000;
const SMALL_BYTES: u64 = 10 << 10;
const AT_ONCE: usize = 16;
const CIPHER: &str = "aes128-gcm@openssh.com";
const FAR: Duration = Duration::from_millis(50);

/// The cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("s3-1g", |settings| large(settings, Line::Short)),
        Case::new("s3-1g-far", |settings| large(settings, Line::Long)),
        Case::new("s3-small", small),
        Case::new("s3-slow-lines", |_| thousand()),
    ]
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Short,
    Long,
}

/// Where a case keeps what clients send and fetch: in memory, so that no disk is measured.
struct Bench {
    folder: PathBuf,
    key: Key,
    bucket: String,
}

impl Bench {
    fn new() -> Outcome<Self> {
        let folder = PathBuf::from("/dev/shm").join(format!("sealift-s3-{}", std::process::id()));
        fs::create_dir_all(folder.join("in"))?;
        let key = Key::make(&folder.join("key"))?;
        let bucket = Seaweed::shared().fresh_bucket();
        Ok(Self {
            folder,
            key,
            bucket,
        })
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Sealift over a prefix of its own.
    fn sealift(&self, endpoint: &str, more: &[(&str, &str)]) -> Outcome<Peer> {
        let seaweed = Seaweed::shared();
        let settings = S3Settings {
            prefix: format!("{}/", fastrand::u64(..)),
            ..s3_settings(&self.bucket)
        };
        let mut variables = cloud::variables(&seaweed.cloud(endpoint), &settings);
        let more = more.iter();
        variables.extend(more.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Peer::start_with(&self.folder, &self.key, &variables)
    }

    /// What rclone needs to speak to the S3 server itself.
    fn direct(&self) -> Vec<(&'static str, String)> {
        let seaweed = Seaweed::shared();
        let admin = seaweed.admin();
        let secret = String::from_utf8_lossy(admin.secret.expose()).into_owned();
        vec![
            ("RCLONE_CONFIG_S3_TYPE", "s3".to_owned()),
            ("RCLONE_CONFIG_S3_PROVIDER", "SeaweedFS".to_owned()),
            ("RCLONE_CONFIG_S3_ENDPOINT", seaweed.http()),
            ("RCLONE_CONFIG_S3_REGION", AWS_REGION.to_owned()),
            ("RCLONE_CONFIG_S3_ACCESS_KEY_ID", admin.id),
            ("RCLONE_CONFIG_S3_SECRET_ACCESS_KEY", secret),
        ]
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// 1 GiB up and down by sftp through Sealift, against rclone straight to the S3 server.
fn large(settings: &Settings, line: Line) -> Outcome<Report> {
    let bench = Bench::new()?;
    write_file(&bench.folder.join("in/large"), GIB, 1)?;
    let proxy = Proxy::before(Seaweed::shared().http_port());
    if line == Line::Long {
        proxy.set(Harm::Delay(FAR));
    }
    let endpoint = match line {
        Line::Short => Seaweed::shared().http(),
        Line::Long => proxy.http(),
    };
    let [mut direct, mut ours]: [[Vec<Cost>; 2]; 2] = Default::default();
    for round in 0..settings.rounds {
        let [up, down] = &mut direct;
        if line == Line::Short {
            // A name of its own: what is there already is not sent again.
            let object = format!("s3:{}/large-{round}", bench.bucket);
            let file = bench.path("in/large");
            let own = std::process::id();
            up.push(measure(own, || {
                rclone_copy(&bench.direct(), &file, &object)
            })?);
            down.push(measure(own, || {
                rclone_copy(&bench.direct(), &object, &bench.path("out"))
            })?);
            fs::remove_file(bench.path("out"))?;
        }
        let peer = bench.sealift(&endpoint, &[])?;
        let [up, down] = &mut ours;
        let batch = format!("put {} large\n", bench.path("in/large"));
        up.push(measure(peer.pid(), || {
            sftp(&peer, &bench.key, CIPHER, &batch)
        })?);
        let batch = format!("get large {}\n", bench.path("out"));
        down.push(measure(peer.pid(), || {
            sftp(&peer, &bench.key, CIPHER, &batch)
        })?);
        fs::remove_file(bench.path("out"))?;
    }
    let mut rows = Vec::new();
    for ((what, direct), ours) in ["put", "get"].into_iter().zip(direct).zip(ours) {
        let middle = |costs: &[Cost], of: fn(&Cost) -> f64| median(costs.iter().map(of));
        let straight = middle(&direct, |cost| cost.seconds);
        let row = |subject: String, costs: &[Cost], is_ours: bool| {
            let seconds = middle(costs, |cost| cost.seconds);
            let all = middle(costs, |cost| cost.machine_seconds);
            let (cpu, peak) = match is_ours {
                true => (
                    middle(costs, |cost| cost.cpu_seconds),
                    middle(costs, |cost| cost.peak_mib),
                ),
                false => (f64::NAN, f64::NAN),
            };
            Row {
                subject,
                values: vec![
                    seconds,
                    1024.0 / seconds,
                    straight / seconds,
                    cpu,
                    all,
                    peak,
                ],
            }
        };
        if line == Line::Short {
            rows.push(row(format!("{what} rclone to S3"), &direct, false));
        }
        rows.push(row(format!("{what} sftp, sealift"), &ours, true));
    }
    let far = match line {
        Line::Short => "",
        Line::Long => ", 50 ms added to every S3 call",
    };
    Ok(Report {
        about: format!("1 GiB by sftp -c {CIPHER} through Sealift to SeaweedFS{far}"),
        columns: vec![
            "seconds",
            "MiB/s",
            "times rclone",
            "CPU s/GiB",
            "all CPU s",
            "peak MiB",
        ],
        rows,
    })
}

/// 10,000 files of 10 KiB by rclone through Sealift, against a program that PUTs such objects, and beside what
/// rclone takes with OpenSSH's server, which keeps them in memory and has no S3 behind it.
fn small(settings: &Settings) -> Outcome<Report> {
    let bench = Bench::new()?;
    for index in 0..SMALL_FILES {
        let path = bench.folder.join(format!("in/small-{index:05}"));
        write_file(&path, SMALL_BYTES, index as u64)?;
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let (mut bare, mut without, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..settings.rounds {
        let prefix = format!("bare-{round}");
        bare.push(measure(std::process::id(), || {
            runtime.block_on(put_all(&bench.bucket, &prefix))
        })?);
        let send = |peer: &Peer| rclone(peer, &bench.key, AT_ONCE, &bench.path("in"), "peer:small");
        let sshd = Peer::start(Kind::Sshd, &bench.folder, &bench.key)?;
        without.push(measure(sshd.pid(), || send(&sshd))?);
        drop(sshd);
        let peer = bench.sealift(&Seaweed::shared().http(), &[])?;
        ours.push(measure(peer.pid(), || send(&peer))?);
    }
    let alone = median(bare.iter().map(|cost| cost.seconds));
    let row = |subject: &str, costs: &[Cost], cpu: f64| {
        let seconds = median(costs.iter().map(|cost| cost.seconds));
        let all = median(costs.iter().map(|cost| cost.machine_seconds));
        let rate = SMALL_FILES as f64 / seconds;
        Row {
            subject: subject.to_owned(),
            values: vec![seconds, rate, alone / seconds, cpu, all],
        }
    };
    let of_server = |costs: &[Cost]| median(costs.iter().map(|cost| cost.cpu_seconds));
    Ok(Report {
        about: format!("{SMALL_FILES} x 10 KiB, {AT_ONCE} at a time, to SeaweedFS"),
        columns: vec!["seconds", "files/s", "times bare", "CPU s", "all CPU s"],
        rows: vec![
            row("SDK, PUTs alone", &bare, f64::NAN),
            row("rclone to sshd, no S3", &without, of_server(&without)),
            row("rclone to sealift", &ours, of_server(&ours)),
        ],
    })
}

async fn put_all(bucket: &str, prefix: &str) -> Outcome<()> {
    let seaweed = Seaweed::shared();
    let client = client(&sdk_config(&seaweed.cloud(&seaweed.http())).await?);
    let body = Bytes::from(vec![7; SMALL_BYTES as usize]);
    let puts = (0..SMALL_FILES).map(|number| {
        let call = client
            .put_object()
            .bucket(bucket)
            .key(format!("{prefix}/{number}"))
            .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
            .body(ByteStream::from(body.clone()));
        async move {
            call.customize().disable_payload_signing().send().await?;
            Outcome::Ok(())
        }
    });
    let puts = futures_util::stream::iter(puts).buffer_unordered(AT_ONCE);
    puts.try_collect().await
}

/// A thousand uploads of 1 MiB at once, each at 20 KiB a second.
fn thousand() -> Outcome<Report> {
    const BUDGET_MIB: f64 = 256.0;
    let bench = Bench::new()?;
    let limits = [
        ("SEALIFT__LIMITS__CONNECTIONS_PER_ADDRESS", "1024"),
        ("SEALIFT__MEMORY__BUDGET", "256MiB"),
    ];
    let peer = Arc::new(bench.sealift(&Seaweed::shared().http(), &limits)?);
    let lines = slow_lines::Lines {
        port: peer.port,
        user: peer.user.clone(),
        key: bench.key.private.clone(),
        uploads: 1_000,
        bytes: 1 << 20,
        bytes_per_second: 20 << 10,
    };
    let cost = measure(peer.pid(), || slow_lines::run(&lines))?;
    Ok(Report {
        about: "1,000 uploads of 1 MiB at once, each at 20 KiB/s, to SeaweedFS; budget 256 MiB"
            .to_owned(),
        columns: vec!["seconds", "CPU s", "peak MiB", "above budget"],
        rows: vec![Row {
            subject: "sealift".to_owned(),
            values: vec![
                cost.seconds,
                cost.cpu_seconds,
                cost.peak_mib,
                cost.peak_mib - BUDGET_MIB,
            ],
        }],
    })
}
