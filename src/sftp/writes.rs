//! One file being written: a queue and a task that owns the writer, so that what a client does
//! through one handle happens in the order of its requests.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::node::Entry;
use crate::domain::path::VfsPath;
use crate::sftp::attrs::Wanted;
use crate::sftp::context::{Caller, Context};
use crate::sftp::gate::Waiting;
use crate::sftp::hold::{Hold, Leaving, Ties};
use crate::sftp::ledger::OpenFile;
use crate::sftp::packet::MAX_DATA_BYTES;
use crate::sftp::reads::ReadFile;
use crate::sftp::reply::{self, Code};
use crate::sftp::request::CopyRequest;
use crate::sftp::room::Place;
use crate::vfs::read::FileReader;
use crate::vfs::rename::Overwrite;
use crate::vfs::source::Source;
use crate::vfs::write::{Fate, FileWriter};

/// What is asked of a file being written.
pub enum WriteWork {
    /// To store and publish what there is, because a handle is closed; and to finish, if it is the last.
    Close(Leaving),
    /// To lay a part of a file into this one.
    Copy {
        /// The other file, or this one.
        source: CopySource,
        /// Which part.
        request: CopyRequest,
        /// To where, in bytes; none is the end.
        to: Option<u64>,
    },
    /// To read what is there now.
    Read {
        /// Where to start, in bytes.
        offset: u64,
        /// How many bytes at most.
        length: usize,
    },
    /// To set attributes.
    Set(Wanted),
    /// To say what a copy of it would share now. Answers the copy, not the client.
    Source(oneshot::Sender<Result<CountedSource>>),
    /// To show its attributes.
    Stat,
    /// To store and publish what there is.
    Sync,
    /// To write.
    Write {
        /// Where to start, in bytes; none is the end.
        offset: Option<u64>,
        /// What to write.
        data: Bytes,
        /// Counted until it is stored.
        waiting: Waiting,
    },
}

/// What the other lanes of the session ask of a file being written. It answers when it has done what
/// clients asked before.
pub enum Order {
    /// To show its attributes, in a listing.
    Entry(oneshot::Sender<Entry>),
    /// To be read as it is now.
    Read(oneshot::Sender<Result<FileReader>>),
    /// To be published elsewhere, when nothing is published yet; says whether that is so.
    Rename {
        /// Where.
        to: VfsPath,
        /// What happens when that is taken.
        overwrite: Overwrite,
        /// How it went.
        done: oneshot::Sender<Result<bool>>,
    },
    /// To start again from nothing; says whether it does: not after an error, which ended this upload.
    Truncate(oneshot::Sender<Result<bool>>),
    /// To go when it is closed, since its name is gone; says whether it does.
    Unlink(Fate, oneshot::Sender<bool>),
}

/// What comes into the queue.
enum Item {
    /// What a request about the file's name asks of it. What waits for that waits for this.
    Asked(Caller, WriteWork, Vec<Hold>),
    /// To wait until a request about the file's name is done.
    Hold(oneshot::Receiver<()>),
    Order(Order),
    Work(Caller, WriteWork),
}

/// What a part is copied from.
pub enum CopySource {
    /// A file that is read.
    File(Arc<ReadFile>),
    /// A file being written, which answers when it has done what was asked before.
    Lane(oneshot::Receiver<Result<CountedSource>>),
}

/// What a copy shares, counted until it is made.
pub struct CountedSource {
    source: Source,
    _waiting: Waiting,
}

/// The queue of one file being written. Cheap to clone; when the last one is dropped without a
/// close, the upload is broken off and kept. Several handles of a session may lead to one.
#[derive(Clone)]
pub struct WriteLane {
    work: UnboundedSender<Item>,
    /// What leads to the file, and what it waits for.
    pub ties: Ties,
    /// What this handle was opened for.
    pub handle: HandleUse,
}

/// What a handle of a file being written was opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandleUse {
    /// Whether its writes go to the end.
    pub appends: bool,
    /// Whether reading was asked for.
    pub reads: bool,
}

