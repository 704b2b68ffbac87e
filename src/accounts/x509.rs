//! Certificates (X.509) of clients: what they say, and which of them an account is opened by.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::shown;

const MAX_VALUE_BYTES: usize = 512;

/// What a certificate must have to open an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateRule {
    /// This name as its subject's common name.
    CommonName(String),
    /// This name of a host among its alternative names.
    Dns(String),
    /// This address among its alternative names.
    Email(String),
    /// It is this very certificate: its SHA-256, in hex. No authority is asked.
    Fingerprint(String),
    /// This URI among its alternative names.
    Uri(String),
}

impl CertificateRule {
    /// That it is this certificate.
    pub fn pinned(der: &[u8]) -> Self {
        Self::Fingerprint(fingerprint(der))
    }

    /// `fingerprint`, `email`, `dns`, `uri` or `cn`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::CommonName(_) => "cn",
            Self::Dns(_) => "dns",
            Self::Email(_) => "email",
            Self::Fingerprint(_) => "fingerprint",
            Self::Uri(_) => "uri",
        }
    }

    /// The name or the fingerprint.
    pub fn value(&self) -> &str {
        match self {
            Self::CommonName(value)
            | Self::Dns(value)
            | Self::Email(value)
            | Self::Fingerprint(value)
            | Self::Uri(value) => value,
        }
    }
}

/// `email:ann@acme.example`
impl fmt::Display for CertificateRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.value())
    }
}

impl FromStr for CertificateRule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || {
            Error::invalid(format!(
                "'{}' names no certificate; write email:, dns:, uri:, cn: or fingerprint: and the \
                 one that it must have",
                text.escape_debug()
            ))
        };
        let (kind, value) = text.split_once(':').ok_or_else(unknown)?;
        let plain = !value.is_empty()
            && value.len() <= MAX_VALUE_BYTES
            && !value.chars().any(char::is_control);
        if !plain {
            return Err(unknown());
        }
        match kind {
            "cn" => Ok(Self::CommonName(value.to_owned())),
            "dns" => Ok(Self::Dns(value.to_ascii_lowercase())),
            "email" if value.contains('@') => Ok(Self::Email(email(value))),
            "fingerprint" => {
                let hex = value.replace(':', "");
                let bytes = HEXLOWER_PERMISSIVE.decode(hex.as_bytes());
                let bytes = bytes.ok().filter(|bytes| bytes.len() == 32);
                bytes
                    .map(|bytes| Self::Fingerprint(HEXLOWER.encode(&bytes)))
                    .ok_or_else(|| {
                        Error::invalid(
                            "a fingerprint is a SHA-256 in hex, as 'openssl x509 -noout \
                             -fingerprint -sha256' prints it",
                        )
                    })
            }
            "uri" => Ok(Self::Uri(value.to_owned())),
            _ => Err(unknown()),
        }
    }
}

/// What counts of a client's certificate, read before anything of it is believed.
pub(in crate::accounts) struct Presented {
    pub(in crate::accounts) fingerprint: String,
    pub(in crate::accounts) valid_from: Timestamp,
    pub(in crate::accounts) valid_to: Timestamp,
    /// It may be used to prove who a client is.
    pub(in crate::accounts) for_clients: bool,
    /// The name of whoever made it, in DER.
    pub(in crate::accounts) issuer: Vec<u8>,
    pub(in crate::accounts) serial: Vec<u8>,
    names: Vec<CertificateRule>,
    subject: String,
}

impl Presented {
    /// None when it is no certificate.
    pub(in crate::accounts) fn read(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let usage = certificate.extended_key_usage().ok()?;
        let for_clients = usage.is_none_or(|usage| usage.value.client_auth || usage.value.any);
        let validity = certificate.validity();
        Some(Self {
            fingerprint: fingerprint(der),
            valid_from: Timestamp::from_seconds(validity.not_before.timestamp()),
            valid_to: Timestamp::from_seconds(validity.not_after.timestamp()),
            for_clients,
            issuer: certificate.issuer().as_raw().to_vec(),
            serial: certificate.raw_serial().to_vec(),
            names: names(&certificate),
            subject: certificate.subject().to_string(),
        })
    }

    /// Whether it is the one that the rule is about, whoever made it.
    pub(in crate::accounts) fn is_pinned(&self, kind: &str, value: &str) -> bool {
        kind == "fingerprint" && value == self.fingerprint
    }

    /// Whether it has the name of a rule: worth something when an authority says so.
    pub(in crate::accounts) fn is_named(&self, kind: &str, value: &str) -> bool {
        let mut names = self.names.iter();
        names.any(|name| name.kind() == kind && name.value() == value)
    }
}

/// `certificate CN=ann, serial 0a, SHA-256 ...`, for the audit log.
impl fmt::Display for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject: String = self.subject.chars().take(200).collect();
        let serial = self.serial.get(..20).unwrap_or(&self.serial);
        write!(
            f,
            "certificate {}, serial {}, SHA-256 {}",
            shown::line(&subject),
            HEXLOWER.encode(serial),
            self.fingerprint
        )
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<CertificateRule> {
    let common = certificate.subject().iter_common_name();
    let common = common.filter_map(|name| name.as_str().ok());
    let mut names: Vec<_> = common
        .map(|name| CertificateRule::CommonName(name.to_owned()))
        .collect();
    if let Ok(Some(alternative)) = certificate.subject_alternative_name() {
        let general = alternative.value.general_names.iter();
        names.extend(general.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(CertificateRule::Dns(name.to_ascii_lowercase())),
            GeneralName::RFC822Name(name) => Some(CertificateRule::Email(email(name))),
            GeneralName::URI(name) => Some(CertificateRule::Uri((*name).to_owned())),
            _ => None,
        }));
    }
    names
}

/// Only what is behind the '@' may be written in capitals as well (RFC 5280, section 7.5).
fn email(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((user, host)) => format!("{user}@{}", host.to_ascii_lowercase()),
        None => address.to_owned(),
    }
}

/// Whether a file is no DER, and so is to be read as PEM.
pub(in crate::accounts) fn is_pem(file: &[u8]) -> bool {
    !file.starts_with(&[0x30])
}

/// SHA-256, in hex.
pub(in crate::accounts) fn fingerprint(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_they_are_shown() {
        for text in [
            "cn:Ann Bee",
            "dns:host.acme.example",
            "email:Ann@acme.example",
            "uri:spiffe://acme/ann",
        ] {
            let rule: CertificateRule = text.parse().unwrap();
            assert_eq!(rule.to_string(), text);
        }
        let colons = ["AB"; 32].join(":");
        let rule: CertificateRule = format!("fingerprint:{colons}").parse().unwrap();
        assert_eq!(rule.value(), "ab".repeat(32));
        let rule: CertificateRule = "email:Ann@ACME.Example".parse().unwrap();
        assert_eq!(rule.value(), "Ann@acme.example");
        for wrong in [
            "",
            "ann",
            "cn:",
            "email:ann",
            "fingerprint:ab",
            "ip:192.0.2.1",
            "cn:a\nb",
        ] {
            assert!(wrong.parse::<CertificateRule>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        for bytes in [&b""[..], b"x", &[0x30, 0x82, 0xff, 0xff], &[0x30; 4096]] {
            assert!(Presented::read(bytes).is_none());
        }
    }
}
