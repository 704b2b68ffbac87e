//! `[http]`, `[https]` and `[admin]`: the HTTPS front end.

use std::net::SocketAddr;
use std::time::Duration;

use crate::accounts::bearer::SessionLife;
use crate::config::reader::Reader;
use crate::http::settings::HttpSettings;
use crate::net::limit::ConnectionLimits;

/// The HTTPS front end.
#[derive(Clone, Debug, Default)]
pub struct HttpSection {
    /// Where it listens without TLS, to send clients on.
    pub clear: Vec<SocketAddr>,
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// Where it listens for operators.
    pub admin: Vec<SocketAddr>,
    /// Where it tells Prometheus what is counted, on this machine only.
    pub metrics: Vec<SocketAddr>,
    /// All else.
    pub front: HttpSettings,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

impl HttpSection {
    /// Reads the sections.
    pub fn read(self, from: &mut Reader) -> Self {
        let clear = from.take("http", "listen", self.clear);
        let listen = from.take("https", "listen", self.listen);
        let admin = from.take("admin", "listen", self.admin);
        let is_here = |all: &Vec<SocketAddr>| match all.iter().all(|one| one.ip().is_loopback()) {
            true => Ok(()),
            false => {
                Err("write addresses of this machine only, as in \"127.0.0.1:9464\"".to_owned())
            }
        };
        let metrics = from.checked("metrics", "listen", self.metrics, is_here);
        let default = self.front;
        let mut count = |key, default| from.count("https", key, default, 1..=1_000_000);
        let connections = ConnectionLimits {
            total: count("connections", default.connections.total),
            per_address: count("connections_per_address", default.connections.per_address),
        };
        let mut life = |key, default| from.within("https", key, default, 2 * MINUTE..=MONTH);
        let sessions = SessionLife {
            idle: life("session_idle", default.sessions.idle),
            whole: life("session_life", default.sessions.whole),
        };
        let port = u32::from(default.public_port.unwrap_or(0));
        let port = from.within("https", "public_port", port, 0..=65_535);
        Self {
            clear,
            listen,
            admin,
            metrics,
            front: HttpSettings {
                proxies: from.take("https", "proxies", default.proxies),
                forwarders: from.take("https", "forwarders", default.forwarders),
                head_time: from.within("https", "head_time", default.head_time, SECOND..=HOUR),
                login_time: default.login_time,
                stall_time: from.within("https", "stall_time", default.stall_time, SECOND..=HOUR),
                connections,
                hsts_subdomains: from.take("https", "hsts_subdomains", default.hsts_subdomains),
                upload_expiry: default.upload_expiry,
                sessions,
                reach: default.reach,
                retention: default.retention,
                backups: default.backups,
                public_port: u16::try_from(port).ok().filter(|port| *port > 0),
            },
        }
    }
}
