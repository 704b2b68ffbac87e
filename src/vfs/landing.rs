//! What comes by a link, and where it lands: beside what is there, within what the link is held to, and
//! counted.

use crate::db::addressed::{self, Addressed, Pending, Purpose};
use crate::db::entries;
use crate::db::links::{self, Link};
use crate::db::operation::Record;
use crate::db::sql::TenantTx;
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{LinkId, NodeId};
use crate::domain::link::LinkKind;
use crate::domain::node::Entry;
use crate::domain::path::{MAX_NAME_BYTES, VfsPath};
use crate::domain::pattern;
use crate::domain::principal::Principal;
use crate::domain::random;
use crate::domain::rights::Rights;
use crate::domain::shown;
use crate::vfs::access::{follow, no_such};
use crate::vfs::publish::Publish;
use crate::vfs::session::Session;

/// Names that are tried in order before one is drawn.
const IN_ORDER: u32 = 50;
/// Most parts that are on their way by one link at a time: as many as one file is joined of.
const PARTS: u64 = 1000;

impl Session {
    /// What is at a path, for who holds all of `needed` there: nothing else is asked for, not even that
    /// it may be listed.
    ///
    /// # Errors
    /// NotFound; Denied; Unavailable when the database does not answer.
    pub async fn held(&self, path: &VfsPath, needed: Rights) -> Result<Entry> {
        let mut tx = self.vfs.database().read(self.principal.tenant).await?;
        let (mut chain, access) = follow(&mut tx, &self.principal, path).await?;
        if chain.len() <= path.names().len() {
            access.see(&mut tx, path, &chain).await?;
            return Err(no_such(path));
        }
        access.require(&chain, needed)?;
        chain.pop().ok_or_else(|| no_such(path))
    }
}

/// Fails unless an upload that is to begin by a link is within what that is held to, with all that is on
/// its way by it.
///
/// # Errors
/// NotFound when the link has ended; Invalid when the file may not have the name or the length, or does
/// not say its length and must; Quota when the link takes no more.
pub(in crate::vfs) async fn check_new(
    tx: &mut TenantTx,
    link: LinkId,
    new: &Addressed,
    now: Timestamp,
) -> Result<()> {
    let link = good(tx, link, now).await?;
    let pending = addressed::pending_by(tx, link.id).await?;
    match &new.purpose {
        Purpose::File(to) => {
            check_name(&link, &to.name)?;
            let parts = files_of_parts(&link, &pending);
            check_files(&link, pending.files.saturating_add(parts))?;
        }
        Purpose::Part | Purpose::Joined(..) => check_part(&link, &pending, new.length)?,
    }
    let is_counted = link.limits.bytes.is_some() || link.limits.size.is_some();
    let length = match new.length {
        None if is_counted => {
            return Err(Error::invalid(
                "this link takes only so many bytes; say how long the file is before you send it",
            ));
        }
        length => length.unwrap_or(0),
    };
    let bytes = pending.file_bytes.saturating_add(pending.part_bytes);
    check_bytes(&link, length, bytes)
}

/// How something that came by a link is published: under a name that is free, and counted; none when it
/// came otherwise. Runs in the change that publishes it.
///
/// # Errors
/// As [`check_new`], about what is published by then.
pub(in crate::vfs) async fn land(
    tx: &mut TenantTx,
    publish: &Publish,
    size: u64,
    next: Committed,
) -> Result<Option<Publish>> {
    let Some(pass) = &publish.principal.link else {
        return Ok(None);
    };
    let link = good(tx, pass.id, next.at).await?;
    let mut landed = publish.clone();
    check_name(&link, &landed.target.name)?;
    check_files(&link, 0)?;
    check_bytes(&link, size, 0)?;
    landed.target.node = None;
    landed.target.name = free_name(tx, landed.target.parent, &landed.target.name).await?;
    links::received(tx, link.id, size, next.at).await?;
    Ok(Some(landed))
}

/// A record of what came by a link, with the link and who sent it.
pub(in crate::vfs) fn told(record: Record, principal: &Principal, sender: Option<&str>) -> Record {
    let Some(link) = &principal.link else {
        return record;
    };
    let sender = sender.map(|sender| format!(" from '{}'", shown::line(sender)));
    match record {
        Record::Change(mut happening) => {
            let sender = sender.unwrap_or_default();
            happening.detail = format!("{} by {link}{sender}", happening.detail);
            Record::Change(happening)
        }
        record => record,
    }
}

async fn good(tx: &mut TenantTx, id: LinkId, now: Timestamp) -> Result<Link> {
    let link = links::by_id(tx, id).await?;
    let good = link.filter(|link| link.kind == LinkKind::Upload && !link.is_over(now));
    good.ok_or_else(|| {
        Error::new(
            ErrorKind::Denied,
            "this link leads nowhere any more; ask who gave it to you for another",
        )
    })
}

