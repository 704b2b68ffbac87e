//! PORT and EPRT: we connect to the client for data (RFC 959 section 4.1.2, RFC 2428 section 2): only to
//! where it came from, and to no port of a service (RFC 2577).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::ftp::reply::Reply;
use crate::ftp::state::{Data, State};
use crate::ftp::verb::{Verb, reply};
use crate::ftp::work::Action;

/// PORT.
pub const PORT: Verb = Verb::new("PORT", "h1,h2,h3,h4,p1,p2", |state, argument| {
    let text = argument.text(state)?;
    let address =
        parse_port(&text).ok_or_else(|| Reply::new(501, "write PORT h1,h2,h3,h4,p1,p2"))?;
    connect_to(state, address)
});

/// EPRT.
pub const EPRT: Verb = Verb::new("EPRT", "|1|address|port|", |state, argument| {
    let text = argument.text(state)?;
    let address = match parse_eprt(&text)? {
        address if address.ip().is_unspecified() => at_its_own(state, address)?,
        address => address,
    };
    connect_to(state, address)
});

fn connect_to(state: &mut State, address: SocketAddr) -> Result<Action, Reply> {
    if state.only_extended_passive {
        return Err(Reply::new(501, "EPSV ALL was sent; only EPSV will do"));
    }
    if address.ip().to_canonical() != state.ends.peer {
        return Err(Reply::new(
            501,
            "data goes to the address that you came from and to no other; use PASV or EPSV",
        ));
    }
    if address.port() < 1024 {
        return Err(Reply::new(
            501,
            "ports below 1024 are for services; use another",
        ));
    }
    state.data = Data::Active(address);
    reply(200, "data will go there")
}

/// lftp (4.9.2) says `::` over IPv6 when it listens on all its addresses: one of them is the one that it
/// came from.
fn at_its_own(state: &State, address: SocketAddr) -> Result<SocketAddr, Reply> {
    let peer = state.ends.peer;
    match (peer.is_ipv6(), address.is_ipv6()) {
        (true, true) | (false, false) => Ok(SocketAddr::new(peer, address.port())),
        (true, false) => Err(Reply::new(522, "you came by another protocol, use (2)")),
        (false, true) => Err(Reply::new(522, "you came by another protocol, use (1)")),
    }
}

fn parse_port(text: &str) -> Option<SocketAddr> {
    let numbers: Vec<u8> = text
        .split(',')
        .map(|number| number.trim().parse().ok())
        .collect::<Option<_>>()?;
    let [a, b, c, d, high, low] = numbers.try_into().ok()?;
    let port = u16::from_be_bytes([high, low]);
    Some(SocketAddr::from((Ipv4Addr::new(a, b, c, d), port)))
}

fn parse_eprt(text: &str) -> Result<SocketAddr, Reply> {
    let wrong = || Reply::new(501, "write EPRT |1|address|port| or EPRT |2|address|port|");
    let part = text
        .chars()
        .next()
        .filter(char::is_ascii_graphic)
        .ok_or_else(wrong)?;
    let mut parts = text.split(part).skip(1);
    let family = parts.next().ok_or_else(wrong)?;
    let address: IpAddr = match family {
        "1" => parts
            .next()
            .and_then(|text| text.parse().ok())
            .map(IpAddr::V4),
        "2" => parts
            .next()
            .and_then(|text| text.parse().ok())
            .map(IpAddr::V6),
        "" => return Err(wrong()),
        _ => return Err(Reply::new(522, "no such protocol here, use (1,2)")),
    }
    .ok_or_else(wrong)?;
    let port: u16 = parts
        .next()
        .and_then(|text| text.parse().ok())
        .ok_or_else(wrong)?;
    match (parts.next(), parts.next()) {
        (Some(""), None) => Ok(SocketAddr::new(address, port)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let wanted = "127.0.0.1:258".parse().unwrap();
        assert_eq!(parse_port("127,0,0,1,1,2"), Some(wanted));
        assert_eq!(parse_eprt("|1|127.0.0.1|258|"), Ok(wanted));
        assert_eq!(parse_eprt("!2!::1!258!"), Ok("[::1]:258".parse().unwrap()));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "127,0,0,1,1",
            "127,0,0,256,1,2",
            "1,2,3,4,5,6,7",
            "a,b,c,d,e,f",
        ] {
            assert_eq!(parse_port(text), None, "{text}");
        }
        for text in [
            "",
            "|",
            "|1|::1|258|",
            "|2|127.0.0.1|258|",
            "|1|127.0.0.1|258",
            "|1|127.0.0.1|70000|",
            "|1|127.0.0.1|1|x",
        ] {
            assert_eq!(parse_eprt(text).unwrap_err().code(), 501, "{text}");
        }
        assert_eq!(parse_eprt("|3|x|1|").unwrap_err().code(), 522);
    }
}