impl WriteLane {
    /// Gives `writer` to a task of `tasks`.
    pub fn start(
        context: Context,
        writer: FileWriter,
        handle: HandleUse,
        file: OpenFile,
        tasks: &TaskTracker,
    ) -> Self {
        let (work, queue) = unbounded_channel();
        let lane = Lane {
            context,
            writer,
            failed: None,
            _file: file,
        };
        tasks.spawn(lane.run(queue));
        let ties = Ties::default();
        ties.tie();
        Self { work, ties, handle }
    }

    /// The same file through another handle.
    pub fn shared(&self, handle: HandleUse) -> Self {
        self.ties.tie();
        Self {
            handle,
            ..self.clone()
        }
    }

    /// Adds to the queue.
    pub fn push(&self, caller: Caller, work: WriteWork) {
        // The task ends before the queue only after a close, and then no handle leads here.
        let _ = self.work.send(Item::Work(caller, work));
    }

    /// Adds what a request about the file's name asks of it, for which `holds` wait; gives these and the caller
    /// back when the file was closed.
    pub fn ask(&self, caller: Caller, work: WriteWork, holds: Vec<Hold>) -> Option<Asked> {
        match self.work.send(Item::Asked(caller, work, holds)).err()?.0 {
            Item::Asked(caller, _, holds) => Some((caller, holds)),
            Item::Hold(_) | Item::Order(_) | Item::Work(..) => None,
        }
    }

    /// Has what is asked of the file from now on wait until what is returned is dropped.
    pub fn hold(&self) -> Hold {
        let (hold, over) = self.ties.hold();
        // Who was closed has nothing more to do.
        let _ = self.work.send(Item::Hold(over));
        hold
    }

    /// Adds what another lane asks; its sender is dropped when the file is closed before.
    pub fn order(&self, order: Order) {
        let _ = self.work.send(Item::Order(order));
    }
}

struct Lane {
    context: Context,
    writer: FileWriter,
    /// The first write that failed: nothing is published after it.
    failed: Option<Error>,
    _file: OpenFile,
}

impl Lane {
    async fn run(mut self, items: UnboundedReceiver<Item>) {
        let mut queue = Queue {
            items,
            behind: VecDeque::new(),
        };
        while let Some(item) = queue.next().await {
            let (caller, work) = match item {
                Item::Asked(caller, work, holds) => {
                    Box::pin(self.tell(caller, work)).await;
                    drop(holds);
                    continue;
                }
                Item::Work(caller, work) => (caller, work),
                Item::Hold(over) => {
                    // Nothing is sent: it is dropped when it is over.
                    drop(Box::pin(self.wait(&mut queue, over)).await);
                    continue;
                }
                Item::Order(order) => {
                    Box::pin(self.obey(order)).await;
                    continue;
                }
            };
            match work {
                // All but writing is boxed: there is one of these for every open file.
                WriteWork::Close(leaving) => {
                    if leaving.is_last() {
                        Box::pin(self.end(queue)).await;
                        return Box::pin(self.close(caller, leaving)).await;
                    }
                    let synced = Box::pin(self.sync()).await;
                    drop(leaving);
                    self.context.reply_status(caller, synced);
                }
                WriteWork::Copy {
                    source,
                    request,
                    to,
                } => {
                    let source = match source {
                        CopySource::File(file) => Ok(CopyFrom::File(file)),
                        CopySource::Lane(source) => {
                            let source = Box::pin(self.wait(&mut queue, source)).await;
                            source.unwrap_or_else(|_| Err(closed())).map(CopyFrom::Lane)
                        }
                    };
                    Box::pin(self.copy(caller, source, request, to)).await;
                }
                WriteWork::Read { offset, length } => {
                    Box::pin(self.read(caller, offset, length)).await;
                }
                WriteWork::Set(_) | WriteWork::Stat => Box::pin(self.tell(caller, work)).await,
                WriteWork::Source(sender) => {
                    // The copy may have been given up.
                    let _ = sender.send(Box::pin(self.source()).await);
                }
                WriteWork::Sync => {
                    let synced = Box::pin(self.sync()).await;
                    self.context.reply_status(caller, synced);
                }
                WriteWork::Write {
                    offset,
                    data,
                    waiting,
                } => {
                    let written = self.write(offset, data).await;
                    drop(waiting);
                    self.context.reply_status(caller, written);
                }
            }
        }
        self.writer.abandon().await;
    }

