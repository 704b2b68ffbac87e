//! A gigabyte through the content layer to a sink that stands for S3, against a program that does
//! nothing but call the SDK. Each runs as a process of its own, whose CPU time is what counts.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use aws_config::SdkConfig;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt};
use sealift::crypto::seal::FRAME_BYTES;
use sealift::db::sql::Dialect;
use sealift::domain::id::RegionId;
use sealift::domain::secret::Secret;
use sealift::net::budget::Budget;
use sealift::net::cloud::{AccessKey, CloudSettings, sdk_config};
use sealift::storage::regions::Regions;
use sealift::storage::s3::S3Store;
use sealift::storage::s3_settings::{Encryption, S3Settings};
use sealift::storage::store::BlobStore;
use sha2::{Digest, Sha256};

use crate::measure::{Cost, measure};
use crate::report::{Outcome, Report, Row, median};
use crate::sink::Sink;
use crate::support::world::{World, new_tenant, path, replace};
use crate::{Case, Settings};

/// The first argument that makes this program a subject.
pub(crate) const ARGUMENT: &str = "subject";
const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
const PART: u64 = 8 << 20;
const IN_FLIGHT: usize = 4;
/// What an SFTP client sends and asks for at a time, and how much of it is in flight.
const REQUEST: u64 = 255 << 10;
const REQUESTS: usize = 16;
const SUBJECTS: [&str; 2] = ["bare", "sealift"];

/// The cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    ["put", "get"]
        .into_iter()
        .map(|what| {
            Case::new(format!("content-{what}"), move |settings| {
                compare(settings, what)
            })
        })
        .collect()
}

fn compare(settings: &Settings, what: &'static str) -> Outcome<Report> {
    let mut costs: [Vec<Cost>; 2] = [Vec::new(), Vec::new()];
    let (mut hashing, mut sealing) = (Vec::new(), Vec::new());
    for _ in 0..settings.rounds {
        for (who, costs) in SUBJECTS.into_iter().zip(&mut costs) {
            let sink = Sink::start(what == "get")?;
            costs.push(Subject::start(&[who, what, &sink.address.to_string()])?.run()?);
        }
        hashing.push(Subject::start(&["hash", what, "-"])?.run()?.cpu_seconds);
        sealing.push(Subject::start(&["seal", what, "-"])?.run()?.cpu_seconds);
    }
    let seal = median(sealing);
    let hash = match what {
        "put" => median(hashing),
        // Reading compares no sums.
        _ => 0.0,
    };
    let cpu = |costs: &[Cost]| median(costs.iter().map(|cost| cost.cpu_seconds));
    let bare = cpu(&costs[0]);
    let rows = SUBJECTS.into_iter().zip(&costs).map(|(who, costs)| {
        let seconds = median(costs.iter().map(|cost| cost.seconds));
        let [hash, seal] = match who {
            "sealift" => [hash, seal],
            _ => [0.0, 0.0],
        };
        Row {
            subject: who.to_owned(),
            values: vec![
                seconds,
                1024.0 / seconds,
                cpu(costs),
                hash,
                seal,
                (cpu(costs) - hash) / bare,
                median(costs.iter().map(|cost| cost.peak_mib)),
            ],
        }
    });
    Ok(Report {
        about: format!(
            "1 GiB {what} through the content layer, sealed, over http to a sink in memory; bare: \
             the SDK alone, pieces of 255 KiB to and from parts of 8 MiB in memory, 4 in flight, \
             unsigned payload, CRC64NVME"
        ),
        columns: vec![
            "seconds",
            "MiB/s",
            "CPU s/GiB",
            "SHA-256 alone",
            "AES-GCM alone",
            "times bare without SHA-256",
            "peak MiB",
        ],
        rows: rows.collect(),
    })
}

