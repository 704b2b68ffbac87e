//! `scp -f`: files become what a client receives.

use std::collections::VecDeque;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::node::{Entry, NodeKind};
use crate::domain::path::VfsPath;
use crate::domain::pattern;
use crate::sftp::environment::{Environment, reason};
use crate::sftp::packet::MAX_DATA_BYTES;
use crate::sftp::scp_line::{MAX_LINE_BYTES, message};
use crate::sftp::scp_options::Options;
use crate::sftp::words::Word;
use crate::vfs::listing::Listing;
use crate::vfs::read::FileReader;

/// Sends `paths`; returns the exit status.
pub async fn send(environment: &mut Environment, options: Options, paths: &[Word]) -> u32 {
    let mut source = Source {
        environment,
        options,
        errors: 0,
    };
    if let Err(error) = source.send_all(paths).await {
        source.errors += 1;
        let line = format!("scp: {}", message(reason(&error).as_bytes()));
        // The client that takes nothing is told nothing.
        let _ = source.environment.output.complain(&line);
    }
    u32::from(source.errors > 0)
}

struct Source<'a> {
    environment: &'a mut Environment,
    options: Options,
    errors: usize,
}

/// A folder being sent.
struct Level {
    path: VfsPath,
    listing: Listing,
    page: VecDeque<Entry>,
}

