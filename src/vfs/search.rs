//! Finding files and folders by their names, a bounded amount of work at a time.

use crate::db::entries::{self, Moment};
use crate::domain::error::{Error, Result};
use crate::domain::node::{Entry, NodeKind};
use crate::domain::path::{Name, VfsPath};
use crate::domain::pattern;
use crate::domain::rights::Rights;
use crate::vfs::access::{follow, not_a_folder};
use crate::vfs::look::children;
use crate::vfs::session::Session;
use crate::vfs::walk::Walk;

/// Longest pattern, in bytes.
const PATTERN_BYTES: usize = 255;
/// Work that is done for one part of a search; see [`Walk::work`].
const WORK: usize = 20_000;
/// Folders on the way to what may be listed that are looked at for one part of a search.
const WAYS: usize = 1000;

/// What is searched for: names in any case, `*` for any characters and `?` for one. Without either, a
/// part of the name is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(String);

impl NamePattern {
    /// Takes what a person typed.
    ///
    /// # Errors
    /// Invalid when it is empty or too long.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() || text.len() > PATTERN_BYTES {
            return Err(Error::invalid(format!(
                "the pattern must have 1 to {PATTERN_BYTES} bytes"
            )));
        }
        let folded = text.to_lowercase().replace('[', "[[]");
        Ok(match text.contains(['*', '?']) {
            // Behind a letter, so that a leading dot is like any other.
            true => Self(format!("x{folded}")),
            false => Self(format!("x*{folded}*")),
        })
    }

    /// Whether a name is one of those.
    pub fn fits(&self, name: &str) -> bool {
        pattern::matches(&self.0, &format!("x{}", name.to_lowercase()))
    }
}

/// A part of what was found.
#[derive(Clone, Debug)]
pub struct Matches {
    /// In the order of their paths.
    pub items: Vec<(VfsPath, Entry)>,
    /// Where the next part begins, if not everything has been looked at.
    pub next: Option<VfsPath>,
}

impl Session {
    /// Up to `limit` files and folders below `under` whose names fit, as far as they may be seen, behind
    /// `after`. There may be none in one part and some in the next.
    ///
    /// # Errors
    /// NotFound, NotFolder, Denied; Unavailable when the database does not answer.
    pub async fn search(
        &self,
        under: &VfsPath,
        pattern: &NamePattern,
        after: Option<&VfsPath>,
        limit: usize,
    ) -> Result<Matches> {
        let matches = self.try_search(under, pattern, after, limit).await;
        self.noted(matches, "search", under)
    }

    async fn try_search(
        &self,
        under: &VfsPath,
        pattern: &NamePattern,
        after: Option<&VfsPath>,
        limit: usize,
    ) -> Result<Matches> {
        let tenant = self.principal().tenant;
        let mut tx = self.vfs().database().snapshot(tenant).await?;
        let (mut chain, access) = follow(&mut tx, self.principal(), under).await?;
        let start = access.see(&mut tx, under, &chain).await?;
        if start.kind == NodeKind::File {
            return Err(not_a_folder(&under.to_string()));
        }
        if !self.principal().ceiling.contains(Rights::LIST) {
            // Nothing can be found: that is no empty answer.
            access.require(&chain, Rights::LIST)?;
        }
        let mut walk = Walk::new(self.vfs(), tenant, Moment::Now);
        let behind = after.filter(|after| after.starts_with(under));
        let behind = behind.map_or(&[][..], |after| {
            after.names().get(under.names().len()..).unwrap_or_default()
        });
        // Down to where the last part ended, with what is left of each folder on the way.
        let mut path: Vec<String> = Vec::new();
        for depth in 0..=behind.len() {
            let name = behind.get(depth).map_or("", Name::as_str);
            let Some(folder) = chain.last().filter(|last| last.kind == NodeKind::Folder) else {
                break;
            };
            let node = folder.node;
            match access.rights(&chain).contains(Rights::LIST) {
                true => walk.enter(node, path.clone(), name.to_owned()),
                false => {
                    let ways = children(&mut tx, &access, &chain, name, WAYS).await?;
                    walk.enter_some(ways, path.clone());
                }
            }
            let Some(next) = entries::child(&mut tx, node, name).await? else {
                break;
            };
            path.push(next.name.clone());
            chain.push(next);
        }
        drop(tx);
        let mut matches = Matches {
            items: Vec::new(),
            next: None,
        };
        let mut looked = 0;
        while let Some(found) = walk.next().await? {
            let at = below(under, &found.path)?;
            looked += 1;
            if found.entry.kind == NodeKind::Folder {
                self.go_into(&mut walk, &at, &found.entry, found.path)
                    .await?;
            }
            if pattern.fits(&found.entry.name) {
                matches.items.push((at.clone(), found.entry));
            }
            if matches.items.len() >= limit || walk.work().max(looked) >= WORK {
                matches.next = Some(at);
                break;
            }
        }
        Ok(matches)
    }

    /// Has a walk enter a folder: as a whole if it may be listed, else where the way leads on.
    async fn go_into(
        &self,
        walk: &mut Walk,
        at: &VfsPath,
        entry: &Entry,
        path: Vec<String>,
    ) -> Result<()> {
        if walk.is_open() {
            walk.enter(entry.node, path, String::new());
            return Ok(());
        }
        let tenant = self.principal().tenant;
        let mut tx = self.vfs().database().snapshot(tenant).await?;
        let (chain, access) = follow(&mut tx, self.principal(), at).await?;
        if chain.last().is_none_or(|last| last.node != entry.node) {
            // It has gone elsewhere meanwhile.
            return Ok(());
        }
        if access.rights(&chain).contains(Rights::LIST) {
            walk.enter(entry.node, path, String::new());
        } else {
            let ways = children(&mut tx, &access, &chain, "", WAYS).await?;
            walk.enter_some(ways, path);
        }
        Ok(())
    }
}

fn below(under: &VfsPath, names: &[String]) -> Result<VfsPath> {
    let mut names = names.iter();
    names.try_fold(under.clone(), |path, name| path.child(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_by_a_part_or_by_a_pattern() {
        for (pattern, name, fits) in [
            ("report", "Q3-Report.pdf", true),
            ("REPORT", "q3-report.pdf", true),
            ("*.PDF", "a.pdf", true),
            ("*.pdf", "a.pdf.txt", false),
            ("a?c", "aBc", true),
            ("a?c", "xabc", false),
            (".hid", ".hidden", true),
            ("*", ".hidden", true),
            ("[a]", "x[a]y", true),
            ("[a]", "xay", false),
            ("\u{c4}rger", "\u{e4}RGER.txt", true),
        ] {
            let parsed = NamePattern::parse(pattern).unwrap();
            assert_eq!(parsed.fits(name), fits, "{pattern} {name}");
        }
        assert!(NamePattern::parse("").is_err());
        assert!(NamePattern::parse(&"x".repeat(256)).is_err());
    }
}
