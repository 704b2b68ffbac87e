//! What may stand in the section of a region.

use std::path::{Component, Path, PathBuf};

use crate::config::telemetry::is_here;
use crate::storage::s3_settings::Encryption;

/// How a service is to encrypt what it keeps; none when the text does not say.
pub fn encryption(text: &str) -> Option<Encryption> {
    match text {
        "" => Some(Encryption::None),
        "AES256" => Some(Encryption::S3),
        "aws:kms" => Some(Encryption::Kms(None)),
        _ => match text.strip_prefix("aws:kms:")? {
            "" => None,
            key => Some(Encryption::Kms(Some(key.to_owned()))),
        },
    }
}

/// The name of a region: the database knows it by that.
///
/// # Errors
/// What to write instead.
pub fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = (1..=63).contains(&name.len())
        && name.chars().all(plain)
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && !name.contains("--");
    match good {
        true => Ok(()),
        false => Err(
            "write a letter and then a-z, 0-9 and single '-', at most 63, as in [region.eu-west]"
                .to_owned(),
        ),
    }
}

/// The address of a service, or nothing.
///
/// # Errors
/// What to write instead.
pub fn check_url(url: &str) -> Result<(), String> {
    let host = ["http://", "https://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    let host = host.map(|host| host.strip_suffix('/').unwrap_or(host));
    match url.is_empty() || host.is_some_and(|host| !host.is_empty() && host.chars().all(plain)) {
        true => Ok(()),
        false => Err("write https://host or https://host:port".to_owned()),
    }
}

/// The same for a key service, which answers with keys that nobody may listen to.
///
/// # Errors
/// What to write instead.
pub fn check_kms_url(url: &str) -> Result<(), String> {
    check_url(url)?;
    match is_overheard(url) {
        false => Ok(()),
        true => Err(
            "write https://host or https://host:port: the tenants' keys go over this line, and http is \
             for this machine only, as in http://127.0.0.1:8080"
                .to_owned(),
        ),
    }
}

/// An endpoint as it is written most plainly: one service may have several spellings.
pub fn plain_endpoint(url: &str) -> String {
    let url = url.strip_suffix('/').unwrap_or(url).to_ascii_lowercase();
    let (place, port) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(place), _) => (place, "443"),
        (None, Some(place)) => (place, "80"),
        (None, None) => (url.as_str(), "443"),
    };
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !place.ends_with(']') => (host, port),
        _ => (place, port),
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    match host {
        // A bucket has one name in all of AWS.
        "" => String::new(),
        host if host.ends_with(".amazonaws.com") => String::new(),
        host if is_here(host) => format!("127.0.0.1:{port}"),
        host => format!("{host}:{port}"),
    }
}

/// A folder by its real name, as far as it is there: several ways may lead to one.
pub fn plain_folder(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let mut plain = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
        // Also a link that leads to what another one names.
        if let Ok(real) = plain.canonicalize() {
            plain = real;
        }
    }
    plain
}

/// Whether what goes to this address can be read and changed on its way.
pub fn is_overheard(url: &str) -> bool {
    let Some(place) = url.strip_prefix("http://") else {
        return false;
    };
    let place = place.strip_suffix('/').unwrap_or(place);
    let host = match place.rsplit_once(':') {
        Some((host, _)) if !place.ends_with(']') => host,
        _ => place,
    };
    !is_here(host)
}

/// The name of a bucket (or the ARN of an access point), or nothing.
///
/// # Errors
/// What to write instead.
pub fn check_bucket(bucket: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let name = (3..=63).contains(&bucket.len()) && bucket.chars().all(plain);
    match bucket.is_empty() || name || bucket.starts_with("arn:") {
        true => Ok(()),
        false => Err(
            "write the bucket's name alone, 3 to 63 of a-z, 0-9, '-' and '.'; what stands before \
             the objects' names belongs to prefix, where the service is to endpoint"
                .to_owned(),
        ),
    }
}

/// What the names of objects may begin with.
///
/// # Errors
/// What to write instead.
pub fn check_prefix(prefix: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let good = prefix.len() <= 200
        && prefix.chars().all(plain)
        && !prefix.starts_with('/')
        && !prefix.contains("//")
        && !prefix.split('/').any(|part| part == "." || part == "..");
    match good {
        true => Ok(()),
        false => Err(
            "write letters, digits, '-', '_', '.' and single '/', as in \"sealift/\"".to_owned(),
        ),
    }
}

/// A region as AWS names it.
///
/// # Errors
/// What to write instead.
pub fn check_aws_region(region: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match !region.is_empty() && region.chars().all(plain) {
        true => Ok(()),
        false => Err("write a name as in \"eu-central-1\"".to_owned()),
    }
}
