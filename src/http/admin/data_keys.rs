//! `.../keys`: the keys that seal a tenant's files, for operators.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::accounts::confirmation::Confirmations;
use crate::http::admin::acting::Admin;
use crate::http::admin::power::{Governing, Seeing};
use crate::http::extract::JsonBody;
use crate::http::failures::{Asking, Reading};
use crate::http::reply::Problem;
use crate::http::web::Web;
use crate::vfs::key_care::{self, KeyCopyView};
use crate::vfs::key_destroy::{self, KmsKey, WINDOW_DAYS};

/// A version of a tenant's key.
#[derive(Serialize, ToSchema)]
pub struct DataKey {
    /// 1, 2, 3, ...
    version: u32,
    /// Whether new files are sealed with it.
    current: bool,
    /// Who can unwrap it: `local` or `aws-kms`.
    provider: String,
    /// The region of the key service.
    region: Option<String>,
    /// The service's key.
    kms_key: Option<String>,
    /// When it was made.
    created_at: String,
    /// What can unwrap it as well, if the first cannot: for the tenant's replica.
    copies: Vec<DataKeyCopy>,
}

/// A further wrapping of a version of a tenant's key.
#[derive(Serialize, ToSchema)]
pub struct DataKeyCopy {
    /// The region that it is for.
    region: String,
    /// Who can unwrap it: `local` or `aws-kms`.
    provider: String,
    /// The service's key.
    kms_key: Option<String>,
}

/// The versions of a tenant's key.
#[derive(Serialize, ToSchema)]
pub struct DataKeys {
    /// The versions, oldest first.
    items: Vec<DataKey>,
    /// Where the next part begins; there never is one.
    next: Option<String>,
}

/// A new version.
#[derive(Serialize, ToSchema)]
pub struct Rotated {
    /// Its number.
    version: u32,
    /// By what it is wrapped.
    wrapped_by: String,
}

/// How many were wrapped anew.
#[derive(Serialize, ToSchema)]
pub struct Rewrapped {
    /// Versions.
    versions: usize,
}

/// How surely, and what else becomes of a KMS key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Destruction {
    /// What the answer to the same request without it handed out.
    confirmation: Option<String>,
    /// Days until a KMS key that only this tenant has is deleted for good; 30 without.
    #[schema(minimum = 7, maximum = 30)]
    window_days: Option<u8>,
    /// Leave the tenant's own KMS key as it is.
    keep_kms_key: Option<bool>,
}

/// What is asked before anything is destroyed.
#[derive(Serialize, ToSchema)]
pub struct Confirmation {
    /// Send the same again with this, within ten minutes, to destroy the keys.
    confirmation: String,
    /// What would happen.
    detail: String,
}

/// What was destroyed.
#[derive(Serialize, ToSchema)]
pub struct Destroyed {
    /// How many versions there were.
    versions: u64,
    /// From then on nobody can bring them back.
    final_at: String,
    /// The key of the key service that is deleted.
    kms_key: Option<String>,
    /// What makes it final, and what does not.
    explanation: String,
}

/// List the versions of a tenant's key.
#[utoipa::path(
    get,
    path = "/keys",
    tag = "data keys",
    responses((status = 200, description = "all of them", body = DataKeys), Asking)
)]
pub async fn list(State(web): State<Web>, admin: Admin<Seeing>) -> Result<Json<DataKeys>, Problem> {
    let keys = key_care::list(web.vfs().database(), admin.id).await?;
    let items = keys.into_iter().map(|key| DataKey {
        version: key.version,
        current: key.current,
        provider: key.provider,
        region: key.region,
        kms_key: key.kms_key,
        created_at: key.created_at,
        copies: key.copies.into_iter().map(copy).collect(),
    });
    Ok(Json(DataKeys {
        items: items.collect(),
        next: None,
    }))
}

fn copy(copy: KeyCopyView) -> DataKeyCopy {
    DataKeyCopy {
        region: copy.region,
        provider: copy.provider,
        kms_key: copy.kms_key,
    }
}

/// Seal new files with a new version; those that are stored stay as they are.
#[utoipa::path(
    post,
    path = "/keys",
    tag = "data keys",
    responses((status = 201, description = "there is a new version", body = Rotated), Asking)
)]
pub async fn rotate(
    State(web): State<Web>,
    admin: Admin<Governing>,
) -> Result<(StatusCode, Json<Rotated>), Problem> {
    let rotated = key_care::rotate(web.vfs().keys(), &admin.actor, admin.id).await?;
    let rotated = Rotated {
        version: rotated.version,
        wrapped_by: rotated.wrapped_by,
    };
    Ok((StatusCode::CREATED, Json(rotated)))
}

/// Wrap all versions anew by what now keeps the tenant's keys; no file is touched.
#[utoipa::path(
    post,
    path = "/keys/rewrap",
    tag = "data keys",
    responses((status = 200, description = "all of them are", body = Rewrapped), Asking)
)]
pub async fn rewrap(
    State(web): State<Web>,
    admin: Admin<Governing>,
) -> Result<Json<Rewrapped>, Problem> {
    let versions = key_care::rewrap(web.vfs().keys(), &admin.actor, admin.id).await?;
    Ok(Json(Rewrapped { versions }))
}

/// Destroy a tenant's keys: nobody can read its files any more, nor its backups.
///
/// The first request destroys nothing and hands out a code; the same with that code does it.
#[utoipa::path(
    post,
    path = "/keys/destroy",
    tag = "data keys",
    request_body = Destruction,
    responses(
        (status = 200, description = "they are destroyed", body = Destroyed),
        (status = 202, description = "nothing was destroyed yet: send the code", body = Confirmation),
        Asking,
        Reading,
    )
)]
pub async fn destroy(
    State(web): State<Web>,
    admin: Admin<Governing>,
    JsonBody(asked): JsonBody<Destruction>,
) -> Result<Response, Problem> {
    let days = asked.window_days.unwrap_or(*WINDOW_DAYS.end());
    if !WINDOW_DAYS.contains(&days) {
        return Err(Problem::malformed("'window_days' is 7 to 30"));
    }
    let secrets = Confirmations::of(&admin.directory).await?;
    let kms_key = match asked.keep_kms_key {
        Some(true) => KmsKey::Keep,
        _ => KmsKey::Delete(days),
    };
    let what = format!("destroy {} by {:?}: {kms_key:?}", admin.id, admin.operator);
    let Some(code) = asked.confirmation else {
        let first = Confirmation {
            confirmation: secrets.code(&what),
            detail: format!(
                "nobody will ever read the files of {} again, nor its backups; nothing was destroyed yet",
                admin.tenant
            ),
        };
        return Ok((StatusCode::ACCEPTED, Json(first)).into_response());
    };
    if !secrets.is_good(&what, &code) {
        return Err(Problem::malformed(
            "the confirmation is not this operator's for this tenant, or older than ten minutes; ask for a new \
             one, without it",
        ));
    }
    let backups = web.settings().backups;
    let keys = web.vfs().keys();
    let done = key_destroy::destroy(keys, &admin.actor, admin.id, kms_key, backups).await?;
    let done = Destroyed {
        versions: done.versions,
        final_at: done.final_at,
        kms_key: done.kms_key,
        explanation: done.explanation,
    };
    Ok(Json(done).into_response())
}
