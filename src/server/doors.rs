//! All ports of a server, opened before anything else happens.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::config::settings::Settings;
use crate::domain::error::{Error, Result};
use crate::net::listen;

/// Which ports are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Whatever is free.
    Any,
    /// Those of the settings.
    Set,
}

/// Checks that a server would listen somewhere, and nowhere twice; opens nothing.
///
/// # Errors
/// Invalid, with the settings and what to do.
pub fn check(settings: &Settings) -> Result<()> {
    let all = listening(settings);
    // Operators and monitoring alone are no reason to run.
    if all
        .iter()
        .take(4)
        .all(|(_, addresses)| addresses.is_empty())
    {
        return Err(Error::invalid(
            "the server would listen nowhere; set sftp.listen, ftp.listen, ftps.listen or https.listen",
        ));
    }
    let mut taken: Vec<(&str, SocketAddr)> = Vec::new();
    for (setting, addresses) in all {
        for address in addresses.iter().filter(|address| address.port() != 0) {
            if let Some((before, _)) = taken.iter().find(|(_, other)| collide(*other, *address)) {
                return Err(Error::invalid(format!(
                    "{before} and {setting} both name port {} of {}; choose another port for one of them",
                    address.port(),
                    address.ip()
                )));
            }
            taken.push((setting, *address));
        }
    }
    for (setting, ports) in [("ftp", &settings.ftp.clear), ("ftps", &settings.ftp.tls)] {
        let is_taken = |port| taken.iter().any(|(_, address)| address.port() == port);
        let range = ports.passive.ports.clone();
        if !ports.listen.is_empty() && range.clone().all(is_taken) {
            return Err(Error::invalid(format!(
                "{setting}.passive_ports: the server listens on all of {}-{} itself, so that none is left for data; \
                 choose others",
                range.start(),
                range.end()
            )));
        }
    }
    Ok(())
}

/// Checks that a server could listen where it is to: at addresses of this machine. Ports may be in use.
///
/// # Errors
/// Invalid, as when the server starts.
pub fn check_addresses(settings: &Settings) -> Result<()> {
    let all = listening(settings).into_iter();
    let mut addresses = all.flat_map(|(_, addresses)| addresses);
    addresses.try_for_each(|address| listen::check(*address))
}

/// Where a server listens, by setting; those that are no reason to run come last.
fn listening(settings: &Settings) -> [(&'static str, &Vec<SocketAddr>); 7] {
    [
        ("ftp.listen", &settings.ftp.clear.listen),
        ("ftps.listen", &settings.ftp.tls.listen),
        ("https.listen", &settings.http.listen),
        ("sftp.listen", &settings.sftp.listen),
        ("admin.listen", &settings.http.admin),
        ("http.listen", &settings.http.clear),
        ("metrics.listen", &settings.http.metrics),
    ]
}

/// Whether only one of two addresses can be listened at.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port()
        && (one.ip() == other.ip() || (covers && one.is_ipv4() == other.is_ipv4()))
}

/// Open ports that nobody accepts from yet.
pub struct Doors {
    /// For operators, over TLS.
    pub admin: Vec<TcpListener>,
    /// For FTP that begins in the clear.
    pub ftp: Vec<TcpListener>,
    /// For FTP that begins with TLS.
    pub ftps: Vec<TcpListener>,
    /// For HTTP in the clear, which only redirects.
    pub http: Vec<TcpListener>,
    /// For HTTPS.
    pub https: Vec<TcpListener>,
    /// For Prometheus, on this machine.
    pub metrics: Vec<TcpListener>,
    /// For SFTP.
    pub sftp: Vec<TcpListener>,
}

impl Doors {
    /// Opens the ports of all front ends.
    ///
    /// # Errors
    /// With what to do; no port stays open then.
    pub fn open(settings: &Settings, ports: Ports) -> Result<Self> {
        check(settings)?;
        let open = |addresses: &[SocketAddr]| {
            let opened = addresses.iter().map(|address| match ports {
                Ports::Any => listen::bind(SocketAddr::new(address.ip(), 0)),
                Ports::Set => listen::bind(*address),
            });
            opened.collect::<Result<Vec<_>>>()
        };
        Ok(Self {
            admin: open(&settings.http.admin)?,
            ftp: open(&settings.ftp.clear.listen)?,
            ftps: open(&settings.ftp.tls.listen)?,
            http: open(&settings.http.clear)?,
            https: open(&settings.http.listen)?,
            metrics: open(&settings.http.metrics)?,
            sftp: open(&settings.sftp.listen)?,
        })
    }

    /// Where each protocol listens: its first address.
    ///
    /// # Errors
    /// Internal when the system does not say.
    pub fn addresses(&self) -> Result<BTreeMap<&'static str, SocketAddr>> {
        let first = |name, listeners: &[TcpListener]| {
            let first = listeners.first();
            first.map(|listener| listener.local_addr().map(|address| (name, address)))
        };
        let all = [
            first("admin", &self.admin),
            first("ftp", &self.ftp),
            first("ftps", &self.ftps),
            first("http", &self.http),
            first("https", &self.https),
            first("metrics", &self.metrics),
            first("sftp", &self.sftp),
        ];
        let all = all.into_iter().flatten();
        all.collect::<std::io::Result<_>>().map_err(Error::internal)
    }
}
