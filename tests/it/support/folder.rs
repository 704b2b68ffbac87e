//! Temporary folders, what lies in them, and files to send.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// A folder of a test's own; removed when the test succeeds, kept and named when it fails.
pub(crate) struct TempFolder {
    path: PathBuf,
}

impl TempFolder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "sealift-it-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of `name` inside.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes the folder `name` inside.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }
}

impl Drop for TempFolder {
    #[expect(
        clippy::print_stderr,
        reason = "whoever reads the failure needs the folder"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for you to look at: {}", self.path.display());
        } else {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Writes `size` bytes that no compression and no repetition can fake.
pub(crate) fn write_random(path: &Path, size: u64) {
    let mut random = fastrand::Rng::with_seed(size ^ 0x5EA1);
    let mut file = fs::File::create(path).unwrap();
    let mut block = vec![0; 1 << 20];
    let mut left = size;
    while left > 0 {
        random.fill(&mut block);
        let length = left.min(block.len() as u64) as usize;
        file.write_all(&block[..length]).unwrap();
        left -= length as u64;
    }
}

/// The SHA-256 of a file, in hex.
pub(crate) fn sha256(path: &Path) -> String {
    let mut file = fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block).unwrap() {
            0 => return HEXLOWER.encode(&hash.finalize()),
            length => hash.update(&block[..length]),
        }
    }
}

/// Every file below `folder` with its SHA-256, by path inside it.
pub(crate) fn sums(folder: &Path) -> BTreeMap<PathBuf, String> {
    files(folder)
        .into_iter()
        .map(|path| (path.strip_prefix(folder).unwrap().to_owned(), sha256(&path)))
        .collect()
}

/// All that tells whether anybody touched something below `folder`: kind, mode, size, times, sums.
pub(crate) fn snapshot(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for path in walk(folder) {
        let about = fs::symlink_metadata(&path).unwrap();
        let mut line = format!("{:o} {}", about.mode(), about.ino());
        if about.is_file() {
            let changed = (about.mtime(), about.mtime_nsec());
            line = format!("{line} {} {changed:?} {}", about.len(), sha256(&path));
        }
        found.insert(path.strip_prefix(folder).unwrap().to_owned(), line);
    }
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    walk(folder).into_iter().filter(|p| p.is_file()).collect()
}

/// All that is in `folder`, and itself first.
pub(crate) fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}