impl Source<'_> {
    async fn send_all(&mut self, paths: &[Word]) -> Result<()> {
        if !self.is_accepted().await? {
            return Ok(());
        }
        for word in paths {
            let shown = message(&word.bytes);
            let path = match self.environment.resolve(word) {
                Ok(path) => path,
                Err(error) => {
                    self.warn(&shown, &error)?;
                    continue;
                }
            };
            match self.environment.files.stat(&path).await {
                Ok(entry) => self.one(path, entry).await?,
                Err(error) if error.kind() == ErrorKind::NotFound && word.is_pattern => {
                    self.matches(&path, &shown, &error).await?;
                }
                Err(error) => self.warn(&shown, &error)?,
            }
        }
        Ok(())
    }

    /// What a pattern in the last name stands for. There is no shell to do it.
    async fn matches(&mut self, path: &VfsPath, shown: &str, missing: &Error) -> Result<()> {
        let (Some(folder), Some(name)) = (path.parent(), path.name()) else {
            return self.warn(shown, missing);
        };
        let mut listing = match self.environment.files.list(&folder).await {
            Ok(listing) => listing,
            Err(_) => return self.warn(shown, missing),
        };
        let mut any = false;
        loop {
            let page = listing.next_page().await?;
            if page.is_empty() {
                break;
            }
            for entry in page {
                if !pattern::matches(name.as_str(), &entry.name) {
                    continue;
                }
                any = true;
                let at = folder.clone().child(&entry.name)?;
                self.one(at, entry).await?;
            }
        }
        match any {
            true => Ok(()),
            false => self.warn(shown, missing),
        }
    }

    /// Sends a file, or a folder with all below it.
    async fn one(&mut self, path: VfsPath, entry: Entry) -> Result<()> {
        let mut levels: Vec<Level> = Vec::new();
        let mut next = Some((path, entry));
        loop {
            if let Some((path, entry)) = next.take() {
                match entry.kind {
                    NodeKind::File => Box::pin(self.file(&path)).await?,
                    NodeKind::Folder => {
                        if let Some(level) = self.enter(path, &entry).await? {
                            // Its page is fetched again when this is done: a tree must not be
                            // held in memory.
                            if let Some(above) = levels.last_mut() {
                                above.page.clear();
                                above.listing.go_on_after(&entry.name);
                            }
                            levels.push(level);
                        }
                    }
                }
            }
            let Some(level) = levels.last_mut() else {
                return Ok(());
            };
            if level.page.is_empty() {
                level.page = level.listing.next_page().await?.into();
            }
            match level.page.pop_front() {
                Some(entry) => {
                    next = Some((level.path.clone().child(&entry.name)?, entry));
                }
                None => {
                    levels.pop();
                    self.say("E\n".to_owned()).await?;
                }
            }
        }
    }

    async fn enter(&mut self, path: VfsPath, entry: &Entry) -> Result<Option<Level>> {
        let shown = path.to_string();
        if !self.options.recursive {
            let error = Error::invalid("not a regular file");
            self.warn(&shown, &error)?;
            return Ok(None);
        }
        let listing = match self.environment.files.list(&path).await {
            Ok(listing) => listing,
            Err(error) => {
                self.warn(&shown, &error)?;
                return Ok(None);
            }
        };
        let Some(name) = self.plain_name(&path)? else {
            return Ok(None);
        };
        if !self.times(entry).await? {
            return Ok(None);
        }
        let mode = entry.attributes.mode & 0o7777;
        let is_taken = self.say(format!("D{mode:04o} 0 {name}\n")).await?;
        Ok(is_taken.then(|| Level {
            path,
            listing,
            page: VecDeque::new(),
        }))
    }

    async fn file(&mut self, path: &VfsPath) -> Result<()> {
        let reader = match self.environment.files.open_read(path).await {
            Ok(reader) => reader,
            Err(error) => return self.warn(&path.to_string(), &error),
        };
        let Some(name) = self.plain_name(path)? else {
            return Ok(());
        };
        let entry = reader.entry();
        if !self.times(entry).await? {
            return Ok(());
        }
        let (mode, size) = (entry.attributes.mode & 0o7777, entry.size);
        if !self.say(format!("C{mode:04o} {size} {name}\n")).await? {
            return Ok(());
        }
        // What fails in the midst of a file ends everything: so much as was announced has to come.
        self.content(&reader, size).await?;
        self.say("\0".to_owned()).await.map(drop)
    }

    async fn content(&mut self, reader: &FileReader, size: u64) -> Result<()> {
        let mut at = 0;
        while at < size {
            let left = usize::try_from(size - at).unwrap_or(usize::MAX);
            let output = &self.environment.output;
            let place = output.room(left.min(MAX_DATA_BYTES)).await;
            if self.environment.input.is_broken() {
                return Err(broken_off());
            }
            let bytes = reader.read_at(at, left.min(place.bytes())).await?;
            if bytes.is_empty() {
                return Err(Error::internal("a file is shorter than its entry says"));
            }
            at += bytes.len() as u64;
            output.say_placed(place, bytes)?;
        }
        Ok(())
    }

    async fn times(&mut self, entry: &Entry) -> Result<bool> {
        if !self.options.preserve {
            return Ok(true);
        }
        let seconds = |time: i64| time.max(0);
        let modified = seconds(entry.attributes.modified.seconds());
        let accessed = seconds(entry.attributes.accessed.seconds());
        self.say(format!("T{modified} 0 {accessed} 0\n")).await
    }

    /// The name as a line can have it; none, and a warning, when it cannot.
    fn plain_name(&mut self, path: &VfsPath) -> Result<Option<String>> {
        // The root has no name; its tenant has.
        let name = match path.name() {
            Some(name) => name.as_str().to_owned(),
            None => self.environment.files.principal().login.tenant.clone(),
        };
        if name.contains('\n') {
            let error = Error::invalid("the scp protocol has no line breaks in names; use sftp");
            self.warn(&path.to_string(), &error)?;
            return Ok(None);
        }
        Ok(Some(name))
    }

    /// Says a line, and whether the other end takes it.
    async fn say(&mut self, line: String) -> Result<bool> {
        self.environment.output.say(line)?;
        self.is_accepted().await
    }

    async fn is_accepted(&mut self) -> Result<bool> {
        let input = &mut self.environment.input;
        match input.byte().await.ok_or_else(broken_off)? {
            0 => Ok(true),
            1 => {
                self.errors += 1;
                input.line(MAX_LINE_BYTES).await?.ok_or_else(broken_off)?;
                Ok(false)
            }
            2 => {
                let line = input.line(MAX_LINE_BYTES).await?.unwrap_or_default();
                Err(Error::invalid(message(&line)))
            }
            _ => Err(Error::invalid("this is no answer of the scp protocol")),
        }
    }

    fn warn(&mut self, shown: &str, error: &Error) -> Result<()> {
        self.errors += 1;
        let text = message(format!("{shown}: {}", reason(error)).as_bytes());
        self.environment.output.say(format!("\x01scp: {text}\n"))
    }
}

fn broken_off() -> Error {
    Error::invalid("the transfer was broken off")
}
