//! `[sftp]`: the SFTP front end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::reader::Reader;
use crate::config::value::Size;
use crate::sftp::algorithms::Algorithms;
use crate::sftp::settings::SftpSettings;

/// The SFTP front end.
#[derive(Clone, Debug)]
pub struct SftpSection {
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// The folder of the SSH host keys; missing ones are made.
    pub host_keys: PathBuf,
    /// All else.
    pub front: SftpSettings,
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
const YEARS: Duration = Duration::from_secs(100 * 365 * 86_400);

impl SftpSection {
    /// Reads the section.
    pub fn read(self, from: &mut Reader) -> Self {
        Self {
            listen: from.take("sftp", "listen", self.listen),
            host_keys: from.take("sftp", "host_keys", self.host_keys),
            front: front(self.front, from),
        }
    }
}

fn front(default: SftpSettings, from: &mut Reader) -> SftpSettings {
    let banner = from.take("sftp", "banner", default.banner.unwrap_or_default());
    let idle = from.within(
        "sftp",
        "idle_time",
        default.idle_time.unwrap_or_default(),
        Duration::ZERO..=YEARS,
    );
    SftpSettings {
        algorithms: algorithms(default.algorithms, from),
        proxies: from.take("sftp", "proxies", default.proxies),
        banner: (!banner.is_empty()).then_some(banner),
        login_time: from.within(
            "limits",
            "login_time",
            default.login_time,
            SECOND..=600 * SECOND,
        ),
        login_attempts: from.count("sftp", "login_attempts", default.login_attempts, 1..=100),
        idle_time: (!idle.is_zero()).then_some(idle),
        keepalive: from.within("sftp", "keepalive", default.keepalive, SECOND..=DAY),
        sessions: from.count("sftp", "sessions", default.sessions, 1..=1_000_000),
        channels: from.count("sftp", "channels", default.channels, 1..=1000),
        handles: from.count("sftp", "handles", default.handles, 1..=100_000),
        rekey_bytes: {
            let default = Size(default.rekey_bytes as u64);
            let size = from.within(
                "sftp",
                "rekey_bytes",
                default,
                Size(1 << 20)..=Size(1 << 30),
            );
            usize::try_from(size.0).unwrap_or(usize::MAX)
        },
        rekey_time: from.within("sftp", "rekey_time", default.rekey_time, 60 * SECOND..=DAY),
    }
}

fn algorithms(default: Algorithms, from: &mut Reader) -> Algorithms {
    let words = [
        ("compatible", Algorithms::Compatible),
        ("strict", Algorithms::Strict),
    ];
    let find = |given: &str| words.iter().find(|(word, _)| *word == given);
    let default = words.iter().find(|(_, meant)| *meant == default);
    let default = default.map_or("strict", |(word, _)| word).to_owned();
    let given = from.checked("sftp", "algorithms", default, |given: &String| {
        let wanted = "write \"strict\" or \"compatible\"".to_owned();
        find(given).map(drop).ok_or(wanted)
    });
    find(&given).map_or(Algorithms::Strict, |(_, meant)| *meant)
}
