//! Workers that come by SFTP.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::chaos::doors::{Client, Told, Trouble};
use crate::chaos::sftp_line::{
    ATTRS, EXTENDED, HANDLE, Line, NAME, OPENDIR, READDIR, REMOVE, STAT, STATUS, silence,
    take_text, text,
};
use crate::chaos::writes::Content;

const FOR_READING: u32 = 0x01;
/// How a file is opened that may be there.
pub(crate) const IN_PLACE: u32 = 0x02 | 0x08;
/// The same, and nothing of it stays.
const ANEW: u32 = IN_PLACE | 0x10;

pub(crate) struct Sftp {
    line: Line,
    /// Ends the line when dropped.
    runtime: Runtime,
}

impl Sftp {
    pub(crate) fn connect(port: u16, login: &str, patience: Duration) -> Told<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let line = runtime.block_on(async {
            let opened = timeout(patience, Line::open(port, login, patience)).await;
            opened.unwrap_or_else(|_| Err(silence()))
        })?;
        Ok(Self { line, runtime })
    }

    /// Writes pieces into a file, and closes it.
    pub(crate) fn write(&mut self, path: &str, flags: u32, pieces: &[(u64, &[u8])]) -> Told<()> {
        let Self { line, runtime } = self;
        runtime.block_on(async {
            let handle = line.handle(path, flags).await?;
            let mut written = Ok(());
            for (offset, bytes) in pieces {
                if written.is_ok() {
                    written = line.write(&handle, *offset, bytes).await;
                }
            }
            if let Err(Trouble::Silent(_)) = written {
                return written;
            }
            // Also what was not written: nobody is to wait for more of it.
            let closed = line.close(&handle).await;
            written.and(closed)
        })
    }

    /// Begins to store a file, and breaks off.
    pub(crate) fn break_off(mut self, path: &str, bytes: &[u8]) -> Told<()> {
        let Self { line, runtime } = &mut self;
        runtime.block_on(async {
            let handle = line.handle(path, ANEW).await?;
            line.write(&handle, 0, bytes).await
        })
    }

    /// How long a file is; none when there is none.
    pub(crate) fn size(&mut self, path: &str) -> Told<Option<usize>> {
        let Self { line, runtime } = self;
        let mut attributes = match runtime.block_on(line.ask(STAT, ATTRS, |p| text(p, path))) {
            Err(Trouble::Missing(_)) => return Ok(None),
            attributes => attributes?,
        };
        assert_eq!(attributes.get_u32() & 1, 1);
        Ok(Some(attributes.get_u64() as usize))
    }
}

impl Client for Sftp {
    fn put(&mut self, path: &str, bytes: &[u8]) -> Told<()> {
        self.write(path, ANEW, &[(0, bytes)])
    }

    fn read(&mut self, path: &str) -> Told<Content> {
        let Self { line, runtime } = self;
        runtime.block_on(async {
            let handle = match line.handle(path, FOR_READING).await {
                Err(Trouble::Missing(_)) => return Ok(None),
                handle => handle?,
            };
            let bytes = line.read(&handle).await?;
            line.close(&handle).await?;
            Ok(Some(Arc::new(bytes)))
        })
    }

    fn rename(&mut self, from: &str, to: &str) -> Told<()> {
        let Self { line, runtime } = self;
        let words = ["posix-rename@openssh.com", from, to];
        let ask = line.ask(EXTENDED, STATUS, |packet| {
            words.iter().for_each(|word| text(packet, word));
        });
        runtime.block_on(ask).map(drop)
    }

    fn delete(&mut self, path: &str) -> Told<()> {
        let Self { line, runtime } = self;
        let ask = line.ask(REMOVE, STATUS, |packet| text(packet, path));
        runtime.block_on(ask).map(drop)
    }

    fn list(&mut self, folder: &str) -> Told<BTreeMap<String, u64>> {
        let Self { line, runtime } = self;
        runtime.block_on(async {
            let mut handle = line.ask(OPENDIR, HANDLE, |p| text(p, folder)).await?;
            let handle = take_text(&mut handle);
            let mut files = BTreeMap::new();
            while let Some(names) = line
                .ask_for_more(READDIR, NAME, |packet| text(packet, &handle))
                .await?
            {
                read_names(names, &mut files);
            }
            line.close(&handle).await?;
            Ok(files)
        })
    }
}

/// The regular files of a part of a listing.
fn read_names(mut names: BytesMut, files: &mut BTreeMap<String, u64>) {
    for _ in 0..names.get_u32() {
        let name = String::from_utf8(take_text(&mut names).to_vec()).unwrap();
        let line = take_text(&mut names);
        let flags = names.get_u32();
        let size = if flags & 1 != 0 { names.get_u64() } else { 0 };
        for (flag, length) in [(2, 8), (4, 4), (8, 8)] {
            if flags & flag != 0 {
                names.advance(length);
            }
        }
        assert_eq!(flags & 0x8000_0000, 0);
        if line.first() == Some(&b'-') {
            files.insert(name, size);
        }
    }
}
