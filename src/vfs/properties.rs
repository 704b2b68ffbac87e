//! Properties that clients keep with files and folders and that mean nothing to us. They have no past.

use std::collections::HashMap;

use async_trait::async_trait;

use crate::db::audit::Happening;
use crate::db::operation::{Operation, Record};
use crate::db::properties;
use crate::db::sql::TenantTx;
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::NodeId;
use crate::domain::node::{AttributeUpdate, Entry};
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::domain::property::Property;
use crate::domain::rights::Rights;
use crate::vfs::access::follow;
use crate::vfs::attributes;
use crate::vfs::held::Touch;
use crate::vfs::session::Session;

/// Most properties of a file or folder, and most bytes of them together.
const MOST: usize = 200;
const MOST_BYTES: usize = 64 * 1024;

/// What is done to a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patch {
    /// It goes, if it is there.
    Remove {
        /// The namespace of its name.
        space: String,
        /// The name in it.
        name: String,
    },
    /// It is set.
    Set(Property),
}

impl Session {
    /// Sets and removes properties of what is at a path, and sets mode and times: all or none.
    ///
    /// # Errors
    /// Quota when they would be too many; Changed, Locked, NotFound, NotFolder, Denied; Unavailable when the
    /// database does not answer.
    pub async fn patch_properties(
        &self,
        path: &VfsPath,
        patches: Vec<Patch>,
        update: AttributeUpdate,
    ) -> Result<()> {
        let operation = PatchProperties {
            principal: self.principal().clone(),
            path: path.clone(),
            patches,
            update,
        };
        let touched = [(path, Touch::Node)];
        let patched = self.run_on(path, &touched, operation).await;
        self.noted(patched, "set-properties", path).map(drop)
    }

    /// The properties of these files and folders.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn properties_of(
        &self,
        entries: &[&Entry],
    ) -> Result<HashMap<NodeId, Vec<Property>>> {
        let nodes: Vec<_> = entries.iter().map(|entry| entry.node).collect();
        let mut tx = self.vfs().database().read(self.principal().tenant).await?;
        properties::of(&mut tx, &nodes).await
    }
}

struct PatchProperties {
    principal: Principal,
    path: VfsPath,
    patches: Vec<Patch>,
    update: AttributeUpdate,
}

#[async_trait]
impl Operation for PatchProperties {
    fn grows(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let (chain, access) = follow(tx, &self.principal, &self.path).await?;
        let entry = access.see(tx, &self.path, &chain).await?;
        let node = entry.node;
        access.require(&chain, Rights::SET_ATTRIBUTES)?;
        for patch in &self.patches {
            match patch {
                Patch::Set(property) => properties::set(tx, node, property).await?,
                Patch::Remove { space, name } => properties::remove(tx, node, space, name).await?,
            }
        }
        let all = properties::of(tx, &[node]).await?;
        let all = all.get(&node).map_or(&[][..], Vec::as_slice);
        let bytes = |one: &Property| one.space.len() + one.name.len() + one.value.len();
        if all.len() > MOST || all.iter().map(bytes).sum::<usize>() > MOST_BYTES {
            return Err(Error::new(
                ErrorKind::Quota,
                format!(
                    "a file or folder has at most {MOST} properties of {MOST_BYTES} bytes in all"
                ),
            ));
        }
        let happening = Happening::new(AuditKind::SetProperties, self.path.to_string());
        Ok(match attributes::set(tx, entry, self.update, next).await? {
            true => Record::Change(happening),
            // What clients keep has no past.
            false => Record::Event(happening),
        })
    }
}
