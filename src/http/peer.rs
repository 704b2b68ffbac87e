//! Whom a request comes from.

use std::net::IpAddr;
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
        let lines = headers.get_all(FORWARDED_FOR).iter();
        let lines: Vec<_> = lines.filter_map(|line| line.to_str().ok()).collect();
        let hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
        for hop in hops {
            if !ours(&address) {
                break;
            }
            // What cannot be read was not written by a proxy of ours: what came last is known.
            match hop.trim().parse::<IpAddr>() {
                Ok(named) => address = named.to_canonical(),
                Err(_) => break,
            }
        }
        address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, lines: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
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
        assert_eq!(client("10.0.0.1", &["junk"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }
}
