//! Upload-Metadata: what a client says about an upload, and where that puts the file.

use std::collections::BTreeMap;

use data_encoding::BASE64;

use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::path::{Name, VfsPath};
use crate::vfs::rename::Overwrite;

/// Longest metadata, in bytes.
const MOST: usize = 8 * 1024;

/// What a client said about an upload.
#[derive(Debug, Default)]
pub struct Metadata {
    values: BTreeMap<String, Vec<u8>>,
}

impl Metadata {
    /// Reads pairs of a key and base64, with commas between them.
    ///
    /// # Errors
    /// Invalid, with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > MOST {
            return Err(Error::invalid(format!(
                "Upload-Metadata must not be longer than {MOST} bytes"
            )));
        }
        let mut values = BTreeMap::new();
        for pair in text.split(',').map(str::trim) {
            if pair.is_empty() && text.trim().is_empty() {
                break;
            }
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            let value = BASE64.decode(value.trim().as_bytes());
            let value = value.map_err(|error| {
                Error::invalid("each value in Upload-Metadata must be base64, with padding")
                    .because(error)
            })?;
            if key.is_empty() || values.insert(key.to_owned(), value).is_some() {
                return Err(Error::invalid(
                    "each key in Upload-Metadata must be there once and not be empty",
                ));
            }
        }
        Ok(Self { values })
    }

    /// Where the file is to be: at `path`; or else by the name `filename` (or `name`) in `folder`, or in
    /// the home.
    ///
    /// # Errors
    /// Invalid when nothing names it, or by a name that no file may have.
    pub fn place(&self, home: &VfsPath) -> Result<VfsPath> {
        if let Some(path) = self.values.get("path") {
            return VfsPath::exact(home, path);
        }
        let name = self.values.get("filename").or(self.values.get("name"));
        let name = name.ok_or_else(|| {
            Error::invalid(
                "the upload names no file; say 'path', or 'filename' and 'folder', in Upload-Metadata",
            )
        })?;
        let folder = match self
            .values
            .get("folder")
            .filter(|folder| !folder.is_empty())
        {
            Some(folder) => VfsPath::exact(home, folder)?,
            None => home.clone(),
        };
        folder.join(Name::parse(name)?)
    }

    /// The name of a file that comes by a link, which alone says where.
    ///
    /// # Errors
    /// Invalid when nothing names it, or something names a folder.
    pub fn bare_name(&self) -> Result<&[u8]> {
        let says = |key: &str| self.values.get(key).is_some_and(|value| !value.is_empty());
        if says("path") || says("folder") {
            return Err(Error::invalid(
                "what is sent by a link has a name and no folder; say 'filename' in Upload-Metadata",
            ));
        }
        let name = self.values.get("filename").or(self.values.get("name"));
        name.map(Vec::as_slice).ok_or_else(|| {
            Error::invalid("the upload names no file; say 'filename' in Upload-Metadata")
        })
    }

    /// What who sends it calls themselves, if they say so.
    pub fn sender(&self) -> Option<String> {
        let sender = self.values.get("sender")?;
        Some(String::from_utf8_lossy(sender).into_owned())
    }

    /// Time of last modification that the file gets, if `modified` says it (RFC 3339).
    ///
    /// # Errors
    /// Invalid when it says no time.
    pub fn modified(&self) -> Result<Option<Timestamp>> {
        let said = self.values.get("modified").map(|said| {
            let said = String::from_utf8_lossy(said);
            said.trim().parse()
        });
        said.transpose()
    }

    /// Whether a file that is there may be replaced: unless `overwrite` says `false`.
    ///
    /// # Errors
    /// Invalid when it says anything but `true` or `false`.
    pub fn overwrite(&self) -> Result<Overwrite> {
        match self.values.get("overwrite").map(Vec::as_slice) {
            None | Some(b"true") => Ok(Overwrite::Allow),
            Some(b"false") => Ok(Overwrite::Forbid),
            Some(_) => Err(Error::invalid("'overwrite' is true or false")),
        }
    }
}

/// The same of what is kept of an upload, which was read before.
pub fn modified(said: &str) -> Option<Timestamp> {
    Metadata::parse(said).ok()?.modified().ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pairs: &[(&str, &str)]) -> Metadata {
        let pairs = pairs.iter();
        let pairs = pairs.map(|(key, value)| format!("{key} {}", BASE64.encode(value.as_bytes())));
        Metadata::parse(&pairs.collect::<Vec<_>>().join(",")).unwrap()
    }

    fn place(pairs: &[(&str, &str)]) -> Option<String> {
        let home = VfsPath::parse("/home").unwrap();
        let place = said(pairs).place(&home);
        place.ok().map(|place| place.to_string())
    }

    #[test]
    fn a_file_goes_where_its_metadata_says() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(place(&[("filename", "a")]), some("/home/a"));
        assert_eq!(place(&[("name", "a"), ("type", "x")]), some("/home/a"));
        assert_eq!(
            place(&[("filename", "a"), ("folder", "/b/c")]),
            some("/b/c/a")
        );
        assert_eq!(place(&[("filename", "a"), ("folder", "")]), some("/home/a"));
        assert_eq!(place(&[("filename", "a"), ("path", "/c/d")]), some("/c/d"));
        assert_eq!(place(&[("path", "/b/../c/d")]), None);
        assert_eq!(place(&[("filename", "a"), ("folder", "..")]), None);
        assert_eq!(place(&[("filename", "../a")]), None);
        assert_eq!(place(&[("filename", "..")]), None);
        assert_eq!(place(&[("type", "x")]), None);
    }

    #[test]
    fn malformed_metadata_is_refused() {
        for text in ["a %", "a YQ", "a YQ==,a YQ==", "a YQ==,", "a YQ==,,b"] {
            assert!(Metadata::parse(text).is_err(), "{text}");
        }
        for text in ["", "is_confidential", "a YQ==, b", "a YQ==,is_confidential"] {
            assert!(Metadata::parse(text).is_ok(), "{text}");
        }
    }
}
