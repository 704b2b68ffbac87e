//! Names that are made for clients (STOU). A name is told before anything is sent, so that it must not be
//! taken by anybody until it is stored: nobody can guess it.

use data_encoding::HEXLOWER;

use crate::domain::error::Result;
use crate::domain::path::VfsPath;
use crate::domain::random;
use crate::ftp::work::Told;

/// Bytes of a wish that become part of the name.
const WISH_BYTES: usize = 200;

/// A path beside the one that was wished for, that nothing has and nobody else chooses.
///
/// # Errors
/// Invalid when the path would be too long.
pub fn near(wish: &VfsPath) -> Result<VfsPath> {
    let folder = wish.parent().unwrap_or_default();
    let start = wish
        .name()
        .map_or_else(|| "file".to_owned(), |name| start(name.as_str()));
    let name = format!("{start}.{}", HEXLOWER.encode(&random::bytes::<8>()));
    VfsPath::resolve(&folder, name.as_bytes())
}

/// What the client is told of it.
pub fn told(path: &VfsPath, how: Told) -> String {
    match (how, path.name()) {
        (Told::Name, Some(name)) => name.as_str().to_owned(),
        (Told::Name | Told::Path, _) => path.to_string(),
    }
}

/// The start of a name, in characters that a reply can tell.
fn start(name: &str) -> String {
    let shown = |c: char| if c.is_control() { '_' } else { c };
    let (mut start, mut length) = (String::new(), 0);
    for c in name.chars().map(shown) {
        length += c.len_utf8();
        if length > WISH_BYTES {
            break;
        }
        start.push(c);
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_near_what_was_wished_for() {
        let near = |wish: &str| {
            let wish = VfsPath::resolve(&VfsPath::root(), wish.as_bytes()).unwrap();
            told(&near(&wish).unwrap(), Told::Path)
        };
        for (wish, start) in [
            ("a.txt", "/a.txt.".to_owned()),
            ("d/a", "/d/a.".to_owned()),
            ("/", "/file.".to_owned()),
            ("a\u{1b}b", "/a_b.".to_owned()),
            (&"x".repeat(255), format!("/{}.", "x".repeat(200))),
            (
                &"\u{8868}".repeat(85),
                format!("/{}.", "\u{8868}".repeat(66)),
            ),
        ] {
            let made = near(wish);
            assert!(made.starts_with(&start), "{made}");
            assert_eq!(made.len(), start.len() + 16);
            assert_ne!(made, near(wish));
        }
    }
}
