//! What a principal may do where.

use std::collections::BTreeSet;

use crate::db::approach;
use crate::db::entries;
use crate::db::grants::Grant;
use crate::db::sql::TenantTx;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::NodeId;
use crate::domain::node::{Entry, NodeKind};
use crate::domain::path::{Name, VfsPath};
use crate::domain::principal::Principal;
use crate::domain::rights::Rights;

/// The grants of a principal as they are in this transaction.
pub struct Access {
    grants: Vec<Grant>,
    ceiling: Rights,
    scope: Rights,
    /// Nothing is held but on this and what is below it, whatever the grants are.
    within: Option<NodeId>,
    sees_ways: bool,
    may_have_uploads: bool,
    seq: i64,
}

impl Access {
    /// Takes them from what is known already.
    pub fn of(grants: &[Grant], principal: &Principal) -> Self {
        Self {
            grants: grants.to_vec(),
            ceiling: principal.ceiling,
            scope: principal.scope,
            within: principal.link.as_ref().map(|link| link.node),
            sees_ways: principal.sees_ways,
            may_have_uploads: false,
            seq: 0,
        }
    }

    /// Whether the principal may have broken off an upload under the name that was followed.
    pub fn may_have_uploads(&self) -> bool {
        self.may_have_uploads
    }

    /// The number of the latest change that was there when a path was followed.
    pub fn seq(&self) -> i64 {
        self.seq
    }

    /// Whether files may be made or replaced anywhere.
    pub fn may_write(&self) -> bool {
        let mut held = self.grants.iter().map(|grant| grant.rights & self.ceiling);
        held.any(|held| !(held & (Rights::WRITE | Rights::OVERWRITE)).is_empty())
    }

    /// The rights on the last entry of a chain that starts at the root.
    pub fn rights(&self, chain: &[Entry]) -> Rights {
        let is_along = |node| chain.iter().any(|entry| entry.node == node);
        if self.within.is_some_and(|node| !is_along(node)) {
            return Rights::NONE;
        }
        let granted = self
            .grants
            .iter()
            .filter(|grant| is_along(grant.node))
            .fold(Rights::NONE, |rights, grant| rights | grant.rights);
        granted & self.ceiling
    }

    /// Fails unless all of `needed` is held on the last entry of a chain.
    ///
    /// # Errors
    /// Denied, naming what is missing and where.
    pub fn require(&self, chain: &[Entry], needed: Rights) -> Result<()> {
        let missing = self.rights(chain).missing(needed);
        match missing.is_empty() {
            true => Ok(()),
            false => Err(self.denied(missing, &path_of(chain))),
        }
    }

    fn denied(&self, missing: Rights, at: &str) -> Error {
        let beyond = self.scope.missing(missing);
        let sentence = match beyond.is_empty() {
            true => format!(
                "permission denied: the right '{missing}' is missing on '{at}'; \
                 ask your administrator for it"
            ),
            false => {
                let scope = match (beyond & Rights::READ_ONLY).is_empty() {
                    true => "files:write",
                    false => "files:read",
                };
                format!(
                    "permission denied: the token is not for this: '{beyond}' on '{at}' needs one with the \
                     scope {scope}"
                )
            }
        };
        Error::new(ErrorKind::Denied, sentence)
    }

    /// The children of `folder` through which the way leads to folders granted below it; none for who is not
    /// shown the way.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn ways(&self, tx: &mut TenantTx, folder: NodeId) -> Result<BTreeSet<NodeId>> {
        let mut ways = BTreeSet::new();
        if self.within.is_some() || !self.sees_ways {
            return Ok(ways);
        }
        for grant in &self.grants {
            let up = entries::ancestors(tx, grant.node).await?;
            let at_root = up.last().is_some_and(|top| top.parent == NodeId::NIL);
            let child = up.iter().find(|entry| entry.parent == folder);
            if let (true, Some(child)) = (at_root, child) {
                ways.insert(child.node);
            }
        }
        Ok(ways)
    }

    /// The entry at the end of a path that `chain` followed as far as it exists, if it may be seen.
    ///
    /// # Errors
    /// NotFound; NotFolder when a file is on the way; Denied when not even that may be known.
    pub async fn see<'a>(
        &self,
        tx: &mut TenantTx,
        path: &VfsPath,
        chain: &'a [Entry],
    ) -> Result<&'a Entry> {
        let last = chain
            .last()
            .ok_or_else(|| Error::internal("a tenant without a root folder"))?;
        let listed = self.rights(chain).contains(Rights::LIST);
        if !listed {
            // Named is the first that is hidden: the error must not tell what there is below it.
            let mut shown = Vec::with_capacity(chain.len());
            for entry in chain {
                shown.push(entry.clone());
                let ways = self.ways(tx, entry.node).await?;
                if ways.is_empty() {
                    return self.require(&shown, Rights::LIST).map(|()| last);
                }
            }
        }
        match path.names().get(chain.len() - 1) {
            None => Ok(last),
            Some(next) if !listed => {
                let above = path_of(chain);
                let hidden = format!("{}/{next}", above.trim_end_matches('/'));
                Err(self.denied(Rights::LIST, &hidden))
            }
            Some(_) if last.kind == NodeKind::File => Err(not_a_folder(&path_of(chain))),
            Some(_) => Err(no_such(path)),
        }
    }
}

