//! Settings of the SFTP front end, and what SSH makes of them.

use std::borrow::Cow;
use std::time::Duration;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::server::Config;
use russh::{Limits, MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex, mac};

use crate::sftp::host_keys::HostKeys;

/// Which clients are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithms {
    /// Also those of the years before 2016 (JSch, gateways): NIST curves for key exchange, and
    /// authentication codes beside the encryption instead of over it. ssh-audit flags them.
    Compatible,
    /// Those with algorithms that nobody doubts.
    Strict,
}

/// Settings of the SFTP front end.
#[derive(Clone, Debug)]
pub struct SftpSettings {
    /// Which clients are served.
    pub algorithms: Algorithms,
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

/// RFC 4253 section 9; no cipher here may go on for longer.
const MAX_REKEY_BYTES: usize = 1 << 30;
const MIN_REKEY_BYTES: usize = 1 << 20;
/// How much a client may send before it hears from us. Opened again as bytes arrive; what slows a
/// client down is the gate.
const WINDOW_BYTES: u32 = 2 * 1024 * 1024;
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
        server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-Sealift")),
        methods: login_methods(),
        auth_rejection_time: REFUSAL_TIME,
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: keys.into_keys(),
        limits: Limits::new(rekey_bytes, rekey_bytes, settings.rekey_time),
        window_size: WINDOW_BYTES,
        maximum_packet_size: PACKET_BYTES,
        channel_buffer_size: 1,
        event_buffer_size: WAITING_MESSAGES,
        preferred: preferred(settings.algorithms),
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

/// The ways to log in. russh forgets them at a refusal that does not name them.
pub(crate) fn login_methods() -> MethodSet {
    MethodSet::from([MethodKind::PublicKey, MethodKind::Password].as_slice())
}

/// Whether a signature of this kind is taken: all but RSA with SHA-1.
pub(crate) fn takes_signature(algorithm: &Algorithm) -> bool {
    !matches!(algorithm, Algorithm::Rsa { hash: None } | Algorithm::Dsa)
}

/// No SHA-1, no CBC, no compression. AES-128-GCM first: it is as safe for what a connection lives,
/// and the fastest.
fn preferred(algorithms: Algorithms) -> Preferred {
    let mut preferred = Preferred {
        kex: Cow::Borrowed(&[
            kex::MLKEM768X25519_SHA256,
            kex::CURVE25519,
            kex::CURVE25519_PRE_RFC_8731,
            kex::EXTENSION_SUPPORT_AS_SERVER,
            kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
        ]),
        key: Cow::Borrowed(&[
            Algorithm::Ed25519,
            Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP256,
            },
            Algorithm::Rsa {
                hash: Some(HashAlg::Sha512),
            },
            Algorithm::Rsa {
                hash: Some(HashAlg::Sha256),
            },
            // There are no such host keys: these are only for those who log in (RFC 8308).
            Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP384,
            },
            Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP521,
            },
            Algorithm::SkEd25519,
            Algorithm::SkEcdsaSha2NistP256,
        ]),
        cipher: Cow::Borrowed(&[
            cipher::AES_128_GCM,
            cipher::AES_256_GCM,
            cipher::CHACHA20_POLY1305,
            cipher::AES_256_CTR,
            cipher::AES_192_CTR,
            cipher::AES_128_CTR,
        ]),
        mac: Cow::Borrowed(&[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM]),
        compression: Cow::Borrowed(&[compression::NONE]),
        ..Preferred::DEFAULT
    };
    if algorithms == Algorithms::Compatible {
        preferred.kex.to_mut().extend([
            kex::ECDH_SHA2_NISTP256,
            kex::ECDH_SHA2_NISTP384,
            kex::ECDH_SHA2_NISTP521,
        ]);
        let beside = [mac::HMAC_SHA256, mac::HMAC_SHA512];
        preferred.mac.to_mut().extend(beside);
    }
    preferred
}
