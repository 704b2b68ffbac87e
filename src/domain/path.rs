//! Names and paths, parsed once and then trusted.

use std::fmt;

use crate::domain::error::{Error, Result};

/// Longest name of a file or folder, in bytes (NAME_MAX of the systems clients run on).
pub const MAX_NAME_BYTES: usize = 255;
/// Longest path, in bytes (PATH_MAX).
pub const MAX_PATH_BYTES: usize = 4096;
/// Deepest path, in names.
pub const MAX_LEVELS: usize = 200;

/// The name of a file or folder: 1 to 255 bytes of UTF-8, without `/` and NUL, not `.` or `..`.
///
/// Compared byte by byte: no case folding, no Unicode normalisation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Checks one name.
    ///
    /// # Errors
    /// Invalid, with the rule that is broken.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| Error::invalid("names must be UTF-8").because(error))?;
        match text {
            "" => Err(Error::invalid("a name must not be empty")),
            "." | ".." => Err(Error::invalid("'.' and '..' are not names")),
            _ if text.len() > MAX_NAME_BYTES => Err(Error::invalid(format!(
                "a name must not be longer than {MAX_NAME_BYTES} bytes"
            ))),
            _ if text.contains('/') => Err(Error::invalid("a name must not contain '/'")),
            _ if text.contains('\0') => Err(Error::invalid("a name must not contain NUL")),
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// An absolute path in a tenant's tree. It cannot escape the root: there is no link, and `..` is
/// resolved while parsing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct VfsPath {
    names: Vec<Name>,
}

impl VfsPath {
    /// The tenant's root folder.
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads what a client sent: absolute, or relative to `base`.
    ///
    /// Repeated and trailing slashes and `.` are dropped; `..` goes up and stops at the root, as
    /// in a chroot.
    ///
    /// # Errors
    /// Invalid, with the rule that is broken: encoding, length, depth or a forbidden name.
    pub fn resolve(base: &Self, raw: &[u8]) -> Result<Self> {
        if raw.is_empty() {
            return Err(Error::invalid("a path must not be empty"));
        }
        if raw.len() > MAX_PATH_BYTES {
            return Err(too_long());
        }
        let mut path = match raw.first() {
            Some(b'/') => Self::root(),
            _ => base.clone(),
        };
        for part in raw.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    path.names.pop();
                }
                _ => path = path.join(Name::parse(part)?)?,
            }
        }
        Ok(path)
    }

    /// The same, but `.` and `..` are refused: some clients and proxies resolve them before we see them and
    /// some do not, and a script that puts a name of one or two dots into a path means no folder above it.
    ///
    /// # Errors
    /// Invalid, as [`VfsPath::resolve`].
    pub fn exact(base: &Self, raw: &[u8]) -> Result<Self> {
        let mut names = raw.split(|byte| *byte == b'/');
        match names.any(|name| matches!(name, b"." | b"..")) {
            true => Err(Error::invalid(
                "a path must not have '.' or '..' among its names",
            )),
            false => Self::resolve(base, raw),
        }
    }

    /// Reads an absolute path, as administrators and programs write it.
    ///
    /// # Errors
    /// Invalid, as [`VfsPath::exact`].
    pub fn parse(text: &str) -> Result<Self> {
        match text.starts_with('/') {
            true => Self::exact(&Self::root(), text.as_bytes()),
            false => Err(Error::invalid("a path must start with '/'")),
        }
    }

    /// The path of `name` below this one.
    ///
    /// # Errors
    /// Invalid when it would be longer than [`MAX_PATH_BYTES`] or deeper than [`MAX_LEVELS`].
    pub fn join(mut self, name: Name) -> Result<Self> {
        if self.names.len() >= MAX_LEVELS {
            return Err(Error::invalid(format!(
                "a path must not be deeper than {MAX_LEVELS} levels"
            )));
        }
        self.names.push(name);
        match self.byte_length() > MAX_PATH_BYTES {
            true => Err(too_long()),
            false => Ok(self),
        }
    }

    /// The path of an entry that lies below this one: also one that is longer or deeper than what a client may
    /// name, as there are below folders that were moved down.
    ///
    /// # Errors
    /// Invalid when nothing can have that name.
    pub fn child(mut self, name: &str) -> Result<Self> {
        self.names.push(Name::parse(name.as_bytes())?);
        Ok(self)
    }

    /// Reads the path of an entry as this program has shown it: of any length.
    ///
    /// # Errors
    /// Invalid when nothing can have one of the names.
    pub fn shown(text: &str) -> Result<Self> {
        let names = text.split('/').filter(|name| !name.is_empty());
        names.into_iter().try_fold(Self::root(), Self::child)
    }

    /// The names from the root down.
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// The last name; none for the root.
    pub fn name(&self) -> Option<&Name> {
        self.names.last()
    }

    /// The folder that holds this; none for the root.
    pub fn parent(&self) -> Option<Self> {
        let (_, above) = self.names.split_last()?;
        Some(Self {
            names: above.to_vec(),
        })
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether this is `other` or lies below it.
    pub fn starts_with(&self, other: &Self) -> bool {
        self.names.starts_with(&other.names)
    }

    fn byte_length(&self) -> usize {
        self.names.iter().map(|name| name.0.len() + 1).sum()
    }
}

