//! What HEAD and PATCH told of a tus upload survives the death of the server at any moment.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::folder::TempFolder;
use crate::support::server::{Server, sealift};
use crate::support::tus::{Tus, noise, sha256, tree};
use crate::support::wait::wait_for;

/// How much is fed to the client at once, in bytes.
const FED_BYTES: usize = 16 << 10;

#[test]
#[expect(
    clippy::print_stdout,
    reason = "a failure is looked into with its seed"
)]
fn what_was_told_of_an_upload_survives_each_of_many_kills() {
    let seed = std::env::var_os("SEALIFT_CRASH_SEED");
    let seed = seed.and_then(|seed| seed.to_str()?.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("SEALIFT_CRASH_SEED={seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let folder = TempFolder::new();
    let data = folder.join("data");
    let bytes = noise(seed, 48 << 20);
    let mut server = Server::up(&data);
    let at = Tus::of(&server).begin("/a", bytes.len());
    let mut told = 0;
    for round in 0..12 {
        let tus = Tus::of(&server);
        let offset = tus.offset(&at);
        assert!(offset >= told, "round {round}: {offset} after {told}");
        told = offset;
        // Some that are answered, then one that is cut short.
        for _ in 0..dice.usize(0..4) {
            let length = dice.usize(1..400_000).min(bytes.len() - 1 - told);
            let stored = tus.patch(&at, told, &bytes[told..told + length], &[]);
            assert_eq!(stored.status, 204, "{}", stored.text());
            told += length;
        }
        let mut cut = tus.patch_slowly(&at, told);
        let mut pipe = cut.stdin.take().unwrap();
        let length = dice.usize(0..12 << 20).min(bytes.len() - 1 - told);
        let piece = bytes[told..told + length].to_vec();
        let fed = Arc::new(AtomicUsize::new(0));
        let count = fed.clone();
        let feeding = std::thread::spawn(move || {
            for part in piece.chunks(FED_BYTES) {
                // It ends with the server.
                if pipe.write_all(part).is_err() {
                    break;
                }
                count.fetch_add(part.len(), Ordering::Relaxed);
            }
            pipe
        });
        let enough = dice.usize(0..=length);
        wait_for("a part to be sent", Duration::from_secs(60), || {
            (fed.load(Ordering::Relaxed) >= enough).then_some(())
        });
        println!("round {round}: {told} told, {length} on their way");
        server.kill();
        drop(feeding.join().unwrap());
        cut.wait().unwrap();
        server = Server::up(&data);
    }
    let tus = Tus::of(&server);
    let offset = tus.offset(&at);
    assert!(offset >= told);
    let last = tus.patch(&at, offset, &bytes[offset..], &[]);
    assert_eq!(last.status, 204, "{}", last.text());
    assert_eq!(tree(&server)["/a"], sha256(&bytes));
    server.stop();
    let checked = sealift(&["fsck", "--data", data.to_str().unwrap(), "--json"], "");
    crate::support::client::succeed(&checked);
}
