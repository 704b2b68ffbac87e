//! What the operator does to rights on folders.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serde::Serialize;

use crate::accounts::home::path_of;
use crate::accounts::manage::Directory;
use crate::accounts::manage_accounts::{account, record};
use crate::accounts::manage_groups::{GroupName, group};
use crate::db::accounts;
use crate::db::approach;
use crate::db::audit::Happening;
use crate::db::entries::{self, Moment};
use crate::db::folders;
use crate::db::grants::{self, Grant, Subject};
use crate::db::groups;
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::error::{Error, Result};
use crate::domain::id::{AccountId, GroupId, NodeId};
use crate::domain::path::VfsPath;
use crate::domain::principal::LoginName;
use crate::domain::rights::Rights;

/// Who a grant is given to, as it is written: `user@tenant` or `group:NAME@tenant`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectName {
    /// One account.
    Account(LoginName),
    /// All members of a group.
    Group(GroupName),
}

impl SubjectName {
    fn tenant(&self) -> &str {
        match self {
            Self::Account(login) => &login.tenant,
            Self::Group(group) => &group.tenant,
        }
    }
}

impl FromStr for SubjectName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.strip_prefix("group:") {
            Some(group) => group.parse().map(Self::Group),
            None => text.parse().map(Self::Account).map_err(|error| {
                Error::invalid("write who gets the rights as USER@TENANT or group:NAME@TENANT")
                    .because(error)
            }),
        }
    }
}

impl fmt::Display for SubjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(login) => write!(f, "{login}"),
            Self::Group(group) => write!(f, "group:{group}"),
        }
    }
}

/// A folder of a tenant, as it is written: `TENANT:/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The tenant's name.
    pub tenant: String,
    /// The folder.
    pub path: VfsPath,
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (tenant, path) = text
            .split_once(':')
            .ok_or_else(|| Error::invalid("write the folder as TENANT:/PATH"))?;
        LoginName::check_tenant(tenant)?;
        Ok(Self {
            tenant: tenant.to_owned(),
            path: VfsPath::parse(path)?,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.tenant, self.path)
    }
}

/// A grant as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantView {
    /// `user@tenant` or `group:NAME@tenant`.
    pub subject: String,
    /// Where the folder is now; none when it is gone.
    pub path: Option<String>,
    /// What may be done there and below.
    pub rights: String,
}

/// How a folder on which rights are given came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    /// It was made for them.
    Made,
    /// It was there.
    WasThere,
}

impl Directory {
    /// Gives rights on a folder, made where it is missing, and what is below it; rights given there before
    /// are replaced. Says whether the folder was there.
    ///
    /// # Errors
    /// NotFound when there is no such tenant or subject; Invalid when they are of two tenants or
    /// no right is given; NotFolder when the path is a file.
    pub async fn add_grant(
        &self,
        subject: &SubjectName,
        place: &Place,
        rights: Rights,
    ) -> Result<Folder> {
        if rights.is_empty() {
            return Err(Error::invalid("no right is given")
                .hinting("'sealift grant remove' takes rights away"));
        }
        self.edit_grant(subject, place, rights).await
    }

    /// Whether there is a file or folder now.
    ///
    /// # Errors
    /// NotFound when there is no such tenant.
    pub async fn is_there(&self, place: &Place) -> Result<bool> {
        let tenant = self.tenant(&place.tenant).await?;
        let mut tx = self.db().read(tenant.id).await?;
        let names = place.path.names();
        let chain = entries::resolve(&mut tx, names, Moment::Now).await?;
        Ok(chain.len() > names.len())
    }

    /// Whether an account has any right in a folder.
    ///
    /// # Errors
    /// NotFound when there is no such account.
    pub async fn reaches(&self, login: &LoginName, path: &VfsPath) -> Result<bool> {
        let tenant = self.tenant(&login.tenant).await?;
        let mut tx = self.db().read(tenant.id).await?;
        let account = account(&mut tx, login).await?;
        let along = approach::along(&mut tx, path.names(), account.id).await?;
        let is_along = |grant: &&Grant| along.chain.iter().any(|entry| entry.node == grant.node);
        let mut held = along.grants.iter().filter(is_along);
        Ok(held.any(|grant| !(grant.rights & account.ceiling).is_empty()))
    }

    /// Takes away what was given to a subject on this very folder.
    ///
    /// # Errors
    /// NotFound when there is no such tenant, subject, folder or grant.
    pub async fn remove_grant(&self, subject: &SubjectName, place: &Place) -> Result<()> {
        self.edit_grant(subject, place, Rights::NONE).await?;
        Ok(())
    }

    /// All grants of a tenant.
    ///
    /// # Errors
    /// NotFound when there is no such tenant.
    pub async fn grants(&self, tenant: &str) -> Result<Vec<GrantView>> {
        let found = self.tenant(tenant).await?;
        let mut tx = self.db().snapshot(found.id).await?;
        let accounts: HashMap<_, _> = accounts::list(&mut tx)
            .await?
            .into_iter()
            .map(|account| (account.id, format!("{}@{tenant}", account.name)))
            .collect();
        let groups: HashMap<_, _> = groups::list(&mut tx)
            .await?
            .into_iter()
            .map(|group| (group.id, format!("group:{}@{tenant}", group.name)))
            .collect();
        let mut found = Vec::new();
        for grant in grants::list(&mut tx).await? {
            let subject = match grant.subject {
                Subject::Account(id) => accounts.get(&id),
                Subject::Group(id) => groups.get(&id),
            };
            let path = path_of(&mut tx, grant.node).await?;
            found.push(GrantView {
                subject: subject.cloned().unwrap_or_default(),
                path: path.map(|path| path.to_string()),
                rights: grant.rights.to_string(),
            });
        }
        Ok(found)
    }