fn check_name(link: &Link, name: &str) -> Result<()> {
    let patterns = &link.limits.patterns;
    match patterns.is_empty() || patterns.iter().any(|own| pattern::matches(own, name)) {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "this link takes only files of these names: {}",
            patterns.join(", ")
        ))),
    }
}

fn check_files(link: &Link, on_their_way: u64) -> Result<()> {
    let used = link.uses.saturating_add(on_their_way);
    match link.limits.uses.is_some_and(|most| used >= most) {
        true => Err(full("files")),
        false => Ok(()),
    }
}

/// Fails unless one part more is within what the files hold that the link still takes. Of which of them it is a
/// part, nobody knows before it is joined with others; so is its name.
fn check_part(link: &Link, pending: &Pending, length: Option<u64>) -> Result<()> {
    check_files(link, pending.files)?;
    if pending.parts >= PARTS {
        return Err(Error::new(
            ErrorKind::Quota,
            format!(
                "this link takes {PARTS} parts of files at a time; join those that are sent, or end \
                 them, before you send others"
            ),
        ));
    }
    let Some((most, size)) = link.limits.uses.zip(link.limits.size) else {
        return Ok(());
    };
    let used = link.uses.saturating_add(pending.files);
    let room = most.saturating_sub(used).saturating_mul(size);
    let after = pending.part_bytes.saturating_add(length.unwrap_or(0));
    match after > room {
        true => Err(full("bytes")),
        false => Ok(()),
    }
}

/// How many files the parts are at least that are on their way.
fn files_of_parts(link: &Link, pending: &Pending) -> u64 {
    if pending.parts == 0 {
        return 0;
    }
    let size = link.limits.size.filter(|size| *size > 0);
    size.map_or(1, |size| pending.part_bytes.div_ceil(size).max(1))
}

fn check_bytes(link: &Link, length: u64, on_their_way: u64) -> Result<()> {
    if let Some(most) = link.limits.size.filter(|most| length > *most) {
        return Err(Error::invalid(format!(
            "this link takes only files of at most {most} bytes"
        )));
    }
    let used = link.bytes.saturating_add(on_their_way);
    let after = used.saturating_add(length);
    match link.limits.bytes.is_some_and(|most| after > most) {
        true => Err(full("bytes")),
        false => Ok(()),
    }
}

fn full(of: &str) -> Error {
    Error::new(
        ErrorKind::Quota,
        format!("this link takes no more {of}; ask who gave it to you for another"),
    )
}

/// A name that is free in a folder: this one, or it with a number.
async fn free_name(tx: &mut TenantTx, folder: NodeId, name: &str) -> Result<String> {
    for number in 1..=IN_ORDER {
        let tried = numbered(name, &number.to_string(), number == 1);
        if entries::child(tx, folder, &tried).await?.is_none() {
            return Ok(tried);
        }
    }
    let drawn = data_encoding::HEXLOWER.encode(&random::bytes::<8>());
    Ok(numbered(name, &drawn, false))
}

/// `report.pdf` as `report (2).pdf`, cut where it would be too long.
pub(in crate::vfs) fn numbered(name: &str, number: &str, is_first: bool) -> String {
    if is_first {
        return name.to_owned();
    }
    let (stem, ending) = match name.rfind('.') {
        // What is long is no ending.
        Some(dot) if dot > 0 && name.len() - dot <= 32 => name.split_at(dot),
        _ => (name, ""),
    };
    let mark = format!(" ({number})");
    let room = MAX_NAME_BYTES.saturating_sub(mark.len() + ending.len());
    let cut = (0..=room.min(stem.len()))
        .rev()
        .find(|at| stem.is_char_boundary(*at));
    let (stem, _) = stem.split_at(cut.unwrap_or(0));
    format!("{stem}{mark}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_before_the_ending() {
        for (name, other) in [
            ("a.txt", "a (2).txt"),
            ("a", "a (2)"),
            (".profile", ".profile (2)"),
            ("a.tar.gz", "a.tar (2).gz"),
            ("a.", "a (2)."),
        ] {
            assert_eq!(numbered(name, "2", false), other);
            assert_eq!(numbered(name, "1", true), name);
        }
    }

    #[test]
    fn a_name_stays_as_short_as_names_are() {
        for name in [
            "x".repeat(255),
            "\u{e4}".repeat(127),
            format!("{}.pdf", "\u{20ac}".repeat(83)),
        ] {
            let other = numbered(&name, "17", false);
            assert!(other.len() <= MAX_NAME_BYTES, "{other}");
            assert!(other.contains(" (17)"), "{other}");
        }
    }
}
