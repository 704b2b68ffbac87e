//! Commands without SSH around them: peers that no client would be.

use std::sync::Arc;
use std::time::Duration;

use sealift::domain::clock::SystemClock;
use sealift::domain::node::AttributeUpdate;
use sealift::net::budget::Budget;
use sealift::sftp::attrs::Viewer;
use sealift::sftp::context::Context;
use sealift::sftp::exec::ExecSession;
use sealift::sftp::gate::Gate;
use sealift::sftp::ledger::Ledger;
use sealift::sftp::outlet::Replies;
use sealift::sftp::pipe::{Output, Said, Speech};
use sealift::sftp::room::Room;
use sealift::storage::faulty::Operation;
use sealift::vfs::session::Session;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::sftp_raw::world;
use crate::support::wait::until;
use crate::support::world::{get, path, put};

/// So much that an upload of it would be kept.
const MUCH: usize = 4 << 20;
const PIECE: &[u8] = &[0; 32 << 10];
/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(60);

/// A channel with a command, whose client is the test.
struct Peer {
    session: Option<ExecSession>,
    said: UnboundedReceiver<Said>,
    tasks: TaskTracker,
    budget: Budget,
    ledger: Ledger,
}

impl Peer {
    fn start(files: &Session, line: &[u8]) -> Self {
        let budget = Budget::new(256 << 20);
        let (replies, _) = Replies::new(Err);
        let ledger = Ledger::new(budget.clone());
        let room = Room::new(budget.clone());
        let context = Context {
            files: files.clone(),
            viewer: Arc::new(Viewer::new(files.principal())),
            replies,
            room: room.clone(),
            ahead: Room::new(budget.clone()),
            gate: Gate::new(budget.clone(), usize::MAX),
            ledger: ledger.clone(),
            clock: Arc::new(SystemClock),
            broken: CancellationToken::new(),
        };
        let tasks = TaskTracker::new();
        let (output, said) = Output::new(ledger.clone(), room);
        let session = ExecSession::start(&context, output, line, &tasks);
        Self {
            session: Some(session),
            said,
            tasks,
            budget,
            ledger,
        }
    }

    fn send(&self, bytes: &[u8]) {
        self.session.as_ref().unwrap().feed(bytes).unwrap();
    }

    /// The client sends no more, but listens.
    fn finish(&mut self) {
        self.session.take().unwrap().finish();
    }

    async fn next(&mut self) -> Said {
        let next = tokio::time::timeout(WITHIN, self.said.recv()).await;
        next.expect("an answer in time").expect("not the end")
    }

    /// The next piece of standard output.
    async fn output(&mut self) -> Vec<u8> {
        match self.next().await.speech {
            Speech::Output(bytes) => bytes.to_vec(),
            Speech::Error(bytes) => panic!("{}", bytes.escape_ascii()),
            Speech::Exit(status) => panic!("the end with {status}"),
        }
    }

    /// All that is said to the end, and the exit status.
    async fn rest(&mut self) -> (String, u32) {
        let mut rest = Vec::new();
        loop {
            match self.next().await.speech {
                Speech::Output(bytes) | Speech::Error(bytes) => rest.extend_from_slice(&bytes),
                Speech::Exit(status) => return (String::from_utf8(rest).unwrap(), status),
            }
        }
    }

    /// All tasks end and nothing is counted any more.
    async fn drained(mut self) {
        self.session = None;
        self.said.close();
        while self.said.try_recv().is_ok() {}
        self.tasks.close();
        let ended = tokio::time::timeout(WITHIN, self.tasks.wait()).await;
        ended.expect("all tasks end");
        assert!(self.ledger.is_quiet());
        assert_eq!(self.budget.used(), 0);
    }
}

