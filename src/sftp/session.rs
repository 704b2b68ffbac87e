//! One SFTP channel: takes bytes as they come, and never waits for anything.
//!
//! Each request goes at once into the queue of what will do it: reads into one, requests about names
//! into another, what is done through a handle being written into the handle's own, which waits for
//! requests about its name that came before.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

use crate::domain::error::{Error, Result};
use crate::domain::path::VfsPath;
use crate::sftp::context::{Caller, Context};
use crate::sftp::decode::Packet;
use crate::sftp::handles::{Closed, Handles, Open};
use crate::sftp::hold::Near;
use crate::sftp::packet::{MAX_DATA_BYTES, Packets};
use crate::sftp::paths::{PathLane, PathWork};
use crate::sftp::reads::{self, Read};
use crate::sftp::reply::{self, Code};
use crate::sftp::request::{CopyRequest, HandleId, HandleRequest, PathRequest, Request, SpaceForm};
use crate::sftp::sums::{self, SumWork};
use crate::sftp::writes::{CopySource, WriteLane, WriteWork};

/// What a request counts beside the bytes in it.
const REQUEST_BYTES: usize = 64;

/// The reading end of one SFTP channel. Dropped when the client is gone: what is under way is
/// finished, what has not begun is not, and uploads are broken off and kept.
pub struct SftpSession {
    context: Context,
    packets: Packets,
    greeted: bool,
    /// Of the request that came last.
    number: u64,
    handles: Handles,
    max_handles: usize,
    reads: UnboundedSender<Read>,
    paths: UnboundedSender<PathWork>,
    sums: UnboundedSender<SumWork>,
    broken: DropGuard,
}

impl SftpSession {
    /// Starts the lanes of a channel as tasks of `tasks`.
    pub fn start(context: Context, max_handles: usize, tasks: &TaskTracker) -> Self {
        let (done, names) = watch::channel(0);
        let handles = Handles::new(max_handles, names);
        let broken = context.broken.clone();
        let (reads, read_queue) = unbounded_channel();
        tasks.spawn(reads::run(context.clone(), read_queue));
        let (sums, sum_queue) = unbounded_channel();
        tasks.spawn(sums::run(context.clone(), sum_queue));
        let (paths, path_queue) = unbounded_channel();
        let lane = PathLane {
            context: context.clone(),
            handles: handles.clone(),
            sums: sums.clone(),
            tasks: tasks.clone(),
            done,
            number: 0,
        };
        tasks.spawn(lane.run(path_queue));
        Self {
            context,
            packets: Packets::default(),
            greeted: false,
            number: 0,
            handles,
            max_handles,
            reads,
            paths,
            sums,
            broken: broken.drop_guard(),
        }
    }

    /// Takes what came.
    ///
    /// # Errors
    /// Invalid or Busy when the session has to end, with the sentence for the client.
    pub fn feed(&mut self, mut input: &[u8]) -> Result<()> {
        while let Some(packet) = self.packets.next(&mut input)? {
            match Packet::parse(packet)? {
                Packet::Init(version) => self.greet(version)?,
                Packet::Request(..) if !self.greeted => {
                    return Err(Error::invalid("an SFTP session starts with SSH_FXP_INIT"));
                }
                Packet::Request(id, request) => self.take(id, request)?,
            }
        }
        Ok(())
    }

    /// Ends after what was asked for is done: the client sends no more but still listens.
    pub fn finish(self) {
        // Queues end when their senders are dropped; the token only stops what has not begun.
        drop(self.broken.disarm());
    }

    fn greet(&mut self, version: u32) -> Result<()> {
        if self.greeted || version < 3 {
            return Err(Error::invalid(format!(
                "SSH_FXP_INIT with version {version} was sent; version 3 once is expected"
            )));
        }
        self.greeted = true;
        self.context.replies.send_version(reply::version());
        Ok(())
    }

    fn take(&mut self, id: u32, request: Result<Request>) -> Result<()> {
        let ticket = self.context.ledger.request()?;
        let caller = Caller { id, ticket };
        self.number += 1;
        match request {
            Err(error) => self.context.reply_error(caller, &error),
            Ok(Request::Copy(request)) => self.copy(caller, request)?,
            Ok(Request::Limits) => {
                let bytes = reply::limits(id, self.max_handles);
                self.context.reply(caller, bytes);
            }
            Ok(Request::Names { users, groups }) => {
                let viewer = &self.context.viewer;
                match reply::names(id, viewer, &users, &groups) {
                    Some(bytes) => self.context.reply(caller, bytes),
                    None => self.refuse(caller, "so many ids do not fit a reply; ask for fewer"),
                }
            }
            Ok(Request::Vendor) => self.context.reply_ok(caller),
            Ok(Request::Unsupported(why)) => {
                let bytes = reply::status(id, Code::OpUnsupported, &why);
                self.context.reply(caller, bytes);
            }
            Ok(Request::Path(request)) => self.push_path(caller, request)?,
            Ok(Request::Handle(handle, HandleRequest::Close)) => self.close(caller, handle),
            Ok(Request::Handle(handle, request)) => match self.handles.find(handle) {
                None => self.refuse(caller, "this handle is not open"),
                Some(Open::Folder(path, lane)) => match request {
                    HandleRequest::ReadFolder => lane.push(caller),
                    request => self.about_path(caller, &path, request)?,
                },
                Some(Open::Read(path, file)) => match request {
                    HandleRequest::Read { offset, length } => self.queue_read(Read {
                        caller,
                        file,
                        offset,
                        length,
                    }),
                    HandleRequest::Stat => {
                        let entry = file.reader.entry();
                        let bytes = reply::attributes(id, &self.context.viewer, entry);
                        self.context.reply(caller, bytes);
                    }
                    // The lane ends only when this session does.
                    HandleRequest::Sum(wanted) => drop(self.sums.send(SumWork {
                        caller,
                        file,
                        wanted,
                    })),
                    request => match path {
                        Some(path) => self.about_path(caller, &path, request)?,
                        None => self.about_deleted(caller, &request),
                    },
                },
                Some(Open::Write(path, lane)) => self.write(caller, &path, &lane, request)?,
            },
        }
        Ok(())
    }

