//! Where this server may be sent by what others say: addresses of the public internet, and what the operator
//! has allowed. Whoever names a target must not get at what only this machine can reach.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hyper::Uri;
use tokio::time::timeout;

use crate::net::network::Network;

/// Longest address of a target, in bytes.
const LONGEST: usize = 2_000;
const LOOK_UP_TIME: Duration = Duration::from_secs(5);

/// What may be reached.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Networks that are reached though they are not public.
    pub allow: Vec<Network>,
    /// Whether targets may do without TLS.
    pub clear: bool,
}

/// Whether a target is spoken to over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

/// An address that was taken apart: where to connect, and what to ask for there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Over TLS or not.
    pub scheme: Scheme,
    /// The name or address of the host; IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What the header `Host` says.
    pub authority: String,
    /// The path, with what stands behind `?`.
    pub path: String,
}

impl Reach {
    /// Takes an address apart.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn target(&self, url: &str) -> Result<Target, String> {
        if url.len() > LONGEST {
            return Err(format!("the address is longer than {LONGEST} bytes"));
        }
        let malformed = || format!("'{url}' is no address; write https://host/path");
        let uri: Uri = url.parse().map_err(|_| malformed())?;
        let scheme = match uri.scheme_str() {
            Some("https") => Scheme::Https,
            Some("http") if self.clear => Scheme::Http,
            Some("http") => {
                return Err(
                    "only https:// is sent to; the operator may allow http:// by webhooks.http"
                        .into(),
                );
            }
            _ => return Err(malformed()),
        };
        let authority = uri.authority().ok_or_else(malformed)?;
        if authority.as_str().contains('@') {
            return Err("an address must not hold a name or password".into());
        }
        let bracketed = authority.host();
        let host = bracketed.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || url.contains('#') {
            return Err(malformed());
        }
        let port = match authority.as_str().strip_prefix(bracketed) {
            Some("" | ":") => None,
            Some(rest) => match rest.strip_prefix(':').map(str::parse) {
                Some(Ok(port)) if port > 0 => Some(port),
                _ => return Err(format!("the port in '{url}' is not one of 1 to 65535")),
            },
            None => return Err(malformed()),
        };
        if host.ends_with('.') {
            return Err(format!("write '{host}' without the dot at its end"));
        }
        // A zone is a line of this machine: what is reached by it is not of the public internet.
        let is_six = bracketed.starts_with('[');
        if is_six && host.parse::<Ipv6Addr>().is_err() {
            return Err(format!(
                "'{host}' is no IPv6 address; write it without a zone"
            ));
        }
        if !is_six && host.split('.').any(str::is_empty) {
            return Err(format!(
                "'{host}' is no name of a host: a part of it is empty"
            ));
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let target = Target {
            scheme,
            host: host.to_ascii_lowercase(),
            port: port.unwrap_or(match scheme {
                Scheme::Http => 80,
                Scheme::Https => 443,
            }),
            authority: authority.as_str().to_owned(),
            path: path.to_owned(),
        };
        match target.host.parse::<IpAddr>() {
            Ok(address) => self.check(&target.host, address).map(|()| target),
            Err(_) => Ok(target),
        }
    }

    /// The addresses of a target, each of which may be reached.
    ///
    /// # Errors
    /// Why there are none, in words.
    pub async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, Unreachable> {
        let looking = tokio::net::lookup_host((target.host.as_str(), target.port));
        let found = match timeout(LOOK_UP_TIME, looking).await {
            Ok(Ok(found)) => found.collect::<Vec<_>>(),
            Ok(Err(error)) => {
                let said = format!("the name '{}' cannot be looked up: {error}", target.host);
                return Err(Unreachable::Unknown(said));
            }
            Err(_) => {
                let said = format!("the name '{}' was not found in time", target.host);
                return Err(Unreachable::Unknown(said));
            }
        };
        for address in &found {
            self.check(&target.host, address.ip())
                .map_err(Unreachable::Refused)?;
        }
        match found.is_empty() {
            true => Err(Unreachable::Unknown(format!(
                "the name '{}' has no address",
                target.host
            ))),
            false => Ok(found),
        }
    }

