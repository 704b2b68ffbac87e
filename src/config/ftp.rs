//! `[ftp]` and `[ftps]`: the FTP front end's two kinds of ports, and all that they share.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::reader::Reader;
use crate::config::value::{Setting, Shape, Size};
use crate::domain::host::HostName;
use crate::ftp::settings::{Demand, FtpSettings, LoginTls, PassiveSettings, Policy};
use crate::net::limit::ConnectionLimits;

/// The FTP front end.
#[derive(Clone, Debug, Default)]
pub struct FtpSection {
    /// Where control connections begin in the clear.
    pub clear: PortSection,
    /// Where they begin with TLS.
    pub tls: PortSection,
    /// All else.
    pub front: FtpSettings,
}

/// Ports of one kind.
#[derive(Clone, Debug, Default)]
pub struct PortSection {
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// Where data connections come in.
    pub passive: PassiveSettings,
    /// What must be encrypted.
    pub policy: Policy,
}

const SECOND: Duration = Duration::from_secs(1);
const WEEK: Duration = Duration::from_secs(7 * 86_400);

impl FtpSection {
    /// Reads both sections.
    pub fn read(self, from: &mut Reader) -> Self {
        let mut clear = self.clear.read("ftp", from);
        clear.policy.login_tls = from.take("ftp", "login_tls", clear.policy.login_tls);
        // What [ftps] does not say is as in [ftp].
        let policy = clear.policy;
        let tls = PortSection { policy, ..self.tls }.read("ftps", from);
        let default = self.front;
        let mut count = |key, default, most| from.count("ftp", key, default, 1..=most);
        let login_attempts = count("login_attempts", default.login_attempts, 100);
        let connections = ConnectionLimits {
            total: count("sessions", default.connections.total, 1_000_000),
            per_address: count(
                "sessions_per_address",
                default.connections.per_address,
                1_000_000,
            ),
        };
        let checksums = from.within(
            "ftp",
            "checksum_limit",
            Size(default.checksum_limit),
            Size(1 << 20)..=Size(1 << 50),
        );
        Self {
            clear,
            tls,
            front: FtpSettings {
                proxies: from.take("ftp", "proxies", default.proxies),
                banner: from.take("ftp", "banner", default.banner),
                login_time: default.login_time,
                login_attempts,
                idle_time: from.within("ftp", "idle_time", default.idle_time, SECOND..=WEEK),
                stall_time: from.within("ftp", "stall_time", default.stall_time, SECOND..=WEEK),
                checksum_limit: checksums.0,
                connections,
            },
        }
    }
}

impl PortSection {
    fn read(self, section: &'static str, from: &mut Reader) -> Self {
        Self {
            listen: from.take(section, "listen", self.listen),
            passive: PassiveSettings {
                ports: from
                    .take(section, "passive_ports", Ports(self.passive.ports))
                    .0,
                address: from.checked(
                    section,
                    "passive_address",
                    self.passive.address,
                    |text: &String| is_reachable(text),
                ),
                private: from.take(section, "passive_private", self.passive.private),
            },
            policy: Policy {
                data_tls: from.take(section, "data_tls", self.policy.data_tls),
                resumption: from.take(section, "resumption", self.policy.resumption),
                ..self.policy
            },
        }
    }
}

/// PASV tells four numbers, which is all that an address there can be (RFC 959).
fn is_reachable(text: &str) -> Result<(), String> {
    let is_address = text.parse::<Ipv4Addr>().is_ok();
    match text.is_empty() || is_address || text.parse::<HostName>().is_ok() {
        true => Ok(()),
        false => Err("write an IPv4 address, or the name of a host that has one".to_owned()),
    }
}

/// A range of ports, as in `49152-65535`.
struct Ports(RangeInclusive<u16>);

impl Setting for Ports {
    const SHAPE: Shape = Shape::Text;

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "write two ports from 1024 on, as in \"49152-65535\"".to_owned();
        let (first, last) = text.split_once('-').ok_or_else(wrong)?;
        let port = |text: &str| text.trim().parse::<u16>().map_err(|_| wrong());
        let (first, last) = (port(first)?, port(last)?);
        match first >= 1024 && first <= last {
            true => Ok(Self(first..=last)),
            false => Err(wrong()),
        }
    }

    fn text(&self) -> String {
        format!("{}-{}", self.0.start(), self.0.end())
    }
}

impl Setting for Demand {
    const SHAPE: Shape = Shape::Text;

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "optional" => Ok(Self::Optional),
            "required" => Ok(Self::Required),
            _ => Err("write \"optional\" or \"required\"".to_owned()),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Optional => "optional",
            Self::Required => "required",
        }
        .to_owned()
    }
}

impl Setting for LoginTls {
    const SHAPE: Shape = Shape::Text;

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "by-account" => Ok(Self::ByAccount),
            "required" => Ok(Self::Required),
            _ => Err("write \"by-account\" or \"required\"".to_owned()),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::ByAccount => "by-account",
            Self::Required => "required",
        }
        .to_owned()
    }
}
