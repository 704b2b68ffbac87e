//! `.../groups`: the groups of a tenant and their members.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::accounts::manage_groups::GroupView;
use crate::domain::error::Error;
use crate::domain::principal::LoginName;
use crate::http::admin::acting::{self, Admin};
use crate::http::admin::power::{Altering, Seeing};
use crate::http::extract::{JsonBody, Params, PathOf};
use crate::http::failures::{Asking, Reading};
use crate::http::paging::{self, Paging};
use crate::http::reply::Problem;

/// A group.
#[derive(Serialize, ToSchema)]
pub struct GroupDetails {
    /// Its name within the tenant, as paths name it.
    name: String,
    /// Its members' names within the tenant.
    members: Vec<String>,
}

/// A part of the groups.
#[derive(Serialize, ToSchema)]
pub struct GroupPage {
    /// The groups, by name.
    items: Vec<GroupDetails>,
    /// What `cursor` is for the next part; null at the end.
    next: Option<String>,
}

/// A group to be added.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewGroup)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Its name within the tenant.
    name: String,
}

/// A group in a path.
#[derive(Deserialize)]
pub struct Named {
    group: String,
}

/// A member in a path.
#[derive(Deserialize)]
pub struct Member {
    group: String,
    user: String,
}

/// List groups.
#[utoipa::path(
    get,
    path = "/groups",
    tag = "groups",
    params(Paging),
    responses((status = 200, description = "a part of them, by name", body = GroupPage), Asking)
)]
pub async fn list(
    admin: Admin<Seeing>,
    Params(paging): Params<Paging>,
) -> Result<Json<GroupPage>, Problem> {
    let (limit, after) = (paging.limit()?, paging.after()?.unwrap_or_default());
    let groups = admin.directory.groups(&admin.tenant).await?;
    let groups = groups.into_iter().map(details);
    let mut items: Vec<_> = groups.filter(|group| group.name > after).collect();
    items.sort_by(|one, other| one.name.cmp(&other.name));
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more);
    Ok(Json(GroupPage {
        next: next.map(|last| paging::cursor(&last.name)),
        items,
    }))
}

/// Add a group.
#[utoipa::path(
    post,
    path = "/groups",
    tag = "groups",
    request_body = Wanted,
    responses((status = 201, description = "added", body = GroupDetails), Asking, Reading)
)]
pub async fn add(
    admin: Admin<Altering>,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<(StatusCode, Json<GroupDetails>), Problem> {
    LoginName::check_group(&wanted.name)?;
    let group = admin.group(&wanted.name)?;
    admin.directory.add_group(&group).await?;
    let added = GroupDetails {
        name: group.name,
        members: Vec::new(),
    };
    Ok((StatusCode::CREATED, Json(added)))
}

/// Show a group.
#[utoipa::path(
    get,
    path = "/groups/{group}",
    tag = "groups",
    params(("group" = String, Path, description = "the group's name within the tenant")),
    responses((status = 200, description = "the group", body = GroupDetails), Asking)
)]
pub async fn show(
    admin: Admin<Seeing>,
    PathOf(named): PathOf<Named>,
) -> Result<Json<GroupDetails>, Problem> {
    let group = admin.group(&named.group)?;
    let groups = admin.directory.groups(&admin.tenant).await?;
    let mut groups = groups.into_iter().map(details);
    let found = groups.find(|found| found.name == group.name);
    let missing = || Error::not_found(format!("there is no group '{group}'"));
    Ok(Json(found.ok_or_else(missing)?))
}

/// Remove a group and what it was granted.
#[utoipa::path(
    delete,
    path = "/groups/{group}",
    tag = "groups",
    params(("group" = String, Path, description = "the group's name within the tenant")),
    responses((status = 204, description = "it is gone"), Asking)
)]
pub async fn remove(
    admin: Admin<Altering>,
    PathOf(named): PathOf<Named>,
) -> Result<StatusCode, Problem> {
    let group = admin.group(&named.group)?;
    admin.directory.remove_group(&group).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Put an account into a group; it may be in it already.
#[utoipa::path(
    put,
    path = "/groups/{group}/members/{user}",
    tag = "groups",
    params(
        ("group" = String, Path, description = "the group's name within the tenant"),
        ("user" = String, Path, description = "the account's name within the tenant"),
    ),
    responses((status = 204, description = "it is in the group"), Asking)
)]
pub async fn join(
    admin: Admin<Altering>,
    PathOf(member): PathOf<Member>,
) -> Result<StatusCode, Problem> {
    let group = admin.group(&member.group)?;
    let login = admin.login_to_widen(&member.user)?;
    admin.directory.add_member(&group, &login).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take an account out of a group.
#[utoipa::path(
    delete,
    path = "/groups/{group}/members/{user}",
    tag = "groups",
    params(
        ("group" = String, Path, description = "the group's name within the tenant"),
        ("user" = String, Path, description = "the account's name within the tenant"),
    ),
    responses((status = 204, description = "it is not in the group any more"), Asking)
)]
pub async fn leave(
    admin: Admin<Altering>,
    PathOf(member): PathOf<Member>,
) -> Result<StatusCode, Problem> {
    let (group, login) = (admin.group(&member.group)?, admin.login(&member.user)?);
    admin.directory.remove_member(&group, &login).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn details(view: GroupView) -> GroupDetails {
    GroupDetails {
        name: acting::within(&view.group),
        members: view
            .members
            .iter()
            .map(|name| acting::within(name))
            .collect(),
    }
}
