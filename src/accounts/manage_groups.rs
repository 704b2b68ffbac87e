//! What the operator does to groups.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::Serialize;

use crate::accounts::manage::Directory;
use crate::accounts::manage_accounts::account;
use crate::db::accounts;
use crate::db::audit::Happening;
use crate::db::groups::{self, Group};
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::error::{Error, Result};
use crate::domain::principal::LoginName;

/// `NAME@TENANT`: a group of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupName {
    /// The group's name, unique within the tenant.
    pub name: String,
    /// The tenant's name.
    pub tenant: String,
}

/// Splits at the last `@`; names follow the rules of accounts.
impl FromStr for GroupName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let login: LoginName = text.parse().map_err(|error: Error| {
            Error::invalid(
                "write the group as NAME@TENANT, of a-z, 0-9 and ._-, starting with a letter or digit",
            )
            .because(error)
        })?;
        Ok(Self {
            name: login.user,
            tenant: login.tenant,
        })
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.tenant)
    }
}

/// A group as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupView {
    /// Its name in full.
    pub group: String,
    /// Its members' names, `user@tenant`.
    pub members: Vec<String>,
}

impl Directory {
    /// Adds a group without members.
    ///
    /// # Errors
    /// NotFound when there is no such tenant; AlreadyExists.
    pub async fn add_group(&self, group: &GroupName) -> Result<()> {
        self.edit_group(group, Step::Add).await
    }

    /// Removes a group, its memberships and its grants.
    ///
    /// # Errors
    /// NotFound when there is no such group.
    pub async fn remove_group(&self, group: &GroupName) -> Result<()> {
        self.edit_group(group, Step::Remove).await
    }

    /// Adds an account to a group; it may be in it already.
    ///
    /// # Errors
    /// NotFound when there is no such group or account; Invalid when they are of two tenants.
    pub async fn add_member(&self, group: &GroupName, member: &LoginName) -> Result<()> {
        same_tenant(group, member)?;
        self.edit_group(group, Step::AddMember(member.clone()))
            .await
    }

    /// Takes an account out of a group.
    ///
    /// # Errors
    /// NotFound when there is no such group or account, or it is not a member.
    pub async fn remove_member(&self, group: &GroupName, member: &LoginName) -> Result<()> {
        same_tenant(group, member)?;
        self.edit_group(group, Step::RemoveMember(member.clone()))
            .await
    }

    /// A tenant's groups with their members, by name.
    ///
    /// # Errors
    /// NotFound when there is no such tenant.
    pub async fn groups(&self, tenant: &str) -> Result<Vec<GroupView>> {
        let found = self.tenant(tenant).await?;
        let mut tx = self.db().snapshot(found.id).await?;
        let names: HashMap<_, _> = accounts::list(&mut tx)
            .await?
            .into_iter()
            .map(|account| (account.id, format!("{}@{tenant}", account.name)))
            .collect();
        let memberships = groups::memberships(&mut tx).await?;
        let groups = groups::list(&mut tx).await?;
        Ok(groups
            .into_iter()
            .map(|group| {
                let members = memberships.iter().filter(|(of, _)| *of == group.id);
                let mut members: Vec<_> = members
                    .filter_map(|(_, account)| names.get(account).cloned())
                    .collect();
                members.sort();
                GroupView {
                    group: format!("{}@{tenant}", group.name),
                    members,
                }
            })
            .collect())
    }

    async fn edit_group(&self, group: &GroupName, step: Step) -> Result<()> {
        let tenant = self.tenant(&group.tenant).await?;
        let group = group.clone();
        self.run(tenant.id, Edit { group, step }).await
    }
}

/// A group that must be there.
pub(in crate::accounts) async fn group(tx: &mut TenantTx, group: &GroupName) -> Result<Group> {
    groups::by_name(tx, &group.name).await?.ok_or_else(|| {
        Error::not_found(format!("there is no group '{group}'"))
            .hinting("'sealift group list' shows all")
    })
}

fn same_tenant(group: &GroupName, member: &LoginName) -> Result<()> {
    match group.tenant == member.tenant {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "{member} cannot be in {group}: a group has members of its own tenant only"
        ))),
    }
}

struct Edit {
    group: GroupName,
    step: Step,
}

enum Step {
    Add,
    AddMember(LoginName),
    Remove,
    RemoveMember(LoginName),
}

#[async_trait]
impl Operation for Edit {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        let name = &self.group;
        let (kind, detail) = match &self.step {
            Step::Add => {
                groups::insert(tx, &name.name).await?;
                (AuditKind::GroupAdd, name.to_string())
            }
            Step::AddMember(member) => {
                let id = group(tx, name).await?.id;
                let account = account(tx, member).await?;
                if !groups::add_member(tx, id, account.id).await? {
                    return Ok(Record::Nothing);
                }
                (AuditKind::MemberAdd, format!("{name}: {member}"))
            }
            Step::Remove => {
                let id = group(tx, name).await?.id;
                groups::remove(tx, id).await?;
                (AuditKind::GroupRemove, name.to_string())
            }
            Step::RemoveMember(member) => {
                let id = group(tx, name).await?.id;
                let account = account(tx, member).await?;
                if !groups::remove_member(tx, id, account.id).await? {
                    return Err(Error::not_found(format!("{member} is not in {name}")));
                }
                (AuditKind::MemberRemove, format!("{name}: {member}"))
            }
        };
        Ok(Record::Event(Happening::new(kind, detail)))
    }
}