    fn write(
        &self,
        caller: Caller,
        path: &Arc<VfsPath>,
        lane: &WriteLane,
        request: HandleRequest,
    ) -> Result<()> {
        let work = match request {
            HandleRequest::Read { .. } if !lane.handle.reads => {
                self.refuse(caller, "this file was not opened for reading");
                return Ok(());
            }
            HandleRequest::Read { offset, length } => WriteWork::Read {
                offset,
                length: (length as usize).min(MAX_DATA_BYTES),
            },
            HandleRequest::Write { offset, data } => WriteWork::Write {
                offset: (!lane.handle.appends).then_some(offset),
                waiting: self.context.gate.hold(data.len() + REQUEST_BYTES)?,
                data,
            },
            HandleRequest::SetStat(wanted) => WriteWork::Set(wanted),
            HandleRequest::Stat => WriteWork::Stat,
            HandleRequest::Sync => WriteWork::Sync(self.handles.publish(path.clone(), self.number)),
            request => return self.about_path(caller, path, request),
        };
        lane.push(self.number, caller, work);
        Ok(())
    }

    /// Queued behind what was asked of both files before: what is read is the state at this point.
    fn copy(&self, caller: Caller, request: CopyRequest) -> Result<()> {
        let Some(Open::Write(_, target)) = self.handles.find(request.write) else {
            self.refuse(caller, "the file to copy to is not open for writing");
            return Ok(());
        };
        let source = match self.handles.find(request.read) {
            Some(Open::Read(_, file)) => CopySource::File(file),
            Some(Open::Write(_, lane)) if lane.handle.reads => {
                CopySource::Lane(lane.source(self.number))
            }
            _ => {
                self.refuse(caller, "the file to copy from is not open for reading");
                return Ok(());
            }
        };
        // As with WRITE, a handle that appends does so wherever it is told to write.
        let to = (!target.handle.appends).then_some(request.to);
        let work = WriteWork::Copy {
            source,
            request,
            to,
        };
        target.push(self.number, caller, work);
        Ok(())
    }

    fn queue_read(&self, read: Read) {
        // The lane ends only when this session does.
        let _ = self.reads.send(read);
    }

    /// What a handle has no answer of its own to: as if its path had been given.
    fn about_path(&self, caller: Caller, path: &VfsPath, request: HandleRequest) -> Result<()> {
        let path = Bytes::from(path.to_string());
        match request {
            HandleRequest::Space => {
                let form = SpaceForm::StatVfs;
                self.push_path(caller, PathRequest::Space { path, form })
            }
            HandleRequest::Stat => self.push_path(caller, PathRequest::Stat { path }),
            HandleRequest::SetStat(wanted) if wanted.size.is_none() => {
                self.push_path(caller, PathRequest::SetStat { path, wanted })
            }
            HandleRequest::Sync => {
                self.context.reply_ok(caller);
                Ok(())
            }
            HandleRequest::Sum(_) => {
                self.refuse(caller, "close the file first, then ask for its checksum");
                Ok(())
            }
            HandleRequest::Close
            | HandleRequest::Read { .. }
            | HandleRequest::ReadFolder
            | HandleRequest::SetStat(_)
            | HandleRequest::Write { .. } => {
                self.refuse(caller, "this handle was not opened for that");
                Ok(())
            }
        }
    }

    /// What is asked of a file that has no name any more: nobody else can see what becomes of it.
    fn about_deleted(&self, caller: Caller, request: &HandleRequest) {
        match request {
            HandleRequest::SetStat(wanted) if wanted.size.is_none() => {
                self.context.reply_ok(caller);
            }
            HandleRequest::Sync => self.context.reply_ok(caller),
            _ => self.refuse(caller, "this file was deleted"),
        }
    }

    fn push_path(&self, caller: Caller, request: PathRequest) -> Result<()> {
        let waiting = self.context.gate.hold(request.bytes() + REQUEST_BYTES)?;
        let near = Arc::new(Near::of(&request, &self.context.files.principal().home));
        self.handles.hold(self.number, near.clone());
        let work = PathWork {
            caller,
            request,
            number: self.number,
            near,
            waiting,
        };
        // The lane ends only when this session does.
        let _ = self.paths.send(work);
        Ok(())
    }

    fn close(&self, caller: Caller, handle: HandleId) {
        match self.handles.close(handle, self.number) {
            None => self.refuse(caller, "this handle is not open"),
            Some(Closed::Told) => self.context.reply_ok(caller),
            Some(Closed::Leaving(lane, leaving)) => {
                lane.push(self.number, caller, WriteWork::Close(leaving));
            }
        }
    }

    fn refuse(&self, caller: Caller, why: &str) {
        let bytes = reply::status(caller.id, Code::Failure, why);
        self.context.reply(caller, bytes);
    }
}