    /// Up to `limit` grants of a tenant, and where to go on.
    ///
    /// # Errors
    /// NotFound when there is no such tenant; Invalid when `after` is none of ours.
    pub async fn grants_page(
        &self,
        tenant: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<GrantView>, Option<String>)> {
        let found = self.tenant(tenant).await?;
        let mut tx = self.db().snapshot(found.id).await?;
        let after = after.map(place_of).transpose()?;
        let page = grants::page(&mut tx, after, limit).await?;
        let next = page.last().filter(|_| page.len() == limit).map(cursor_of);
        let groups: HashMap<_, _> = groups::list(&mut tx)
            .await?
            .into_iter()
            .map(|group| (group.id, format!("group:{}@{tenant}", group.name)))
            .collect();
        let mut views = Vec::with_capacity(page.len());
        for grant in page {
            let subject = match grant.subject {
                Subject::Account(id) => {
                    let account = accounts::by_id(&mut tx, id).await?;
                    account.map(|account| format!("{}@{tenant}", account.name))
                }
                Subject::Group(id) => groups.get(&id).cloned(),
            };
            let path = path_of(&mut tx, grant.node).await?;
            views.push(GrantView {
                subject: subject.unwrap_or_default(),
                path: path.map(|path| path.to_string()),
                rights: grant.rights.to_string(),
            });
        }
        Ok((views, next))
    }

    async fn edit_grant(
        &self,
        subject: &SubjectName,
        place: &Place,
        rights: Rights,
    ) -> Result<Folder> {
        if subject.tenant() != place.tenant {
            return Err(Error::invalid(format!(
                "{subject} cannot have rights on {place}: nothing crosses tenants"
            )));
        }
        let tenant = self.tenant(&place.tenant).await?;
        let has_made = Arc::<AtomicBool>::default();
        let edit = Edit {
            subject: subject.clone(),
            place: place.clone(),
            rights,
            has_made: has_made.clone(),
        };
        self.run(tenant.id, edit).await?;
        Ok(match has_made.load(Ordering::SeqCst) {
            true => Folder::Made,
            false => Folder::WasThere,
        })
    }
}

fn cursor_of(grant: &Grant) -> String {
    match grant.subject {
        Subject::Account(id) => format!("a {id} {}", grant.node),
        Subject::Group(id) => format!("g {id} {}", grant.node),
    }
}

fn place_of(cursor: &str) -> Result<(Subject, NodeId)> {
    let wrong = || Error::invalid("the cursor is not the 'next' of the part before");
    let mut words = cursor.split(' ');
    let (Some(kind), Some(id), Some(node)) = (words.next(), words.next(), words.next()) else {
        return Err(wrong());
    };
    let id = id.parse().map_err(|_| wrong())?;
    let subject = match kind {
        "a" => Subject::Account(AccountId(id)),
        "g" => Subject::Group(GroupId(id)),
        _ => return Err(wrong()),
    };
    Ok((subject, node.parse()?))
}

struct Edit {
    subject: SubjectName,
    place: Place,
    /// None at all: the grant goes.
    rights: Rights,
    /// Whether the folder was made, the last time that this was applied.
    has_made: Arc<AtomicBool>,
}

#[async_trait]
impl Operation for Edit {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let (name, place, rights) = (&self.subject, &self.place, self.rights);
        let subject = match name {
            SubjectName::Account(login) => Subject::Account(account(tx, login).await?.id),
            SubjectName::Group(named) => Subject::Group(group(tx, named).await?.id),
        };
        if rights.is_empty() {
            return self.remove(tx, subject).await;
        }
        let (node, made) = folders::ensure(tx, &place.path, None, next).await?;
        self.has_made.store(made, Ordering::SeqCst);
        let grant = Grant {
            subject,
            node,
            rights,
        };
        grants::set(tx, grant).await?;
        let detail = format!("{name} on {place}: {rights}");
        Ok(record(made, Happening::new(AuditKind::Grant, detail)))
    }
}

impl Edit {
    async fn remove(&self, tx: &mut TenantTx, subject: Subject) -> Result<Record> {
        let (name, place) = (&self.subject, &self.place);
        let names = place.path.names();
        let chain = entries::resolve(tx, names, Moment::Now).await?;
        let folder = chain.last().filter(|_| chain.len() == names.len() + 1);
        let given = grants::list(tx).await?;
        let grant = given
            .iter()
            .find(|grant| {
                grant.subject == subject && folder.is_some_and(|folder| folder.node == grant.node)
            })
            .ok_or_else(|| {
                Error::not_found(format!("{name} was given nothing on {place} itself"))
                    .hinting("'sealift grant list' shows all")
            })?;
        let none = Grant {
            rights: Rights::NONE,
            ..*grant
        };
        grants::set(tx, none).await?;
        let detail = format!("{name} on {place}: {} taken away", grant.rights);
        Ok(Record::Event(Happening::new(
            AuditKind::GrantRemove,
            detail,
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_and_places_survive_their_text_form() {
        for text in ["ann@acme", "group:staff@acme"] {
            assert_eq!(text.parse::<SubjectName>().unwrap().to_string(), text);
        }
        for text in ["acme:/", "acme:/in/a:b"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_malformed_says_how_to_write_it() {
        let subject = "ann".parse::<SubjectName>().unwrap_err();
        assert!(subject.context().contains("USER@TENANT"));
        let place = "/in".parse::<Place>().unwrap_err();
        assert!(place.context().contains("TENANT:/PATH"));
    }
}
