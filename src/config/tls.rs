//! `[tls]`: the certificates of the front ends that speak TLS.

use std::path::PathBuf;

use crate::config::reader::Reader;
use crate::config::value::{Setting, Shape};
use crate::net::certificates::PemFiles;

/// Reads the section.
pub fn read(default: Vec<PemFiles>, from: &mut Reader) -> Vec<PemFiles> {
    from.take("tls", "certificates", default)
}

impl Setting for Vec<PemFiles> {
    const SHAPE: Shape = Shape::List;

    fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
        parts.map(files).collect()
    }

    fn text(&self) -> String {
        let shown = |files: &PemFiles| match files.chain == files.key {
            true => files.chain.display().to_string(),
            false => format!("{}:{}", files.chain.display(), files.key.display()),
        };
        self.iter().map(shown).collect::<Vec<_>>().join(", ")
    }
}

fn files(text: &str) -> Result<PemFiles, String> {
    let (chain, key) = text.split_once(':').unwrap_or((text, text));
    match chain.is_empty() || key.is_empty() || key.contains(':') {
        true => Err(format!(
            "'{text}' is not two files; write \"certificate.pem:key.pem\", or one file for both"
        )),
        false => Ok(PemFiles {
            chain: PathBuf::from(chain),
            key: PathBuf::from(key),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_read_as_they_are_written() {
        let text = "/a/cert.pem:/a/key.pem, both.pem";
        let read: Vec<PemFiles> = Setting::parse(text).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].key, PathBuf::from("/a/key.pem"));
        assert_eq!(read[1].chain, read[1].key);
        assert_eq!(read.text(), text);
        for wrong in ["a:", ":b", "a:b:c"] {
            assert!(<Vec<PemFiles> as Setting>::parse(wrong).is_err(), "{wrong}");
        }
    }
}
