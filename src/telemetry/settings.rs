//! What leaves the process, and where to.

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::secret::Secret;
use crate::net::certificates::PemFiles;

/// Settings of what leaves the process.
#[derive(Clone, Debug, Default)]
pub struct TelemetrySettings {
    /// To a collector of OpenTelemetry.
    pub otlp: OtlpSettings,
    /// To syslog servers.
    pub syslog: SyslogSettings,
}

/// Settings of the export by OTLP.
#[derive(Clone, Debug)]
pub struct OtlpSettings {
    /// Where the collector is; without it nothing is exported.
    pub endpoint: Option<Endpoint>,
    /// What each request carries: names and values of headers.
    pub headers: Vec<(String, Secret)>,
    /// What is exported.
    pub signals: Vec<Signal>,
    /// How often metrics are sent, and what gathered of the others at the latest.
    pub interval: Duration,
    /// One of so many sessions and requests is traced, where who asks has not decided; 0 is none.
    pub trace_one_in: u32,
    /// Certificates (PEM) to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

impl Default for OtlpSettings {
    fn default() -> Self {
        Self {
            endpoint: None,
            headers: Vec::new(),
            signals: vec![Signal::Logs, Signal::Metrics, Signal::Traces],
            interval: Duration::from_secs(30),
            trace_one_in: 10,
            ca_file: None,
        }
    }
}

/// Where a collector is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What its paths begin with, without a slash at the end.
    pub path: String,
}

/// A kind of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// What the log says.
    Logs,
    /// What is counted.
    Metrics,
    /// What took how long, and within what.
    Traces,
}

/// As settings, metrics and the collector's addresses name it.
impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Logs => "logs",
            Self::Metrics => "metrics",
            Self::Traces => "traces",
        })
    }
}

/// Settings of the export to syslog servers.
#[derive(Clone, Debug)]
pub struct SyslogSettings {
    /// Where they are.
    pub servers: Vec<SyslogServer>,
    /// What they are sent.
    pub send: Vec<SyslogContent>,
    /// The number of the facility (RFC 5424 section 6.2.1).
    pub facility: u8,
    /// What the program is called.
    pub app_name: String,
    /// Certificates (PEM) to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// What is shown to servers that ask for a certificate.
    pub certificate: Option<PemFiles>,
}

impl Default for SyslogSettings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            send: vec![SyslogContent::Audit, SyslogContent::Log],
            facility: 16,
            app_name: "sealift".to_owned(),
            ca_file: None,
            certificate: None,
        }
    }
}

/// Where a syslog server is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SyslogServer {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it speaks TLS; only one on this machine may do without.
    pub tls: bool,
}

/// As settings and metrics name it.
impl std::fmt::Display for SyslogServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "" } else { "tcp://" };
        write!(f, "{scheme}{}:{}", self.host, self.port)
    }
}

/// What a syslog server is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyslogContent {
    /// The audit logs of all tenants.
    Audit,
    /// The log.
    Log,
}
