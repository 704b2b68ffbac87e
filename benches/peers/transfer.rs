//! Files of a gigabyte and of a kilobyte over SFTP, against OpenSSH's sshd.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::client::{Key, rclone, sftp};
use crate::measure::{Cost, measure};
use crate::peer::{Kind, Peer};
use crate::report::{Outcome, Report, Row, median};
use crate::{Case, Settings};

const GIB: u64 = 1 << 30;
const SMALL_FILES: usize = 2_000;
const SMALL_BYTES: u64 = 1_024;
const AES: &str = "aes128-gcm@openssh.com";
const CHACHA: &str = "chacha20-poly1305@openssh.com";

/// What is done with a server: once untimed to prepare it, then timed.
struct Work {
    prepare: Action,
    timed: Vec<(&'static str, Action)>,
}

type Action = Box<dyn Fn(&Peer, &Bench) -> Outcome<()>>;

/// Where a case keeps what clients send and fetch.
struct Bench {
    folder: PathBuf,
    key: Key,
}

/// The cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (label, cipher) in [("gcm", AES), ("chacha", CHACHA)] {
        cases.push(Case::new(format!("get-1g-{label}"), move |settings| {
            let about = format!("1 GiB get, sftp -c {cipher}, tmpfs");
            run(settings, Place::Memory, about, GIB, &get_large(cipher))
        }));
        cases.push(Case::new(format!("put-1g-{label}"), move |settings| {
            let about = format!("1 GiB put, sftp -c {cipher}, tmpfs");
            run(settings, Place::Memory, about, GIB, &put_large(cipher))
        }));
    }
    let bytes = SMALL_FILES as u64 * SMALL_BYTES;
    for place in [Place::Memory, Place::Disk] {
        let on = place.name();
        let note = "sshd syncs nothing, Sealift syncs each file before its CLOSE is answered";
        cases.push(Case::new(format!("small-sftp-{on}"), move |settings| {
            let about = format!("2,000 x 1 KiB one by one, sftp batch, {on}; {note}");
            run(settings, place, about, bytes, &small_sftp())
        }));
        cases.push(Case::new(format!("small-rclone-{on}"), move |settings| {
            let about = format!("2,000 x 1 KiB, rclone --transfers 8, {on}; {note}");
            run(settings, place, about, bytes, &small_rclone())
        }));
    }
    cases
}

#[derive(Clone, Copy)]
enum Place {
    Disk,
    Memory,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Memory => "tmpfs",
        }
    }

    fn folder(self) -> PathBuf {
        let root = match self {
            Self::Disk => std::env::temp_dir(),
            Self::Memory => PathBuf::from("/dev/shm"),
        };
        root.join(format!("sealift-bench-{}", std::process::id()))
    }
}