/// How often it is looked again where a link leads whose node has moved on meanwhile.
const LOOKS: u32 = 5;
/// What those are told who came by a link while it was moved: who asked for a path counts on its depth.
pub const MOVED: &str = "what this link leads to was just moved; try again in a second";

/// The entries along a path, and the grants of the principal, in one transaction. A path below what a link leads
/// to is followed from where that is now, though it was renamed since the path was made.
///
/// # Errors
/// Stale when what a link leads to was moved to another depth since; Unavailable when the database does not answer.
pub async fn follow(
    tx: &mut TenantTx,
    principal: &Principal,
    path: &VfsPath,
) -> Result<(Vec<Entry>, Access)> {
    let mut along = approach::along(tx, path.names(), principal.account).await?;
    if let Some(pass) = &principal.link {
        let mut looks = 0;
        while !along.chain.iter().any(|entry| entry.node == pass.node) {
            looks += 1;
            let Some(renamed) = renamed(tx, principal, pass.node, path).await? else {
                break;
            };
            if looks > LOOKS || renamed.names().len() != path.names().len() {
                return Err(Error::new(ErrorKind::Stale, MOVED));
            }
            along = approach::along(tx, renamed.names(), principal.account).await?;
        }
    }
    let access = Access {
        // Who comes by a link has nothing to do with what the account broke off.
        may_have_uploads: along.has_upload && principal.link.is_none(),
        seq: along.seq,
        ..Access::of(&along.grants, principal)
    };
    Ok((along.chain, access))
}

/// A path below what a link leads to, by the names that it has now; none when that is gone.
async fn renamed(
    tx: &mut TenantTx,
    principal: &Principal,
    node: NodeId,
    path: &VfsPath,
) -> Result<Option<VfsPath>> {
    let home = principal.home.names();
    let Some(rest) = path.names().strip_prefix(home) else {
        return Ok(None);
    };
    let up = entries::ancestors(tx, node).await?;
    let hangs_on_root = up.last().is_some_and(|top| top.parent == NodeId::NIL);
    if !hangs_on_root {
        return Ok(None);
    }
    let mut renamed = VfsPath::root();
    for entry in up.iter().rev().skip(1) {
        renamed = renamed.join(Name::parse(entry.name.as_bytes())?)?;
    }
    rest.iter()
        .cloned()
        .try_fold(renamed, VfsPath::join)
        .map(Some)
}

/// The chain of the folder that is to hold the last name of `path`, and the entry with that name
/// if there is one.
///
/// # Errors
/// Invalid for the root; NotFound or NotFolder when the folder is not there; Denied when that
/// must not be known.
pub async fn parent_of(
    tx: &mut TenantTx,
    access: &Access,
    path: &VfsPath,
    mut chain: Vec<Entry>,
) -> Result<(Vec<Entry>, Option<Entry>)> {
    let parent = path
        .parent()
        .ok_or_else(|| Error::invalid("the root folder itself cannot be changed"))?;
    let found = match chain.len() == path.names().len() + 1 {
        true => chain.pop(),
        false => None,
    };
    if chain.len() <= parent.names().len() {
        access.see(tx, &parent, &chain).await?;
        return Err(no_such(&parent));
    }
    let own = found.iter().fold(Rights::NONE, |_, entry| {
        access.rights(&below(&chain, entry))
    });
    if (access.rights(&chain) | own).is_empty() {
        // The error must not tell whether there is a file or nothing.
        access.see(tx, &parent, &chain).await?;
    }
    match chain.last() {
        Some(entry) if entry.kind == NodeKind::File => {
            // Nor that there is one, where a folder was meant.
            access.see(tx, &parent, &chain).await?;
            Err(not_a_folder(&parent.to_string()))
        }
        _ => Ok((chain, found)),
    }
}

/// `chain` with `entry` below it.
pub fn below(chain: &[Entry], entry: &Entry) -> Vec<Entry> {
    chain.iter().chain([entry]).cloned().collect()
}

/// The path that a chain from the root spells.
pub fn path_of(chain: &[Entry]) -> String {
    let names: Vec<_> = chain.iter().skip(1).map(|e| e.name.as_str()).collect();
    format!("/{}", names.join("/"))
}

/// The same as errors name it for programs: a folder with a slash behind it.
pub fn place_of(chain: &[Entry]) -> String {
    let mut path = path_of(chain);
    let is_folder = chain
        .last()
        .is_some_and(|last| last.kind == NodeKind::Folder);
    if is_folder && !path.ends_with('/') {
        path.push('/');
    }
    path
}

/// The error for a path that leads nowhere.
pub fn no_such(path: &VfsPath) -> Error {
    Error::not_found(format!("no such file or folder: '{path}'"))
}

/// The error for a file where a folder is needed.
pub fn not_a_folder(path: &str) -> Error {
    Error::new(
        ErrorKind::NotFolder,
        format!("'{path}' is a file, not a folder"),
    )
}

/// The error for a folder where a file is needed.
pub fn is_a_folder(path: &str) -> Error {
    Error::new(
        ErrorKind::IsFolder,
        format!("'{path}' is a folder, not a file"),
    )
}
