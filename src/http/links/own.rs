//! `/api/v1/shares`: the links that an account makes for people who have none.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::accounts::own_links::{LinkChange, NewLink, OwnLink};
use crate::domain::clock::Timestamp;
use crate::domain::error::ErrorKind;
use crate::domain::id::LinkId;
use crate::domain::link::{LinkKind, LinkLimits};
use crate::domain::node::NodeKind;
use crate::domain::path::VfsPath;
use crate::domain::secret::Secret;
use crate::http::account::owner::Owner;
use crate::http::admin::wish;
use crate::http::extract::{JsonBody, Params, PathOf};
use crate::http::failures::{Asking, Reading};
use crate::http::files::view;
use crate::http::links::outsider::base;
use crate::http::paging::{self, Paging};
use crate::http::reply::Problem;
use crate::http::web::{API, Web};

/// What a link is for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[schema(as = LinkKind)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// A file or folder can be read.
    #[default]
    Download,
    /// Files can be sent into a folder, which is not seen.
    Upload,
}

/// A link to be made.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewLink)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Path of what it leads to, which may be renamed and moved afterwards.
    #[schema(example = "/reports/2026.pdf")]
    path: String,
    /// What it is for.
    #[serde(default)]
    #[schema(required = false)]
    kind: Kind,
    /// What it is called, at most 100 bytes; whoever may send files by it sees that.
    #[serde(default)]
    #[schema(required = false)]
    name: String,
    /// What has to be given to use it.
    #[schema(format = Password)]
    password: Option<String>,
    /// When it ends, RFC 3339.
    #[schema(format = "date-time")]
    expires_at: Option<String>,
    /// Most downloads.
    #[schema(minimum = 1)]
    max_downloads: Option<i64>,
    /// Most files that may be sent.
    #[schema(minimum = 1)]
    max_files: Option<i64>,
    /// Most bytes that may be sent in all.
    #[schema(minimum = 0)]
    max_bytes: Option<i64>,
    /// Most bytes of one file that is sent.
    #[schema(minimum = 0)]
    max_size: Option<i64>,
    /// Names that files may have which are sent, as shells have patterns: `*.pdf`. All if there are none.
    #[serde(default)]
    #[schema(required = false)]
    patterns: Vec<String>,
}

/// What is to be different about a link. What is left out stays; null takes away.
#[derive(Deserialize, ToSchema)]
#[schema(as = LinkChange)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// What it is called.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(value_type = Option<String>)]
    name: Option<Option<String>>,
    /// What has to be given to use it.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(format = Password, value_type = Option<String>)]
    password: Option<Option<String>>,
    /// When it ends, RFC 3339.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(format = "date-time", value_type = Option<String>)]
    expires_at: Option<Option<String>>,
    /// Most downloads, with those that were counted.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(minimum = 1, value_type = Option<i64>)]
    max_downloads: Option<Option<i64>>,
    /// Most files that may be sent, with those that were.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(minimum = 1, value_type = Option<i64>)]
    max_files: Option<Option<i64>>,
    /// Most bytes that may be sent in all, with those that were.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(minimum = 0, value_type = Option<i64>)]
    max_bytes: Option<Option<i64>>,
    /// Most bytes of one file that is sent.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(minimum = 0, value_type = Option<i64>)]
    max_size: Option<Option<i64>>,
    /// Names that files may have which are sent.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(value_type = Option<Vec<String>>)]
    patterns: Option<Option<Vec<String>>>,
}

/// A link, without its text.
#[derive(Serialize, ToSchema)]
pub struct ShareView {
    /// What it is altered and revoked by.
    id: String,
    /// What it is for.
    kind: Kind,
    /// Where it leads now; null when that is gone, or where you may not list.
    path: Option<String>,
    /// What it is called.
    name: String,
    /// Whether a password has to be given.
    has_password: bool,
    /// `live`, `expired`, `used-up`, `gone` when there is nothing where it leads, or `barred` while you may not do
    /// there what it is for.
    state: &'static str,
    /// When it was made.
    made_at: String,
    /// When it ends; null is never.
    expires_at: Option<String>,
    /// When a download or file was last counted; null is never.
    used_at: Option<String>,
    /// Downloads that were counted; null for links by which files are sent.
    downloads: Option<u64>,
    /// Most downloads; null is any number.
    max_downloads: Option<u64>,
    /// Files that were sent; null for links by which files are read.
    files: Option<u64>,
    /// Most files that may be sent.
    max_files: Option<u64>,
    /// Bytes of the files that were sent.
    bytes: Option<u64>,
    /// Most bytes that may be sent.
    max_bytes: Option<u64>,
    /// Most bytes of one file that is sent.
    max_size: Option<u64>,
    /// Names that files may have which are sent.
    patterns: Vec<String>,
}

