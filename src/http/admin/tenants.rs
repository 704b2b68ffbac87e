//! `/api/v1/tenants`, for operators.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::accounts::manage::{Access, Directory, Limit, TenantLimits, TenantView};
use crate::accounts::manage_placement::{PlacementChange, Region};
use crate::accounts::manage_tenants::{TenantChange, WholeTenant};
use crate::db::tenants::NewTenant;
use crate::domain::error::Error;
use crate::domain::id::RegionId;
use crate::domain::principal::LoginName;
use crate::http::admin::acting::Admin;
use crate::http::admin::operator::Operator;
use crate::http::admin::power::{Governing, Measuring, Seeing};
use crate::http::admin::regions::Purpose;
use crate::http::admin::{version, wish};
use crate::http::extract::{JsonBody, Params};
use crate::http::failures::{Asking, Changing, Reading};
use crate::http::headers::Version;
use crate::http::paging::{self, Paging};
use crate::http::reply::Problem;
use crate::http::web::{API, Web};
use crate::vfs::key_care;

/// The operator of a request.
#[derive(Serialize, ToSchema)]
pub struct OperatorDetails {
    /// What the audit logs call them.
    name: String,
    /// What they may do: `operator`, `support` or `monitor`.
    role: String,
    /// When the token ends; none is never.
    expires_at: Option<String>,
}

/// A tenant in a list.
#[derive(Serialize, ToSchema)]
pub struct TenantItem {
    /// Its name.
    name: String,
    /// Whether its accounts are kept out.
    disabled: bool,
    /// How long deleted and replaced files are kept.
    retention_seconds: u64,
    /// Most bytes of live files.
    quota_bytes: Option<u64>,
    /// Most live files and folders.
    quota_files: Option<u64>,
    /// Most sessions of its accounts at a time, at all instances together; none is what the settings say.
    sessions: Option<u64>,
    /// Words for FTP; none is what the settings say.
    door_options: Option<String>,
    /// When it was added.
    created_at: String,
}

/// A part of the tenants.
#[derive(Serialize, ToSchema)]
pub struct TenantPage {
    /// The tenants, by name.
    items: Vec<TenantItem>,
    /// What `cursor` is for the next part; null at the end.
    next: Option<String>,
}

/// A tenant.
#[derive(Serialize, ToSchema)]
pub struct Tenant {
    /// What lists show.
    #[serde(flatten)]
    item: TenantItem,
    /// Bytes of its live files.
    used_bytes: u64,
    /// Its live files and folders.
    used_files: u64,
    /// Bytes promised to uploads in progress.
    reserved_bytes: u64,
    /// Where its new files go.
    region: String,
    /// Blobs that are still elsewhere.
    blobs_to_move: u64,
    /// Their bytes.
    bytes_to_move: u64,
    /// Where copies are kept.
    replica: Option<String>,
    /// For how long what is stored has been without its copy, or its key without what opens it there; 0 when nothing is.
    replica_lag_seconds: Option<u64>,
    /// How many versions of its key cannot be unwrapped there if all other regions are lost.
    replica_keys_missing: Option<u64>,
    /// The KMS key that wraps its new data keys, instead of its region's.
    kms_key: Option<String>,
    /// When its data keys were destroyed.
    keys_destroyed_at: Option<String>,
}

/// A tenant to be added.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewTenant)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Its name: of a-z, 0-9 and ._-.
    name: String,
    /// Where its files are to be kept; the settings' `storage.region` without.
    region: Option<String>,
    /// How long deleted and replaced files are kept; what the settings say without.
    #[schema(maximum = 3_153_600_000_u64)]
    retention_seconds: Option<u64>,
    /// Most bytes of live files; no limit without.
    #[serde(default, deserialize_with = "wish::most")]
    #[schema(required = false)]
    quota_bytes: Option<u64>,
    /// Most live files and folders; no limit without.
    #[serde(default, deserialize_with = "wish::most")]
    #[schema(required = false)]
    quota_files: Option<u64>,
}