/// `/` for the root, else each name after a slash.
impl fmt::Display for VfsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.names.is_empty() {
            return f.write_str("/");
        }
        self.names.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

impl fmt::Debug for VfsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn too_long() -> Error {
    Error::invalid(format!(
        "a path must not be longer than {MAX_PATH_BYTES} bytes"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(base: &str, raw: &str) -> String {
        let base = VfsPath::parse(base).unwrap();
        VfsPath::resolve(&base, raw.as_bytes()).unwrap().to_string()
    }

    #[test]
    fn relative_paths_start_at_the_base() {
        assert_eq!(resolve("/home/a", "b//c/./d/"), "/home/a/b/c/d");
        assert_eq!(resolve("/home/a", "/b"), "/b");
        assert_eq!(resolve("/home/a", "."), "/home/a");
    }

    #[test]
    fn dot_dot_stops_at_the_root() {
        assert_eq!(resolve("/home/a", "../../../../etc"), "/etc");
        assert_eq!(resolve("/", ".."), "/");
    }

    #[test]
    fn dots_are_no_names_of_a_path_that_means_what_it_says() {
        for text in ["/../a", "/a/.", "/a/../b", "/customers/../", "a", ""] {
            assert!(VfsPath::parse(text).is_err(), "{text}");
        }
        assert_eq!(VfsPath::parse("//a///b/").unwrap().to_string(), "/a/b");
        assert!(VfsPath::parse("/...").is_ok());
        let home = VfsPath::parse("/home").unwrap();
        assert!(VfsPath::exact(&home, b"../a").is_err());
        assert_eq!(VfsPath::exact(&home, b"a").unwrap().to_string(), "/home/a");
    }

    #[test]
    fn forbidden_names_are_refused_with_the_reason() {
        for (raw, reason) in [
            (&b"a\0b"[..], "NUL"),
            (b"\xff\xfe", "UTF-8"),
            (&[b'x'; 256], "255"),
            (b"", "empty"),
            (&[b'a'; 5000], "4096"),
        ] {
            let error = VfsPath::resolve(&VfsPath::root(), raw).unwrap_err();
            assert!(error.context().contains(reason), "{error}");
        }
        for raw in [&b"."[..], b"..", b"a/b", b""] {
            assert!(Name::parse(raw).is_err());
        }
    }

    #[test]
    fn depth_and_length_have_limits() {
        let deep = "/x".repeat(MAX_LEVELS);
        assert!(VfsPath::parse(&deep).is_ok());
        let deeper = format!("{deep}/x");
        assert!(VfsPath::parse(&deeper).is_err());
        assert_eq!(VfsPath::shown(&deeper).unwrap().to_string(), deeper);
        assert!(VfsPath::shown("/a/../b").is_err());
        let base = VfsPath::parse(&format!("/{}", "y".repeat(255))).unwrap();
        let long = vec!["z".repeat(255); 15].join("/");
        assert!(VfsPath::resolve(&base, long.as_bytes()).is_ok());
        let longer = vec!["z".repeat(255); 16].join("/");
        assert!(VfsPath::resolve(&base, longer.as_bytes()).is_err());
    }
}
