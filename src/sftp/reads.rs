//! Reads of one channel: kept as requests until there is room for their replies, then many at once. Those of
//! one file are answered in the order in which they were asked for, as OpenSSH's server does and clients have come to
//! need: scp of OpenSSH 9.2 leaves a file short, and says that all is well, when they are not.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::sftp::context::{Caller, Context};
use crate::sftp::ledger::OpenFile;
use crate::sftp::packet::MAX_DATA_BYTES;
use crate::sftp::reply;
use crate::sftp::room::Place;
use crate::vfs::read::FileReader;

/// Reads under way at once: as many as OpenSSH's client asks for.
const MAX_AT_ONCE: usize = 64;

/// A file open for reading: one version of it, from open to close.
pub struct ReadFile {
    /// What it holds.
    pub reader: FileReader,
    /// Counted until it is closed and all that was asked of it is answered.
    _counted: Counted,
    /// Whose turn it is to be answered.
    turns: Turns,
}

impl ReadFile {
    /// Open from now on.
    pub fn new(reader: FileReader, counted: Counted) -> Self {
        Self {
            reader,
            _counted: counted,
            turns: Turns::default(),
        }
    }
}

/// A file open for reading, counted for its connection and its channel.
pub struct Counted {
    /// For the connection.
    pub file: OpenFile,
    /// One of those of the channel.
    pub place: OwnedSemaphorePermit,
}

/// The order of the reads of a file.
#[derive(Default)]
struct Turns {
    last: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Turns {
    fn next(&self) -> Turn {
        let (over, next) = oneshot::channel();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        Turn {
            before: last.replace(next),
            _over: over,
        }
    }
}

/// A place in that order; the next one's turn comes when this is dropped.
struct Turn {
    before: Option<oneshot::Receiver<()>>,
    _over: oneshot::Sender<()>,
}

impl Turn {
    async fn come(&mut self) {
        if let Some(before) = self.before.take() {
            // Nothing is sent: it is dropped when it is over.
            let _ = before.await;
        }
    }
}

/// A read that waits. Kept small: some clients send one for each 32 KiB of a file at once.
pub struct Read {
    /// Who asks.
    pub caller: Caller,
    /// The file.
    pub file: Arc<ReadFile>,
    /// Where to start, in bytes.
    pub offset: u64,
    /// How many bytes at most.
    pub length: u32,
}

/// Answers reads until no more can come, or the client is gone.
pub async fn run(context: Context, queue: UnboundedReceiver<Read>) {
    tokio::select! {
        () = context.broken.cancelled() => {}
        () = answer_all(&context, queue) => {}
    }
}

async fn answer_all(context: &Context, mut queue: UnboundedReceiver<Read>) {
    let mut under_way = FuturesUnordered::new();
    loop {
        let read = tokio::select! {
            Some(()) = under_way.next() => continue,
            read = queue.recv(), if under_way.len() < MAX_AT_ONCE => read,
        };
        let Some(read) = read else {
            break;
        };
        let turn = read.file.turns.next();
        let length = (read.length as usize).min(MAX_DATA_BYTES);
        let taking = context.room.take(length);
        tokio::pin!(taking);
        let place = loop {
            tokio::select! {
                place = &mut taking => break place,
                Some(()) = under_way.next() => {}
            }
        };
        under_way.push(answer(context, read, place, turn));
    }
    while under_way.next().await.is_some() {}
}

async fn answer(context: &Context, read: Read, place: Place, mut turn: Turn) {
    let length = (read.length as usize).min(place.bytes());
    let caller = read.caller;
    let data = match length {
        0 => Ok(Bytes::new()),
        _ => read.file.reader.read_at(read.offset, length).await,
    };
    turn.come().await;
    match data {
        Ok(_) if length == 0 => {
            // As OpenSSH's server does, wherever the file ends.
            let bytes = reply::data_head(caller.id, 0);
            context.reply(caller, bytes);
        }
        Ok(data) if data.is_empty() => {
            let bytes = reply::end(caller.id);
            context.reply(caller, bytes);
        }
        Ok(data) => {
            let head = reply::data_head(caller.id, data.len());
            context.replies.send_data(caller.ticket, place, head, data);
        }
        Err(error) => context.reply_error(caller, &error),
    }
}
