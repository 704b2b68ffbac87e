//! One file being written: a queue and a task that owns the writer, so that what a client does
//! through one handle happens in the order of its requests.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};
use tokio_util::task::TaskTracker;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::node::Entry;
use crate::domain::path::VfsPath;
use crate::sftp::attrs::Wanted;
use crate::sftp::context::{Caller, Context};
use crate::sftp::gate::Waiting;
use crate::sftp::hold::{Leaving, Ties};
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
    /// To show its attributes.
    Stat,
    /// To store and publish what there is; the sender is dropped when that is settled.
    Sync(oneshot::Sender<()>),
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
/// was asked before.
pub enum Order {
    /// To show its attributes.
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
    /// To set attributes.
    Set(Wanted, oneshot::Sender<Result<()>>),
    /// To say what a copy of it would share now.
    Source(oneshot::Sender<Result<CountedSource>>),
    /// To start again from nothing; says whether it does: not after an error, which ended this upload.
    Truncate(oneshot::Sender<Result<bool>>),
    /// To go when it is closed, since its name is gone; says whether it does.
    Unlink(Fate, oneshot::Sender<bool>),
}

/// What comes into the queue.
struct Item {
    /// Of the request that asks.
    number: u64,
    /// Of the request about names for which it waits; 0 is none.
    after: u64,
    task: Task,
}

enum Task {
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
    /// Gives `writer` to a task of `tasks`; `names` tells the number of the request about names that was done last.
    pub fn start(
        context: Context,
        writer: FileWriter,
        handle: HandleUse,
        names: watch::Receiver<u64>,
        tasks: &TaskTracker,
    ) -> Self {
        let (work, queue) = unbounded_channel();
        let lane = Lane {
            _file: context.ledger.file(),
            context,
            writer,
            names,
            failed: None,
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

    /// Adds what the request of this number asks through a handle.
    pub fn push(&self, number: u64, caller: Caller, work: WriteWork) {
        self.add(number, self.ties.after(), Task::Work(caller, work));
    }

    /// Adds what a request about names asks that is being done; its sender is dropped when the file is closed before.
    pub fn order(&self, number: u64, order: Order) {
        self.add(number, 0, Task::Order(order));
    }

    /// Adds that the request of this number copies from the file; what is returned tells what.
    pub fn source(&self, number: u64) -> oneshot::Receiver<Result<CountedSource>> {
        let (sender, source) = oneshot::channel();
        let order = Task::Order(Order::Source(sender));
        self.add(number, self.ties.after(), order);
        source
    }

    fn add(&self, number: u64, after: u64, task: Task) {
        // The task ends before the queue only after a close, and then no handle leads here, or when the client is
        // gone.
        let _ = self.work.send(Item {
            number,
            after,
            task,
        });
    }
}

struct Lane {
    context: Context,
    writer: FileWriter,
    /// The number of the request about names that was done last.
    names: watch::Receiver<u64>,
    /// The first write that failed: nothing is published after it.
    failed: Option<Error>,
    _file: OpenFile,
}

impl Lane {
    async fn run(mut self, items: UnboundedReceiver<Item>) {
        let mut queue = Queue {
            items,
            waiting: VecDeque::new(),
        };
        while let Some(item) = queue.next().await {
            let Item {
                number,
                after,
                task,
            } = item;
            if after > *self.names.borrow() {
                let mut names = self.names.clone();
                let done = async { names.wait_for(|done| *done >= after).await.is_ok() };
                if Box::pin(self.wait(&mut queue, number, done)).await != Some(true) {
                    break;
                }
            }
            let (caller, work) = match task {
                Task::Order(order) => {
                    Box::pin(self.obey(order)).await;
                    continue;
                }
                Task::Work(caller, work) => (caller, work),
            };
            match work {
                // All but writing is boxed: there is one of these for every open file.
                WriteWork::Close(leaving) => {
                    if leaving.is_last() {
                        drop(queue);
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
                            match Box::pin(self.wait(&mut queue, number, source)).await {
                                Some(source) => {
                                    source.unwrap_or_else(|_| Err(closed())).map(CopyFrom::Lane)
                                }
                                None => break,
                            }
                        }
                    };
                    Box::pin(self.copy(caller, source, request, to)).await;
                }
                WriteWork::Read { offset, length } => {
                    Box::pin(self.read(caller, offset, length)).await;
                }
                WriteWork::Set(wanted) => {
                    let set = Box::pin(self.set(wanted)).await;
                    self.context.reply_status(caller, set);
                }
                WriteWork::Stat => {
                    let entry = self.writer.entry();
                    let bytes = reply::attributes(caller.id, &self.context.viewer, &entry);
                    self.context.reply(caller, bytes);
                }
                WriteWork::Sync(settled) => {
                    let synced = Box::pin(self.sync()).await;
                    drop(settled);
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

    /// Waits before doing what the request of this number asks, and does in the meantime what earlier ones ask: one of
    /// them may be what is waited for. What later ones ask stays behind. None when the client is gone, and nothing is
    /// to be waited for any more.
    async fn wait<T>(
        &mut self,
        queue: &mut Queue,
        number: u64,
        until: impl Future<Output = T>,
    ) -> Option<T> {
        let broken = self.context.broken.clone();
        let mut until = pin!(until);
        loop {
            let item = tokio::select! {
                () = broken.cancelled() => return None,
                over = until.as_mut() => return Some(over),
                Some(item) = queue.items.recv() => item,
            };
            match item {
                Item {
                    number: asked,
                    task: Task::Order(order),
                    ..
                } if asked < number => self.obey(order).await,
                item => queue.put(item),
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
            Order::Set(wanted, sender) => drop(sender.send(self.set(wanted).await)),
            Order::Source(sender) => drop(sender.send(self.source().await)),
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
            // Less than asked for is there. OpenSSH's server says so only when its last buffers stay empty.
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

/// What is to be done, in the order of the requests.
struct Queue {
    items: UnboundedReceiver<Item>,
    /// What came already.
    waiting: VecDeque<Item>,
}

impl Queue {
    async fn next(&mut self) -> Option<Item> {
        // A request about names asks when it is being done, and then is before what came after it.
        while let Ok(item) = self.items.try_recv() {
            self.put(item);
        }
        match self.waiting.pop_front() {
            Some(item) => Some(item),
            None => self.items.recv().await,
        }
    }

    fn put(&mut self, item: Item) {
        let place = |other: &Item| other.number <= item.number;
        self.waiting
            .insert(self.waiting.partition_point(place), item);
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
