//! `[tls]`: the certificates of the front ends that speak TLS, from files and from an authority.

use std::path::{Path, PathBuf};

use crate::config::reader::Reader;
use crate::config::value::{Setting, Shape};
use crate::domain::host::HostName;
use crate::net::acme::AcmeSettings;
use crate::net::certificates::PemFiles;
use crate::net::outgoing::{self, Trust};

/// Reads the section.
pub fn read(default: Vec<PemFiles>, from: &mut Reader) -> Vec<PemFiles> {
    from.take("tls", "certificates", default)
}

/// Reads what the section says of ACME; `listens` is whether anything is answered without TLS.
pub fn acme(default: AcmeSettings, listens: bool, from: &mut Reader) -> AcmeSettings {
    let hosts = from.take("tls", "acme_hosts", default.hosts);
    let https = |text: &String| match text.starts_with("https://") {
        true => Ok(()),
        false => Err("write the address of the authority's directory, https://...".to_owned()),
    };
    let directory = from.checked("tls", "acme_directory", default.directory, https);
    let address = |text: &String| match text.is_empty() || text.contains('@') {
        true => Ok(()),
        false => Err("write an address for mail, as in ops@example.org".to_owned()),
    };
    let contact = from.checked("tls", "acme_contact", String::new(), address);
    let agreed = from.take("tls", "acme_terms_agreed", false);
    let ca = from.checked("tls", "acme_ca", String::new(), holds_authorities);
    if !hosts.is_empty() && !agreed {
        let message =
            "must be true before certificates are ordered: read the authority's terms of service";
        from.report_at("tls", "acme_terms_agreed", message);
    }
    if !hosts.is_empty() && !listens {
        let message =
            "needs http.listen: the authority asks port 80 of each host whether it is yours";
        from.report_at("tls", "acme_hosts", message);
    }
    let mailto = |contact: String| match contact.starts_with("mailto:") {
        true => contact,
        false => format!("mailto:{contact}"),
    };
    AcmeSettings {
        hosts,
        directory,
        contact: (!contact.is_empty()).then(|| mailto(contact)),
        ca: (!ca.is_empty()).then(|| PathBuf::from(ca)),
    }
}

/// Checks a setting that names a file of authorities, unless it is empty.
///
/// # Errors
/// What is wrong with the file.
pub fn holds_authorities(file: &String) -> Result<(), String> {
    if file.is_empty() {
        return Ok(());
    }
    let made = outgoing::client_tls(Trust::Only(Path::new(file)), "it", None);
    made.map(drop).map_err(|error| error.context().to_owned())
}

impl Setting for Vec<HostName> {
    const SHAPE: Shape = Shape::List;

    fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
        let hosts = parts.map(|part| {
            let host: Result<HostName, _> = part.parse();
            host.map_err(|error| format!("'{part}' is no name of a host; {error}"))
        });
        hosts.collect()
    }

    fn text(&self) -> String {
        let shown = self.iter().map(HostName::as_str);
        shown.collect::<Vec<_>>().join(", ")
    }
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
