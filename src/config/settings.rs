//! All settings of an installation, and how they are read.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::Level;

use crate::accounts::places::SessionLimits;
use crate::config::ftp::FtpSection;
use crate::config::http::HttpSection;
use crate::config::reader::{Known, Reader};
use crate::config::regions::{self, MAIN, RegionSettings, StoreSettings};
use crate::config::sftp::SftpSection;
use crate::config::source::{self, Problem, Values};
use crate::config::value::{KeyKind, LogFormat, Size};
use crate::config::{telemetry, tls, webhooks};
use crate::jobs::runner::JobSettings;
use crate::jobs::webhook_settings::WebhookSettings;
use crate::net::acme::AcmeSettings;
use crate::net::certificates::PemFiles;
use crate::net::limit::ConnectionLimits;
use crate::sftp::settings::SftpSettings;
use crate::telemetry::settings::TelemetrySettings;

/// The settings of an installation.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the records are.
    pub database: DatabaseSettings,
    /// Where the sealed blobs are: at least one region.
    pub regions: Vec<RegionSettings>,
    /// The name of the region of new tenants.
    pub home: String,
    /// What wraps the tenants' data keys.
    pub keys: KeyKind,
    /// The installation's local key file.
    pub key_file: PathBuf,
    /// Most bytes that transfers of all clients may hold in memory.
    pub memory: Size,
    /// The certificates of front ends that speak TLS; without any, none does.
    pub certificates: Vec<PemFiles>,
    /// The certificates that an authority issues by ACME.
    pub acme: AcmeSettings,
    /// The SFTP front end.
    pub sftp: SftpSection,
    /// The FTP front end.
    pub ftp: FtpSection,
    /// The HTTPS front end.
    pub http: HttpSection,
    /// What strangers may take up.
    pub limits: ConnectionLimits,
    /// How many sessions accounts and tenants may have at a time.
    pub sessions: SessionLimits,
    /// How long a new tenant's past is kept.
    pub retention: Duration,
    /// When jobs run and what they keep.
    pub jobs: JobSettings,
    /// How what happens is told to others.
    pub webhooks: WebhookSettings,
    /// PBKDF2 rounds of new password hashes.
    pub password_rounds: u32,
    /// Fewest characters of a new password.
    pub password_length: usize,
    /// How long transfers may go on once the server was told to end.
    pub drain: Duration,
    /// What is logged, and how.
    pub log: LogSettings,
    /// What is told to others.
    pub telemetry: TelemetrySettings,
    /// The file that exists while `sealift serve` takes connections.
    pub ready_file: Option<PathBuf>,
}

/// Where the records are.
#[derive(Clone)]
pub struct DatabaseSettings {
    /// PostgreSQL, as the server connects to it; none is SQLite.
    pub url: Option<String>,
    /// PostgreSQL, as `migrate` connects to it.
    pub owner_url: Option<String>,
    /// The role that `url` names; `migrate` grants it what the server needs.
    pub server_role: String,
    /// Most connections to PostgreSQL.
    pub connections: u32,
    /// The SQLite file.
    pub path: PathBuf,
}

/// Leaves the URLs out, for the passwords in them.
impl std::fmt::Debug for DatabaseSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseSettings")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// The least important lines that are still written.
    pub level: Level,
    /// How they look.
    pub format: LogFormat,
}

const DAY: Duration = Duration::from_secs(86_400);
const YEARS: Duration = Duration::from_secs(100 * 365 * 86_400);
const FTP_PORT_EMBEDDED: u16 = 2121;
const FTPS_PORT_EMBEDDED: u16 = 2990;
const HTTP_PORT_EMBEDDED: u16 = 8080;
const HTTPS_PORT_EMBEDDED: u16 = 8443;
const ADMIN_PORT_EMBEDDED: u16 = 8444;
const SFTP_PORT: u16 = 22;
const SFTP_PORT_EMBEDDED: u16 = 2222;

impl Settings {
    /// What `sealift serve` has where its settings file is silent.
    pub fn served() -> Self {
        let data = Path::new("/var/lib/sealift");
        let mut settings = Self::below(data);
        settings.sftp.listen = vec![SocketAddr::from((Ipv6Addr::UNSPECIFIED, SFTP_PORT))];
        settings
    }

