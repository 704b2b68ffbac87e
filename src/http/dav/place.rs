//! Which file or folder a request is about, and how addresses are written.

use axum::http::{HeaderMap, StatusCode, Uri};

use crate::domain::node::{Entry, NodeKind};
use crate::domain::path::{Name, VfsPath};
use crate::http::files::place::percent;
use crate::http::origin;
use crate::http::reply::Problem;

/// Where WebDAV begins.
pub const ROOT: &str = "/dav";

/// The path that the path of an address names. Each name is decoded by itself, so that an encoded slash
/// is part of a name, where it is refused.
///
/// # Errors
/// 400, with the rule that is broken; 404 outside [`ROOT`].
pub fn path(text: &str) -> Result<VfsPath, Problem> {
    let below = text.strip_prefix(ROOT);
    let below = below.filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let below = below.ok_or_else(|| {
        let detail = format!("files are below {ROOT}/");
        Problem::new(StatusCode::NOT_FOUND, "no-such-address", detail)
    })?;
    let mut path = VfsPath::root();
    for part in below.split('/').filter(|part| !part.is_empty()) {
        let name = decoded(part)?;
        if matches!(name.as_slice(), b"." | b"..") {
            let detail = "a path must not have '.' or '..' among its names";
            return Err(Problem::malformed(detail));
        }
        path = path.join(Name::parse(&name)?)?;
    }
    Ok(path)
}

/// The path that an address names, which is a whole one or begins with a slash.
///
/// # Errors
/// 400; 502 when it is on another server (RFC 4918 section 9.8.5).
pub fn address(text: &str, uri: &Uri, headers: &HeaderMap) -> Result<VfsPath, Problem> {
    let named: Uri = text
        .parse()
        .map_err(|_| Problem::malformed("the address is not one that RFC 3986 knows"))?;
    if let Some(authority) = named.authority()
        && !origin::is_asked(authority, uri, headers)
    {
        let detail = "the address is on another server; nothing is copied or moved to others";
        return Err(Problem::new(StatusCode::BAD_GATEWAY, "elsewhere", detail));
    }
    path(named.path())
}

/// Where a copy or a move goes.
///
/// # Errors
/// As [`address`]; 400 when it is not said.
pub fn destination(uri: &Uri, headers: &HeaderMap) -> Result<VfsPath, Problem> {
    let said = headers.get("destination");
    let said = said.ok_or_else(|| Problem::malformed("the header Destination is missing"))?;
    let said = std::str::from_utf8(said.as_bytes())
        .map_err(|_| Problem::malformed("Destination is not encoded as addresses are"))?;
    // A fragment says nothing to a server.
    let said = said.trim().split('#').next().unwrap_or_default();
    address(&spelled(said), uri, headers)
}

/// The address of a path, from the root of the server on; folders end in a slash.
pub fn href(path: &VfsPath, is_folder: bool) -> String {
    let mut href = ROOT.to_owned();
    for name in path.names() {
        href.push('/');
        href.push_str(&percent(name.as_str()));
    }
    if is_folder {
        href.push('/');
    }
    href
}

/// The address of an entry of the folder at an address.
pub fn child(folder: &str, entry: &Entry) -> String {
    let slash = match entry.kind {
        NodeKind::File => "",
        NodeKind::Folder => "/",
    };
    format!("{folder}{}{slash}", percent(&entry.name))
}

/// Some clients do not encode what they put into `Destination`.
fn spelled(text: &str) -> String {
    let plain = |c: char| {
        c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}')
    };
    let mut spelled = String::with_capacity(text.len());
    for c in text.chars() {
        match plain(c) {
            true => spelled.push(c),
            false => spelled.push_str(&percent(c.encode_utf8(&mut [0; 4]))),
        }
    }
    spelled
}

fn decoded(part: &str) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next()), digit(rest.next()));
        let (Some(high), Some(low)) = (high, low) else {
            let detail = "a '%' in an address stands before two hex digits";
            return Err(Problem::malformed(detail));
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    #[test]
    fn addresses_survive_decoding() {
        let path = VfsPath::parse("/a b/\u{e4}%?#&/.x~").unwrap();
        let href = href(&path, true);
        assert_eq!(href, "/dav/a%20b/%C3%A4%25%3F%23%26/.x~/");
        assert_eq!(super::path(&href).unwrap(), path);
        assert_eq!(super::path("/dav").unwrap(), VfsPath::root());
        assert_eq!(super::path("/dav//a//").unwrap().to_string(), "/a");
    }

    #[test]
    fn tricks_are_refused() {
        for (text, status) in [
            ("/dav/..", 400),
            ("/dav/%2e%2E/x", 400),
            ("/dav/a%2fb", 400),
            ("/dav/a%2F..%2Fb", 400),
            ("/dav/a%00", 400),
            ("/dav/%ff", 400),
            ("/dav/%4", 400),
            ("/dav/%zz", 400),
            ("/davx", 404),
            ("/api", 404),
        ] {
            assert_eq!(path(text).unwrap_err().status(), status, "{text}");
        }
    }

    #[test]
    fn destinations_are_on_this_server() {
        let uri = Uri::from_static("/dav/a");
        let to = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "files.example:8443".parse().unwrap());
            headers.insert("destination", text.parse().unwrap());
            destination(&uri, &headers)
        };
        for text in [
            "https://files.example:8443/dav/b%20c",
            "https://FILES.example:8443/dav/b%20c#x",
            "/dav/b%20c",
            "/dav/b c",
        ] {
            assert_eq!(to(text).unwrap().to_string(), "/b c", "{text}");
        }
        for (text, status) in [
            ("https://files.example/dav/b", 502),
            ("https://other.example:8443/dav/b", 502),
            ("https://files.example:8443/etc/passwd", 404),
            ("https://files.example:8443/dav/../x", 400),
            ("dav/b", 400),
            ("", 400),
        ] {
            let refused = to(text).map(|path| path.to_string());
            assert_eq!(refused.unwrap_err().status(), status, "{text}");
        }
    }
}