#[tokio::test]
async fn hostile_senders_are_refused_in_words_and_leave_nothing() {
    let (_world, files) = world().await;
    files
        .make_folder(&path("/in"), AttributeUpdate::default())
        .await
        .unwrap();
    let endless = [&b"C0644 5 "[..], &[b'x'; 1 << 20]].concat();
    for (sent, word) in [
        (&b"C0644 3 ../x\nabc\0"[..], "unexpected name '../x'"),
        (b"C0644 3 ..\nabc\0", "unexpected name '..'"),
        (b"D0755 0 ..\n", "unexpected name '..'"),
        (b"D0755 0 /\n", "unexpected name '/'"),
        (b"C0644 3 /etc/passwd\nabc\0", "unexpected name"),
        (b"C0644 3 a\0b\nabc\0", "unexpected name 'a?b'"),
        (b"C0644 3 \x1b[2J/\nabc\0", "unexpected name '?[2J/'"),
        (
            b"C0644 99999999999999999999 x\n",
            "no line of the scp protocol",
        ),
        (b"GET / HTTP/1.0\n", "no line of the scp protocol"),
        (b"\n", "no line of the scp protocol"),
        (b"E\n", "a folder ends that never began"),
        (b"D0755 0 d\n", "broken off"),
        (b"C0644 3 x", ""),
        (b"C0644 3 x\nab", "broken off"),
        (b"C0644 3 x\nabc", "broken off"),
        (b"C0644 3 x\nabc\x02bye\n", "broken off"),
        (b"C0644 3 x\nabcC0644 3 y\n", "not followed by its status"),
        (b"C0644 9223372036854775807 x\nabc", "broken off"),
        (&endless, "a line of more than 8192 bytes"),
    ] {
        let mut peer = Peer::start(&files, b"scp -r -t in");
        for piece in sent.chunks(30_000) {
            peer.send(piece);
        }
        peer.finish();
        let (said, status) = peer.rest().await;
        let sent = sent[..sent.len().min(60)].escape_ascii();
        assert_eq!(status, u32::from(!word.is_empty()), "{sent}: {said}");
        assert!(said.contains(word), "{sent}: {said}");
        peer.drained().await;
    }
    let mut left = files.list(&path("/in")).await.unwrap();
    let names: Vec<_> = left
        .next_page()
        .await
        .unwrap()
        .into_iter()
        .map(|e| e.name)
        .collect();
    assert_eq!(names, ["d"]);
}

#[tokio::test]
async fn a_file_is_there_only_when_its_sender_says_that_it_is_whole() {
    let (_world, files) = world().await;
    let mut peer = Peer::start(&files, b"scp -p -t file");
    assert_eq!(peer.output().await, b"\0");
    peer.send(b"T1700000000 0 1600000000 0\n");
    assert_eq!(peer.output().await, b"\0");
    peer.send(b"C0750 6 whatever\n");
    assert_eq!(peer.output().await, b"\0");
    peer.send(b"abc");
    peer.send(b"def");
    assert!(files.stat(&path("/file")).await.is_err());
    peer.send(b"\0");
    assert_eq!(peer.output().await, b"\0");
    let entry = files.stat(&path("/file")).await.unwrap();
    assert_eq!(entry.attributes.mode, 0o750);
    assert_eq!(entry.attributes.modified.seconds(), 1_700_000_000);
    assert_eq!(entry.attributes.accessed.seconds(), 1_600_000_000);

    // It could not be read to its end over there: zeros were sent instead.
    peer.send(b"C0644 3 file\n\0\0\0\x01scp: file: Input/output error\n");
    assert_eq!(peer.output().await, b"\0");
    let refused = String::from_utf8(peer.output().await).unwrap();
    assert!(
        refused.starts_with("\x01scp: /file: not stored"),
        "{refused}"
    );
    peer.finish();
    assert_eq!(peer.rest().await, (String::new(), 1));
    assert_eq!(get(&files, &path("/file")).await.unwrap(), b"abcdef");
    // Nor is it kept, however much it was, for who goes on.
    let mut peer = Peer::start(&files, b"scp -t file");
    assert_eq!(peer.output().await, b"\0");
    peer.send(format!("C0644 {MUCH} file\n").as_bytes());
    assert_eq!(peer.output().await, b"\0");
    for _ in 0..MUCH / PIECE.len() {
        peer.send(PIECE);
    }
    peer.send(b"\x01scp: file: Input/output error\n");
    peer.output().await;
    peer.finish();
    assert_eq!(peer.rest().await.1, 1);
    assert_eq!(files.stat(&path("/file")).await.unwrap().size, 6);

    // The line breaks.
    let mut peer = Peer::start(&files, b"scp -t file");
    peer.send(b"C0644 6 file\nabc");
    assert_eq!(peer.output().await, b"\0");
    peer.drained().await;
    assert_eq!(get(&files, &path("/file")).await.unwrap(), b"abcdef");
}

#[tokio::test]
async fn a_receiver_that_takes_nothing_holds_up_only_itself() {
    let (_world, files) = world().await;
    let content = vec![7; 40 << 20];
    put(&files, &path("/file"), &content).await.unwrap();
    let mut peer = Peer::start(&files, b"scp -f file");
    peer.send(b"\0\0\0");
    let line = peer.output().await;
    assert_eq!(line, format!("C0644 {} file\n", content.len()).as_bytes());
    // So much is read ahead of it, and no more.
    let full = async {
        while peer.budget.used() < 15 << 20 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WITHIN, full)
        .await
        .expect("room is used");
    assert!(peer.budget.used() <= 17 << 20);
    let mut came = 0;
    while came < content.len() {
        let bytes = peer.output().await;
        assert!(bytes.iter().all(|byte| *byte == 7));
        came += bytes.len();
    }
    assert_eq!(peer.output().await, b"\0");
    peer.finish();
    assert_eq!(peer.rest().await, (String::new(), 0));
    peer.drained().await;

    // One that leaves in the midst of it.
    let mut peer = Peer::start(&files, b"scp -f file");
    peer.send(b"\0\0");
    peer.output().await;
    peer.drained().await;
}

