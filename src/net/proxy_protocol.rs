//! HAProxy's PROXY protocol, versions 1 and 2: a load balancer says whom it speaks for.
//!
//! The header is read from the socket byte by byte as far as its own length says, so that nothing
//! behind it is taken. See <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// No header is shorter, of either version.
pub const LEAST_BYTES: usize = SIGNATURE.len();

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// How version 1 begins.
const WORD: &[u8] = b"PROXY ";
/// The longest header of version 1, with its line end.
const MAX_LINE_BYTES: usize = 107;
/// What stands before the variable part of version 2.
const FIXED_BYTES: usize = 16;
/// Balancers add certificates' names and the like; none comes near this.
const MAX_VARIABLE_BYTES: usize = 2048;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// The balancer speaks for itself (a health check), or does not know for whom.
    Local,
    /// It speaks for the client at this address.
    For(SocketAddr),
}

/// Whether a header may begin with these bytes, as far as they go.
pub fn may_begin(bytes: &[u8]) -> bool {
    [SIGNATURE.as_slice(), WORD].iter().any(|start| {
        let length = start.len().min(bytes.len());
        start.get(..length) == bytes.get(..length)
    })
}

/// Reads a header and nothing behind it. It is for the caller to lose patience.
///
/// # Errors
/// InvalidData when it is no header; what the stream has.
pub async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Header> {
    // Both versions are longer.
    let mut first = [0; SIGNATURE.len()];
    stream.read_exact(&mut first).await?;
    if first == SIGNATURE {
        return read_binary(stream).await;
    }
    if !first.starts_with(WORD) {
        return Err(wrong("it does not begin as a PROXY header does"));
    }
    let mut line = first.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() == MAX_LINE_BYTES {
            return Err(wrong("the line of the PROXY header does not end"));
        }
        line.push(stream.read_u8().await?);
    }
    parse_line(&line).ok_or_else(|| wrong("the line of the PROXY header is malformed"))
}

async fn read_binary<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Header> {
    let mut fixed = [0; FIXED_BYTES - SIGNATURE.len()];
    stream.read_exact(&mut fixed).await?;
    let [_, _, high, low] = fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_VARIABLE_BYTES {
        return Err(wrong("the PROXY header is too long"));
    }
    let mut variable = vec![0; length];
    stream.read_exact(&mut variable).await?;
    parse_binary(fixed, &variable).ok_or_else(|| wrong("the PROXY header is malformed"))
}

/// A header from the front of `bytes`, and its length; none when they are no header.
pub fn parse(bytes: &[u8]) -> Option<(Header, usize)> {
    if let Some(rest) = bytes.strip_prefix(&SIGNATURE) {
        let (fixed, rest) = rest.split_first_chunk::<4>()?;
        let [_, _, high, low] = *fixed;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let variable = rest
            .get(..length)
            .filter(|_| length <= MAX_VARIABLE_BYTES)?;
        return Some((parse_binary(*fixed, variable)?, FIXED_BYTES + length));
    }
    let window = bytes.get(..bytes.len().min(MAX_LINE_BYTES))?;
    let end = window.windows(2).position(|two| two == b"\r\n")? + 2;
    // No line is shorter than "PROXY UNKNOWN\r\n".
    let line = bytes
        .get(..end)
        .filter(|line| line.len() >= SIGNATURE.len())?;
    Some((parse_line(line)?, end))
}

/// `PROXY TCP4 192.0.2.1 198.51.100.1 50000 22\r\n`, each field parted by one space.
fn parse_line(line: &[u8]) -> Option<Header> {
    let text = std::str::from_utf8(line).ok()?;
    let text = text.strip_prefix("PROXY ")?.strip_suffix("\r\n")?;
    // Whatever stands behind is to be ignored.
    if text == "UNKNOWN" || text.starts_with("UNKNOWN ") {
        return Some(Header::Local);
    }
    let fields: Vec<&str> = text.split(' ').collect();
    let [family, source, destination, source_port, destination_port] = fields.try_into().ok()?;
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let port = |text: &str| -> Option<u16> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let plain = digits && (text == "0" || !text.starts_with('0'));
        text.parse().ok().filter(|_| plain)
    };
    address(destination)?;
    port(destination_port)?;
    Some(Header::For(SocketAddr::new(
        address(source)?,
        port(source_port)?,
    )))
}

