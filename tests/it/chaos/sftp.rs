//! Workers that come by SFTP: russh's client, and packets over it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Buf, BufMut, BytesMut};
use russh::client::{self, Config, Handle, Msg};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, ChannelMsg};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::chaos::doors::{Client, PATIENCE, Told, Trouble};
use crate::chaos::oracle::Content;
use crate::support::two::SECRET;

const INIT: u8 = 1;
const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const READ: u8 = 5;
const WRITE: u8 = 6;
const OPENDIR: u8 = 11;
const READDIR: u8 = 12;
const REMOVE: u8 = 13;
const STAT: u8 = 17;
const EXTENDED: u8 = 200;

const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;
const NAME: u8 = 104;
const ATTRS: u8 = 105;

const OK: u32 = 0;
const EOF: u32 = 1;
const NO_SUCH_FILE: u32 = 2;
const FAILURE: u32 = 4;

const FOR_READING: u32 = 0x01;
/// How a file is opened that may be there.
pub(crate) const IN_PLACE: u32 = 0x02 | 0x08;
/// The same, and nothing of it stays.
const ANEW: u32 = IN_PLACE | 0x10;

const CHUNK: usize = 32 << 10;
/// Requests that are sent before the answers to the first are there.
const AHEAD: usize = 16;

struct Trusting;

impl client::Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        _key: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

impl From<russh::Error> for Trouble {
    fn from(error: russh::Error) -> Self {
        Self::Silent(error.to_string())
    }
}

pub(crate) struct Sftp {
    line: Line,
    /// Ends the line when dropped.
    runtime: Runtime,
}

struct Line {
    channel: Channel<Msg>,
    input: BytesMut,
    _connection: Handle<Trusting>,
}

impl Sftp {
    pub(crate) fn connect(port: u16, login: &str) -> Told<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let line = runtime.block_on(async {
            let opened = timeout(PATIENCE, Line::open(port, login)).await;
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
            while let Some(names) = line.ask_for_more(READDIR, NAME, &handle).await? {
                read_names(names, &mut files);
            }
            line.close(&handle).await?;
            Ok(files)
        })
    }
}

impl Line {
    async fn open(port: u16, login: &str) -> Told<Self> {
        let config = Arc::new(Config::default());
        let mut connection = client::connect(config, ("127.0.0.1", port), Trusting).await?;
        let proven = connection.authenticate_password(login, SECRET).await?;
        if !proven.success() {
            // Also when the database does not answer: SSH knows no other word for it.
            return Err(Trouble::Refused("the login failed".to_owned()));
        }
        let channel = connection.channel_open_session().await?;
        channel.request_subsystem(true, "sftp").await?;
        let mut line = Self {
            channel,
            input: BytesMut::new(),
            _connection: connection,
        };
        line.send(&[INIT, 0, 0, 0, 3]).await?;
        line.packet().await?;
        Ok(line)
    }

    async fn handle(&mut self, path: &str, flags: u32) -> Told<BytesMut> {
        let open = |packet: &mut BytesMut| {
            text(packet, path);
            packet.put_u32(flags);
            packet.put_u32(0);
        };
        let mut answer = self.ask(OPEN, HANDLE, open).await?;
        Ok(take_text(&mut answer))
    }

    async fn write(&mut self, handle: &[u8], offset: u64, bytes: &[u8]) -> Told<()> {
        let mut waiting = 0;
        let mut refused = Ok(());
        for (number, chunk) in bytes.chunks(CHUNK).enumerate() {
            let mut packet = begin(WRITE);
            text(&mut packet, handle);
            packet.put_u64(offset + (number * CHUNK) as u64);
            text(&mut packet, chunk);
            self.send(&packet).await?;
            waiting += 1;
            if waiting == AHEAD {
                refused = refused.and(self.answer(STATUS).await.map(drop));
                waiting -= 1;
            }
            if refused.is_err() {
                break;
            }
        }
        for _ in 0..waiting {
            // Nobody answers any more who did not in time.
            if let Err(Trouble::Silent(_)) = refused {
                break;
            }
            refused = refused.and(self.answer(STATUS).await.map(drop));
        }
        refused
    }

