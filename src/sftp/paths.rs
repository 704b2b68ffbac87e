//! Requests about names: one after the other, in the order they came, since a client may see the
//! difference. One that touches a file that an earlier request publishes waits until that is settled; a file being
//! written is asked itself, which answers behind what earlier requests asked of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};
use tokio_util::task::TaskTracker;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::NodeId;
use crate::domain::node::{Entry, NodeKind};
use crate::domain::path::VfsPath;
use crate::sftp::attrs::Wanted;
use crate::sftp::context::{Caller, Context};
use crate::sftp::folders::FolderLane;
use crate::sftp::gate::Waiting;
use crate::sftp::handles::{Handles, Open};
use crate::sftp::hold::Near;
use crate::sftp::reads::{Counted, ReadFile};
use crate::sftp::reply::{self, FileSystem};
use crate::sftp::request::{HandleId, OpenFlags, PathRequest, SpaceForm, SumRequest};
use crate::sftp::sums::SumWork;
use crate::sftp::writes::{HandleUse, Order, WriteLane};
use crate::vfs::options::{Create, WriteOptions};
use crate::vfs::rename::Overwrite;
use crate::vfs::write::Fate;

/// A request.
pub struct PathWork {
    /// Who asks.
    pub caller: Caller,
    /// For what.
    pub request: PathRequest,
    /// How many requests of the channel came before it.
    pub number: u64,
    /// The names on which it depends.
    pub near: Arc<Near>,
    /// Its names, counted until it is done.
    pub waiting: Waiting,
}

/// The one task for requests about names of a channel.
pub struct PathLane {
    /// What all lanes share.
    pub context: Context,
    /// Where what is opened goes.
    pub handles: Handles,
    /// Where requests for checksums go.
    pub sums: UnboundedSender<SumWork>,
    /// Owns the tasks of what is opened.
    pub tasks: TaskTracker,
    /// The number of the request that was done last.
    pub done: watch::Sender<u64>,
    /// Of the request that is being done.
    pub number: u64,
}

impl PathLane {
    /// Answers requests until no more can come.
    pub async fn run(mut self, mut queue: UnboundedReceiver<PathWork>) {
        while let Some(work) = queue.recv().await {
            if self.context.broken.is_cancelled() {
                return;
            }
            let PathWork {
                caller,
                request,
                number,
                near,
                waiting,
            } = work;
            self.number = number;
            tokio::select! {
                () = self.context.broken.cancelled() => return,
                () = self.handles.settle(number, &near) => {}
            }
            if let PathRequest::Sum { path, wanted } = request {
                Box::pin(self.sum(caller, &path, wanted)).await;
                self.done.send_replace(number);
                continue;
            }
            let id = caller.id;
            // Boxed: most sessions wait most of the time.
            let answer = Box::pin(self.answer(id, request)).await;
            // Before the client hears of it, so that nothing waits that it asks next.
            drop(waiting);
            self.done.send_replace(number);
            match answer {
                Ok(bytes) => self.context.reply(caller, bytes),
                Err(error) => self.context.reply_error(caller, &error),
            }
        }
    }

    /// Asks a file being written, and waits for the answer, but not when the client is gone.
    async fn ask<T>(
        &self,
        lane: &WriteLane,
        order: impl FnOnce(oneshot::Sender<T>) -> Order,
    ) -> Result<T> {
        let (sender, answer) = oneshot::channel();
        lane.order(self.number, order(sender));
        let answer = tokio::select! {
            () = self.context.broken.cancelled() => None,
            answer = answer => answer.ok(),
        };
        answer
            .ok_or_else(|| Error::new(ErrorKind::Stale, "the file was closed meanwhile; try again"))
    }

    fn resolve(&self, raw: &[u8]) -> Result<VfsPath> {
        VfsPath::resolve(&self.context.files.principal().home, raw)
    }

