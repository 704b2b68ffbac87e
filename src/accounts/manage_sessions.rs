//! Sessions in progress, of every protocol and instance: seen, and ended.

use async_trait::async_trait;
use serde::Serialize;

use crate::accounts::manage::Directory;
use crate::accounts::manage_accounts::{Names, account};
use crate::db::accounts;
use crate::db::audit::Happening;
use crate::db::live_sessions::{self, After};
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::web_sessions;
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::SessionId;
use crate::domain::principal::LoginName;

/// A session in progress as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionView {
    /// What it is ended by; the audit log names it as well.
    pub id: String,
    /// The account, `user@tenant`.
    pub login: String,
    /// `sftp`, `ftp`, `ftps`, `https`, `webdav`.
    pub protocol: String,
    /// From where.
    pub address: String,
    /// Since when.
    pub began_at: String,
    /// Where it goes on, as `ready.json` of that server says.
    pub instance: String,
}

impl Directory {
    /// Up to `limit` sessions of a tenant's accounts, or of one of them, and where to go on. Each server
    /// tells of its own within about a second.
    ///
    /// # Errors
    /// NotFound when there is no such tenant or account; Invalid when `after` is none of ours.
    pub async fn sessions_page(
        &self,
        tenant: &str,
        login: Option<&LoginName>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<SessionView>, Option<String>)> {
        let tenant = self.tenant(tenant).await?;
        let after = after.map(parse).transpose()?;
        let now = self.db().now().await?;
        let mut tx = self.db().read(tenant.id).await?;
        let of = match login {
            Some(login) => Some(account(&mut tx, login).await?.id),
            None => None,
        };
        let found = live_sessions::page(&mut tx, of, after, now, limit).await?;
        let next = found.last().filter(|_| found.len() == limit);
        let next = next.map(|last| format!("{} {}", last.id, last.instance));
        let mut names = Names::default();
        let mut views = Vec::with_capacity(found.len());
        for session in found {
            let login = names.login(&mut tx, session.account, &tenant.name).await?;
            views.push(SessionView {
                id: session.id.to_string(),
                login,
                protocol: session.protocol,
                address: session.address,
                began_at: session.began_at.to_string(),
                instance: session.instance.to_string(),
            });
        }
        Ok((views, next))
    }

    /// Has a session end wherever it goes on, within about a second; that of a browser is logged out.
    ///
    /// # Errors
    /// NotFound when the tenant has no such session.
    pub async fn end_session(&self, tenant: &str, id: SessionId) -> Result<()> {
        let tenant = self.tenant(tenant).await?;
        let ending = End {
            tenant: tenant.name,
            id,
            now: self.db().now().await?,
        };
        self.run(tenant.id, ending).await
    }
}

fn parse(text: &str) -> Result<After> {
    let (id, instance) = text
        .split_once(' ')
        .ok_or_else(|| Error::invalid("the cursor is not the 'next' of the part before"))?;
    Ok(After {
        id: id.parse()?,
        instance: instance.parse()?,
    })
}

struct End {
    tenant: String,
    id: SessionId,
    now: Timestamp,
}

#[async_trait]
impl Operation for End {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        let live = live_sessions::ask_end(tx, self.id, self.now).await?;
        let kept = web_sessions::remove_any(tx, self.id).await?;
        let (account, protocol) = match (live, kept) {
            (Some(live), _) => live,
            (None, Some(account)) => (account, "https".to_owned()),
            (None, None) => return Err(Error::not_found("there is no such session")),
        };
        let account = accounts::by_id(tx, account).await?;
        let name = account.map_or_else(String::new, |account| account.name);
        let detail = format!("{name}@{}: {}, {protocol}", self.tenant, self.id);
        Ok(Record::Event(Happening::new(AuditKind::SessionEnd, detail)))
    }
}
