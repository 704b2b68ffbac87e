//! The properties that we know ourselves (RFC 4918 section 15, RFC 4331).

use std::fmt::Write as _;

use jiff::Timestamp as Instant;

use crate::domain::clock::Timestamp;
use crate::domain::lock::Lock;
use crate::domain::node::{Entry, NodeKind};
use crate::domain::property::Property;
use crate::http::dav::body::{PropertyName, Wanted};
use crate::http::dav::token;
use crate::http::dav::xml::{self, DAV};
use crate::http::files::{condition, media};
use crate::vfs::space::Space;

/// What is to be said of a file or folder.
pub struct Subject<'a> {
    /// Its address.
    pub href: String,
    /// Its version.
    pub entry: &'a Entry,
    /// What clients keep with it.
    pub kept: &'a [Property],
    /// The locks on it, with the addresses that they were taken on.
    pub locks: Vec<(&'a Lock, String)>,
}

/// What is the same for all that one answer tells of.
pub struct Answering {
    /// Which properties are wanted.
    pub wanted: Wanted,
    /// Quota and use, if they are wanted.
    pub space: Option<Space>,
    /// The time at which locks hold.
    pub now: Timestamp,
}

/// Those that `allprop` shows.
const ALWAYS: [&str; 9] = [
    "creationdate",
    "displayname",
    "getcontentlength",
    "getcontenttype",
    "getetag",
    "getlastmodified",
    "lockdiscovery",
    "resourcetype",
    "supportedlock",
];
/// Those that must be asked for by name (RFC 4331 section 2).
const AVAILABLE: &str = "quota-available-bytes";
const USED: &str = "quota-used-bytes";

const SUPPORTED_LOCKS: &str = "<D:lockentry><D:lockscope><D:exclusive/></D:lockscope><D:locktype>\
    <D:write/></D:locktype></D:lockentry><D:lockentry><D:lockscope><D:shared/></D:lockscope>\
    <D:locktype><D:write/></D:locktype></D:lockentry>";

impl Wanted {
    fn names(&self) -> &[PropertyName] {
        match self {
            Self::All(names) | Self::Some(names) => names,
            Self::Names => &[],
        }
    }

    /// Whether what clients keep has to be looked at.
    pub fn needs_kept(&self) -> bool {
        match self {
            Self::All(_) | Self::Names => true,
            Self::Some(names) => names.iter().any(|name| name.space != DAV),
        }
    }

    /// Whether locks have to be looked at.
    pub fn needs_locks(&self) -> bool {
        match self {
            Self::All(_) => true,
            Self::Names => false,
            Self::Some(names) => names.iter().any(|name| is(name, "lockdiscovery")),
        }
    }

    /// Whether quota and use have to be looked at.
    pub fn needs_space(&self) -> bool {
        let names = self.names().iter();
        names
            .into_iter()
            .any(|name| is(name, AVAILABLE) || is(name, USED))
    }
}

/// Whether a name is that of a property that we know ourselves, so that clients cannot keep one.
pub fn is_ours(name: &PropertyName) -> bool {
    name.space == DAV
}

impl Answering {
    /// The `response` of one file or folder.
    pub fn response(&self, subject: &Subject<'_>) -> String {
        let (mut found, mut missing) = (String::new(), String::new());
        match &self.wanted {
            Wanted::Names => {
                for name in ALWAYS {
                    if self.value(name, subject).is_some() {
                        found.push_str(&xml::empty(DAV, name));
                    }
                }
                for kept in subject.kept {
                    found.push_str(&xml::empty(&kept.space, &kept.name));
                }
            }
            Wanted::All(more) => {
                for name in ALWAYS {
                    self.write(&mut found, name, subject);
                }
                for kept in subject.kept {
                    found.push_str(&kept.value);
                }
                for name in more
                    .iter()
                    .filter(|name| is(name, AVAILABLE) || is(name, USED))
                {
                    self.write(&mut found, &name.name, subject);
                }
            }
            Wanted::Some(names) => {
                for name in names {
                    let written = match name.space.as_str() {
                        DAV => self.write(&mut found, &name.name, subject),
                        _ => write_kept(&mut found, name, subject.kept),
                    };
                    if !written {
                        missing.push_str(&xml::empty(&name.space, &name.name));
                    }
                }
            }
        }
        let mut out = format!(
            "<D:response><D:href>{}</D:href>",
            xml::escaped(&subject.href)
        );
        if !found.is_empty() || missing.is_empty() {
            out.push_str(&propstat(&found, "200 OK"));
        }
        if !missing.is_empty() {
            out.push_str(&propstat(&missing, "404 Not Found"));
        }
        out.push_str("</D:response>\n");
        out
    }