    fn check(&self, host: &str, address: IpAddr) -> Result<(), String> {
        let allowed = self.allow.iter().any(|network| network.contains(address));
        match allowed || is_public(address) {
            true => Ok(()),
            false => Err(format!(
                "refused: '{host}' is {address}, which is not an address of the public internet; the \
                 operator may allow it by webhooks.allow"
            )),
        }
    }
}

/// Why a target is not reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// It may not be.
    Refused(String),
    /// It is not known where it is; later may be better.
    Unknown(String),
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(said) | Self::Unknown(said) => f.write_str(said),
        }
    }
}

/// Whether an address is one of the public internet (the registries of special addresses, RFC 6890). What
/// holds an IPv4 address within it leads to that one.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(inner) => is_public_v4(inner),
            None => is_public_v6(address),
        },
    }
}

/// Where machines at Azure ask about themselves, though it is written like a public address.
const AZURE: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_metadata = address == AZURE;
    !is_metadata
        && !matches!(
            (a, b, c),
            (0 | 10 | 127 | 224..=255, _, _)
                | (100, 64..=127, _)
                | (169, 254, _)
                | (172, 16..=31, _)
                | (192, 0, 0 | 2)
                | (192, 88, 99)
                | (192, 168, _)
                | (198, 18..=19, _)
                | (198, 51, 100)
                | (203, 0, 113)
        )
}

/// Of 2000::/3 only, without Teredo and other special uses, documentation and 6to4.
fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        [0x2001, second, ..] if second < 0x0200 || second == 0x0db8 => false,
        [0x2002, ..] | [0x3fff, 0..=0x0fff, ..] => false,
        // NAT64: whoever runs it decides where it leads.
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_reached() {
        let reach = Reach::default();
        for host in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "169.254.169.254",
            "168.63.129.16",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "192.0.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:10.0.0.1]",
            "[::ffff:a9fe:a9fe]",
            "[::ffff:168.63.129.16]",
            "[::7f00:1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:7f00:1::]",
            "[2001::1]",
            "[2001:db8::1]",
            "[fe80::1]",
            "[fec0::1]",
            "[fc00::1]",
            "[fd00:ec2::254]",
            "[ff02::1]",
        ] {
            let said = reach.target(&format!("https://{host}/x")).unwrap_err();
            assert!(said.starts_with("refused: "), "{host}: {said}");
        }
        for host in [
            "1.1.1.1",
            "100.128.0.1",
            "172.32.0.1",
            "[2606:4700::1111]",
            "a.example",
        ] {
            reach.target(&format!("https://{host}:8443/x?y=1")).unwrap();
        }
    }

    #[test]
    fn what_the_operator_allows_is_reached() {
        let reach = Reach {
            allow: vec!["10.1.0.0/16".parse().unwrap()],
            clear: true,
        };
        let target = reach.target("http://10.1.2.3:8000/hook?a=b").unwrap();
        assert_eq!((target.port, target.path.as_str()), (8000, "/hook?a=b"));
        assert_eq!(target.authority, "10.1.2.3:8000");
        reach.target("http://[::ffff:10.1.2.3]/").unwrap();
        assert!(reach.target("http://10.2.0.1/").is_err());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let reach = Reach::default();
        for url in [
            "",
            "example.com",
            "/path",
            "ftp://example.com/",
            "http://example.com/",
            "https://",
            "https:///x",
            "https://user:pass@example.com/",
            "https://example.com/#x",
            "https://exa mple.com/",
            "https://example.com:0/",
            "https://example.com:65536/",
            "https://example.com:99999/",
            "https://1.1.1.1:70000/",
            "https://[2606:4700::1111]:65536/",
            "https://[2606:4700::1111%25eth0]/",
            "https://[2606:4700::1111%eth0]/",
            "https://[example.com]/",
            "https://.com/",
            "https://a..b/",
            "https://.a.example/",
            "https://example.com./",
            "https://localhost./",
            "https://127.0.0.1./",
        ] {
            assert!(reach.target(url).is_err(), "{url}");
        }
        let long = format!("https://example.com/{}", "x".repeat(2_000));
        assert!(reach.target(&long).is_err());
    }

    #[tokio::test]
    async fn a_name_is_checked_by_its_addresses() {
        let reach = Reach::default();
        let target = reach.target("https://localhost/").unwrap();
        let refused = reach.addresses(&target).await.unwrap_err();
        assert!(matches!(refused, Unreachable::Refused(_)), "{refused}");
    }
}
