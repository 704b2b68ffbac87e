//! `.../links`: what a tenant's accounts have made for people who have none.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::accounts::manage_links::LinkOfAccount;
use crate::domain::id::LinkId;
use crate::http::admin::acting::Admin;
use crate::http::admin::power::{Altering, Seeing};
use crate::http::extract::{Params, PathOf};
use crate::http::failures::Asking;
use crate::http::paging::{self, Paging};
use crate::http::reply::Problem;
use crate::http::web::Web;

/// A link that an account has made, without its text.
#[derive(Serialize, ToSchema)]
pub struct AccountLink {
    /// What it is revoked by.
    id: String,
    /// The account that made it, `user@tenant`.
    login: String,
    /// `download`, or `upload` where files are sent by it.
    kind: &'static str,
    /// Where it leads now; null when that is gone.
    path: Option<String>,
    /// What its maker calls it.
    name: String,
    /// Whether a password has to be given.
    has_password: bool,
    /// `live`, `expired`, `used-up`, `gone` when there is nothing where it leads, or `barred` while its maker may
    /// not do there what it is for.
    state: &'static str,
    /// When it was made.
    made_at: String,
    /// When it ends; null is never.
    expires_at: Option<String>,
    /// When a download or file was last counted; null is never.
    used_at: Option<String>,
    /// Downloads, or files that were sent.
    uses: u64,
    /// Most of these; null is any number.
    max_uses: Option<u64>,
}

/// A part of the links.
#[derive(Serialize, ToSchema)]
pub struct AccountLinks {
    /// The links, newest first.
    items: Vec<AccountLink>,
    /// What `cursor` is for the next part; null at the end.
    next: Option<String>,
}

/// Whose links are wanted.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Whose {
    /// Of this account, by its name within the tenant.
    #[param(required = false)]
    user: Option<String>,
}

/// A link in a path.
#[derive(Deserialize)]
pub struct Named {
    link: String,
}

/// List the links that accounts have made and that are not revoked.
///
/// The text of a link was shown to its maker once, and is shown to nobody else.
#[utoipa::path(
    get,
    path = "/links",
    tag = "tokens and links of accounts",
    params(Whose, Paging),
    responses((status = 200, description = "a part of them", body = AccountLinks), Asking)
)]
pub async fn list(
    admin: Admin<Seeing>,
    Params(whose): Params<Whose>,
    Params(paging): Params<Paging>,
) -> Result<Json<AccountLinks>, Problem> {
    let (limit, before) = (paging.limit()?, paging.place::<LinkId>()?);
    let login = whose.user.as_deref().map(|user| admin.login(user));
    let login = login.transpose()?;
    let found = admin
        .directory
        .links_page(&admin.tenant, login.as_ref(), before, limit + 1);
    let mut found = found.await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().map(|link| paging::cursor(&link.id));
    Ok(Json(AccountLinks {
        items: found.into_iter().map(shown).collect(),
        next: last.filter(|_| more),
    }))
}

/// Revoke a link that an account has made.
///
/// Every server refuses it at once; what goes on by it is ended within five seconds.
#[utoipa::path(
    delete,
    path = "/links/{link}",
    tag = "tokens and links of accounts",
    params(("link" = String, Path, description = "the link, as the list shows it")),
    responses((status = 204, description = "it is revoked"), Asking)
)]
pub async fn revoke(
    State(web): State<Web>,
    admin: Admin<Altering>,
    PathOf(named): PathOf<Named>,
) -> Result<StatusCode, Problem> {
    let id: LinkId = named.link.parse()?;
    let revoked = admin.directory.revoke_link(&admin.tenant, None, id);
    revoked.await?;
    web.guests().revoked(id);
    Ok(StatusCode::NO_CONTENT)
}

fn shown(link: LinkOfAccount) -> AccountLink {
    AccountLink {
        id: link.id,
        login: link.login,
        kind: link.kind,
        path: link.path,
        name: link.name,
        has_password: link.has_password,
        state: link.state,
        made_at: link.made_at,
        expires_at: link.expires_at,
        used_at: link.used_at,
        uses: link.uses,
        max_uses: link.max_uses,
    }
}
