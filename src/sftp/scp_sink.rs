//! `scp -t`: what a client sends becomes files.

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::node::{AttributeUpdate, NodeKind};
use crate::domain::path::VfsPath;
use crate::sftp::attrs::Wanted;
use crate::sftp::environment::{Environment, reason};
use crate::sftp::scp_line::{Control, MAX_LINE_BYTES, message};
use crate::sftp::scp_options::Options;
use crate::sftp::words::Word;
use crate::vfs::options::{Create, WriteOptions};
use crate::vfs::write::FileWriter;

/// A file that cannot be stored is still read to its end, so that the next one is found, unless
/// more than this is left, in bytes.
const MOST_SKIPPED: u64 = 64 << 20;

/// Why nothing more is received.
enum Stop {
    /// The client has said all.
    End,
    /// It makes no sense to go on; the client is told, if it still listens.
    Fatal(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}

/// Receives into `target`; returns the exit status.
pub async fn receive(environment: &mut Environment, options: Options, target: &Word) -> u32 {
    let mut sink = Sink {
        environment,
        options,
        errors: 0,
        next: AttributeUpdate::default(),
    };
    let stop = sink.run(target).await;
    if let Stop::Fatal(error) = &stop {
        sink.errors += 1;
        let line = format!("scp: {}", message(reason(error).as_bytes()));
        // Both, since a client in the midst of sending does not listen to the protocol.
        let _ = sink.answer(&format!("\x02{line}\n"));
        let _ = sink.environment.output.complain(&line);
    }
    u32::from(sink.errors > 0)
}

struct Sink<'a> {
    environment: &'a mut Environment,
    options: Options,
    errors: usize,
    /// Times that the next file or folder gets.
    next: AttributeUpdate,
}

/// A folder that entries are received into.
struct Level {
    path: VfsPath,
    /// What it gets when it is over.
    after: AttributeUpdate,
}

