//! What somebody who has a link learns of it, and how they give its password.

use axum::Json;
use axum::extract::State;
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::link::LinkKind;
use crate::domain::node::NodeKind;
use crate::domain::secret::Secret;
use crate::http::extract::StrangersJson;
use crate::http::failures::{Reading, Visiting};
use crate::http::links::outsider::Knock;
use crate::http::reply::Problem;
use crate::http::web::Web;

/// A link as those see it who have it.
#[derive(Serialize, ToSchema)]
pub struct LinkInfo {
    /// Whether a password has to be given. While it is not, this is all that is told.
    needs_password: bool,
    /// The rest.
    #[serde(flatten)]
    open: Option<OpenInfo>,
}

/// What is told of a link that is open.
#[derive(Serialize, ToSchema)]
struct OpenInfo {
    /// `download` or `upload`.
    kind: &'static str,
    /// The name of the file or folder; or what a link is called by which files are sent.
    name: String,
    /// Whether it leads to a folder; always for links by which files are sent.
    is_folder: bool,
    /// Length of the file in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// When the link ends; null is never.
    expires_at: Option<String>,
    /// Most bytes of one file that is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_size: Option<u64>,
    /// Names that files may have which are sent; all if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    patterns: Vec<String>,
}

/// What is behind a link?
#[utoipa::path(
    get,
    path = "/shared/{token}",
    tag = "shared",
    params(("token" = String, Path, description = "the text of the link")),
    responses((status = 200, description = "the link", body = LinkInfo), Visiting)
)]
pub async fn info(
    State(web): State<Web>,
    knock: Knock,
    headers: HeaderMap,
    extensions: Extensions,
) -> Result<Json<LinkInfo>, Problem> {
    knock.check_left(&web).await?;
    if !Box::pin(knock.is_open(&headers, &web)).await? {
        return Ok(Json(LinkInfo {
            needs_password: true,
            open: None,
        }));
    }
    let outsider = knock.enter(&web, &extensions, None).await?;
    let (link, entry) = (outsider.good.link(), &outsider.entry);
    let reads = link.kind == LinkKind::Download;
    let is_folder = entry.kind == NodeKind::Folder;
    Ok(Json(LinkInfo {
        needs_password: link.password.is_some(),
        open: Some(OpenInfo {
            kind: link.kind.as_str(),
            name: match reads {
                true => entry.name.clone(),
                false => link.name.clone(),
            },
            is_folder,
            size: (reads && !is_folder).then_some(entry.size),
            expires_at: link.limits.expires_at.map(|end| end.to_string()),
            max_size: link.limits.size,
            patterns: link.limits.patterns.clone(),
        }),
    }))
}

/// The password of a link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// As it is typed.
    #[schema(format = Password)]
    password: String,
}

/// Give the password of a link
///
/// Sets a cookie that is good for an hour, for this link alone. Programs send the password by Basic
/// instead, with any name.
#[utoipa::path(
    post,
    path = "/shared/{token}/password",
    tag = "shared",
    params(("token" = String, Path, description = "the text of the link")),
    request_body = Given,
    responses((status = 204, description = "it is right; a cookie says so from now on", headers(("Set-Cookie"))), Visiting, Reading)
)]
pub async fn give(
    State(web): State<Web>,
    knock: Knock,
    StrangersJson(given): StrangersJson<Given>,
) -> Result<Response, Problem> {
    let password = Secret::new(given.password);
    let proven = web
        .accounts()
        .prove_link(&knock.good, &password, knock.from);
    Box::pin(proven).await?;
    let cookie = [(header::SET_COOKIE, knock.cookie(&web))];
    Ok((StatusCode::NO_CONTENT, cookie).into_response())
}
