//! `[telemetry]` and `[syslog]`: what leaves the process, and where to.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::reader::Reader;
use crate::config::tls::holds_authorities;
use crate::config::value::{Setting, Shape};
use crate::domain::secret::Secret;
use crate::net::certificates::PemFiles;
use crate::telemetry::settings::{
    Endpoint, OtlpSettings, Signal, SyslogContent, SyslogServer, SyslogSettings, TelemetrySettings,
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
/// The port of syslog over TLS (RFC 5425), and of OTLP over HTTP.
const SYSLOG_PORT: u16 = 6514;
const OTLP_PORT: u16 = 4318;
/// By their numbers (RFC 5424 section 6.2.1).
const FACILITIES: [(&str, u8); 13] = [
    ("user", 1),
    ("daemon", 3),
    ("auth", 4),
    ("authpriv", 10),
    ("audit", 13),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// Reads both sections.
pub fn read(default: TelemetrySettings, from: &mut Reader) -> TelemetrySettings {
    TelemetrySettings {
        otlp: otlp(default.otlp, from),
        syslog: syslog(default.syslog, from),
    }
}

fn otlp(default: OtlpSettings, from: &mut Reader) -> OtlpSettings {
    const SECTION: &str = "telemetry";
    let is_right = |text: &String| match text.is_empty() || endpoint_of(text).is_some() {
        true => Ok(()),
        false => Err("write https://host:4318, or http:// for one on this machine".to_owned()),
    };
    let endpoint = from.checked(SECTION, "otlp_endpoint", String::new(), is_right);
    let headers = from.take(SECTION, "otlp_headers", String::new());
    let headers = headers_of(&headers).unwrap_or_else(|| {
        // What stands there is a secret.
        let message = "write \"name=value, name=value\", each name and value as HTTP has them";
        from.report_at(SECTION, "otlp_headers", message);
        Vec::new()
    });
    OtlpSettings {
        endpoint: endpoint_of(&endpoint),
        headers,
        signals: from.take(SECTION, "signals", default.signals),
        interval: from.within(SECTION, "interval", default.interval, SECOND..=HOUR),
        trace_one_in: from.take(SECTION, "trace_one_in", default.trace_one_in),
        ca_file: file(from, SECTION),
    }
}

fn syslog(default: SyslogSettings, from: &mut Reader) -> SyslogSettings {
    const SECTION: &str = "syslog";
    let facility = FACILITIES
        .iter()
        .find(|(_, number)| *number == default.facility);
    let facility = facility.map_or("local0", |(name, _)| name).to_owned();
    let find = |name: &str| FACILITIES.iter().find(|(known, _)| *known == name);
    let facility = from.checked(SECTION, "facility", facility, |name: &String| {
        let all: Vec<_> = FACILITIES.iter().map(|(name, _)| *name).collect();
        let hint = || format!("write one of {}", all.join(", "));
        find(name).map(drop).ok_or_else(hint)
    });
    let certificate: Vec<PemFiles> = from.take(SECTION, "certificate", Vec::new());
    SyslogSettings {
        servers: from.take(SECTION, "servers", default.servers),
        send: from.take(SECTION, "send", default.send),
        facility: find(&facility).map_or(default.facility, |(_, number)| *number),
        app_name: from.checked(SECTION, "app_name", default.app_name, |name: &String| {
            let is_word = name.bytes().all(|b| b.is_ascii_graphic());
            match is_word && (1..=48).contains(&name.len()) {
                true => Ok(()),
                false => Err("write a word of up to 48 ASCII letters".to_owned()),
            }
        }),
        ca_file: file(from, SECTION),
        certificate: certificate.into_iter().next(),
    }
}

fn file(from: &mut Reader, section: &'static str) -> Option<PathBuf> {
    let file = from.checked(section, "ca_file", String::new(), holds_authorities);
    (!file.is_empty()).then(|| PathBuf::from(file))
}

fn endpoint_of(text: &str) -> Option<Endpoint> {
    let (tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return None,
    };
    let (place, path) = match rest.split_once('/') {
        Some((place, path)) => (place, format!("/{path}")),
        None => (rest, String::new()),
    };
    let (host, port) = place_of(place, OTLP_PORT)?;
    (tls || is_here(&host)).then(|| Endpoint {
        tls,
        host,
        port,
        path: path.trim_end_matches('/').to_owned(),
    })
}

/// `name=value, name=value`, as OpenTelemetry writes headers.
fn headers_of(text: &str) -> Option<Vec<(String, Secret)>> {
    let parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=')?;
            let (name, value) = (name.trim(), value.trim());
            let is_name =
                |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            let is_good = !name.is_empty()
                && name.bytes().all(is_name)
                && value
                    .bytes()
                    .all(|byte| byte == b' ' || byte.is_ascii_graphic());
            is_good.then(|| (name.to_owned(), Secret::new(value)))
        })
        .collect()
}