    /// What `sealift up` has: everything in one folder, listening on this machine only.
    pub fn embedded(data: &Path) -> Self {
        let mut settings = Self::below(data);
        let here = |port| vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))];
        settings.ftp.clear.listen = here(FTP_PORT_EMBEDDED);
        settings.ftp.tls.listen = here(FTPS_PORT_EMBEDDED);
        settings.http.clear = here(HTTP_PORT_EMBEDDED);
        settings.http.listen = here(HTTPS_PORT_EMBEDDED);
        settings.http.admin = here(ADMIN_PORT_EMBEDDED);
        settings.certificates = vec![PemFiles {
            chain: data.join("tls/certificate.pem"),
            key: data.join("tls/key.pem"),
        }];
        settings
    }

    fn below(data: &Path) -> Self {
        Self {
            database: DatabaseSettings {
                url: None,
                owner_url: None,
                server_role: "sealift_server".to_owned(),
                connections: 16,
                path: data.join("sealift.db"),
            },
            regions: vec![RegionSettings::local(MAIN, data.to_owned())],
            home: MAIN.to_owned(),
            keys: KeyKind::Local,
            key_file: data.join("keys/local.key"),
            memory: Size(256 << 20),
            certificates: Vec::new(),
            acme: AcmeSettings::default(),
            sftp: SftpSection {
                listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, SFTP_PORT_EMBEDDED))],
                host_keys: data.join("ssh"),
                front: SftpSettings::default(),
            },
            ftp: FtpSection::default(),
            http: HttpSection::default(),
            limits: ConnectionLimits::default(),
            sessions: SessionLimits::default(),
            retention: 30 * DAY,
            jobs: JobSettings::default(),
            webhooks: WebhookSettings::default(),
            password_rounds: 210_000,
            password_length: 8,
            drain: Duration::from_secs(30),
            log: LogSettings {
                level: Level::INFO,
                format: LogFormat::Text,
            },
            telemetry: TelemetrySettings::default(),
            ready_file: None,
        }
    }

    /// Lays a settings file and the environment over `self`.
    ///
    /// # Errors
    /// All that is wrong, in the order of its lines.
    pub fn overlaid(
        self,
        file: Option<&str>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut values =
            file.map_or_else(Values::new, |text| source::document(text, &mut problems));
        source::environment(variables, &mut values, &mut problems);
        let mut reader = Reader::new(values, problems);
        let settings = self.read(&mut reader);
        let (_, problems) = reader.finish();
        match problems.is_empty() {
            true => Ok(settings),
            false => Err(problems),
        }
    }

    /// All settings there are, with the defaults of `sealift serve`.
    pub fn known() -> Vec<Known> {
        let mut reader = Reader::new(Values::new(), Vec::new());
        let settings = Self::served().read(&mut reader);
        regions::read_one("NAME", &settings.folder(), &mut reader);
        reader.finish().0
    }

    /// The settings of a region.
    pub fn region(&self, name: &str) -> Option<&RegionSettings> {
        self.regions.iter().find(|region| region.name == name)
    }

    /// Where `[storage]` keeps blobs unless told otherwise.
    fn folder(&self) -> PathBuf {
        let folders = self.regions.iter().map(|region| match &region.store {
            StoreSettings::Local(folder) => Some(folder.clone()),
            StoreSettings::S3(_) => None,
        });
        folders.flatten().next().unwrap_or_default()
    }

    fn read(self, from: &mut Reader) -> Self {
        let only_local = |kind: &String| match kind.as_str() {
            "local" => Ok(()),
            _ => Err("write \"local\"; buckets are named by [region.NAME]".to_owned()),
        };
        from.checked("storage", "kind", "local".to_owned(), only_local);
        let folder = from.take("storage", "path", self.folder());
        let regions = regions::read(folder, from);
        let home = regions::home(&regions, from);
        let keys = from.take("keys", "kind", self.keys);
        regions::check_keys(keys, &regions, &home, from);
        let http = self.http.read(from);
        let acme = tls::acme(self.acme, !http.clear.is_empty(), from);
        Self {
            database: self.database.read(from),
            regions,
            home,
            keys,
            key_file: from.take("keys", "file", self.key_file),
            memory: from.within(
                "memory",
                "budget",
                self.memory,
                Size(16 << 20)..=Size(1 << 40),
            ),
            certificates: tls::read(self.certificates, from),
            sftp: self.sftp.read(from),
            ftp: self.ftp.read(from),
            http,
            acme,
            limits: limits(self.limits, from),
            sessions: sessions(self.sessions, from),
            retention: from.within("retention", "keep", self.retention, Duration::ZERO..=YEARS),
            jobs: jobs(self.jobs, from),
            webhooks: webhooks::read(self.webhooks, from),
            password_rounds: from.within(
                "passwords",
                "rounds",
                self.password_rounds,
                100_000..=10_000_000,
            ),
            // Those that are made by the program have 24.
            password_length: from.count("passwords", "least_length", self.password_length, 1..=24),
            drain: from.within("drain", "time", self.drain, Duration::ZERO..=DAY),
            log: LogSettings {
                level: from.take("log", "level", self.log.level),
                format: from.take("log", "format", self.log.format),
            },
            telemetry: telemetry::read(self.telemetry, from),
            ready_file: {
                let default = self
                    .ready_file
                    .map_or_else(String::new, |f| f.display().to_string());
                let file = from.take("server", "ready_file", default);
                (!file.is_empty()).then(|| PathBuf::from(file))
            },
        }
    }
}

