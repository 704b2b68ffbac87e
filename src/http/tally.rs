//! Counts the errors that clients are told of, each once: what an answer was made of says so, and whatever became
//! of an error before does not count.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use crate::domain::measures;
use crate::domain::principal::Protocol;

/// What an answer tells of, by the words that programs know; put into the answer's extensions.
#[derive(Clone, Debug)]
pub struct Told(pub Vec<&'static str>);

/// Counts what the answer tells of.
pub async fn count(request: Request, next: Next) -> Response {
    let protocol = protocol(request.uri().path());
    let mut response = next.run(request).await;
    if let Some(Told(words)) = response.extensions_mut().remove::<Told>() {
        for word in words {
            measures::problem(protocol, word);
        }
    }
    response
}

/// What is spoken at an address.
fn protocol(path: &str) -> Protocol {
    match path == "/" || path == "/dav" || path.starts_with("/dav/") {
        true => Protocol::Webdav,
        false => Protocol::Https,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webdav_is_spoken_where_its_files_are() {
        for (path, spoken) in [
            ("/dav", Protocol::Webdav),
            ("/dav/a", Protocol::Webdav),
            ("/", Protocol::Webdav),
            ("/davy", Protocol::Https),
            ("/api/v1/files/dav/a", Protocol::Https),
        ] {
            assert_eq!(protocol(path), spoken, "{path}");
        }
    }
}
