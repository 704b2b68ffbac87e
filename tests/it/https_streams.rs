//! Streams of HTTP/2 whose client takes little or nothing of what it asked for.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use data_encoding::BASE64;

use crate::support::folder::TempFolder;
use crate::support::https_door::HttpsDoor;
use crate::support::wait::wait_for;

const SOON: Duration = Duration::from_secs(60);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW: u8 = 8;

/// A frame: its kind, flags, stream and what it holds.
type Frame = (u8, u8, u32, Vec<u8>);

/// A connection that speaks HTTP/2 frame by frame. Ended when dropped.
struct Frames {
    client: Child,
    to: ChildStdin,
    came: Arc<Mutex<Vec<Frame>>>,
    user: String,
}

impl Frames {
    /// Connects, and lets the server send `window` bytes of each stream.
    fn to(door: &HttpsDoor, window: u32) -> Self {
        let mut client = Command::new("openssl")
            .args(["s_client", "-quiet", "-alpn", "h2", "-connect"])
            .arg(door.address().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut from = client.stdout.take().unwrap();
        let came = Arc::new(Mutex::new(Vec::new()));
        let frames = came.clone();
        thread::spawn(move || {
            let mut head = [0; 9];
            while from.read_exact(&mut head).is_ok() {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                let mut held = vec![0; length as usize];
                if from.read_exact(&mut held).is_err() {
                    break;
                }
                let frame = (head[3], head[4], stream, held);
                frames.lock().unwrap().push(frame);
            }
        });
        let mut frames = Self {
            to: client.stdin.take().unwrap(),
            client,
            came,
            user: BASE64.encode(door.user().as_bytes()),
        };
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        frames.to.write_all(preface).unwrap();
        let settings = [&[0, 4][..], &window.to_be_bytes()].concat();
        frames.send(SETTINGS, 0, 0, &settings);
        frames.send(SETTINGS, 1, 0, &[]);
        // Of all streams together.
        frames.send(WINDOW, 0, 0, &(16_u32 << 20).to_be_bytes());
        frames
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, held: &[u8]) {
        let length = u32::try_from(held.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.to.write_all(&[&head, held].concat()).unwrap();
        self.to.flush().unwrap();
    }

    /// Asks for a file, or a part of it.
    fn get(&mut self, stream: u32, path: &str, range: &str) {
        self.ask(stream, &format!("/api/v1/files{path}"), range);
    }

    fn ask(&mut self, stream: u32, address: &str, range: &str) {
        let user = format!("Basic {}", self.user);
        let mut headers = Vec::new();
        for (name, value) in [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", address),
            ("authorization", &user),
            ("range", range),
        ] {
            headers.push(0);
            for text in [name, value] {
                // So short that the length is one byte.
                headers.push(u8::try_from(text.len()).ok().filter(|l| *l < 127).unwrap());
                headers.extend_from_slice(text.as_bytes());
            }
        }
        self.send(HEADERS, 5, stream, &headers);
    }

    /// How many frames of a kind came.
    fn count(&self, kind: u8) -> usize {
        let came = self.came.lock().unwrap();
        came.iter().filter(|frame| frame.0 == kind).count()
    }

    /// Waits for a frame of a kind on a stream.
    #[track_caller]
    fn wait(&self, kind: u8, stream: u32) -> Frame {
        wait_for(&format!("frame {kind} of {stream}"), SOON, || {
            let came = self.came.lock().unwrap();
            let found = came.iter().find(|f| (f.0, f.2) == (kind, stream));
            found.cloned()
        })
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

#[test]
fn a_stream_that_nobody_takes_is_ended_and_the_others_go_on() {
    let door = HttpsDoor::up_with(&[("STALL_TIME", "2s")]);
    door.put("/few", "0123456789", &[]);
    large(&door, 1 << 20);
    let mut client = Frames::to(&door, 0);
    // One of which nothing is taken, one of which all but a byte is, and one that is longer than what is
    // read at a time.
    for (stream, path) in [(1, "/few"), (3, "/few"), (5, "/many")] {
        client.get(stream, path, "bytes=0-");
        client.wait(HEADERS, stream);
    }
    client.send(WINDOW, 0, 3, &9_u32.to_be_bytes());
    client.send(WINDOW, 0, 5, &100_000_u32.to_be_bytes());
    client.wait(DATA, 3);
    client.wait(DATA, 5);
    for stream in [1, 3, 5] {
        client.wait(RESET, stream);
    }
    client.get(7, "/few", "bytes=0-");
    client.send(WINDOW, 0, 7, &1000_u32.to_be_bytes());
    assert_eq!(client.wait(DATA, 7).3, b"0123456789");
}

#[test]
fn a_stream_that_moves_is_not_ended() {
    let door = HttpsDoor::up_with(&[("STALL_TIME", "2s")]);
    door.put("/few", &"x".repeat(600), &[]);
    let mut client = Frames::to(&door, 1);
    client.get(1, "/few", "bytes=0-");
    // A byte every few milliseconds, for longer than it may stand still.
    wait_for("the end of the file", SOON, || {
        client.send(WINDOW, 0, 1, &1_u32.to_be_bytes());
        let came = client.came.lock().unwrap();
        assert!(came.iter().all(|frame| frame.0 != RESET));
        let last = came.iter().rfind(|frame| frame.0 == DATA)?;
        (last.1 & 1 == 1).then_some(())
    });
    assert_eq!(client.count(RESET), 0);
}

#[test]
fn stalled_downloads_hold_no_more_memory_than_the_budget() {
    const BUDGET: u64 = 32 << 20;
    let settings = [("MEMORY__BUDGET", "32MiB"), ("HTTPS__STALL_TIME", "30s")];
    let door = HttpsDoor::up_set(settings);
    large(&door, 8 << 20);
    let before = resident(&door);
    // Few bytes of large chunks, and all of the file.
    let clients: Vec<_> = ["bytes=0-1", "bytes=0-"]
        .iter()
        .flat_map(|range| [range; 4])
        .map(|range| {
            let mut client = Frames::to(&door, 1);
            for stream in (0..100).map(|index| 2 * index + 1) {
                client.get(stream, "/many", range);
            }
            wait_for("the answers", SOON, || {
                (client.count(HEADERS) == 100).then_some(())
            });
            client
        })
        .collect();
    // So that all has been read that is going to be.
    for mut client in clients.into_iter().rev() {
        client.send(PING, 0, 0, &[7; 8]);
        client.wait(PING, 0);
        let grown = resident(&door).saturating_sub(before);
        assert!(grown < 3 * BUDGET, "{grown}");
    }
    assert_eq!(door.get("/many", &[]).status, 200);
}

#[test]
fn downloads_are_refused_for_a_while_when_there_is_no_memory_for_them() {
    let settings = [("MEMORY__BUDGET", "16MiB"), ("HTTPS__STALL_TIME", "5s")];
    let door = HttpsDoor::up_set(settings);
    large(&door, 4 << 20);
    let mut clients = Vec::new();
    let refused = wait_for("a download to be refused", SOON, || {
        let mut client = Frames::to(&door, 1);
        for stream in (0..100).map(|index| 2 * index + 1) {
            client.get(stream, "/many", "bytes=0-");
        }
        client.send(PING, 0, 0, &[7; 8]);
        client.wait(PING, 0);
        clients.push(client);
        let answer = door.get("/many", &[]);
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(
        (refused.status, refused.problem()),
        (503, "unavailable".into())
    );
    assert_eq!(refused.header("retry-after"), Some("5"));
    // Those who take nothing are ended.
    wait_for("room for a download", SOON, || {
        (door.get("/many", &[]).status == 200).then_some(())
    });
}

#[test]
fn listings_that_nobody_takes_hold_no_more_memory_than_the_budget() {
    const BUDGET: u64 = 16 << 20;
    const LISTED: usize = 100;
    let settings = [("MEMORY__BUDGET", "16MiB"), ("HTTPS__STALL_TIME", "30s")];
    let door = HttpsDoor::up_set(settings);
    // JSON takes six bytes for each of a name's.
    let name = "%01".repeat(250);
    for index in 100..100 + LISTED {
        door.put(&format!("/{name}{index}"), "", &[]);
    }
    let before = resident(&door);
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let mut client = Frames::to(&door, 1);
            for stream in (0..100).map(|index| 2 * index + 1) {
                client.ask(stream, "/api/v1/folders", "bytes=0-");
            }
            wait_for("the answers", SOON, || {
                (client.count(HEADERS) == 100).then_some(())
            });
            client
        })
        .collect();
    let grown = resident(&door).saturating_sub(before);
    assert!(grown < 3 * BUDGET, "{grown}");
    let refused = door.demo(&[], "/api/v1/folders");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.header("retry-after"), Some("5"));
    drop(clients);
    wait_for("memory for a listing", SOON, || {
        let listed = door.demo(&[], "/api/v1/folders");
        (listed.status == 200).then(|| assert!(listed.text().len() > LISTED * 6 * 250))
    });
}

/// Stores the file `many`.
fn large(door: &HttpsDoor, size: usize) {
    let folder = TempFolder::new();
    let local = folder.join("many");
    std::fs::write(&local, vec![7; size]).unwrap();
    let put = door.demo(&["-T", local.to_str().unwrap()], "/api/v1/files/many");
    assert_eq!(put.status, 201, "{}", put.text());
}

/// Bytes of memory that a server has now.
fn resident(door: &HttpsDoor) -> u64 {
    let pid = door.server.ready.pid;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_ascii_whitespace().nth(1));
    number.unwrap().parse::<u64>().unwrap() * 1024
}
