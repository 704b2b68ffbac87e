//! What was acknowledged survives the death of the server at any moment, whole.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::Deserialize;

use crate::support::client::{paramiko, run, script, succeed};
use crate::support::folder::TempFolder;
use crate::support::server::Server;
use crate::support::wait::wait_for;

const READER: &str = "reader@demo";
const READER_PASSWORD: &str = "reads what others published";

/// As in tests/it/paramiko/crash.py.
const THREADS: usize = 4;
/// How many of their events the server lives for at most.
const MOST_EVENTS: usize = 120;

type Tree = BTreeMap<String, String>;

/// A line of tests/it/paramiko/crash.py.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    event: String,
    thread: usize,
    op: String,
    name: String,
    to: String,
    sha256: String,
    reason: String,
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "a failure is looked into with its seed"
)]
fn acknowledged_files_are_whole_after_each_of_many_kills() {
    let rounds = number_from("SEALIFT_CRASH_ROUNDS").unwrap_or(50);
    let seed = number_from("SEALIFT_CRASH_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("SEALIFT_CRASH_SEED={seed} SEALIFT_CRASH_ROUNDS={rounds}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let folder = TempFolder::new();
    let data = folder.join("data");
    let mut server = Server::up(&data);
    add_reader(&server);
    let mut tree = Tree::new();
    for round in 0..rounds {
        let events = work_until_killed(server, &tree, dice.u64(..), dice.usize(1..MOST_EVENTS));
        println!("round {round}: {} events", events.len());
        server = Server::up(&data);
        let found = published_tree(&server);
        check_own(&tree, &events, &found);
        check_shared(&tree, &events, &found);
        check_fsck(&data);
        tree = found;
    }
    assert!(!tree.is_empty(), "nothing was ever acknowledged");
    server.stop();
}

/// Returns what the clients were told before `server` was killed, soon after they had asked and heard
/// `enough`.
fn work_until_killed(server: Server, tree: &Tree, seed: u64, enough: usize) -> Vec<Event> {
    let names = serde_json::to_string(&tree.keys().collect::<Vec<_>>()).unwrap();
    let mut clients = paramiko("crash.py", &server, &[&seed.to_string(), &names])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(clients.stdout.take().unwrap());
    let first = next_event(&mut lines);
    assert_eq!(first.map(|e| e.event).as_deref(), Some("ready"), "{:?}", {
        clients.kill().unwrap();
        clients.wait_with_output()
    });
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let reader = std::thread::spawn(move || {
        let mut events = Vec::new();
        while let Some(event) = next_event(&mut lines) {
            events.push(event);
            count.fetch_add(1, Ordering::Relaxed);
        }
        events
    });
    wait_for("the clients to work", Duration::from_secs(60), || {
        let is_enough = seen.load(Ordering::Relaxed) >= enough;
        (is_enough || clients.try_wait().unwrap().is_some()).then_some(())
    });
    server.kill();
    let ended = wait_for("the clients to notice", Duration::from_secs(60), || {
        clients.try_wait().unwrap()
    });
    assert!(ended.success(), "{:?}", clients.wait_with_output());
    let events = reader.join().unwrap();
    for event in &events {
        assert_ne!(event.event, "refused", "{}", event.reason);
    }
    events
}

fn next_event(lines: &mut BufReader<ChildStdout>) -> Option<Event> {
    let mut line = String::new();
    match lines.read_line(&mut line).unwrap() {
        0 => None,
        _ => Some(serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"))),
    }
}

/// Each thread's folder is as the thread was told, give or take the one request it had no answer to.
fn check_own(before: &Tree, events: &[Event], found: &Tree) {
    for thread in 0..THREADS {
        let folder = format!("/own{thread}/");
        let mut acknowledged = below(before, &folder);
        let mut possible = acknowledged.clone();
        for event in events
            .iter()
            .filter(|e| e.thread == thread && !e.name.starts_with("/shared/"))
        {
            match event.event.as_str() {
                "try" => apply(&mut possible, event),
                _ => apply(&mut acknowledged, event),
            }
        }
        let found = below(found, &folder);
        assert!(
            found == acknowledged || found == possible,
            "thread {thread}: found {found:#?}\nacknowledged {acknowledged:#?}\nlast {:#?}",
            events.iter().rfind(|e| e.thread == thread)
        );
    }
}

/// A name that all threads write holds one of the versions sent, and none that was certainly replaced.
fn check_shared(before: &Tree, events: &[Event], found: &Tree) {
    let names: BTreeSet<&str> = events
        .iter()
        .map(|event| event.name.as_str())
        .chain(before.keys().map(String::as_str))
        .filter(|name| name.starts_with("/shared/"))
        .collect();
    for name in names {
        let mut possible: BTreeSet<Option<&str>> = [before.get(name).map(String::as_str)].into();
        let mut asked_at: BTreeMap<&str, usize> = BTreeMap::new();
        let mut told_at: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, event) in events.iter().enumerate().filter(|(_, e)| e.name == name) {
            let version = event.sha256.as_str();
            possible.insert(Some(version));
            if event.event == "try" {
                asked_at.insert(version, index);
                continue;
            }
            told_at.insert(version, index);
            let asked = asked_at[version];
            possible.retain(|old| match old {
                Some(old) if *old == version => true,
                Some(old) if asked_at.contains_key(old) => {
                    told_at.get(old).is_none_or(|told| *told > asked)
                }
                _ => false,
            });
        }
        let found = found.get(name).map(String::as_str);
        assert!(
            possible.contains(&found),
            "{name}: {found:?} is none of {possible:?}"
        );
    }
}

fn apply(tree: &mut Tree, event: &Event) {
    match event.op.as_str() {
        "put" => drop(tree.insert(event.name.clone(), event.sha256.clone())),
        "rename" => {
            let moved = tree.remove(&event.name).unwrap();
            tree.insert(event.to.clone(), moved);
        }
        "remove" => drop(tree.remove(&event.name).unwrap()),
        other => panic!("{other}"),
    }
}

fn below(tree: &Tree, folder: &str) -> Tree {
    let inside = tree.iter().filter(|(name, _)| name.starts_with(folder));
    inside
        .map(|(name, sum)| (name.clone(), sum.clone()))
        .collect()
}

/// Another account: whoever broke an upload off sees the part that was stored, others never do.
fn add_reader(server: &Server) {
    server.admin(
        &["account", "add", READER, "--password-stdin"],
        READER_PASSWORD,
    );
    server.admin(&["grant", "add", READER, "demo:/", "list,read"], "");
}

fn published_tree(server: &Server) -> Tree {
    let walk: Command = script("tree.py", server.port(), READER, READER_PASSWORD, &[]);
    serde_json::from_str(&succeed(&run(walk, ""))).unwrap()
}

fn check_fsck(data: &Path) {
    let data = data.to_str().unwrap();
    let ran = crate::support::server::sealift(&["fsck", "--data", data, "--json"], "");
    succeed(&ran);
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var_os(variable)?.to_str()?.parse().ok()
}