    /// Waits, and does in the meantime what requests about names ask for that are being done: one of them may
    /// be what is waited for. What was asked through handles stays behind.
    async fn wait<T>(&mut self, queue: &mut Queue, until: impl Future<Output = T>) -> T {
        let mut until = pin!(until);
        loop {
            let item = tokio::select! {
                over = until.as_mut() => return over,
                Some(item) = queue.items.recv() => item,
            };
            match item {
                Item::Order(order) => self.obey(order).await,
                Item::Asked(caller, work, holds) => {
                    self.tell(caller, work).await;
                    drop(holds);
                }
                item => queue.behind.push_back(item),
            }
        }
    }

    /// Takes nothing more from the queue, and answers what was asked by name before the last handle was closed.
    async fn end(&mut self, mut queue: Queue) {
        queue.items.close();
        let behind = std::mem::take(&mut queue.behind).into_iter();
        let rest = behind.chain(std::iter::from_fn(|| queue.items.try_recv().ok()));
        for item in rest {
            match item {
                Item::Asked(caller, work, _) => self.tell(caller, work).await,
                Item::Work(caller, _) => self.context.reply_error(caller, &closed()),
                Item::Hold(_) | Item::Order(_) => {}
            }
        }
    }

    /// Sets or shows attributes.
    async fn tell(&mut self, caller: Caller, work: WriteWork) {
        match work {
            WriteWork::Set(wanted) => {
                let set = self.set(wanted).await;
                self.context.reply_status(caller, set);
            }
            _ => {
                let entry = self.writer.entry();
                let bytes = reply::attributes(caller.id, &self.context.viewer, &entry);
                self.context.reply(caller, bytes);
            }
        }
    }

    /// Whoever asked may have gone away.
    async fn obey(&mut self, order: Order) {
        match order {
            Order::Entry(sender) => drop(sender.send(self.writer.entry())),
            Order::Read(sender) => {
                let reader = match &self.failed {
                    Some(error) => Err(again(error)),
                    None => self.writer.reader().await,
                };
                drop(sender.send(reader));
            }
            Order::Rename {
                to,
                overwrite,
                done,
            } => {
                let files = &self.context.files;
                let renamed = match self.writer.is_new() {
                    true => {
                        let renamed = files.rename_new(&mut self.writer, &to, overwrite).await;
                        renamed.map(|()| true)
                    }
                    false => Ok(false),
                };
                drop(done.send(renamed));
            }
            Order::Truncate(sender) => {
                let has_ended = self.failed.is_some() || self.writer.has_ended();
                let cut = match has_ended {
                    true => Ok(false),
                    false => self.writer.resize(0).await.map(|()| true),
                };
                drop(sender.send(cut));
            }
            Order::Unlink(fate, done) => {
                let goes = self.writer.unlink(fate).await;
                // What may live on is not dropped. Whoever asked may have gone away.
                let _ = done.send(goes.unwrap_or(false));
            }
        }
    }

    async fn sync(&mut self) -> Result<()> {
        match &self.failed {
            Some(error) => Err(again(error)),
            None => self.writer.sync().await,
        }
    }

    async fn write(&mut self, offset: Option<u64>, data: Bytes) -> Result<()> {
        let written = match offset {
            Some(offset) => self.writer.write_at(offset, data).await,
            None => self.writer.append(data).await,
        };
        if let (Err(error), None) = (&written, &self.failed) {
            self.failed = Some(again(error));
        }
        written
    }

    async fn source(&mut self) -> Result<CountedSource> {
        if let Some(error) = &self.failed {
            return Err(again(error));
        }
        let source = self.writer.source().await?;
        let waiting = self.context.gate.hold(source.weight())?;
        Ok(CountedSource {
            source,
            _waiting: waiting,
        })
    }

