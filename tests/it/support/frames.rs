//! HTTP/2, frame by frame.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use data_encoding::BASE64;

use crate::support::https_door::HttpsDoor;
use crate::support::wait::wait_for;

const SOON: Duration = Duration::from_secs(60);

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GO_AWAY: u8 = 7;
pub(crate) const WINDOW: u8 = 8;

/// A frame: its kind, flags, stream and what it holds.
pub(crate) type Frame = (u8, u8, u32, Vec<u8>);

/// A connection that speaks HTTP/2 frame by frame. Ended when dropped.
pub(crate) struct Frames {
    client: Child,
    to: ChildStdin,
    came: Arc<Mutex<Vec<Frame>>>,
    is_over: Arc<AtomicBool>,
    user: String,
}

impl Frames {
    /// Connects, and lets the server send `window` bytes of each stream.
    pub(crate) fn to(door: &HttpsDoor, window: u32) -> Self {
        Self::at(door.address(), &door.user(), window)
    }

    /// The same by address, and by any account: `NAME:PASSWORD`.
    pub(crate) fn at(address: SocketAddr, user: &str, window: u32) -> Self {
        let mut client = Command::new("openssl")
            .args(["s_client", "-quiet", "-alpn", "h2", "-connect"])
            .arg(address.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut from = client.stdout.take().unwrap();
        let came = Arc::new(Mutex::new(Vec::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let (frames, over) = (came.clone(), is_over.clone());
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
            over.store(true, Ordering::SeqCst);
        });
        let mut frames = Self {
            to: client.stdin.take().unwrap(),
            client,
            came,
            is_over,
            user: BASE64.encode(user.as_bytes()),
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

    /// Sends a frame.
    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, held: &[u8]) {
        assert!(
            self.try_send(kind, flags, stream, held),
            "the connection has ended"
        );
    }

    /// Sends a frame, unless the server has had enough.
    pub(crate) fn try_send(&mut self, kind: u8, flags: u8, stream: u32, held: &[u8]) -> bool {
        let length = u32::try_from(held.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        let sent = self.to.write_all(&[&head, held].concat());
        sent.and_then(|()| self.to.flush()).is_ok()
    }

    /// Asks for a file, or a part of it.
    pub(crate) fn get(&mut self, stream: u32, path: &str, range: &str) {
        self.ask(stream, &format!("/api/v1/files{path}"), range);
    }

    /// Asks for an address.
    pub(crate) fn ask(&mut self, stream: u32, address: &str, range: &str) {
        let user = format!("Basic {}", self.user);
        let more = [("authorization", user.as_str()), ("range", range)];
        self.begin(stream, 5, "GET", address, &more);
    }

    /// Sends the head of a request of the account's.
    pub(crate) fn begin_as_user(
        &mut self,
        stream: u32,
        flags: u8,
        (method, address): (&str, &str),
        more: &[(&str, &str)],
    ) {
        let user = format!("Basic {}", self.user);
        let more = [&[("authorization", user.as_str())], more].concat();
        self.begin(stream, flags, method, address, &more);
    }

    /// Sends the head of a request.
    pub(crate) fn begin(
        &mut self,
        stream: u32,
        flags: u8,
        method: &str,
        address: &str,
        more: &[(&str, &str)],
    ) {
        let mut headers = Vec::new();
        let first = [
            (":method", method),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", address),
        ];
        for (name, value) in first.iter().chain(more) {
            headers.push(0);
            for text in [name, value] {
                headers.extend(length(text.len()));
                headers.extend_from_slice(text.as_bytes());
            }
        }
        self.send(HEADERS, flags, stream, &headers);
    }

    /// Whether the server has ended a stream as it should be.
    pub(crate) fn has_ended(&self, stream: u32) -> bool {
        let came = self.came.lock().unwrap();
        let mut of_it = came.iter().filter(|frame| frame.2 == stream);
        of_it.any(|frame| [DATA, HEADERS].contains(&frame.0) && frame.1 & 1 == 1)
    }

    /// Whether the server has ended the connection.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// How many frames of a kind came.
    pub(crate) fn count(&self, kind: u8) -> usize {
        let came = self.came.lock().unwrap();
        came.iter().filter(|frame| frame.0 == kind).count()
    }

    /// Waits for a frame of a kind on a stream.
    #[track_caller]
    pub(crate) fn wait(&self, kind: u8, stream: u32) -> Frame {
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

/// A length as HPACK has it (RFC 7541 section 5.1), of text that is not compressed.
fn length(length: usize) -> Vec<u8> {
    let mut bytes = vec![length.min(127) as u8];
    if length >= 127 {
        let mut rest = length - 127;
        while rest >= 128 {
            bytes.push((rest % 128 + 128) as u8);
            rest /= 128;
        }
        bytes.push(rest as u8);
    }
    bytes
}