    async fn answer(&self, id: u32, request: PathRequest) -> Result<Bytes> {
        let files = &self.context.files;
        match request {
            PathRequest::Copy { from, to, replace } => {
                let (from, to) = (self.resolve(&from)?, self.resolve(&to)?);
                if self.handles.writer(&from).is_some() {
                    // Of what this session sees nothing may be published yet.
                    return Err(Error::new(
                        ErrorKind::Busy,
                        format!("'{from}' is being written; close it first, then copy it"),
                    ));
                }
                let copied = files.copy_file(&from, &to, overwrite(replace)).await;
                if let Err(error) = copied {
                    return Err(self.not_copied(&from, error).await);
                }
            }
            PathRequest::Expand { path } => {
                return Ok(reply::real_path(id, &self.expand(&path)?.to_string()));
            }
            PathRequest::Home { user } => {
                let principal = files.principal();
                if !user.is_empty() && !principal.login.is_called(&user) {
                    return Err(only_own_home());
                }
                return Ok(reply::real_path(id, &principal.home.to_string()));
            }
            PathRequest::MakeFolder { path, wanted } => {
                let path = self.resolve(&path)?;
                if self.handles.writer(&path).is_some() {
                    return Err(Error::new(
                        ErrorKind::AlreadyExists,
                        format!("'{path}' exists already"),
                    ));
                }
                files.make_folder(&path, wanted.for_new()).await?;
            }
            PathRequest::Open {
                path,
                flags,
                wanted,
            } => {
                let path = self.resolve(&path)?;
                self.handles.check_room()?;
                let handle = match flags.writes() {
                    true => self.open_write(path, flags, wanted).await?,
                    false => self
                        .handles
                        .insert(self.open_read(path).await?, self.number),
                };
                return Ok(reply::handle(id, handle));
            }
            PathRequest::OpenFolder { path } => {
                let path = self.resolve(&path)?;
                self.handles.check_room()?;
                let folder = files.stat(&path).await?;
                let listing = files.list(&path).await?;
                let own = self.own_entries(&path).await;
                let context = self.context.clone();
                let lane = FolderLane::start(context, folder, listing, own, &self.tasks);
                let opened = Open::Folder(Arc::new(path), lane);
                let handle = self.handles.insert(opened, self.number);
                return Ok(reply::handle(id, handle));
            }
            PathRequest::RealPath { path } => {
                // OpenSSH's server takes no path as the current one.
                let raw: &[u8] = match path.is_empty() {
                    true => b".",
                    false => &path,
                };
                return Ok(reply::real_path(id, &self.resolve(raw)?.to_string()));
            }
            PathRequest::Remove { path } => {
                let path = self.resolve(&path)?;
                match files.remove_file(&path).await {
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        self.remove_own(&path, error).await?;
                    }
                    removed => removed?,
                }
                self.unlink(&path, Fate::Deleted).await;
            }
            PathRequest::RemoveFolder { path } => {
                let path = self.resolve(&path)?;
                if !self.handles.writers_in(&path).is_empty() {
                    return Err(being_written_in(&path));
                }
                files.remove_folder(&path).await?;
                self.unlink(&path, Fate::Deleted).await;
            }
            PathRequest::Rename { from, to, replace } => {
                let (from, to) = (self.resolve(&from)?, self.resolve(&to)?);
                self.rename(from, to, overwrite(replace)).await?;
            }
            PathRequest::SetStat { path, wanted } => {
                let path = self.resolve(&path)?;
                match self.handles.writer(&path) {
                    Some(lane) => {
                        let set = self.ask(&lane, |done| Order::Set(wanted, done));
                        set.await??;
                    }
                    None => self.set(&path, wanted).await?,
                }
            }
            PathRequest::Space { path, form } => {
                self.entry(&self.resolve(&path)?).await?;
                return self.space(id, form).await;
            }
            PathRequest::Stat { path } => {
                let entry = self.entry(&self.resolve(&path)?).await?;
                return Ok(reply::attributes(id, &self.context.viewer, &entry));
            }
            PathRequest::Sum { .. } => return Err(Error::internal("a checksum has its own lane")),
        }
        Ok(reply::ok(id))
    }

    /// Why a file was not copied by name: one that broke off is shown, but published nowhere.
    async fn not_copied(&self, from: &VfsPath, error: Error) -> Error {
        let is_shown = error.kind() == ErrorKind::NotFound
            && self
                .context
                .files
                .stat(from)
                .await
                .is_ok_and(|shown| shown.node == NodeId::NIL);
        match is_shown {
            true => Error::new(
                ErrorKind::Busy,
                format!("the upload of '{from}' broke off; go on with it first, then copy it"),
            ),
            false => error,
        }
    }

    /// A file being written is asked itself: before it is published nobody else knows of it, and clients look by name
    /// at what they have just opened (sshfs).
    async fn entry(&self, path: &VfsPath) -> Result<Entry> {
        match self.handles.writer(path) {
            Some(lane) => self.ask(&lane, Order::Entry).await,
            None => self.context.files.stat(path).await,
        }
    }

    /// A file that this session writes and nobody knows of yet is renamed by its own lane: what another
    /// published under the name meanwhile stays where it is.
    async fn rename(&self, from: VfsPath, to: VfsPath, overwrite: Overwrite) -> Result<()> {
        let own = self.handles.writer(&from);
        if own.is_some() && from == to {
            return Ok(());
        }
        let is_crowded = !self.handles.writers_in(&to).is_empty() && !to.starts_with(&from);
        if from != to && (is_crowded || self.handles.writer(&to).is_some()) {
            // Nobody else may know of it yet.
            let is_folder = match &own {
                Some(_) => false,
                None => self.context.files.stat(&from).await?.kind == NodeKind::Folder,
            };
            if is_crowded {
                return Err(being_written_in(&to));
            }
            if overwrite == Overwrite::Forbid {
                return Err(Error::new(
                    ErrorKind::AlreadyExists,
                    format!("'{to}' is being written; close it first or choose another name"),
                ));
            }
            if is_folder && !to.starts_with(&from) {
                return Err(Error::new(
                    ErrorKind::NotFolder,
                    format!("a folder cannot replace the file '{to}'"),
                ));
            }
        }
        let fate = match self.rename_own(own.as_ref(), &to, overwrite).await? {
            true => Fate::Promised,
            false => {
                self.context.files.rename(&from, &to, overwrite).await?;
                Fate::Deleted
            }
        };
        if from != to {
            self.unlink(&to, fate).await;
            self.handles.renamed(&from, &to);
        }
        Ok(())
    }

    /// Says whether `own` was renamed, because nothing of it is published yet.
    async fn rename_own(
        &self,
        own: Option<&WriteLane>,
        to: &VfsPath,
        overwrite: Overwrite,
    ) -> Result<bool> {
        let Some(lane) = own else {
            return Ok(false);
        };
        let to = to.clone();
        let renamed = self.ask(lane, |done| Order::Rename {
            to,
            overwrite,
            done,
        });
        renamed.await?
    }

    /// Nobody knows of a file at `path`, but this session may be writing it: one that was not published
    /// yet, or was deleted by another. One that another renamed is not here any more.
    async fn remove_own(&self, path: &VfsPath, unknown: Error) -> Result<()> {
        let Some(lane) = self.handles.writer(path) else {
            return Err(unknown);
        };
        let goes = self.ask(&lane, |goes| Order::Unlink(Fate::Deleted, goes));
        match goes.await? {
            true => Ok(()),
            false => Err(unknown),
        }
    }

    /// Lets files that are being written at `path` and below go when they are closed, unless they live on
    /// elsewhere. What is asked next finds their names free.
    async fn unlink(&self, path: &VfsPath, fate: Fate) {
        for lane in self.handles.unlink(path) {
            // Whether it goes is its own affair.
            let _ = self.ask(&lane, |goes| Order::Unlink(fate, goes)).await;
        }
    }

    /// How the files in a folder that this session writes show themselves.
    async fn own_entries(&self, folder: &VfsPath) -> BTreeMap<String, Entry> {
        let mut own = BTreeMap::new();
        for (name, lane) in self.handles.writers_in(folder) {
            if let Ok(entry) = self.ask(&lane, Order::Entry).await {
                let named = Entry {
                    name: name.clone(),
                    ..entry
                };
                own.insert(name, named);
            }
        }
        own
    }

    /// What this session wrote itself it sees as it is now.
    async fn open_read(&self, path: VfsPath) -> Result<Open> {
        let counted = self.count_read()?;
        let reader = match self.handles.writer(&path) {
            Some(lane) => {
                self.context.files.check_read(&path).await?;
                self.ask(&lane, Order::Read).await??
            }
            // Who was told the length of what broke off takes no other file for all of it.
            None => self.context.files.open_shown(&path).await?,
        };
        let file = ReadFile::new(reader, counted);
        Ok(Open::Read(Some(Arc::new(path)), Arc::new(file)))
    }

    fn count_read(&self) -> Result<Counted> {
        Ok(Counted {
            place: self.handles.place_to_read()?,
            file: self.context.ledger.file(),
        })
    }

    async fn open_write(
        &self,
        path: VfsPath,
        flags: OpenFlags,
        wanted: Wanted,
    ) -> Result<HandleId> {
        let handle = HandleUse {
            appends: flags.appends(),
            reads: flags.reads(),
        };
        if handle.reads {
            self.context.files.check_read(&path).await?;
        }
        if flags.is_exclusive() && flags.creates() && self.handles.writer(&path).is_some() {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("'{path}' exists already"),
            ));
        }
        // Handles of one session on one file share it, as they do on a disk.
        if let Some((id, lane)) = self.handles.share(&path, handle) {
            let goes_on = match flags.truncates() {
                true => {
                    let cut = self.ask(&lane, Order::Truncate).await;
                    cut.and_then(|cut| cut)
                }
                false => Ok(true),
            };
            if let Ok(true) = goes_on {
                return Ok(id);
            }
            self.handles.remove(id);
            // What an error ended is left to the handles that it has; this one begins anew.
            goes_on?;
        }
        let create = match (flags.creates(), flags.is_exclusive()) {
            (true, true) => Create::New,
            (true, false) => Create::IfMissing,
            (false, _) => Create::Never,
        };
        let options = WriteOptions {
            create,
            truncate: flags.truncates(),
            // Each handle says for itself whether it appends.
            append: false,
            resumable: true,
            attributes: wanted.for_new(),
        };
        let writer = self.context.files.open_write(&path, options).await?;
        let lane = WriteLane::start(
            self.context.clone(),
            writer,
            handle,
            self.done.subscribe(),
            &self.tasks,
        );
        let opened = Open::Write(Arc::new(path), lane);
        Ok(self.handles.insert(opened, self.number))
    }

    async fn set(&self, path: &VfsPath, wanted: Wanted) -> Result<()> {
        let files = &self.context.files;
        if let Some(size) = wanted.size {
            files.truncate(path, size).await?;
        }
        match wanted.update.is_empty() {
            // Owners cannot be set; only that there is something to set them on is checked.
            true => files.stat(path).await.map(drop),
            false => files.set_attributes(path, wanted.update).await,
        }
    }

    /// A path that may start with the tilde that shells make a home folder of.
    fn expand(&self, raw: &[u8]) -> Result<VfsPath> {
        let Some(rest) = raw.strip_prefix(b"~") else {
            return self.resolve(if raw.is_empty() { b"." } else { raw });
        };
        let (user, below) = match rest.iter().position(|byte| *byte == b'/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, &b""[..]),
        };
        let principal = self.context.files.principal();
        if !user.is_empty() && !principal.login.is_called(user) {
            return Err(only_own_home());
        }
        VfsPath::resolve(&principal.home, &[b".", below].concat())
    }

    /// Opens a file and leaves the rest to those who make checksums.
    async fn sum(&self, caller: Caller, raw: &[u8], wanted: SumRequest) {
        match self.open_sum(raw).await {
            // The lane ends only when this session does.
            Ok(file) => drop(self.sums.send(SumWork {
                caller,
                file: Arc::new(file),
                wanted,
            })),
            Err(error) => self.context.reply_error(caller, &error),
        }
    }

    /// The file as it is now, however long its turn takes to come.
    async fn open_sum(&self, raw: &[u8]) -> Result<ReadFile> {
        let counted = self.count_read()?;
        let path = self.resolve(raw)?;
        let reader = self.context.files.open_sum(&path).await?;
        Ok(ReadFile::new(reader, counted))
    }

    async fn space(&self, id: u32, form: SpaceForm) -> Result<Bytes> {
        let space = self.context.files.space().await?;
        let system = FileSystem {
            total_bytes: space.total_bytes,
            used_bytes: space.used_bytes,
            total_files: space.total_files,
            used_files: space.used_files,
            id: u64::try_from(self.context.files.principal().tenant.0).unwrap_or(0),
        };
        Ok(match form {
            SpaceForm::Available => reply::space_available(id, system),
            SpaceForm::StatVfs => reply::space(id, system),
        })
    }
}

fn overwrite(replace: bool) -> Overwrite {
    match replace {
        true => Overwrite::Allow,
        false => Overwrite::Forbid,
    }
}

fn being_written_in(folder: &VfsPath) -> Error {
    Error::new(
        ErrorKind::NotEmpty,
        format!("in the folder '{folder}' a file is being written; close it first"),
    )
}

fn only_own_home() -> Error {
    Error::new(
        ErrorKind::Denied,
        "only your own home folder can be asked for; leave the name away",
    )
}