impl Sink<'_> {
    async fn run(&mut self, target: &Word) -> Stop {
        match self.try_run(target).await {
            Ok(()) => Stop::End,
            Err(stop) => stop,
        }
    }

    async fn try_run(&mut self, target: &Word) -> std::result::Result<(), Stop> {
        let shown = message(&target.bytes);
        let path = self.environment.resolve(target)?;
        let is_folder = match self.environment.files.stat(&path).await {
            Ok(entry) => entry.kind == NodeKind::Folder,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(named(&shown, &error).into()),
        };
        let names_folder = target.bytes.ends_with(b"/") && !self.options.recursive;
        if (self.options.to_folder || names_folder) && !is_folder {
            let error = Error::new(ErrorKind::Invalid, format!("{shown}: Not a directory"));
            return Err(error.into());
        }
        self.acknowledge()?;
        // Empty is beside the target itself, which a first file or folder may give its name to.
        let mut levels: Vec<Level> = Vec::new();
        loop {
            let Some(line) = self.environment.input.line(MAX_LINE_BYTES).await? else {
                return match levels.is_empty() && !self.environment.input.is_broken() {
                    true => Ok(()),
                    false => Err(broken_off().into()),
                };
            };
            match Control::parse(&line)? {
                Control::Warning(_) => self.errors += 1,
                Control::Fatal(_) => {
                    self.errors += 1;
                    return Err(Stop::End);
                }
                Control::Times { modified, accessed } => {
                    self.next.modified = Some(modified);
                    self.next.accessed = Some(accessed);
                    self.acknowledge()?;
                }
                Control::End => match levels.pop() {
                    Some(level) => self.leave(&level).await?,
                    None => return Err(Error::invalid("a folder ends that never began").into()),
                },
                Control::Folder { mode, name } => {
                    if !self.options.recursive {
                        let error = Error::invalid("a folder was sent without -r");
                        return Err(error.into());
                    }
                    let above = levels.last().map(|level| level.path.clone());
                    let at = match (above, is_folder) {
                        (Some(above), _) => above.join(name),
                        (None, true) => path.clone().join(name),
                        (None, false) => Ok(path.clone()),
                    };
                    let next = std::mem::take(&mut self.next);
                    match self.enter(at, mode, next).await {
                        Ok(level) => {
                            levels.push(level);
                            self.acknowledge()?;
                        }
                        Err(error) => self.warn(&error)?,
                    }
                }
                Control::File { mode, size, name } => {
                    let above = levels.last().map(|level| level.path.clone());
                    let at = match (above, is_folder) {
                        (Some(above), _) => above.join(name),
                        (None, true) => path.clone().join(name),
                        (None, false) => Ok(path.clone()),
                    };
                    let next = std::mem::take(&mut self.next);
                    Box::pin(self.file(at, mode, size, next)).await?;
                }
            }
        }
    }

    /// Makes a folder, or takes the one that is there.
    async fn enter(&self, at: Result<VfsPath>, mode: u32, times: AttributeUpdate) -> Result<Level> {
        let path = at?;
        let shown = path.to_string();
        let update = wanted(mode).for_new();
        let files = &self.environment.files;
        let mut after = times;
        match files.make_folder(&path, update).await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let entry = files.stat(&path).await?;
                if entry.kind != NodeKind::Folder {
                    let error = Error::new(ErrorKind::NotFolder, "Not a directory");
                    return Err(named(&shown, &error));
                }
            }
            Err(error) => return Err(named(&shown, &error)),
        }
        if self.options.preserve {
            after.mode = Some(mode);
        }
        Ok(Level { path, after })
    }

    async fn leave(&mut self, level: &Level) -> Result<()> {
        let files = &self.environment.files;
        let set = match level.after.is_empty() {
            true => Ok(()),
            false => files.set_attributes(&level.path, level.after).await,
        };
        match set {
            Ok(()) => self.acknowledge(),
            Err(error) => self.warn(&named(&level.path.to_string(), &error)),
        }
    }

    async fn file(
        &mut self,
        at: Result<VfsPath>,
        mode: u32,
        size: u64,
        times: AttributeUpdate,
    ) -> Result<()> {
        let opened = match at {
            Ok(path) => {
                let options = WriteOptions {
                    create: Create::IfMissing,
                    truncate: true,
                    append: false,
                    resumable: true,
                    attributes: wanted(mode).for_new(),
                };
                let opened = self.environment.files.open_write(&path, options).await;
                let shown = path.to_string();
                opened
                    .map_err(|error| named(&shown, &error))
                    .map(|writer| (shown, writer))
            }
            Err(error) => Err(error),
        };
        let (shown, writer) = match opened {
            Ok(opened) => opened,
            // The client does not send it then.
            Err(error) => return self.warn(&error),
        };
        self.acknowledge()?;
        let mut writer = Some(writer);
        let mut failed = self
            .fill(&mut writer, size)
            .await?
            .map(|error| named(&shown, &error));
        if !self.is_confirmed().await? {
            let error = Error::invalid("not stored, since it could not be read at the other end");
            failed = failed.or(Some(named(&shown, &error)));
        }
        let mut update = times;
        if self.options.preserve {
            update.mode = Some(mode);
        }
        let stored = match (failed, writer) {
            (Some(error), writer) => {
                // What came is not of the file: OpenSSH sends zeros for what it cannot read.
                if let Some(writer) = writer {
                    writer.revert().await;
                }
                Err(error)
            }
            (None, Some(writer)) => finish(writer, update).await.map_err(|e| named(&shown, &e)),
            (None, None) => Err(Error::internal("a file without a writer")),
        };
        match stored {
            Ok(()) => self.acknowledge(),
            Err(error) => self.warn(&error),
        }
    }

    /// Writes what comes; returns what went wrong with the file, and fails when it is the line.
    async fn fill(&mut self, writer: &mut Option<FileWriter>, size: u64) -> Result<Option<Error>> {
        let mut failed = None;
        let mut at = 0;
        while at < size {
            let most = usize::try_from(size - at).unwrap_or(usize::MAX);
            let bytes = self.environment.input.take(most).await;
            let bytes = bytes.ok_or_else(broken_off)?;
            let offset = at;
            at += bytes.len() as u64;
            let Some(open) = writer else {
                continue;
            };
            if let Err(error) = open.write_at(offset, bytes).await {
                if size - at > MOST_SKIPPED {
                    return Err(error);
                }
                *writer = None;
                failed = Some(error);
            }
        }
        Ok(failed)
    }

    /// Whether the other end says that what it sent is the file.
    async fn is_confirmed(&mut self) -> Result<bool> {
        let input = &mut self.environment.input;
        match input.byte().await.ok_or_else(broken_off)? {
            0 => Ok(true),
            1 => {
                input.line(MAX_LINE_BYTES).await?.ok_or_else(broken_off)?;
                Ok(false)
            }
            2 => Err(broken_off()),
            _ => Err(Error::invalid("a file is not followed by its status")),
        }
    }

    fn acknowledge(&self) -> Result<()> {
        self.answer("\0")
    }

    fn warn(&mut self, error: &Error) -> Result<()> {
        self.errors += 1;
        let text = message(reason(error).as_bytes());
        self.answer(&format!("\x01scp: {text}\n"))
    }

    fn answer(&self, line: &str) -> Result<()> {
        self.environment.output.say(line.to_owned())
    }
}

async fn finish(mut writer: FileWriter, update: AttributeUpdate) -> Result<()> {
    if !update.is_empty() {
        writer.set_attributes(update).await?;
    }
    writer.commit().await.map(drop)
}

fn wanted(mode: u32) -> Wanted {
    Wanted {
        size: None,
        update: AttributeUpdate {
            mode: Some(mode),
            ..AttributeUpdate::default()
        },
    }
}

/// The same error with what it is about before it.
fn named(shown: &str, error: &Error) -> Error {
    // Of a kind whose own words are shown.
    Error::invalid(format!("{shown}: {}", reason(error)))
}

fn broken_off() -> Error {
    Error::invalid("the transfer was broken off")
}
