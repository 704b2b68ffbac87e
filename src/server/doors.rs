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
        let open = |addresses: &[SocketAddr]| {
            let opened = addresses.iter().map(|address| match ports {
                Ports::Any => listen::bind(SocketAddr::new(address.ip(), 0)),
                Ports::Set => listen::bind(*address),
            });
            opened.collect::<Result<Vec<_>>>()
        };
        let doors = Self {
            admin: open(&settings.http.admin)?,
            ftp: open(&settings.ftp.clear.listen)?,
            ftps: open(&settings.ftp.tls.listen)?,
            http: open(&settings.http.clear)?,
            https: open(&settings.http.listen)?,
            metrics: open(&settings.http.metrics)?,
            sftp: open(&settings.sftp.listen)?,
        };
        let all = [&doors.ftp, &doors.ftps, &doors.https, &doors.sftp];
        let none = all.into_iter().all(Vec::is_empty);
        match none {
            true => Err(Error::invalid(
                "the server would listen nowhere; set sftp.listen, ftp.listen, ftps.listen or \
                 https.listen",
            )),
            false => Ok(doors),
        }
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