    async fn copy(
        &mut self,
        caller: Caller,
        source: Result<CopyFrom>,
        request: CopyRequest,
        to: Option<u64>,
    ) {
        match self.try_copy(source, request, to).await {
            // Less than asked for is there, as OpenSSH's server tells it.
            Ok(Some(copied)) if copied < request.length => {
                let bytes = reply::end(caller.id);
                self.context.reply(caller, bytes);
            }
            Ok(Some(_)) => self.context.reply_ok(caller),
            Ok(None) => {
                let why = "parts of one file that overlap cannot be copied; copy less at a time";
                let bytes = reply::status(caller.id, Code::Failure, why);
                self.context.reply(caller, bytes);
            }
            Err(error) => self.context.reply_error(caller, &error),
        }
    }

    /// Says how many bytes were copied; none when the two parts are of one file and overlap.
    async fn try_copy(
        &mut self,
        source: Result<CopyFrom>,
        request: CopyRequest,
        to: Option<u64>,
    ) -> Result<Option<u64>> {
        let length = match request.length {
            0 => u64::MAX,
            length => length,
        };
        let counted;
        let made;
        let source = match source? {
            CopyFrom::File(file) => {
                made = file.reader.source();
                &made
            }
            CopyFrom::Lane(source) => {
                counted = source;
                &counted.source
            }
        };
        if request.read == request.write
            && let Some(to) = to
        {
            let there = length.min(source.size().saturating_sub(request.from));
            if request.from.abs_diff(to) < there {
                return Ok(None);
            }
        }
        let copied = self
            .writer
            .copy_from(source, request.from, length, to)
            .await;
        if let (Err(error), None) = (&copied, &self.failed) {
            self.failed = Some(again(error));
        }
        copied.map(Some)
    }

    async fn set(&mut self, wanted: Wanted) -> Result<()> {
        if let Some(size) = wanted.size {
            self.writer.resize(size).await?;
        }
        match wanted.update.is_empty() {
            true => Ok(()),
            false => self.writer.set_attributes(wanted.update).await,
        }
    }

    async fn read(&mut self, caller: Caller, offset: u64, length: usize) {
        if length == 0 {
            let bytes = reply::data_head(caller.id, 0);
            return self.context.reply(caller, bytes);
        }
        let place = place(&self.context, length.min(MAX_DATA_BYTES)).await;
        match self.writer.read_at(offset, place.bytes()).await {
            Ok(data) if data.is_empty() => {
                let bytes = reply::end(caller.id);
                self.context.reply(caller, bytes);
            }
            Ok(data) => {
                let head = reply::data_head(caller.id, data.len());
                self.context
                    .replies
                    .send_data(caller.ticket, place, head, data);
            }
            Err(error) => self.context.reply_error(caller, &error),
        }
    }

    async fn close(self, caller: Caller, leaving: Leaving) {
        let closed = match self.failed {
            Some(error) => {
                self.writer.abandon().await;
                Err(error)
            }
            None => self.writer.commit().await.map(drop),
        };
        // Settled before the client hears of it, so that what it asks next sees it.
        drop(leaving);
        self.context.reply_status(caller, closed);
    }
}

/// What a part is copied from, once that is known.
enum CopyFrom {
    File(Arc<ReadFile>),
    Lane(CountedSource),
}

fn closed() -> Error {
    Error::new(ErrorKind::Stale, "the file was closed meanwhile")
}

/// A request about a file's name that the file does not answer, and what waits for it.
pub type Asked = (Caller, Vec<Hold>);

/// What is to be done, in order.
struct Queue {
    items: UnboundedReceiver<Item>,
    /// What came while the file waited: before all that is still in `items`.
    behind: VecDeque<Item>,
}

impl Queue {
    async fn next(&mut self) -> Option<Item> {
        match self.behind.pop_front() {
            Some(item) => Some(item),
            None => self.items.recv().await,
        }
    }
}

/// Room for a reply. While the client keeps us waiting for it, the writes behind this read wait for
/// the client too, and the gate must not close on them.
async fn place(context: &Context, length: usize) -> Place {
    if let Some(place) = context.room.try_take(length) {
        return place;
    }
    let _exemption = context.gate.exempt();
    context.room.take(length).await
}

/// The same words once more; the cause was told the first time.
fn again(error: &Error) -> Error {
    Error::new(error.kind(), error.context())
}