/// A process that does one piece of work when it is told to.
struct Subject {
    child: Child,
    /// When it closes, the process ends.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Subject {
    fn start(arguments: &[&str]) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(ARGUMENT).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut subject = Self {
            child,
            input,
            output,
        };
        subject.await_line("ready")?;
        Ok(subject)
    }

    fn run(mut self) -> Outcome<Cost> {
        let pid = self.child.id();
        measure(pid, || {
            let input = self.input.as_mut().ok_or("no input")?;
            writeln!(input, "go")?;
            self.await_line("done")
        })
    }

    fn await_line(&mut self, wanted: &str) -> Outcome<()> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        match line.trim() == wanted {
            true => Ok(()),
            false => Err(format!("a subject said {line:?} instead of {wanted}").into()),
        }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// What the process that a subject is does.
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let [who, what, address] = arguments[..] else {
        return Err("three arguments are wanted".into());
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let endpoint = format!("http://{address}");
    match (who, what) {
        ("hash", _) => told(|| {
            hash();
            Ok(())
        }),
        ("seal", _) => told(seal),
        ("bare", "put") => {
            let client = runtime.block_on(client(&endpoint))?;
            told(|| runtime.block_on(bare_put(&client)))
        }
        ("bare", _) => {
            let client = runtime.block_on(client(&endpoint))?;
            runtime.block_on(bare_put(&client))?;
            told(|| runtime.block_on(bare_get(&client)))
        }
        ("sealift", "put") => {
            let world = runtime.block_on(world(&endpoint))?;
            let done = told(|| runtime.block_on(put(&world)));
            runtime.block_on(world.vfs.drain());
            done
        }
        _ => {
            let world = runtime.block_on(world(&endpoint))?;
            runtime.block_on(put(&world))?;
            told(|| runtime.block_on(get(&world)))
        }
    }
}

/// Says that it is ready, works when it is told to, and says that it is done.
fn told(work: impl FnOnce() -> Outcome<()>) -> Outcome<()> {
    let mut out = std::io::stdout();
    writeln!(out, "ready")?;
    std::io::stdin().read_line(&mut String::new())?;
    work()?;
    writeln!(out, "done")?;
    // Until it is measured.
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

fn source() -> Bytes {
    let mut block = vec![0; PART as usize];
    fastrand::Rng::with_seed(1).fill(&mut block);
    block.into()
}

fn hash() {
    let (source, mut hash) = (source(), Sha256::new());
    for _ in 0..GIB / PART {
        for piece in source.chunks(64 << 10) {
            hash.update(piece);
        }
    }
    std::hint::black_box(hash.finalize());
}

/// A gigabyte in frames that never leave the processor's cache: less than this no server seals or opens for.
fn seal() -> Outcome<()> {
    let key = UnboundKey::new(&AES_256_GCM, &[7; 32]).map_err(|_| "no key")?;
    let (key, mut frame) = (LessSafeKey::new(key), vec![7; FRAME_BYTES]);
    for number in 0..GIB / FRAME_BYTES as u64 {
        let mut nonce = [0; NONCE_LEN];
        nonce[..8].copy_from_slice(&number.to_le_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut frame);
        let _tag = std::hint::black_box(tag.map_err(|_| "not sealed")?);
    }
    Ok(())
}

async fn config(endpoint: &str) -> Outcome<SdkConfig> {
    Ok(sdk_config(&CloudSettings {
        aws_region: "us-east-1".to_owned(),
        endpoint: Some(endpoint.to_owned()),
        access_key: Some(AccessKey {
            id: "id".to_owned(),
            secret: Secret::new("secret"),
        }),
        ..CloudSettings::default()
    })
    .await?)
}

async fn client(endpoint: &str) -> Outcome<Client> {
    let config = aws_sdk_s3::config::Builder::from(&config(endpoint).await?)
        .force_path_style(true)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .build();
    Ok(Client::from_conf(config))
}

async fn bare_put(client: &Client) -> Outcome<()> {
    let source = source();
    let upload = client.create_multipart_upload().bucket("b").key("k");
    let upload = upload.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme);
    let upload = upload.send().await?.upload_id.unwrap_or_default();
    let parts = (1..=(GIB / PART) as i32).map(|number| {
        let call = client
            .upload_part()
            .bucket("b")
            .key("k")
            .upload_id(&upload)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme);
        let source = source.clone();
        async move {
            // It comes as it comes to a server: in the pieces that clients send.
            let mut part = BytesMut::with_capacity(PART as usize);
            for piece in source.chunks(REQUEST as usize) {
                part.extend_from_slice(piece);
            }
            let call = call.body(ByteStream::from(part.freeze()));
            let sent = call.customize().disable_payload_signing().send().await?;
            let part = CompletedPart::builder().part_number(number);
            Outcome::Ok(part.set_e_tag(sent.e_tag).build())
        }
    });
    let parts = futures_util::stream::iter(parts).buffered(IN_FLIGHT);
    let parts = parts.try_collect::<Vec<_>>().await?;
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts));
    let complete = client.complete_multipart_upload().bucket("b").key("k");
    let complete = complete.upload_id(upload).multipart_upload(parts.build());
    complete.send().await?;
    Ok(())
}

