//! Whom a request comes from.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName};

use crate::net::network::Network;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The other end of a connection, as a request finds it among its extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The client.
    pub address: IpAddr,
    /// The name that it asked for in the TLS handshake, in lower case.
    pub server_name: Option<Arc<str>>,
}

impl Peer {
    /// The client for whom a proxy speaks: the last address of `X-Forwarded-For` that is no proxy of
    /// ours. From anybody but `forwarders` the header means nothing.
    pub fn behind(&self, forwarders: &[Network], headers: &HeaderMap) -> IpAddr {
        let ours = |address: &IpAddr| forwarders.iter().any(|net| net.contains(*address));
        let mut address = self.address.to_canonical();
        let lines: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
        // As bytes: what a stranger wrote need be no text, and must not hide what stands beside it.
        let hops = lines.iter().rev();
        let hops = hops.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops {
            if !ours(&address) {
                break;
            }
            // What cannot be read was not written by a proxy of ours: what came last is known.
            match hop_of(hop) {
                Some(named) => address = named.to_canonical(),
                None => break,
            }
        }
        address
    }
}

/// The address of a client as proxies write it: alone or with a port, in quotes or without.
fn hop_of(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let inner = text.strip_prefix('"');
    let text = inner.map_or(Some(text), |inner| inner.strip_suffix('"'))?;
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Ok(with_port) = text.parse::<SocketAddr>() {
        return Some(with_port.ip());
    }
    let bare = text.strip_prefix('[')?.strip_suffix(']')?;
    bare.parse().ok().map(IpAddr::V6)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn client(peer: &str, lines: &[&str]) -> String {
        let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
        client_of(peer, &lines)
    }

    fn client_of(peer: &str, lines: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line).unwrap());
        }
        let peer = Peer {
            address: peer.parse().unwrap(),
            server_name: None,
        };
        let ours = ["10.0.0.0/8".parse().unwrap()];
        peer.behind(&ours, &headers).to_string()
    }

    #[test]
    fn a_header_of_strangers_means_nothing() {
        assert_eq!(client("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
    }

    #[test]
    fn the_last_address_that_is_no_proxy_of_ours_is_the_client() {
        assert_eq!(client("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(
            client("10.0.0.1", &["1.1.1.1, 198.51.100.7", "10.0.0.2"]),
            "198.51.100.7"
        );
        for junk in [
            "junk",
            "",
            "\"",
            "\"203.0.113.2",
            "[203.0.113.2]",
            "203.0.113.2:",
            "203.0.113.2:99999",
            "[2001:db8::3",
            "unknown",
            "_hidden",
        ] {
            assert_eq!(client("10.0.0.1", &[junk]), "10.0.0.1", "{junk}");
        }
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    /// Proxies pass on what clients wrote, and write the client's address behind it.
    #[test]
    fn what_is_no_text_hides_nothing_that_stands_beside_it() {
        let last = "203.0.113.9";
        assert_eq!(client_of("10.0.0.1", &[b"\xff, 203.0.113.9"]), last);
        assert_eq!(client_of("10.0.0.1", &[b"\xff", b"203.0.113.9"]), last);
        let written: [&[u8]; 2] = [b"198.51.100.7", b"\xff"];
        assert_eq!(client_of("10.0.0.1", &written), "10.0.0.1");
        let both = b"198.51.100.7, \xff, 10.0.0.2";
        assert_eq!(client_of("10.0.0.1", &[both]), "10.0.0.2");
    }

    #[test]
    fn a_port_and_quotes_are_no_part_of_an_address() {
        for (hop, address) in [
            ("203.0.113.2:4711", "203.0.113.2"),
            ("\"203.0.113.2:4711\"", "203.0.113.2"),
            ("\"203.0.113.2\"", "203.0.113.2"),
            ("2001:db8::3", "2001:db8::3"),
            ("[2001:db8::3]", "2001:db8::3"),
            ("[2001:db8::3]:4711", "2001:db8::3"),
            ("\"[2001:db8::3]:4711\"", "2001:db8::3"),
            ("[::ffff:203.0.113.2]:4711", "203.0.113.2"),
            ("1.1.1.1:1, 203.0.113.2:4711 , 10.0.0.2:80", "203.0.113.2"),
        ] {
            assert_eq!(client("10.0.0.1", &[hop]), address, "{hop}");
        }
    }
}
