//! Many SFTP uploads at once, each on a connection of its own and as slow as a slow line.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use russh::client::{self, Config, Handle, Msg};
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key};
use russh::{Channel, ChannelMsg};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::report::Outcome;

/// How many log in at the same time.
const LOGINS: usize = 16;
const CHUNK: usize = 32 << 10;
const INIT: u8 = 1;
const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const READ: u8 = 5;
const WRITE: u8 = 6;
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;
const FOR_READING: u32 = 0x01;
/// Write, create and truncate.
const FOR_WRITING: u32 = 0x02 | 0x08 | 0x10;

/// What is sent.
pub(crate) struct Lines {
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) key: PathBuf,
    pub(crate) uploads: usize,
    pub(crate) bytes: usize,
    pub(crate) bytes_per_second: usize,
}

/// Logs all in, then sends all files at once; every one must be acknowledged.
pub(crate) fn run(lines: &Lines) -> Outcome<()> {
    tokio::runtime::Runtime::new()?.block_on(upload_all(lines))
}

async fn upload_all(lines: &Lines) -> Outcome<()> {
    let logins = Arc::new(Semaphore::new(LOGINS));
    let ready = Arc::new(tokio::sync::Barrier::new(lines.uploads));
    let mut uploads = JoinSet::new();
    for number in 0..lines.uploads {
        let (logins, ready) = (logins.clone(), ready.clone());
        let (port, user, key) = (lines.port, lines.user.clone(), lines.key.clone());
        let (bytes, pace) = (lines.bytes, lines.bytes_per_second);
        uploads.spawn(async move {
            let permit = logins.acquire().await.map_err(|error| error.to_string())?;
            let line = Line::open(port, &user, &key).await;
            drop(permit);
            let mut line = line.map_err(|error| format!("login {number}: {error}"))?;
            ready.wait().await;
            let sent = line.upload(&format!("slow-{number}"), bytes, pace).await;
            sent.map_err(|error| format!("upload {number}: {error}"))
        });
    }
    while let Some(ended) = uploads.join_next().await {
        ended??;
    }
    Ok(())
}

pub(crate) struct Trusting;

impl client::Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        _key: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

/// A connection of somebody who has logged in.
pub(crate) async fn log_in(
    port: u16,
    user: &str,
    key: &std::path::Path,
) -> Outcome<Handle<Trusting>> {
    log_in_with(Config::default(), port, user, key).await
}

async fn log_in_with(
    config: Config,
    port: u16,
    user: &str,
    key: &std::path::Path,
) -> Outcome<Handle<Trusting>> {
    let config = Arc::new(config);
    let mut connection = client::connect(config, ("127.0.0.1", port), Trusting).await?;
    let key = PrivateKeyWithHashAlg::new(Arc::new(load_secret_key(key, None)?), None);
    let proven = connection.authenticate_publickey(user, key).await?;
    match proven.success() {
        true => Ok(connection),
        false => Err("the key is refused".into()),
    }
}

/// A connection with SFTP on it.
pub(crate) struct Line {
    channel: Channel<Msg>,
    input: BytesMut,
    _connection: Handle<Trusting>,
}

impl Line {
    pub(crate) async fn open(port: u16, user: &str, key: &std::path::Path) -> Outcome<Self> {
        let connection = log_in(port, user, key).await?;
        Self::over(connection).await
    }

    /// One whose client takes so many bytes before the server has to wait for it.
    pub(crate) async fn wide(
        port: u16,
        user: &str,
        key: &std::path::Path,
        window: u32,
    ) -> Outcome<Self> {
        let config = Config {
            window_size: window,
            ..Config::default()
        };
        let connection = log_in_with(config, port, user, key).await?;
        Self::over(connection).await
    }

    async fn over(connection: Handle<Trusting>) -> Outcome<Self> {
        let channel = connection.channel_open_session().await?;
        channel.request_subsystem(true, "sftp").await?;
        let mut line = Self {
            channel,
            input: BytesMut::new(),
            _connection: connection,
        };
        let mut init = BytesMut::new();
        init.put_u8(INIT);
        init.put_u32(3);
        line.send(&init).await?;
        line.packet().await?;
        Ok(line)
    }