/// `host`, `host:port`, `[address]:port`.
fn place_of(text: &str, default: u16) -> Option<(String, u16)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (text, default),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    let is_host = !host.is_empty() && host.chars().all(plain);
    let is_one = host.starts_with('[') || !host.contains(':');
    (is_host && is_one).then(|| (host.to_owned(), port))
}

/// Whether a host is this machine, so that what goes there passes no line.
pub(in crate::config) fn is_here(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

impl Setting for Vec<SyslogServer> {
    const SHAPE: Shape = Shape::List;

    fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
        parts.map(server).collect()
    }

    fn text(&self) -> String {
        let all: Vec<_> = self.iter().map(ToString::to_string).collect();
        all.join(", ")
    }
}

fn server(text: &str) -> Result<SyslogServer, String> {
    let (tls, place) = match text.strip_prefix("tcp://") {
        Some(place) => (false, place),
        None => (true, text),
    };
    let found = place_of(place, SYSLOG_PORT).filter(|(host, _)| tls || is_here(host));
    let (host, port) = found.ok_or_else(|| {
        format!(
            "'{text}' is no server; write \"host:6514\", or \"tcp://127.0.0.1:601\" for one on this machine \
             that does without TLS"
        )
    })?;
    Ok(SyslogServer { host, port, tls })
}

const SIGNALS: [(&str, Signal); 3] = [
    ("logs", Signal::Logs),
    ("metrics", Signal::Metrics),
    ("traces", Signal::Traces),
];

const CONTENTS: [(&str, SyslogContent); 2] =
    [("audit", SyslogContent::Audit), ("log", SyslogContent::Log)];

macro_rules! words {
    ($type:ty, $words:expr) => {
        impl Setting for Vec<$type> {
            const SHAPE: Shape = Shape::List;

            fn parse(text: &str) -> Result<Self, String> {
                let parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
                parts
                    .map(|part| {
                        let found = $words.iter().find(|(word, _)| *word == part);
                        found.map(|(_, meant)| *meant).ok_or_else(|| {
                            let all: Vec<_> = $words.iter().map(|(word, _)| *word).collect();
                            format!("'{part}' is none of {}", all.join(", "))
                        })
                    })
                    .collect()
            }

            fn text(&self) -> String {
                let words = $words.iter().filter(|(_, meant)| self.contains(meant));
                let words: Vec<_> = words.map(|(word, _)| *word).collect();
                words.join(", ")
            }
        }
    };
}

words!(Signal, SIGNALS);
words!(SyslogContent, CONTENTS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_without_tls() {
        for good in [
            "logs.example",
            "logs.example:1",
            "tcp://127.0.0.1:601",
            "tcp://[::1]:601",
        ] {
            assert!(server(good).is_ok(), "{good}");
        }
        for wrong in [
            "tcp://logs.example:601",
            "a:b",
            "::1",
            "",
            "tcp://10.0.0.1:601",
            "a b:1",
        ] {
            assert!(server(wrong).is_err(), "{wrong}");
        }
        let endpoint = endpoint_of("https://collector.example/otlp/").unwrap();
        assert_eq!((endpoint.port, endpoint.path.as_str()), (4318, "/otlp"));
        assert!(endpoint_of("http://127.0.0.1:4318").is_some());
        for wrong in [
            "http://collector.example",
            "collector.example:4318",
            "https://",
            "ftp://a",
        ] {
            assert!(endpoint_of(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn headers_are_names_and_values() {
        let read = headers_of("authorization=Bearer a=b, x-key = 1").unwrap();
        let read: Vec<_> = read
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose()))
            .collect();
        assert_eq!(
            read,
            [("authorization", &b"Bearer a=b"[..]), ("x-key", b"1")]
        );
        assert!(headers_of("").unwrap().is_empty());
        for wrong in ["hunter2", "=a", "a b=c", "a=b\nc", "a: b=\u{e4}"] {
            assert!(headers_of(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn servers_are_read_as_they_are_written() {
        let text = "a.example:6514, tcp://[::1]:601";
        let read = Vec::<SyslogServer>::parse(text).unwrap();
        assert_eq!(read.text(), text);
    }
}