    fn write(&self, out: &mut String, name: &str, subject: &Subject<'_>) -> bool {
        let Some(value) = self.value(name, subject) else {
            return false;
        };
        // Writing to a String cannot fail.
        let _ = match value.is_empty() {
            true => write!(out, "<D:{name}/>"),
            false => write!(out, "<D:{name}>{value}</D:{name}>"),
        };
        true
    }

    fn value(&self, name: &str, subject: &Subject<'_>) -> Option<String> {
        let entry = subject.entry;
        let is_file = entry.kind == NodeKind::File;
        match name {
            "creationdate" => created(entry),
            "displayname" => Some(xml::escaped(&entry.name)),
            "getcontentlength" => is_file.then(|| entry.size.to_string()),
            "getcontenttype" => is_file.then(|| xml::escaped(media::kind(&entry.name).0)),
            "getetag" => is_file.then(|| xml::escaped(&condition::tag(entry))),
            "getlastmodified" => {
                let date = condition::date(entry.attributes.modified)?;
                Some(date.to_str().ok()?.to_owned())
            }
            "lockdiscovery" => Some(active(&subject.locks, self.now)),
            "resourcetype" => Some(match is_file {
                true => String::new(),
                false => "<D:collection/>".to_owned(),
            }),
            "supportedlock" => Some(SUPPORTED_LOCKS.to_owned()),
            AVAILABLE if !is_file => self.space?.bytes_left().map(|left| left.to_string()),
            USED if !is_file => Some(self.space?.used_bytes.to_string()),
            _ => None,
        }
    }
}

/// The locks, each as an `activelock`.
pub fn active(locks: &[(&Lock, String)], now: Timestamp) -> String {
    let mut out = String::new();
    for (lock, root) in locks {
        let scope = if lock.shared { "shared" } else { "exclusive" };
        let depth = if lock.deep { "infinity" } else { "0" };
        let left = (lock.expires_at.seconds() - now.seconds()).max(1);
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "<D:activelock><D:locktype><D:write/></D:locktype><D:lockscope><D:{scope}/></D:lockscope>\
             <D:depth>{depth}</D:depth><D:owner>{}</D:owner><D:timeout>Second-{left}</D:timeout>\
             <D:locktoken><D:href>{}</D:href></D:locktoken>\
             <D:lockroot><D:href>{}</D:href></D:lockroot></D:activelock>",
            lock.owner,
            token::text(lock.token),
            xml::escaped(root)
        );
    }
    out
}

/// Properties that share a status.
pub fn propstat(properties: &str, status: &str) -> String {
    format!(
        "<D:propstat><D:prop>{properties}</D:prop><D:status>HTTP/1.1 {status}</D:status></D:propstat>"
    )
}

fn write_kept(out: &mut String, name: &PropertyName, kept: &[Property]) -> bool {
    let mut kept = kept.iter();
    match kept.find(|kept| kept.space == name.space && kept.name == name.name) {
        Some(kept) => {
            out.push_str(&kept.value);
            true
        }
        None => false,
    }
}

fn is(name: &PropertyName, known: &str) -> bool {
    name.space == DAV && name.name == known
}

/// When it was created, to the second.
fn created(entry: &Entry) -> Option<String> {
    let second = entry.created().seconds();
    Some(Instant::from_second(second).ok()?.to_string())
}
