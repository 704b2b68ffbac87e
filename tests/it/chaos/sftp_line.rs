//! SFTP's packets, over russh's client.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use russh::client::{self, Config, Handle, Msg};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, ChannelMsg};
use tokio::time::timeout;

use crate::chaos::doors::{Told, Trouble};
use crate::support::two::SECRET;

const INIT: u8 = 1;
pub(crate) const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const READ: u8 = 5;
const WRITE: u8 = 6;
pub(crate) const OPENDIR: u8 = 11;
pub(crate) const READDIR: u8 = 12;
pub(crate) const REMOVE: u8 = 13;
pub(crate) const STAT: u8 = 17;
pub(crate) const EXTENDED: u8 = 200;

pub(crate) const STATUS: u8 = 101;
pub(crate) const HANDLE: u8 = 102;
const DATA: u8 = 103;
pub(crate) const NAME: u8 = 104;
pub(crate) const ATTRS: u8 = 105;

const OK: u32 = 0;
const EOF: u32 = 1;
const NO_SUCH_FILE: u32 = 2;
const FAILURE: u32 = 4;

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

/// A connection with SFTP on it.
pub(crate) struct Line {
    channel: Channel<Msg>,
    input: BytesMut,
    patience: Duration,
    _connection: Handle<Trusting>,
}

impl Line {
    pub(crate) async fn open(port: u16, login: &str, patience: Duration) -> Told<Self> {
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
            patience,
            _connection: connection,
        };
        line.send(&[INIT, 0, 0, 0, 3]).await?;
        line.packet().await?;
        Ok(line)
    }

    pub(crate) async fn handle(&mut self, path: &str, flags: u32) -> Told<BytesMut> {
        let open = |packet: &mut BytesMut| {
            text(packet, path);
            packet.put_u32(flags);
            packet.put_u32(0);
        };
        let mut answer = self.ask(OPEN, HANDLE, open).await?;
        Ok(take_text(&mut answer))
    }

    pub(crate) async fn write(&mut self, handle: &[u8], offset: u64, bytes: &[u8]) -> Told<()> {
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

    pub(crate) async fn read(&mut self, handle: &[u8]) -> Told<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let read = |packet: &mut BytesMut| {
                text(packet, handle);
                packet.put_u64(bytes.len() as u64);
                packet.put_u32(4 * CHUNK as u32);
            };
            match self.ask_for_more(READ, DATA, read).await? {
                Some(mut data) => bytes.extend_from_slice(&take_text(&mut data)),
                None => return Ok(bytes),
            }
        }
    }

    pub(crate) async fn close(&mut self, handle: &[u8]) -> Told<()> {
        let close = |packet: &mut BytesMut| text(packet, handle);
        self.ask(CLOSE, STATUS, close).await.map(drop)
    }

    /// Sends a request; its answer must be of this kind.
    pub(crate) async fn ask(
        &mut self,
        kind: u8,
        answer: u8,
        fill: impl FnOnce(&mut BytesMut),
    ) -> Told<BytesMut> {
        let answer = self.ask_for_more(kind, answer, fill).await?;
        answer.ok_or_else(|| Trouble::Wrong("SFTP: the end of something".to_owned()))
    }

    /// The same; none when there is no more.
    pub(crate) async fn ask_for_more(
        &mut self,
        kind: u8,
        answer: u8,
        fill: impl FnOnce(&mut BytesMut),
    ) -> Told<Option<BytesMut>> {
        let mut packet = begin(kind);
        fill(&mut packet);
        self.send(&packet).await?;
        self.answer(answer).await
    }

    async fn answer(&mut self, kind: u8) -> Told<Option<BytesMut>> {
        let mut answer = self.packet().await?;
        let found = answer.get_u8();
        let _id = answer.get_u32();
        if found != STATUS {
            assert_eq!(found, kind);
            return Ok(Some(answer));
        }
        let code = answer.get_u32();
        let told = String::from_utf8_lossy(&take_text(&mut answer)).into_owned();
        let told = format!("SFTP {code}: {told}");
        match code {
            OK if kind == STATUS => Ok(Some(answer)),
            EOF => Ok(None),
            NO_SUCH_FILE => Err(Trouble::Missing(told)),
            FAILURE => Err(Trouble::Refused(told)),
            _ => Err(Trouble::Wrong(told)),
        }
    }

    async fn send(&mut self, packet: &[u8]) -> Told<()> {
        let mut framed = BytesMut::with_capacity(packet.len() + 4);
        text(&mut framed, packet);
        let sent = timeout(self.patience, self.channel.data(&framed[..])).await;
        Ok(sent.map_err(|_| silence())??)
    }

    async fn packet(&mut self) -> Told<BytesMut> {
        loop {
            let length = self.input.get(..4).map(|mut head| head.get_u32() as usize);
            if let Some(length) = length.filter(|length| self.input.len() >= 4 + length) {
                self.input.advance(4);
                return Ok(self.input.split_to(length));
            }
            let came = timeout(self.patience, self.channel.wait()).await;
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

pub(crate) fn silence() -> Trouble {
    Trouble::Silent("no answer came".to_owned())
}

fn begin(kind: u8) -> BytesMut {
    let mut packet = BytesMut::new();
    packet.put_u8(kind);
    packet.put_u32(1);
    packet
}

pub(crate) fn text(packet: &mut BytesMut, text: impl AsRef<[u8]>) {
    packet.put_u32(text.as_ref().len() as u32);
    packet.put_slice(text.as_ref());
}

pub(crate) fn take_text(from: &mut BytesMut) -> BytesMut {
    let length = from.get_u32() as usize;
    from.split_to(length)
}