/// A link that was made.
#[derive(Serialize, ToSchema)]
#[schema(as = MadeLink)]
pub struct Made {
    /// The text that the link stands and falls with. It is shown this once.
    token: String,
    /// Where the link is on this server.
    url: String,
    /// The rest.
    #[serde(flatten)]
    view: ShareView,
}

/// A page of links.
#[derive(Serialize, ToSchema)]
pub struct SharePage {
    /// The links, newest first.
    items: Vec<ShareView>,
    /// What `cursor` is for the next page; null at the end.
    next: Option<String>,
}

/// Make a link to a file or folder, or one by which files are sent into a folder
///
/// Whoever has it may do by it what the account that made it may do at that time, and no more than it is
/// for.
#[utoipa::path(
    post,
    path = "/shares",
    tag = "shares",
    params(("x-sealift-csrf" = Option<String>, Header, description = "as it was handed out at login")),
    request_body = Wanted,
    responses((status = 201, description = "made", body = Made, headers(("Location"))), Asking, Reading)
)]
pub async fn add(
    State(web): State<Web>,
    owner: Owner,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<Response, Problem> {
    let path = VfsPath::parse(&wanted.path)?;
    let (kind, uses) = match wanted.kind {
        Kind::Download => (LinkKind::Download, wanted.max_downloads),
        Kind::Upload => (LinkKind::Upload, wanted.max_files),
    };
    let others = match wanted.kind {
        Kind::Download => wanted.max_files,
        Kind::Upload => wanted.max_downloads,
    };
    if others.is_some() {
        return Err(not_for_this());
    }
    // What the maker may not do, nobody does by a link; a token is a ceiling here as everywhere.
    let session = web.vfs().session(owner.principal.clone());
    let entry = session.held(&path, kind.needed()).await?;
    if kind == LinkKind::Upload && entry.kind == NodeKind::File {
        let detail = format!("'{path}' is a file; files are sent into a folder");
        return Err(Problem::new(StatusCode::CONFLICT, "not-folder", detail));
    }
    let new = NewLink {
        kind,
        node: entry.node,
        name: wanted.name,
        password: wanted.password.map(Secret::new),
        limits: LinkLimits {
            expires_at: wanted.expires_at.as_deref().map(view::time).transpose()?,
            uses: uses.map(amount).transpose()?,
            bytes: wanted.max_bytes.map(amount).transpose()?,
            size: wanted.max_size.map(amount).transpose()?,
            patterns: wanted.patterns,
        },
    };
    let made = web.accounts().add_link(&owner.principal, &owner.means, new);
    let (text, own) = made.await?;
    let at = HeaderValue::try_from(format!("{API}/shares/{}", own.link.id));
    let told = [(
        header::LOCATION,
        at.unwrap_or(HeaderValue::from_static(API)),
    )];
    let made = Made {
        url: base(&text),
        token: text.to_string(),
        view: shown(&web, own),
    };
    Ok((StatusCode::CREATED, told, Json(made)).into_response())
}

/// My links
#[utoipa::path(
    get,
    path = "/shares",
    tag = "shares",
    params(Paging),
    responses((status = 200, description = "a part of those that are not revoked, newest first", body = SharePage), Asking)
)]
pub async fn list(
    State(web): State<Web>,
    owner: Owner,
    Params(paging): Params<Paging>,
) -> Result<Json<SharePage>, Problem> {
    let (limit, before) = (paging.limit()?, paging.place::<LinkId>()?);
    let links = web
        .accounts()
        .own_links(&owner.principal, before, limit + 1);
    let mut links = links.await?;
    let more = links.len() > limit;
    links.truncate(limit);
    let last = links.last().map(|own| own.link.id.to_string());
    Ok(Json(SharePage {
        items: links.into_iter().map(|own| shown(&web, own)).collect(),
        next: last.filter(|_| more).as_deref().map(paging::cursor),
    }))
}

/// One of my links
#[utoipa::path(
    get,
    path = "/shares/{id}",
    tag = "shares",
    params(("id" = String, Path, description = "the link")),
    responses((status = 200, description = "the link", body = ShareView), Asking)
)]
pub async fn show(
    State(web): State<Web>,
    owner: Owner,
    PathOf(id): PathOf<String>,
) -> Result<Json<ShareView>, Problem> {
    let own = web
        .accounts()
        .own_link(&owner.principal, id.parse()?)
        .await?;
    Ok(Json(shown(&web, own)))
}

