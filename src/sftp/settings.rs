//! Settings of the SFTP front end, and what SSH makes of them.

use std::borrow::Cow;
use std::time::Duration;

use russh::server::Config;
use russh::{Limits, SshId};

use crate::net::network::Network;
use crate::sftp::algorithms::{self, Algorithms};
use crate::sftp::host_keys::HostKeys;

/// Settings of the SFTP front end.
#[derive(Clone, Debug)]
pub struct SftpSettings {
    /// Which clients are served.
    pub algorithms: Algorithms,
    /// Balancers that speak for others and must say for whom, by the PROXY protocol.
    pub proxies: Vec<Network>,
    /// Shown to clients before they log in; none shows nothing.
    pub banner: Option<String>,
    /// Time from connecting to having logged in.
    pub login_time: Duration,
    /// Failed logins of one connection before it is ended.
    pub login_attempts: usize,
    /// A session in which nothing is asked for so long is ended; none never ends it.
    pub idle_time: Option<Duration>,
    /// A client that is silent for so long is asked whether it is still there; the third time
    /// without an answer ends the session.
    pub keepalive: Duration,
    /// Sessions at once, in all.
    pub sessions: usize,
    /// Channels of one session at once.
    pub channels: usize,
    /// Files and folders that one channel may have open at once.
    pub handles: usize,
    /// Keys are exchanged anew after so many bytes in one direction; at most 1 GiB.
    pub rekey_bytes: usize,
    /// Keys are exchanged anew after so long.
    pub rekey_time: Duration,
}

impl Default for SftpSettings {
    fn default() -> Self {
        Self {
            algorithms: Algorithms::Strict,
            proxies: Vec::new(),
            banner: None,
            login_time: Duration::from_secs(30),
            login_attempts: 6,
            idle_time: Some(Duration::from_secs(15 * 60)),
            keepalive: Duration::from_secs(60),
            sessions: 10_000,
            channels: 10,
            handles: 256,
            rekey_bytes: MAX_REKEY_BYTES,
            rekey_time: Duration::from_secs(3600),
        }
    }
}

/// How the server names itself (RFC 4253, section 4.2).
pub(crate) const IDENTIFICATION: &str = "SSH-2.0-Sealift";
/// RFC 4253 section 9; no cipher here may go on for longer.
const MAX_REKEY_BYTES: usize = 1 << 30;
const MIN_REKEY_BYTES: usize = 1 << 20;
/// How much a client may send before it hears from us: what fills a line of 1 GB/s and 30 ms, or of
/// 300 MB/s and 100 ms. Opened again as bytes arrive. It costs no memory: what slows a client down is
/// the gate, which leaves bytes in the socket.
const WINDOW_BYTES: u32 = 32 * 1024 * 1024;
/// Longest SSH packet that clients may send us.
const PACKET_BYTES: u32 = 256 * 1024;
/// Messages that wait inside russh, each up to a batch of replies: not in our counts, so few.
const WAITING_MESSAGES: usize = 4;
/// A refused login takes at least so long.
const REFUSAL_TIME: Duration = Duration::from_millis(50);
const KEEPALIVES: usize = 3;
/// How many times the keepalive's time a client may take for what was sent.
const PATIENCE: u32 = 15;

/// The SSH configuration for `settings` with `keys` as host keys.
pub fn ssh_config(settings: &SftpSettings, keys: HostKeys) -> Config {
    let rekey_bytes = settings.rekey_bytes.clamp(MIN_REKEY_BYTES, MAX_REKEY_BYTES);
    Config {
        server_id: SshId::Standard(Cow::Borrowed(IDENTIFICATION)),
        methods: algorithms::login_methods(),
        auth_rejection_time: REFUSAL_TIME,
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: keys.into_keys(settings.algorithms),
        limits: Limits::new(rekey_bytes, rekey_bytes, settings.rekey_time),
        window_size: WINDOW_BYTES,
        maximum_packet_size: PACKET_BYTES,
        channel_buffer_size: 1,
        event_buffer_size: WAITING_MESSAGES,
        preferred: algorithms::preferred(settings.algorithms),
        max_auth_attempts: settings.login_attempts,
        // Ends a client that does not take what was sent at once, up to a window, in this time:
        // long, for the sake of slow lines.
        inactivity_timeout: Some(settings.keepalive * PATIENCE),
        keepalive_interval: Some(settings.keepalive),
        keepalive_max: KEEPALIVES,
        nodelay: true,
        ..Config::default()
    }
}