async fn bare_get(client: &Client) -> Outcome<()> {
    let reads = (0..GIB / PART).map(|number| async move {
        let (from, to) = (number * PART, (number + 1) * PART - 1);
        let call = client.get_object().bucket("b").key("k");
        let answer = call.range(format!("bytes={from}-{to}")).send().await?;
        // It goes out as a server sends it: in the pieces that clients ask for.
        let whole = answer.body.collect().await?.into_bytes();
        let pieces = whole.chunks(REQUEST as usize);
        Outcome::Ok(pieces.map(|piece| piece.len() as u64).sum::<u64>())
    });
    let reads = futures_util::stream::iter(reads).buffered(IN_FLIGHT);
    let total: u64 = reads.try_fold(0, async |sum, n| Ok(sum + n)).await?;
    whole(total)
}

fn whole(length: u64) -> Outcome<()> {
    match length == GIB {
        true => Ok(()),
        false => Err(format!("{length} bytes came").into()),
    }
}

/// A store whose objects go to a sink.
pub(crate) async fn s3_store(endpoint: &str) -> Outcome<Arc<dyn BlobStore>> {
    let settings = S3Settings {
        bucket: "b".to_owned(),
        prefix: String::new(),
        path_style: true,
        encryption: Encryption::None,
    };
    Ok(Arc::new(S3Store::new(&config(endpoint).await?, settings)))
}

async fn world(endpoint: &str) -> Outcome<World> {
    let store = s3_store(endpoint).await?;
    let regions = |_| Regions::new([(RegionId::MAIN, store)]);
    let budget = Budget::new((256 * MIB) as usize);
    Ok(World::across(Dialect::Sqlite, new_tenant("acme"), budget, regions).await)
}

async fn put(world: &World) -> Outcome<()> {
    let (session, source) = (world.account("ann").await, source());
    let mut writer = session.open_write(&path("/f"), replace()).await?;
    let mut at = 0;
    while at < GIB {
        let from = at % PART;
        let end = (from + REQUEST).min(PART).min(from + GIB - at);
        let bytes = source.slice(from as usize..end as usize);
        writer.write_at(at, bytes).await?;
        at += end - from;
    }
    writer.commit().await?;
    Ok(())
}

async fn get(world: &World) -> Outcome<()> {
    let mut tx = world.vfs.database().read(world.tenant.id).await?;
    let account = sealift::db::accounts::by_name(&mut tx, "ann").await?;
    drop(tx);
    let session = world.session(account.ok_or("no account")?.id, "ann");
    let reader = &session.open_read(&path("/f")).await?;
    let reads = (0..GIB.div_ceil(REQUEST)).map(|number| async move {
        let read = reader.read_at(number * REQUEST, REQUEST as usize).await?;
        Outcome::Ok(read.len() as u64)
    });
    let reads = futures_util::stream::iter(reads).buffered(REQUESTS);
    let total: u64 = reads.try_fold(0, async |sum, n| Ok(sum + n)).await?;
    whole(total)
}