/// What becomes of a tenant; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[schema(as = TenantChange)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Whether its accounts are kept out; their sessions end within seconds.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(value_type = bool, required = false)]
    disabled: Option<Option<bool>>,
    /// How long deleted and replaced files are kept.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(value_type = u64, required = false, maximum = 3_153_600_000_u64)]
    retention_seconds: Option<Option<u64>>,
    /// Most bytes of live files; null: no limit.
    #[serde(default, deserialize_with = "wish::limit")]
    #[schema(value_type = Option<u64>, required = false)]
    quota_bytes: Limit<u64>,
    /// Most live files and folders; null: no limit.
    #[serde(default, deserialize_with = "wish::limit")]
    #[schema(value_type = Option<u64>, required = false)]
    quota_files: Limit<u64>,
    /// Most sessions at a time; null: what the settings say.
    #[serde(default, deserialize_with = "wish::limit")]
    #[schema(value_type = Option<u64>, required = false)]
    sessions: Limit<u64>,
    /// Words for FTP; null: what the settings say.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(value_type = Option<String>, required = false)]
    door_options: Option<Option<String>>,
    /// Another region, to which its files follow while transfers go on.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(value_type = String, required = false)]
    region: Option<Option<String>>,
    /// A second region, where copies of its files are kept; null: none.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(value_type = Option<String>, required = false)]
    replica: Option<Option<String>>,
    /// The KMS key that wraps its new data keys; null: its region's.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(value_type = Option<String>, required = false)]
    kms_key: Option<Option<String>>,
}

/// Longest retention, in seconds: a hundred years.
const RETENTION: u64 = 100 * 365 * 86_400;
/// Longest name of a KMS key, in bytes, as AWS has it.
const KMS_KEY_BYTES: usize = 2_048;

/// Who am I?
#[utoipa::path(
    get,
    path = "/me",
    tag = "operators",
    responses((status = 200, description = "the operator whose token came with the request", body = OperatorDetails), Asking)
)]
pub async fn me(operator: Operator<Measuring>) -> Json<OperatorDetails> {
    Json(OperatorDetails {
        name: operator.who.name,
        role: operator.who.role.to_string(),
        expires_at: operator.who.expires_at.map(|end| end.to_string()),
    })
}

/// List tenants.
#[utoipa::path(
    get,
    path = "/tenants",
    tag = "tenants",
    params(Paging),
    responses((status = 200, description = "a part of them, by name", body = TenantPage), Asking)
)]
pub async fn list(
    operator: Operator<Seeing>,
    Params(paging): Params<Paging>,
) -> Result<Json<TenantPage>, Problem> {
    let (limit, after) = (paging.limit()?, paging.after()?.unwrap_or_default());
    let page = operator.directory.tenants_page(&after, limit).await?;
    let next = page.last().filter(|_| page.len() == limit);
    Ok(Json(TenantPage {
        next: next.map(|last| paging::cursor(&last.name)),
        items: page.into_iter().map(item).collect(),
    }))
}

/// Add a tenant with an empty tree.
#[utoipa::path(
    post,
    path = "/tenants",
    tag = "tenants",
    request_body = Wanted,
    responses((status = 201, description = "added", body = Tenant, headers(("ETag"), ("Location"))), Asking, Changing, Reading)
)]
pub async fn add(
    State(web): State<Web>,
    operator: Operator<Governing>,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<Response, Problem> {
    LoginName::check_tenant(&wanted.name)?;
    let default = web.settings().retention;
    let retention = wanted.retention_seconds.map(retention).transpose()?;
    let new = NewTenant {
        region: web.regions().find(Purpose::New(wanted.region)).await?,
        name: wanted.name,
        retention: retention.unwrap_or(default),
        quota_bytes: wanted.quota_bytes,
        quota_files: wanted.quota_files,
    };
    let directory = &operator.directory;
    directory.add_tenant(&new).await?;
    let added = directory.whole_tenant(&new.name).await?;
    let location = [(header::LOCATION, format!("{API}/tenants/{}", new.name))];
    let version = added.version.clone();
    let answer = (StatusCode::CREATED, location, Json(tenant(added)));
    Ok(version::with_tag(&version, answer))
}

/// Show a tenant.
#[utoipa::path(
    get,
    path = "/tenants/{tenant}",
    tag = "tenants",
    responses((status = 200, description = "the tenant, what it uses, where it is; its version as ETag", body = Tenant, headers(("ETag"))), Asking)
)]
pub async fn show(admin: Admin<Seeing>) -> Result<Response, Problem> {
    shown(&admin.directory, &admin.tenant).await
}