impl DatabaseSettings {
    /// Connects as the role that owns the tables from now on, if one is named.
    pub fn as_owner(&mut self) {
        if self.owner_url.is_some() {
            self.url.clone_from(&self.owner_url);
        }
    }

    fn read(self, from: &mut Reader) -> Self {
        let is_url = |url: &String| match url.is_empty()
            || ["postgres://", "postgresql://"]
                .iter()
                .any(|scheme| url.starts_with(scheme))
        {
            true => Ok(()),
            false => Err("write postgres://role:password@host/database".to_owned()),
        };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let is_role = |role: &String| match !role.is_empty() && role.chars().all(plain) {
            true => Ok(()),
            false => Err("write a name of a-z, 0-9 and _".to_owned()),
        };
        let set = |url: String| (!url.is_empty()).then_some(url);
        let default = |url: &Option<String>| url.clone().unwrap_or_default();
        let read = Self {
            url: set(from.checked("database", "url", default(&self.url), is_url)),
            owner_url: set(from.checked("database", "owner_url", default(&self.owner_url), is_url)),
            server_role: from.checked("database", "server_role", self.server_role, is_role),
            connections: from.within("database", "connections", self.connections, 2..=1000),
            path: from.take("database", "path", self.path),
        };
        if read.url.is_some() && from.is_given("database", "path") {
            from.report(
                "database",
                "url names a PostgreSQL database and path a SQLite file; keep one of them",
            );
        }
        if read.url.is_none() && read.owner_url.is_some() {
            from.report(
                "database.owner_url",
                "is for PostgreSQL and needs url beside it",
            );
        }
        read
    }
}

fn limits(default: ConnectionLimits, from: &mut Reader) -> ConnectionLimits {
    const KEY: &str = "connections_per_address";
    let read = ConnectionLimits {
        total: from.count("limits", "connections", default.total, 1..=1_000_000),
        per_address: from.count("limits", KEY, default.per_address, 1..=1_000_000),
    };
    if read.per_address > read.total && from.is_given("limits", KEY) {
        from.report(
            "limits.connections_per_address",
            "is more than limits.connections, which counts all addresses",
        );
    }
    read
}

fn sessions(default: SessionLimits, from: &mut Reader) -> SessionLimits {
    let mut read = |key, default: u64| {
        let default = usize::try_from(default).unwrap_or(usize::MAX);
        from.count("limits", key, default, 1..=1_000_000) as u64
    };
    SessionLimits {
        per_account: read("sessions_per_account", default.per_account),
        per_tenant: read("sessions_per_tenant", default.per_tenant),
    }
}