/// Version and command, family and transport, length; then addresses, and values that are of no
/// interest here but must be well formed.
fn parse_binary(fixed: [u8; 4], variable: &[u8]) -> Option<Header> {
    let [version_command, family_transport, ..] = fixed;
    match version_command {
        // LOCAL: whatever follows is to be ignored.
        0x20 => return Some(Header::Local),
        0x21 => {}
        _ => return None,
    }
    let (address, rest) = match family_transport {
        // UNSPEC: the same.
        0x00 => return Some(Header::Local),
        // IPv4, IPv6, both over TCP.
        0x11 => {
            let (addresses, rest) = variable.split_first_chunk::<12>()?;
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *addresses;
            let port = u16::from_be_bytes([high, low]);
            (SocketAddr::from(([a, b, c, d], port)), rest)
        }
        0x21 => {
            let (source, rest) = variable.split_first_chunk::<16>()?;
            let (_, rest) = rest.split_first_chunk::<16>()?;
            let (ports, rest) = rest.split_first_chunk::<4>()?;
            let [high, low, ..] = *ports;
            let port = u16::from_be_bytes([high, low]);
            (SocketAddr::from((*source, port)), rest)
        }
        // Datagrams and Unix sockets are no way to reach this server.
        _ => return None,
    };
    values_are_whole(rest).then_some(Header::For(address))
}

/// Each value is a type, a length of two bytes and so many bytes.
fn values_are_whole(mut values: &[u8]) -> bool {
    while let Some((head, rest)) = values.split_first_chunk::<3>() {
        let [_, high, low] = *head;
        match rest.split_at_checked(usize::from(u16::from_be_bytes([high, low]))) {
            Some((_, rest)) => values = rest,
            None => return false,
        }
    }
    values.is_empty()
}