/// Change a tenant.
///
/// `If-Match` has it changed only if it is that version.
#[utoipa::path(
    patch,
    path = "/tenants/{tenant}",
    tag = "tenants",
    params(Version),
    request_body = Change,
    responses((status = 200, description = "changed", body = Tenant, headers(("ETag"))), Asking, Changing, Reading)
)]
pub async fn alter(
    State(web): State<Web>,
    admin: Admin<Governing>,
    headers: HeaderMap,
    JsonBody(change): JsonBody<Change>,
) -> Result<Response, Problem> {
    let (directory, name) = (&admin.directory, admin.tenant.as_str());
    let known = version::known(&headers)?;
    let too_long = |key: &String| key.len() > KMS_KEY_BYTES || key.chars().any(char::is_control);
    if change.kms_key.iter().flatten().any(too_long) {
        let detail = format!("'kms_key' is at most {KMS_KEY_BYTES} bytes of plain text");
        return Err(Problem::malformed(detail));
    }
    // What may fail goes first, before anything has changed.
    let disabled = wish::never_null("disabled", change.disabled)?;
    let kept = wish::never_null("retention_seconds", change.retention_seconds)?;
    let regions = web.regions();
    let region = match wish::never_null("region", change.region)? {
        Some(name) => Some((regions.find(Purpose::Move(name.clone())).await?, name)),
        None => None,
    };
    let replica = match change.replica {
        Some(Some(name)) => Some(Some((
            regions.find(Purpose::Copies(name.clone())).await?,
            name,
        ))),
        Some(None) => Some(None),
        None => None,
    };
    let own_key = change.kms_key.as_ref();
    let own_key = own_key.map(|key| key.as_deref().filter(|key| !key.is_empty()));
    if let Some(Some(key)) = own_key {
        let id = directory.tenant_id(name).await?;
        let to = region.as_ref().map(|(id, _)| *id);
        if !key_care::try_kms_key(web.vfs().keys(), id, to, key, "kms_key").await? {
            let sentence = "kms_key: the tenant's region has none in the settings, so that no key service could wrap \
                 anything by this one";
            return Err(Error::invalid(sentence).into());
        }
    }
    if let (Some((to, _)), None) = (&region, own_key) {
        let id = directory.tenant_id(name).await?;
        key_care::try_own_key(web.vfs().keys(), id, *to).await?;
    }
    let whole = TenantChange {
        access: disabled.map(|disabled| match disabled {
            true => Access::Refuse,
            false => Access::Allow,
        }),
        limits: TenantLimits {
            quota_bytes: change.quota_bytes,
            quota_files: change.quota_files,
            retention: kept.map(retention).transpose()?,
        },
        sessions: change.sessions,
        door_options: change.door_options,
        placement: PlacementChange {
            region: region.as_ref().map(named),
            replica: replica.as_ref().map(|to| to.as_ref().map(named)),
            kms_key: own_key,
        },
    };
    directory.alter_tenant(name, &whole, known.as_ref()).await?;
    shown(directory, name).await
}

/// A region as it was found.
fn named(found: &(RegionId, String)) -> Region<'_> {
    let (id, name) = found;
    Region { id: *id, name }
}

async fn shown(directory: &Directory, name: &str) -> Result<Response, Problem> {
    let found = directory.whole_tenant(name).await?;
    let version = found.version.clone();
    Ok(version::with_tag(&version, Json(tenant(found))))
}

fn retention(seconds: u64) -> Result<Duration, Problem> {
    match seconds <= RETENTION {
        true => Ok(Duration::from_secs(seconds)),
        false => Err(Problem::malformed(format!(
            "'retention_seconds' is at most {RETENTION}"
        ))),
    }
}

fn item(tenant: TenantView) -> TenantItem {
    TenantItem {
        name: tenant.name,
        disabled: tenant.disabled,
        retention_seconds: tenant.retention_seconds,
        quota_bytes: tenant.quota_bytes,
        quota_files: tenant.quota_files,
        sessions: tenant.sessions,
        door_options: tenant.door_options,
        created_at: tenant.created_at,
    }
}

fn tenant(whole: WholeTenant) -> Tenant {
    let placed = whole.placed;
    Tenant {
        item: item(placed.tenant),
        used_bytes: whole.used_bytes,
        used_files: whole.used_files,
        reserved_bytes: whole.reserved_bytes,
        region: placed.region,
        blobs_to_move: placed.blobs_to_move,
        bytes_to_move: placed.bytes_to_move,
        replica: placed.replica,
        replica_lag_seconds: placed.replica_lag_seconds,
        replica_keys_missing: placed.replica_keys_missing,
        kms_key: placed.kms_key,
        keys_destroyed_at: placed.keys_destroyed_at,
    }
}
