//! Links that a tenant's accounts have made: seen without their text, and revoked, by whoever looks after them.

use serde::Serialize;

use crate::accounts::manage::Directory;
use crate::accounts::manage_accounts::{Names, account};
use crate::accounts::own_links::{OwnLink, Revoke};
use crate::db::{grants, links};
use crate::domain::error::{Error, Result};
use crate::domain::id::LinkId;
use crate::domain::principal::LoginName;

/// A link as it is shown to others than its maker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkOfAccount {
    /// What it is revoked by.
    pub id: String,
    /// The account that made it, `user@tenant`.
    pub login: String,
    /// `download`, or `upload` where files are sent by it.
    pub kind: &'static str,
    /// Where it leads now; none when that is gone.
    pub path: Option<String>,
    /// What its maker calls it.
    pub name: String,
    /// Whether a password has to be given.
    pub has_password: bool,
    /// `live`, `expired`, `used-up`, `gone`, or `barred` while its maker may not do there what it is for.
    pub state: &'static str,
    /// When it was made.
    pub made_at: String,
    /// When it ends; none is never.
    pub expires_at: Option<String>,
    /// When a download or file was last counted; none is never.
    pub used_at: Option<String>,
    /// Downloads, or files that were sent.
    pub uses: u64,
    /// Most of these.
    pub max_uses: Option<u64>,
}

impl Directory {
    /// Up to `limit` links of a tenant's accounts, or of one of them, that are not revoked, newest first, made
    /// before `before`.
    ///
    /// # Errors
    /// NotFound when there is no such tenant or account.
    pub async fn links_page(
        &self,
        tenant: &str,
        login: Option<&LoginName>,
        before: Option<LinkId>,
        limit: usize,
    ) -> Result<Vec<LinkOfAccount>> {
        let tenant = self.tenant(tenant).await?;
        let now = self.db().clock().now();
        let mut tx = self.db().read(tenant.id).await?;
        let of = match login {
            Some(login) => Some(account(&mut tx, login).await?.id),
            None => None,
        };
        // Minted ids grow, and none is all ones.
        let before = before.unwrap_or(LinkId::from_slice(&[0xff; 16])?);
        let mut names = Names::default();
        let mut views = Vec::new();
        for link in links::page(&mut tx, of, before, limit).await? {
            let login = names.login(&mut tx, link.account, &tenant.name).await?;
            let grants = grants::of_account(&mut tx, link.account).await?;
            let own = OwnLink::placed(&mut tx, link, &grants).await?;
            let state = own.state(now);
            let OwnLink { link, path, .. } = own;
            views.push(LinkOfAccount {
                id: link.id.to_string(),
                login,
                kind: link.kind.as_str(),
                path: path.map(|path| path.to_string()),
                name: link.name,
                has_password: link.password.is_some(),
                state,
                made_at: link.made_at.to_string(),
                expires_at: link.limits.expires_at.map(|end| end.to_string()),
                used_at: link.used_at.map(|used| used.to_string()),
                uses: link.uses,
                max_uses: link.limits.uses,
            });
        }
        Ok(views)
    }

    /// Ends a link of a tenant's account, or of this one.
    ///
    /// # Errors
    /// NotFound when there is none by this id.
    pub async fn revoke_link(
        &self,
        tenant: &str,
        login: Option<&LoginName>,
        id: LinkId,
    ) -> Result<()> {
        let tenant = self.tenant(tenant).await?;
        let revoking = {
            let mut tx = self.db().read(tenant.id).await?;
            let of = match login {
                Some(login) => Some(account(&mut tx, login).await?.id),
                None => None,
            };
            let link = links::by_id(&mut tx, id).await?;
            let link = link.filter(|link| of.is_none_or(|of| of == link.account));
            let maker = link.filter(|link| link.revoked_at.is_none());
            let maker = maker.ok_or_else(|| Error::not_found("there is no such link"))?;
            let account = maker.account;
            let mut names = Names::default();
            Revoke {
                login: names.login(&mut tx, account, &tenant.name).await?,
                account,
                id,
            }
        };
        self.run(tenant.id, revoking).await
    }
}
