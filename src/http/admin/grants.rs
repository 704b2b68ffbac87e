//! `.../grants`: rights on folders of a tenant.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::accounts::manage_grants::{Folder, GrantView, Place, SubjectName};
use crate::domain::path::VfsPath;
use crate::domain::rights::Rights;
use crate::http::admin::acting::{self, Admin};
use crate::http::admin::power::{Altering, Seeing};
use crate::http::extract::{JsonBody, Params};
use crate::http::failures::{Asking, Changing, Reading};
use crate::http::paging::{self, Paging};
use crate::http::reply::Problem;

/// Rights of an account or of a group on a folder and what is below it.
#[derive(Serialize, ToSchema)]
pub struct GrantDetails {
    /// The account's name within the tenant; null for a group.
    user: Option<String>,
    /// The group's name within the tenant; null for an account.
    group: Option<String>,
    /// The folder; null when it is gone.
    path: Option<String>,
    /// What may be done: `all`, `read-only`, or rights joined by commas.
    rights: String,
}

/// Rights to be given to an account or to a group on a folder and what is below it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantWanted {
    /// The account's name within the tenant.
    #[serde(default)]
    #[schema(required = false)]
    user: Option<String>,
    /// The group's name within the tenant, for a group.
    #[serde(default)]
    #[schema(required = false)]
    group: Option<String>,
    /// The folder, made where it is missing.
    path: String,
    /// What may be done.
    rights: RightsWanted,
}

/// Rights as lists of grants show them, or as entries do.
#[derive(Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "'rights' is a text such as \"list,read\", \"all\" or \"read-only\", or an array of such words"
)]
pub enum RightsWanted {
    /// `all`, `read-only`, or rights joined by commas.
    Text(String),
    /// One by one.
    Words(Vec<String>),
}

impl RightsWanted {
    fn read(self) -> Result<Rights, Problem> {
        let text = match self {
            Self::Text(text) => text,
            Self::Words(words) => words.join(","),
        };
        Ok(text.parse()?)
    }
}

/// A part of the grants.
#[derive(Serialize, ToSchema)]
pub struct GrantPage {
    /// The grants, those of accounts first.
    items: Vec<GrantDetails>,
    /// What `cursor` is for the next part; null at the end.
    next: Option<String>,
}

/// A grant to be taken away.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// The account's name within the tenant.
    #[param(required = false)]
    user: Option<String>,
    /// The group's name within the tenant, for a group.
    #[param(required = false)]
    group: Option<String>,
    /// The very folder.
    path: String,
}

/// List grants.
#[utoipa::path(
    get,
    path = "/grants",
    tag = "grants",
    params(Paging),
    responses((status = 200, description = "a part of them", body = GrantPage), Asking)
)]
pub async fn list(
    admin: Admin<Seeing>,
    Params(paging): Params<Paging>,
) -> Result<Json<GrantPage>, Problem> {
    let (limit, after) = (paging.limit()?, paging.after()?);
    let found = admin
        .directory
        .grants_page(&admin.tenant, after.as_deref(), limit);
    let (grants, next) = found.await?;
    Ok(Json(GrantPage {
        items: grants.into_iter().map(details).collect(),
        next: next.as_deref().map(paging::cursor),
    }))
}

/// Give rights on a folder and what is below it.
///
/// Rights given there before are replaced.
#[utoipa::path(
    put,
    path = "/grants",
    tag = "grants",
    request_body = GrantWanted,
    responses(
        (status = 201, description = "they are given, and the folder was made for them"),
        (status = 204, description = "they are given"),
        Asking,
        Changing,
        Reading,
    )
)]
pub async fn give(
    admin: Admin<Altering>,
    JsonBody(grant): JsonBody<GrantWanted>,
) -> Result<StatusCode, Problem> {
    let subject = match (&grant.user, &grant.group) {
        (Some(user), None) => SubjectName::Account(admin.login_to_widen(user)?),
        (None, Some(group)) => SubjectName::Group(admin.group_to_widen(group).await?),
        (user, group) => subject(&admin, user.as_deref(), group.as_deref())?,
    };
    let place = place(&admin, &grant.path)?;
    let rights = grant.rights.read()?;
    let given = admin.directory.add_grant(&subject, &place, rights);
    Ok(match given.await? {
        Folder::Made => StatusCode::CREATED,
        Folder::WasThere => StatusCode::NO_CONTENT,
    })
}

/// Take away what was given on a very folder.
#[utoipa::path(
    delete,
    path = "/grants",
    tag = "grants",
    params(Which),
    responses((status = 204, description = "it is taken away"), Asking)
)]
pub async fn take(
    admin: Admin<Altering>,
    Params(which): Params<Which>,
) -> Result<StatusCode, Problem> {
    let subject = subject(&admin, which.user.as_deref(), which.group.as_deref())?;
    let place = place(&admin, &which.path)?;
    admin.directory.remove_grant(&subject, &place).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn subject<P>(
    admin: &Admin<P>,
    user: Option<&str>,
    group: Option<&str>,
) -> Result<SubjectName, Problem> {
    match (user, group) {
        (Some(user), None) => Ok(SubjectName::Account(admin.login(user)?)),
        (None, Some(group)) => Ok(SubjectName::Group(admin.group(group)?)),
        _ => Err(Problem::malformed("give either 'user' or 'group'")),
    }
}

fn place<P>(admin: &Admin<P>, path: &str) -> Result<Place, Problem> {
    Ok(Place {
        tenant: admin.tenant.clone(),
        path: VfsPath::parse(path)?,
    })
}

fn details(view: GrantView) -> GrantDetails {
    let (user, group) = match view.subject.strip_prefix("group:") {
        Some(group) => (None, Some(acting::within(group))),
        None => (Some(acting::within(&view.subject)), None),
    };
    GrantDetails {
        user,
        group,
        path: view.path,
        rights: view.rights,
    }
}
