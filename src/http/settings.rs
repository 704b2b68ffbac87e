//! Settings of the HTTPS front end.

use std::time::Duration;

use crate::accounts::bearer::SessionLife;
use crate::net::limit::ConnectionLimits;
use crate::net::network::Network;
use crate::net::reach::Reach;

/// Settings of the HTTPS front end.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Balancers that speak for others and must say for whom, by the PROXY protocol.
    pub proxies: Vec<Network>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub forwarders: Vec<Network>,
    /// Time for the head of a request, from its first byte or the end of the one before.
    pub head_time: Duration,
    /// Time for all that somebody sends who has not logged in.
    pub login_time: Duration,
    /// A body in which nothing moves for so long is broken off; one that is small must come within it as a whole.
    pub stall_time: Duration,
    /// Connections at once, in all and of one address, logged in or not.
    pub connections: ConnectionLimits,
    /// The port that redirects name, where clients reach HTTPS by another one than it listens on.
    pub public_port: Option<u16>,
    /// Whether browsers are told to reach hosts below this one by TLS only, too.
    pub hsts_subdomains: bool,
    /// How long uploads that broke off are kept.
    pub upload_expiry: Duration,
    /// How long sessions of browsers last.
    pub sessions: SessionLife,
    /// Where webhooks may lead.
    pub reach: Reach,
    /// How long a new tenant's past is kept unless an operator says otherwise.
    pub retention: Duration,
    /// How long backups of the database are kept.
    pub backups: Duration,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            proxies: Vec::new(),
            forwarders: Vec::new(),
            head_time: Duration::from_secs(30),
            login_time: Duration::from_secs(30),
            stall_time: Duration::from_secs(60),
            connections: ConnectionLimits {
                per_address: 1_000,
                total: 10_000,
            },
            public_port: None,
            hsts_subdomains: false,
            upload_expiry: Duration::from_secs(24 * 3600),
            sessions: SessionLife::default(),
            reach: Reach::default(),
            retention: Duration::from_secs(30 * 24 * 3600),
            backups: Duration::from_secs(8 * 24 * 3600),
        }
    }
}