#[tokio::test]
async fn hostile_receivers_are_sent_away() {
    let (_world, files) = world().await;
    put(&files, &path("/file"), b"abc").await.unwrap();
    for (sent, word) in [
        (&b""[..], "broken off"),
        (b"\0", "broken off"),
        (b"x", "no answer of the scp protocol"),
        (b"\x02go away\n", "go away"),
        (b"\0\x02", ""),
        (b"\x01no\n", ""),
        (&[1; 1 << 20], "a line of more than"),
    ] {
        let mut peer = Peer::start(&files, b"scp -f file");
        peer.send(sent);
        peer.finish();
        let (said, status) = peer.rest().await;
        assert_eq!(status, 1, "{said}");
        assert!(said.contains(word), "{said}");
        peer.drained().await;
    }
    // Acknowledgements that nobody waits for are not kept without limit.
    let mut peer = Peer::start(&files, b"scp -f file");
    let session = peer.session.as_ref().unwrap();
    let flood = vec![0; 1 << 20];
    let mut refused = None;
    for _ in 0..100 {
        refused = session.feed(&flood).err();
        if refused.is_some() {
            break;
        }
    }
    assert!(refused.is_some() || peer.budget.used() < 9 << 20);
    peer.session = None;
    peer.drained().await;
}

#[tokio::test]
async fn trees_that_change_while_they_are_sent_end_well() {
    let (_world, files) = world().await;
    files
        .make_folder(&path("/t"), AttributeUpdate::default())
        .await
        .unwrap();
    for name in ["a", "b\nb", "c", "d"] {
        let at = format!("/t/{name}");
        match name {
            "c" => files
                .make_folder(&path(&at), AttributeUpdate::default())
                .await
                .unwrap(),
            _ => put(&files, &path(&at), b"x").await.unwrap(),
        }
    }
    put(&files, &path("/t/c/in"), b"x").await.unwrap();
    let mut peer = Peer::start(&files, b"scp -r -f t");
    peer.send(b"\0");
    assert_eq!(peer.output().await, b"D0755 0 t\n");
    files.remove_file(&path("/t/a")).await.unwrap();
    peer.send(b"\0");
    let mut lines = Vec::new();
    for _ in 0..10 {
        let line = String::from_utf8(peer.output().await).unwrap();
        let is_answered = !line.starts_with('\x01') && line != "x";
        lines.push(line.clone());
        if is_answered {
            peer.send(b"\0");
        }
        if lines.iter().filter(|line| *line == "E\n").count() == 2 {
            break;
        }
    }
    peer.finish();
    assert_eq!(peer.rest().await, (String::new(), 1));
    let expected = [
        "\x01scp: /t/b?b: the scp protocol has no line breaks in names; use sftp\n",
        "D0755 0 c\n",
        "C0644 1 in\n",
        "x",
        "\0",
        "E\n",
        "C0644 1 d\n",
        "x",
        "\0",
        "E\n",
    ];
    let gone = lines.iter().position(|line| line.contains("/t/a"));
    if let Some(gone) = gone {
        lines.remove(gone);
    }
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn quiet_is_only_who_runs_no_command() {
    let (_world, files) = world().await;
    let peer = Peer::start(&files, b"sha256sum");
    assert!(!peer.ledger.is_quiet());
    peer.drained().await;
}

#[tokio::test]
async fn who_waits_for_a_checksum_is_not_idle() {
    let (world, files) = world().await;
    put(&files, &path("/file"), b"abc").await.unwrap();
    world.faults.hold(Operation::Read);
    let mut peer = Peer::start(&files, b"md5sum file");
    until("the file to be read", async || {
        world.faults.calls(Operation::Read) > 0
    })
    .await;
    assert!(!peer.ledger.is_waiting_for_client());
    world.faults.mend();
    let said = "900150983cd24fb0d6963f7d28e17f72  file\n".to_owned();
    assert_eq!(peer.rest().await, (said, 0));
    assert!(peer.ledger.is_waiting_for_client());
    peer.drained().await;
}