fn wrong(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &[u8] = b"\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x01\xc3\x50\x00\x16";

    fn binary(rest: &[u8]) -> Vec<u8> {
        [&SIGNATURE[..], rest].concat()
    }

    fn v6(values: &[u8]) -> Vec<u8> {
        let source: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let length = u16::try_from(36 + values.len()).unwrap().to_be_bytes();
        let parts: [&[u8]; 6] = [
            b"\x21\x21",
            &length,
            &source.octets(),
            &[0; 16],
            b"\xc3\x50\x00\x16",
            values,
        ];
        binary(&parts.concat())
    }

    fn client(text: &str) -> Header {
        Header::For(text.parse().unwrap())
    }

    /// What both ways of reading say, which must agree and leave what is behind.
    async fn header(bytes: &[u8]) -> Option<Header> {
        let with_more = [bytes, b"SSH-2.0-x\r\n"].concat();
        let mut stream = with_more.as_slice();
        let read = read(&mut stream).await.ok();
        let parsed = parse(&with_more);
        assert_eq!(read, parsed.map(|(header, _)| header), "{bytes:?}");
        if parsed.is_some() {
            assert_eq!(stream, b"SSH-2.0-x\r\n");
        }
        read
    }

    #[tokio::test]
    async fn headers_of_both_versions_name_the_client() {
        let v1 = |text: &'static str| async { header(text.as_bytes()).await };
        let line = "PROXY TCP4 192.0.2.1 198.51.100.1 50000 22\r\n";
        assert_eq!(v1(line).await, Some(client("192.0.2.1:50000")));
        let line = "PROXY TCP6 2001:db8::1 2001:db8::2 50000 22\r\n";
        assert_eq!(v1(line).await, Some(client("[2001:db8::1]:50000")));
        let line = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
        assert!(v1(line).await.is_some());
        assert_eq!(v1("PROXY UNKNOWN\r\n").await, Some(Header::Local));
        assert_eq!(
            v1("PROXY UNKNOWN ffff:: x 1 2\r\n").await,
            Some(Header::Local)
        );

        let v4 = binary(V4);
        assert_eq!(header(&v4).await, Some(client("192.0.2.1:50000")));
        assert_eq!(header(&v6(b"")).await, Some(client("[2001:db8::1]:50000")));
    }

    #[tokio::test]
    async fn values_behind_the_addresses_are_passed_over_if_they_are_whole() {
        // ALPN, a checksum, an AWS endpoint, an empty one.
        let values = b"\x01\x00\x02h2\x03\x00\x04abcd\xea\x00\x05\x01vpce\x04\x00\x00";
        assert_eq!(
            header(&v6(values)).await,
            Some(client("[2001:db8::1]:50000"))
        );
        for cut in [1, 2, 3, 4, 6, 9] {
            assert_eq!(header(&v6(&values[..cut])).await, None, "{cut}");
        }
        let long = [&b"\x04\x07\xd0"[..], &[0; 2000]].concat();
        assert!(header(&v6(&long)).await.is_some());
        let too_long = [&b"\x04\x08\x00"[..], &[0; 2048]].concat();
        assert!(header(&v6(&too_long)).await.is_none());
    }

    #[tokio::test]
    async fn a_balancer_that_speaks_for_itself_names_nobody() {
        for rest in [
            &b"\x20\x00\x00\x00"[..],
            b"\x20\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x01\xc3\x50\x00\x16",
            b"\x20\x00\x00\x03xyz",
            b"\x21\x00\x00\x00",
        ] {
            assert_eq!(header(&binary(rest)).await, Some(Header::Local), "{rest:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        for line in [
            "PROXY TCP4 192.0.2.1 198.51.100.1 50000\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 50000 22 1\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.1 50000 22\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 050000 22\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 +500 22\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 65536 22\r\n",
            "PROXY TCP4 192.0.2.256 198.51.100.1 50000 22\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 50000 22\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.1 50000 22\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.1 50000 22\r\n",
            "PROXY UNKNOWNX\r\n",
            "proxy TCP4 192.0.2.1 198.51.100.1 50000 22\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 50000 22\n",
            "SSH-2.0-OpenSSH_9.2p1\r\n",
            "GET / HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(header(line.as_bytes()).await, None, "{line}");
        }
        let endless = format!("PROXY UNKNOWN {}", "x".repeat(200));
        assert_eq!(header(endless.as_bytes()).await, None);
        for rest in [
            &b"\x11\x11\x00\x0c"[..],
            b"\x22\x11\x00\x00",
            b"\x21\x12\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x01\xc3\x50\x00\x16",
            b"\x21\x31\x00\x00",
            b"\x21\x11\x00\x0b\xc0\x00\x02\x01\xc6\x33\x64\x01\xc3\x50\x00",
            b"\x21\x11\xff\xff",
        ] {
            assert_eq!(header(&binary(rest)).await, None, "{rest:?}");
        }
    }

    #[tokio::test]
    async fn a_header_may_come_in_pieces_and_must_come_whole() {
        for bytes in [
            b"PROXY TCP4 192.0.2.1 198.51.100.1 50000 22\r\n".to_vec(),
            binary(V4),
        ] {
            for length in 0..bytes.len() {
                let mut stream = &bytes[..length];
                assert!(read(&mut stream).await.is_err(), "{length}");
                assert_eq!(parse(&bytes[..length]), None, "{length}");
            }
            let (mut near, mut far) = tokio::io::duplex(1);
            let sent = async {
                use tokio::io::AsyncWriteExt;
                near.write_all(&bytes).await.unwrap();
            };
            let (header, ()) = tokio::join!(read(&mut far), sent);
            assert_eq!(header.unwrap(), client("192.0.2.1:50000"));
        }
    }
}
