//! Settings of the FTP front end.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::net::limit::ConnectionLimits;
use crate::net::network::Network;

/// Whether something has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// It may be left out.
    Optional,
    /// What comes without is refused.
    Required,
}

/// Who may log in where nothing is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginTls {
    /// Accounts that may.
    ByAccount,
    /// Nobody.
    Required,
}

/// What must be encrypted at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether what is transferred must be encrypted when the control connection is.
    pub data_tls: Demand,
    /// Whether logins must be encrypted.
    pub login_tls: LoginTls,
    /// Whether a data connection must resume the TLS session of its control connection.
    pub resumption: Demand,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            data_tls: Demand::Required,
            login_tls: LoginTls::ByAccount,
            resumption: Demand::Optional,
        }
    }
}

/// Settings of the FTP front end.
#[derive(Clone, Debug)]
pub struct FtpSettings {
    /// Balancers that speak for others and must say for whom, by the PROXY protocol.
    pub proxies: Vec<Network>,
    /// Shown to clients before they log in.
    pub banner: String,
    /// Time from connecting to having logged in.
    pub login_time: Duration,
    /// Failed logins of one connection before it is ended.
    pub login_attempts: usize,
    /// A session in which nothing is asked for so long is ended.
    pub idle_time: Duration,
    /// A transfer in which nothing moves for so long is broken off.
    pub stall_time: Duration,
    /// Bytes of the largest file whose checksum is computed as a whole.
    pub checksum_limit: u64,
    /// Connections at once, in all and of one address, logged in or not.
    pub connections: ConnectionLimits,
}

impl Default for FtpSettings {
    fn default() -> Self {
        Self {
            proxies: Vec::new(),
            banner: "Sealift".to_owned(),
            login_time: Duration::from_secs(30),
            login_attempts: 6,
            idle_time: Duration::from_secs(15 * 60),
            stall_time: Duration::from_secs(5 * 60),
            checksum_limit: 64 << 30,
            connections: ConnectionLimits {
                per_address: 1_000,
                total: 10_000,
            },
        }
    }
}

/// How a listener's control connections begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// In the clear, for AUTH TLS (RFC 4217).
    Clear,
    /// With TLS (port 990).
    Tls,
}

/// Where a listener's passive data connections come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassiveSettings {
    /// The ports to listen on.
    pub ports: RangeInclusive<u16>,
    /// The address that clients are told in place of the one that they connected to: an IPv4 address or
    /// a name that is looked up when it is needed; empty for the one they connected to.
    pub address: String,
    /// Clients from there are told the address that they connected to all the same.
    pub private: Vec<Network>,
}

impl Default for PassiveSettings {
    fn default() -> Self {
        Self {
            ports: 49_152..=65_535,
            address: String::new(),
            private: Vec::new(),
        }
    }
}

/// The two ends of a control connection, as far as commands can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The client.
    pub peer: IpAddr,
    /// Where it connected to.
    pub local: SocketAddr,
}
