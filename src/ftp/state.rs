//! What a session knows of itself between commands.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::domain::path::VfsPath;
use crate::domain::sum::SumKind;
use crate::ftp::facts::Facts;
use crate::ftp::options::Options;
use crate::ftp::reply::Reply;
use crate::ftp::settings::{Demand, Ends, FtpSettings, Start};

/// What a session knows of itself.
#[derive(Debug)]
pub struct State {
    /// The server's settings.
    pub settings: Arc<FtpSettings>,
    /// Who talks to whom.
    pub ends: Ends,
    /// How the listener's connections begin.
    pub start: Start,
    /// The control connection now.
    pub channel: Channel,
    /// Whether PBSZ was said (RFC 2228: before PROT).
    pub is_buffer_agreed: bool,
    /// Data connections to come.
    pub protection: Channel,
    /// Who the client is.
    pub stage: Stage,
    /// Failed logins.
    pub failures: usize,
    /// What holds for strangers at this listener.
    pub base: Options,
    /// What holds for this session.
    pub options: Options,
    /// TYPE.
    pub form: Form,
    /// MODE.
    pub mode: Mode,
    /// The level of MODE Z.
    pub level: u32,
    /// Where the next transfer begins; none unless REST came just before.
    pub restart: Option<u64>,
    /// What RNFR named, if it came just before.
    pub renaming: Option<VfsPath>,
    /// Where the next data connection comes from.
    pub data: Data,
    /// EPSV ALL was said: nothing else may make a data connection (RFC 2428 section 4).
    pub only_extended_passive: bool,
    /// OPTS UTF8 was answered: names are UTF-8, also when an account logs in that has them otherwise
    /// (lftp asks before the login).
    pub is_utf8_agreed: bool,
    /// The facts that MLSD shows.
    pub facts: Facts,
    /// What HASH makes.
    pub sum: SumKind,
    /// Where the session began.
    pub home: VfsPath,
    /// Where paths start.
    pub folder: VfsPath,
    /// What the transfer under way does, for STAT.
    pub under_way: Option<String>,
}

/// How something travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// For all to read.
    Clear,
    /// By TLS.
    Sealed,
}

/// Where a step of logging in led.
#[derive(Debug)]
pub enum LoginOutcome {
    /// Into a folder, with what holds for the account.
    In {
        /// The reply.
        reply: Reply,
        /// The name in full.
        name: String,
        /// The home.
        home: VfsPath,
        /// What holds.
        options: Box<Options>,
    },
    /// Something more is to be sent; the stage says what.
    Further(Reply, Stage),
    /// To nothing; by 421, to the end of the connection as well.
    Refused(Reply),
}

/// Who the client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nobody.
    Stranger,
    /// Somebody who says that this is their name.
    Named(String),
    /// The same, whose password was right, and a code is asked for.
    Code(String),
    /// Somebody who has logged in.
    In(String),
}

/// What TYPE says of a transfer's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Lines that end with CRLF on the way and with LF in the file (TYPE A).
    Ascii,
    /// As they are (TYPE I, TYPE L 8).
    Image,
}

/// What MODE says of a transfer's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As a stream of zlib, packed with this level (MODE Z).
    Deflate(u32),
    /// As they are (MODE S).
    Stream,
}

/// The level of MODE Z unless the client chooses: for lines that are slower than the packing is.
const LEVEL: u32 = 4;

/// Where the next data connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// The client has not said.
    None,
    /// The client connects to us.
    Passive,
    /// We connect to the client.
    Active(SocketAddr),
}

impl State {
    /// A stranger, for whom `base` holds.
    pub fn new(settings: Arc<FtpSettings>, ends: Ends, start: Start, base: Options) -> Self {
        let channel = match start {
            Start::Clear => Channel::Clear,
            Start::Tls => Channel::Sealed,
        };
        Self {
            base,
            options: base,
            settings,
            ends,
            start,
            channel,
            is_buffer_agreed: false,
            // RFC 4217 section 12: on the port for TLS nobody expects clear text.
            protection: channel,
            stage: Stage::Stranger,
            failures: 0,
            form: Form::Ascii,
            mode: Mode::Stream,
            level: LEVEL,
            restart: None,
            renaming: None,
            data: Data::None,
            only_extended_passive: false,
            is_utf8_agreed: false,
            facts: Facts::default(),
            sum: SumKind::Sha256,
            home: VfsPath::root(),
            folder: VfsPath::root(),
            under_way: None,
        }
    }

    /// Back to a stranger, on the same connection (REIN; AUTH, RFC 4217 section 4).
    pub fn reset(&mut self) {
        let fresh = Self::new(self.settings.clone(), self.ends, self.start, self.base);
        *self = Self {
            channel: self.channel,
            is_buffer_agreed: self.is_buffer_agreed,
            protection: self.protection,
            failures: self.failures,
            ..fresh
        };
    }

    /// Whether somebody has logged in.
    pub fn is_in(&self) -> bool {
        matches!(self.stage, Stage::In(_))
    }

    /// Where the transfer begins that takes what REST said.
    ///
    /// # Errors
    /// 504 when TYPE A was said since.
    pub fn take_restart(&mut self) -> Result<Option<u64>, Reply> {
        match (self.restart.take(), self.form) {
            (Some(1..), Form::Ascii) => Err(Reply::new(
                504,
                "in TYPE A nobody knows which byte that is; send TYPE I first",
            )),
            (restart, _) => Ok(restart),
        }
    }

    /// Whether data connections in the clear are refused. What must resume a session of TLS has to have
    /// one, also where the control connection never had.
    pub fn must_seal_data(&self) -> bool {
        let is_sealed = self.channel == Channel::Sealed;
        is_sealed && self.options.data_tls == Demand::Required
            || self.options.resumption == Demand::Required
    }

    /// Fails unless a transfer may begin now.
    ///
    /// # Errors
    /// The reply that says what is missing.
    pub fn check_data(&self) -> Result<(), Reply> {
        match self.data {
            _ if self.protection == Channel::Clear && self.must_seal_data() => {
                // RFC 4217 section 10.
                let missing = match self.channel {
                    Channel::Clear => "AUTH TLS and log in again",
                    Channel::Sealed => "PROT P first",
                };
                Err(Reply::new(
                    521,
                    format!("data connections must be encrypted; send {missing}"),
                ))
            }
            Data::None => Err(Reply::new(425, "send PASV, EPSV, PORT or EPRT first")),
            Data::Active(_) | Data::Passive => Ok(()),
        }
    }
}