/// Change one of my links
///
/// Another password ends what is remembered of the one before.
#[utoipa::path(
    patch,
    path = "/shares/{id}",
    tag = "shares",
    params(
        ("id" = String, Path, description = "the link"),
        ("x-sealift-csrf" = Option<String>, Header, description = "as it was handed out at login"),
    ),
    request_body = Change,
    responses((status = 200, description = "as it is now", body = ShareView), Asking, Reading)
)]
pub async fn alter(
    State(web): State<Web>,
    owner: Owner,
    PathOf(id): PathOf<String>,
    JsonBody(change): JsonBody<Change>,
) -> Result<Json<ShareView>, Problem> {
    let id: LinkId = id.parse()?;
    let own = web.accounts().own_link(&owner.principal, id).await?;
    // As for making it: what a token may not do itself, it lets nobody do.
    if let (Some(_), Some(path)) = (owner.means.token(), &own.path) {
        let session = web.vfs().session(owner.principal.clone());
        let held = session.held(path, own.link.kind.needed()).await;
        if let Err(error) = held {
            return Err(match (own.shown_path(), error.kind()) {
                // The error would say where that is.
                (None, ErrorKind::Denied | ErrorKind::NotFound) => out_of_reach(),
                _ => error.into(),
            });
        }
    }
    let (uses, others) = match own.link.kind {
        LinkKind::Download => (change.max_downloads, change.max_files),
        LinkKind::Upload => (change.max_files, change.max_downloads),
    };
    if others.is_some() {
        return Err(not_for_this());
    }
    let many = |said: Option<Option<i64>>| match said {
        Some(Some(said)) => amount(said).map(Some).map(Some),
        Some(None) => Ok(Some(None)),
        None => Ok(None),
    };
    let expires_at: Option<Option<Timestamp>> = match change.expires_at {
        Some(Some(text)) => Some(Some(view::time(&text)?)),
        Some(None) => Some(None),
        None => None,
    };
    let change = LinkChange {
        name: change.name.map(Option::unwrap_or_default),
        password: change.password.map(|password| password.map(Secret::new)),
        expires_at,
        uses: many(uses)?,
        bytes: many(change.max_bytes)?,
        size: many(change.max_size)?,
        patterns: change.patterns.map(Option::unwrap_or_default),
    };
    let altered = web
        .accounts()
        .alter_link(&owner.principal, &owner.means, id, change);
    Ok(Json(shown(&web, altered.await?)))
}

/// Revoke one of my links
///
/// Every instance refuses it at once; what goes on by it is ended within five seconds.
#[utoipa::path(
    delete,
    path = "/shares/{id}",
    tag = "shares",
    params(
        ("id" = String, Path, description = "the link"),
        ("x-sealift-csrf" = Option<String>, Header, description = "as it was handed out at login"),
    ),
    responses((status = 204, description = "it is revoked"), Asking)
)]
pub async fn revoke(
    State(web): State<Web>,
    owner: Owner,
    PathOf(id): PathOf<String>,
) -> Result<StatusCode, Problem> {
    let id: LinkId = id.parse()?;
    web.accounts().revoke_link(&owner.principal, id).await?;
    web.guests().revoked(id);
    Ok(StatusCode::NO_CONTENT)
}

fn shown(web: &Web, own: OwnLink) -> ShareView {
    let state = own.state(web.clock().now());
    let path = own.shown_path().map(VfsPath::to_string);
    let link = own.link;
    let reads = link.kind == LinkKind::Download;
    let limits = link.limits;
    ShareView {
        id: link.id.to_string(),
        kind: match link.kind {
            LinkKind::Download => Kind::Download,
            LinkKind::Upload => Kind::Upload,
        },
        path,
        name: link.name,
        has_password: link.password.is_some(),
        state,
        made_at: link.made_at.to_string(),
        expires_at: limits.expires_at.map(|at| at.to_string()),
        used_at: link.used_at.map(|at| at.to_string()),
        downloads: reads.then_some(link.uses),
        max_downloads: limits.uses.filter(|_| reads),
        files: (!reads).then_some(link.uses),
        max_files: limits.uses.filter(|_| !reads),
        bytes: (!reads).then_some(link.bytes),
        max_bytes: limits.bytes,
        max_size: limits.size,
        patterns: limits.patterns,
    }
}

fn out_of_reach() -> Problem {
    let detail = "what this link leads to is out of your reach, or of your token's";
    Problem::new(StatusCode::FORBIDDEN, "denied", detail)
}

fn amount(said: i64) -> Result<u64, Problem> {
    u64::try_from(said).map_err(|_| Problem::malformed("a limit is 0 or more"))
}

fn not_for_this() -> Problem {
    Problem::malformed(
        "'max_downloads' is for links of the kind 'download', 'max_files' for those of the kind 'upload'",
    )
}