    pub(crate) async fn upload(&mut self, name: &str, bytes: usize, pace: usize) -> Outcome<()> {
        let handle = self.handle(name, FOR_WRITING).await?;
        let mut content = vec![7; CHUNK];
        let every = Duration::from_secs_f64(CHUNK as f64 / pace as f64);
        let mut clock = tokio::time::interval(every);
        for at in (0..bytes).step_by(CHUNK) {
            clock.tick().await;
            let mut write = BytesMut::with_capacity(CHUNK + 64);
            write.put_u8(WRITE);
            write.put_u32(2);
            put_text(&mut write, &handle);
            write.put_u64(at as u64);
            content.truncate(bytes - at);
            put_text(&mut write, &content);
            self.send(&write).await?;
            self.status().await?;
        }
        self.close(&handle).await
    }

    /// Fetches a file of so many bytes, `ahead` of which are asked for before they have come.
    pub(crate) async fn download(&mut self, name: &str, bytes: u64, ahead: u64) -> Outcome<()> {
        let handle = self.handle(name, FOR_READING).await?;
        let (mut asked, mut came) = (0, 0);
        while came < bytes {
            while asked < bytes && asked < came + ahead {
                let mut read = BytesMut::new();
                read.put_u8(READ);
                read.put_u32(2);
                put_text(&mut read, &handle);
                read.put_u64(asked);
                read.put_u32(CHUNK as u32);
                self.send(&read).await?;
                asked += CHUNK as u64;
            }
            let mut answer = self.packet().await?;
            if answer.get_u8() != DATA {
                return Err(said(answer).into());
            }
            came += answer.len() as u64 - 8;
        }
        self.close(&handle).await
    }

    async fn handle(&mut self, name: &str, flags: u32) -> Outcome<BytesMut> {
        let mut open = BytesMut::new();
        open.put_u8(OPEN);
        open.put_u32(1);
        put_text(&mut open, name.as_bytes());
        open.put_u32(flags);
        open.put_u32(0);
        self.send(&open).await?;
        let mut answer = self.packet().await?;
        if answer.get_u8() != HANDLE {
            return Err(said(answer).into());
        }
        let _id = answer.get_u32();
        let length = answer.get_u32() as usize;
        Ok(answer.split_to(length))
    }

    async fn close(&mut self, handle: &[u8]) -> Outcome<()> {
        let mut close = BytesMut::new();
        close.put_u8(CLOSE);
        close.put_u32(3);
        put_text(&mut close, handle);
        self.send(&close).await?;
        self.status().await
    }

    async fn status(&mut self) -> Outcome<()> {
        let mut answer = self.packet().await?;
        let kind = answer.get_u8();
        let id = answer.get_u32();
        match kind == STATUS && answer.get_u32() == 0 {
            true => Ok(()),
            false => Err(format!("request {id}: {}", said(answer)).into()),
        }
    }

    async fn send(&mut self, packet: &[u8]) -> Outcome<()> {
        let mut framed = BytesMut::with_capacity(packet.len() + 4);
        put_text(&mut framed, packet);
        Ok(self.channel.data(&framed[..]).await?)
    }

    async fn packet(&mut self) -> Outcome<BytesMut> {
        loop {
            let length = self.input.get(..4).map(|mut head| head.get_u32() as usize);
            if let Some(length) = length.filter(|length| self.input.len() >= 4 + length) {
                self.input.advance(4);
                return Ok(self.input.split_to(length));
            }
            match self.channel.wait().await {
                Some(ChannelMsg::Data { data }) => self.input.extend_from_slice(&data),
                Some(ChannelMsg::Eof | ChannelMsg::Close) | None => {
                    return Err("the server ended the session".into());
                }
                Some(_) => {}
            }
        }
    }
}

fn said(answer: BytesMut) -> String {
    String::from_utf8_lossy(&answer).into_owned()
}

fn put_text(packet: &mut BytesMut, text: &[u8]) {
    packet.put_u32(text.len() as u32);
    packet.put_slice(text);
}
