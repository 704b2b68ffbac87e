//! Every file that was acknowledged is told, however often server and receiver die.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::careful::Careful;
use crate::support::client::{SshOptions, quote, sftp_ok};
use crate::support::hooked::Hooked;
use crate::support::wait::wait_for;

const THREADS: usize = 4;

#[test]
#[expect(
    clippy::print_stdout,
    reason = "a failure is looked into with its seed"
)]
fn every_acknowledged_file_is_told_however_often_both_ends_die() {
    let seed = std::env::var_os("SEALIFT_CRASH_SEED");
    let seed = seed.and_then(|seed| seed.to_str()?.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("SEALIFT_CRASH_SEED={seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut hooked = Hooked::up();
    let log = hooked.folder.join("taken");
    let mut probe = Careful::start(0, "whsec_AAAA", &log);
    let port = probe.port;
    probe.kill();
    let secret = hooked.hook(&format!("http://127.0.0.1:{port}/"), &[]);
    let mut receiver = Careful::start(port, &secret, &log);
    let mut acknowledged = BTreeSet::new();
    for round in 0..12 {
        let writers = Writers::start(&hooked, round);
        writers.wait_for_more(dice.usize(1..60));
        let kills_receiver = dice.bool();
        if kills_receiver {
            receiver.kill();
            writers.wait_for_more(dice.usize(0..20));
        }
        if dice.u8(0..4) > 0 {
            hooked = hooked.kill();
        }
        let told = writers.stop();
        println!("round {round}: {} acknowledged", told.len());
        acknowledged.extend(told);
        if kills_receiver {
            receiver = Careful::start(port, &secret, &log);
        }
    }
    assert!(!acknowledged.is_empty(), "nothing was ever acknowledged");
    hooked.put("/last", "");
    hooked.settled("/last");
    let taken = receiver.taken();
    let mut events: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (id, body) in &taken {
        let path = body["data"]["path"].as_str().unwrap();
        events.entry(path).or_default().insert(id);
    }
    let untold: Vec<_> = acknowledged
        .iter()
        .filter(|path| !events.contains_key(path.as_str()))
        .collect();
    assert!(untold.is_empty(), "never told: {untold:?}");
    for (path, ids) in &events {
        assert_eq!(ids.len(), 1, "{path} was stored once: {ids:?}");
    }
    println!(
        "{} acknowledged, {} told, {} of them again",
        acknowledged.len(),
        events.len(),
        taken.len() - events.len()
    );
    hooked.server.stop();
}

#[test]
fn every_file_of_a_renamed_folder_is_told_however_often_the_server_dies() {
    const FILES: usize = 1_500;
    let mut hooked = Hooked::up();
    let log = hooked.folder.join("taken");
    let mut probe = Careful::start(0, "whsec_AAAA", &log);
    let port = probe.port;
    probe.kill();
    let secret = hooked.hook(&format!("http://127.0.0.1:{port}/"), &[]);
    let receiver = Careful::start(port, &secret, &log);
    let local = hooked.folder.join("batch");
    for at in 0..FILES {
        let folder = local.join((at % 5).to_string());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("f{at}")), "x").unwrap();
    }
    let options = SshOptions::with_new_key(&hooked.server, hooked.folder.path());
    let local = quote(&local);
    let batch = format!("put -r {local} b.tmp\nrename b.tmp b\n");
    sftp_ok(&hooked.server, &options, &batch);
    for _ in 0..4 {
        // In the middle of it, or of what follows.
        let before = receiver.taken().len();
        wait_for("more to be told", Duration::from_secs(60), || {
            let now = receiver.taken().len();
            (now > before || now >= FILES).then_some(())
        });
        hooked = hooked.kill();
    }
    hooked.put("/last", "");
    hooked.settled("/last");
    let mut events: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (id, body) in receiver.taken() {
        let path = body["data"]["path"].as_str().unwrap();
        events.entry(path.to_owned()).or_default().insert(id);
    }
    let expected = (0..FILES).map(|at| format!("/b/{}/f{at}", at % 5));
    let expected: BTreeSet<_> = expected.chain(["/last".to_owned()]).collect();
    let told: BTreeSet<_> = events.keys().cloned().collect();
    assert_eq!(told, expected);
    for (path, ids) in &events {
        assert_eq!(ids.len(), 1, "{path} was stored once: {ids:?}");
    }
    hooked.server.stop();
}

/// Clients that store files until they are stopped, each under a name of its own.
struct Writers {
    stop: Arc<AtomicBool>,
    stored: Arc<AtomicUsize>,
    threads: Vec<std::thread::JoinHandle<Vec<String>>>,
}

impl Writers {
    fn start(hooked: &Hooked, round: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stored = Arc::new(AtomicUsize::new(0));
        let address = hooked.server.ready.listeners.https.unwrap();
        let user = format!("demo@demo:{}", hooked.server.password());
        let threads = (0..THREADS).map(|thread| {
            let (stop, stored, user) = (stop.clone(), stored.clone(), user.clone());
            std::thread::spawn(move || {
                let mut acknowledged = Vec::new();
                for number in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let path = format!("/{round}-{thread}-{number}");
                    let url = format!("https://{address}/api/v1/files{path}");
                    let curl = Command::new("curl")
                        .args([
                            "--silent",
                            "--insecure",
                            "--max-time",
                            "30",
                            "--user",
                            &user,
                        ])
                        .args(["-X", "PUT", "--data-binary", &path, "-w", "%{http_code}"])
                        .args(["--output", "/dev/null", &url])
                        .stderr(Stdio::null())
                        .output()
                        .unwrap();
                    if curl.stdout == b"201" {
                        acknowledged.push(path);
                        stored.fetch_add(1, Ordering::SeqCst);
                    } else {
                        // Its server is dead.
                        break;
                    }
                }
                acknowledged
            })
        });
        Self {
            threads: threads.collect(),
            stop,
            stored,
        }
    }

    /// Until `count` more files than now are acknowledged.
    fn wait_for_more(&self, count: usize) {
        let goal = self.stored.load(Ordering::SeqCst) + count;
        wait_for("files to be stored", Duration::from_secs(60), || {
            (self.stored.load(Ordering::SeqCst) >= goal).then_some(())
        });
    }

    fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        let threads = self.threads.into_iter();
        threads.flat_map(|thread| thread.join().unwrap()).collect()
    }
}

#[test]
fn what_the_receiver_took_and_the_server_did_not_hear_of_has_the_same_id() {
    use crate::support::receiver::{Receiver, Reply};
    let hooked = Hooked::up();
    // It takes the first, and the server dies before it is told so.
    let receiver = Receiver::answering(|number, _| match number {
        0 => Reply::Hang,
        _ => Reply::Status(200),
    });
    hooked.hook(&receiver.url("/"), &[]);
    hooked.put("/a", "some");
    receiver.wait_for(1);
    let hooked = hooked.kill();
    let all = receiver.wait_for(2);
    assert_eq!(all[0].id(), all[1].id());
    assert_eq!(all[0].text, all[1].text);
    wait_for("it to be noted", Duration::from_secs(60), || {
        let all = hooked.deliveries();
        (all[0]["state"] == "delivered").then_some(())
    });
    hooked.server.stop();
}