fn jobs(default: JobSettings, from: &mut Reader) -> JobSettings {
    let (soon, minute) = (Duration::from_millis(100), Duration::from_secs(60));
    JobSettings {
        interval: from.within("retention", "interval", default.interval, soon..=DAY),
        blob_grace: from.within(
            "retention",
            "blob_grace",
            default.blob_grace,
            Duration::ZERO..=YEARS,
        ),
        upload_expiry: from.within(
            "uploads",
            "expire_after",
            default.upload_expiry,
            minute..=YEARS,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENTED: &str = include_str!("../../config/sealift.toml");

    fn problems(file: &str, variables: &[(&str, &str)]) -> Vec<String> {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        match Settings::served().overlaid(Some(file), variables) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn every_setting_is_documented_with_its_real_default() {
        let mut section = "";
        let mut documented = Vec::new();
        for line in DOCUMENTED.lines() {
            if let Some(name) = line.trim_start_matches('#').strip_prefix('[') {
                section = name.trim_end_matches(']');
            }
            let setting = line
                .strip_prefix('#')
                .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
            if let Some((key, default)) = setting.and_then(|rest| rest.split_once(" = ")) {
                documented.push((section, key, default.to_owned()));
            }
        }
        let mut known: Vec<_> = Settings::known()
            .into_iter()
            .map(|known| (known.section, known.key, known.default))
            .collect();
        known.sort();
        documented.sort();
        let documented: Vec<_> = documented
            .into_iter()
            .map(|(section, key, default)| (section.to_owned(), key, default))
            .collect();
        assert_eq!(documented, known);
    }

    #[test]
    fn the_documented_file_is_right_as_it_is_and_with_all_settings_written_out() {
        assert_eq!(problems(DOCUMENTED, &[]), Vec::<String>::new());
        let settings = Settings::known().into_iter();
        let written: String = settings
            .filter(|known| (known.section.as_str(), known.key) != ("database", "path"))
            .filter(|known| known.section != "region.NAME")
            .map(|known| format!("{}.{} = {}\n", known.section, known.key, known.default))
            .collect();
        assert_eq!(problems(&written, &[]), Vec::<String>::new());
    }

    #[test]
    fn all_that_is_wrong_is_told_with_its_line() {
        let file = "[memory]\nbudgte = \"1GiB\"\n\n[log]\nlevel = \"loud\"\nformat = 3\n\
                    [sftpp]\nlisten = []\n[drain]\ntime = \"2 weeks\"\n[retention]\nkeep = 0x10\n\
                    [telemetry]\notlp_headers = \"hunter2\"\n";
        assert_eq!(
            problems(file, &[]),
            [
                "line 2: memory.budgte: there is no such setting; did you mean budget?",
                "line 5: log.level: \"loud\" is not right; write one of \"error\", \"warn\", \
                 \"info\", \"debug\", \"trace\"",
                "line 6: log.format: a number stands here, write a text in quotes: \"...\"",
                "line 8: sftpp.listen: there is no section [sftpp]; did you mean sftp?",
                "line 10: drain.time: \"2 weeks\" is not right; write a number with ms, s, m, h or \
                 d, as in \"30s\" or \"30d\"",
                "line 12: retention.keep: a number that is not decimal stands here; write a text \
                 in quotes: \"...\"",
                "line 14: telemetry.otlp_headers: write \"name=value, name=value\", each name and \
                 value as HTTP has them",
            ]
        );
    }

    #[test]
    fn a_malformed_file_is_told_with_its_line_beside_what_else_is_wrong() {
        let told = problems("[log]\nlevel = \n[memory]\nbudget = \"x\"\n", &[]);
        assert!(
            told.iter().any(|line| line.starts_with("line 2: ")),
            "{told:?}"
        );
        assert!(
            told.iter()
                .any(|line| line.starts_with("line 4: memory.budget: ")),
            "{told:?}"
        );
    }

    #[test]
    fn the_environment_overrides_the_file_and_is_checked_like_it() {
        let file = Some("[log]\nlevel = \"loud\"\n[sftp]\nlisten = [\"127.0.0.1:1\"]");
        let variables = [
            ("SEALIFT__LOG__LEVEL", "debug"),
            ("SEALIFT__SFTP__LISTEN", "127.0.0.1:2,[::1]:2"),
            ("SEALIFT__PASSWORDS__ROUNDS", "300000"),
            ("PATH", "/bin"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = Settings::served().overlaid(file, variables).unwrap();
        assert_eq!(settings.log.level, Level::DEBUG);
        assert_eq!(settings.sftp.listen.len(), 2);
        assert_eq!(settings.password_rounds, 300_000);
        let none = [("SEALIFT__SFTP__LISTEN".to_owned(), "[]".to_owned())];
        let settings = Settings::served().overlaid(None, none).unwrap();
        assert_eq!(settings.sftp.listen.len(), 0);

        let wrong = [
            ("SEALIFT__LOG__LEVLE", "debug"),
            ("SEALIFT__PASSWORDS__ROUNDS", "5"),
            ("SEALIFT__LOG", "debug"),
        ];
        assert_eq!(
            problems("", &wrong),
            [
                "SEALIFT__LOG: write the name as SEALIFT__SECTION__KEY",
                "SEALIFT__LOG__LEVLE: there is no such setting; did you mean level?",
                "SEALIFT__PASSWORDS__ROUNDS: \"5\" is not right; write a value from 100000 to \
                 10000000",
            ]
        );
    }

    #[test]
    fn two_databases_at_once_are_refused() {
        let file = "[database]\nurl = \"postgres://a@b/c\"\npath = \"/x/y.db\"\n";
        assert_eq!(problems(file, &[]).len(), 1);
    }

    #[test]
    fn a_wrong_url_is_not_repeated_for_the_password_in_it() {
        let told = problems("[database]\nurl = \"mysql://me:hunter2@x/y\"\n", &[]);
        assert!(told[0].contains("the URL is not right"), "{told:?}");
        assert!(!told[0].contains("hunter2"));
    }
}