impl Bench {
    fn new(place: Place) -> Outcome<Self> {
        let folder = place.folder();
        fs::create_dir_all(folder.join("in"))?;
        fs::create_dir_all(folder.join("out"))?;
        let key = Key::make(&folder.join("key"))?;
        Ok(Self { folder, key })
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Forgets what was fetched, so that no round overwrites another's.
    fn clear_out(&self) -> Outcome<()> {
        fs::remove_dir_all(self.folder.join("out"))?;
        Ok(fs::create_dir(self.folder.join("out"))?)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn run(
    settings: &Settings,
    place: Place,
    about: String,
    bytes: u64,
    work: &Work,
) -> Outcome<Report> {
    let bench = Bench::new(place)?;
    match bytes {
        GIB => write_file(&bench.folder.join("in/large"), GIB, 1)?,
        _ => (0..SMALL_FILES).try_for_each(|index| {
            let path = bench.folder.join(format!("in/small-{index:04}"));
            write_file(&path, SMALL_BYTES, index as u64)
        })?,
    }
    let mut costs: BTreeMap<(usize, usize), Vec<Cost>> = BTreeMap::new();
    for _ in 0..settings.rounds {
        for (which, kind) in Kind::ALL.into_iter().enumerate() {
            let peer = Peer::start(kind, &bench.folder, &bench.key)?;
            (work.prepare)(&peer, &bench)?;
            for (step, (_, action)) in work.timed.iter().enumerate() {
                bench.clear_out()?;
                let cost = measure(peer.pid(), || action(&peer, &bench))?;
                costs.entry((step, which)).or_default().push(cost);
            }
        }
    }
    Ok(report(about, bytes, work, &costs))
}

fn report(
    about: String,
    bytes: u64,
    work: &Work,
    costs: &BTreeMap<(usize, usize), Vec<Cost>>,
) -> Report {
    let seconds_of = |at: (usize, usize)| {
        let costs = costs.get(&at).map(Vec::as_slice).unwrap_or_default();
        median(costs.iter().map(|cost| cost.seconds))
    };
    let (amount, rate, cpu_for_all) = match bytes {
        GIB => (1024.0, "MiB/s", "CPU s/GiB"),
        _ => (SMALL_FILES as f64, "files/s", "CPU s"),
    };
    let rows = costs.iter().map(|(&(step, which), costs)| {
        let seconds = seconds_of((step, which));
        let cpu = median(costs.iter().map(|cost| cost.cpu_seconds));
        let kind = Kind::ALL.get(which).map_or("", |kind| kind.name());
        let name = work.timed.get(step).map_or("", |(name, _)| name);
        Row {
            subject: format!("{name} {kind}"),
            values: vec![
                seconds,
                amount / seconds,
                seconds_of((step, 0)) / seconds,
                cpu,
                median(costs.iter().map(|cost| cost.machine_seconds)),
                median(costs.iter().map(|cost| cost.peak_mib)),
            ],
        }
    });
    Report {
        about,
        columns: vec![
            "seconds",
            rate,
            "times sshd",
            cpu_for_all,
            "all CPU s",
            "peak MiB",
        ],
        rows: rows.collect(),
    }
}

fn get_large(cipher: &'static str) -> Work {
    Work {
        prepare: Box::new(move |peer, bench| put_file(peer, bench, cipher)),
        timed: vec![(
            "get",
            Box::new(move |peer, bench| {
                let batch = format!("get large {}\n", bench.path("out/large"));
                sftp(peer, &bench.key, cipher, &batch)
            }),
        )],
    }
}

fn put_large(cipher: &'static str) -> Work {
    Work {
        prepare: Box::new(|_, _| Ok(())),
        timed: vec![(
            "put",
            Box::new(move |peer, bench| put_file(peer, bench, cipher)),
        )],
    }
}

fn put_file(peer: &Peer, bench: &Bench, cipher: &str) -> Outcome<()> {
    let batch = format!("put {} large\n", bench.path("in/large"));
    sftp(peer, &bench.key, cipher, &batch)
}

fn small_sftp() -> Work {
    Work {
        prepare: Box::new(|_, _| Ok(())),
        timed: vec![
            (
                "put",
                Box::new(|peer, bench| {
                    let batch = format!("put {}/* .\n", bench.path("in"));
                    sftp(peer, &bench.key, AES, &batch)
                }),
            ),
            (
                "get",
                Box::new(|peer, bench| {
                    let batch = format!("get * {}/\n", bench.path("out"));
                    sftp(peer, &bench.key, AES, &batch)
                }),
            ),
        ],
    }
}

fn small_rclone() -> Work {
    Work {
        prepare: Box::new(|_, _| Ok(())),
        timed: vec![
            (
                "put",
                Box::new(|peer, bench| {
                    rclone(peer, &bench.key, 8, &bench.path("in"), "peer:small")
                }),
            ),
            (
                "get",
                Box::new(|peer, bench| {
                    rclone(peer, &bench.key, 8, "peer:small", &bench.path("out"))
                }),
            ),
        ],
    }
}

/// Content that nothing on the way can compress.
pub(crate) fn write_file(path: &Path, bytes: u64, seed: u64) -> Outcome<()> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut block = vec![0; bytes.min(1 << 20) as usize];
    let mut file = fs::File::create(path)?;
    for _ in 0..bytes / block.len() as u64 {
        random.fill(&mut block);
        file.write_all(&block)?;
    }
    Ok(())
}