    async fn read(&mut self, handle: &[u8]) -> Told<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let read = |packet: &mut BytesMut| {
                text(packet, handle);
                packet.put_u64(bytes.len() as u64);
                packet.put_u32(4 * CHUNK as u32);
            };
            match self.ask(READ, DATA, read).await {
                Ok(mut data) => bytes.extend_from_slice(&take_text(&mut data)),
                Err(Trouble::Missing(told)) if told == at_end() => return Ok(bytes),
                Err(trouble) => return Err(trouble),
            }
        }
    }

    async fn close(&mut self, handle: &[u8]) -> Told<()> {
        let close = |packet: &mut BytesMut| text(packet, handle);
        self.ask(CLOSE, STATUS, close).await.map(drop)
    }

    /// The same until there is no more.
    async fn ask_for_more(
        &mut self,
        kind: u8,
        answer: u8,
        handle: &[u8],
    ) -> Told<Option<BytesMut>> {
        match self.ask(kind, answer, |packet| text(packet, handle)).await {
            Ok(more) => Ok(Some(more)),
            Err(Trouble::Missing(told)) if told == at_end() => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Sends a request; its answer must be of this kind.
    async fn ask(
        &mut self,
        kind: u8,
        answer: u8,
        fill: impl FnOnce(&mut BytesMut),
    ) -> Told<BytesMut> {
        let mut packet = begin(kind);
        fill(&mut packet);
        self.send(&packet).await?;
        self.answer(answer).await
    }

    async fn answer(&mut self, kind: u8) -> Told<BytesMut> {
        let mut answer = self.packet().await?;
        let found = answer.get_u8();
        let _id = answer.get_u32();
        if found == STATUS {
            let code = answer.get_u32();
            if (code, kind) == (OK, STATUS) {
                return Ok(answer);
            }
            let told = String::from_utf8_lossy(&take_text(&mut answer)).into_owned();
            let told = format!("SFTP {code}: {told}");
            return Err(match code {
                EOF => Trouble::Missing(at_end()),
                NO_SUCH_FILE => Trouble::Missing(told),
                FAILURE => Trouble::Refused(told),
                _ => Trouble::Wrong(told),
            });
        }
        assert_eq!(found, kind);
        Ok(answer)
    }

    async fn send(&mut self, packet: &[u8]) -> Told<()> {
        let mut framed = BytesMut::with_capacity(packet.len() + 4);
        text(&mut framed, packet);
        let sent = timeout(PATIENCE, self.channel.data(&framed[..])).await;
        Ok(sent.map_err(|_| silence())??)
    }

    async fn packet(&mut self) -> Told<BytesMut> {
        loop {
            let length = self.input.get(..4).map(|mut head| head.get_u32() as usize);
            if let Some(length) = length.filter(|length| self.input.len() >= 4 + length) {
                self.input.advance(4);
                return Ok(self.input.split_to(length));
            }
            let came = timeout(PATIENCE, self.channel.wait()).await;
            match came.map_err(|_| silence())? {
                Some(ChannelMsg::Data { data }) => self.input.extend_from_slice(&data),
                Some(ChannelMsg::Eof | ChannelMsg::Close) | None => {
                    return Err(Trouble::Silent("the server ended the session".to_owned()));
                }
                Some(_) => {}
            }
        }
    }
}

fn silence() -> Trouble {
    Trouble::Silent("no answer came".to_owned())
}

fn at_end() -> String {
    "the end".to_owned()
}

fn begin(kind: u8) -> BytesMut {
    let mut packet = BytesMut::new();
    packet.put_u8(kind);
    packet.put_u32(1);
    packet
}

fn text(packet: &mut BytesMut, text: impl AsRef<[u8]>) {
    packet.put_u32(text.as_ref().len() as u32);
    packet.put_slice(text.as_ref());
}

fn take_text(from: &mut BytesMut) -> BytesMut {
    let length = from.get_u32() as usize;
    from.split_to(length)
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
