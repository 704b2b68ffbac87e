//! `.../audit`: a tenant's audit log.

use std::net::IpAddr;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderName, StatusCode, header};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

use crate::accounts::manage_audit::{self, AuditLine, AuditQuery, AuditSpan};
use crate::db::audit::ChainState;
use crate::domain::audit_kind::AuditKind;
use crate::domain::id::AccountId;
use crate::http::admin::acting::Admin;
use crate::http::admin::power::Seeing;
use crate::http::extract::Params;
use crate::http::failures::Asking;
use crate::http::files::view;
use crate::http::paging::{self, Paging};
use crate::http::reply::Problem;

/// A record.
#[derive(Serialize, ToSchema)]
pub struct AuditItem {
    /// Its place in the tenant's log: 1, 2, 3, ...
    number: i64,
    /// The number of the change of the tree that it is; none for other events.
    seq: Option<i64>,
    /// When.
    at: String,
    /// A word of those that `kind` takes.
    kind: String,
    /// The number of the account; none for operators and jobs.
    account: Option<i64>,
    /// Its name within the tenant; none when there is no account, or it was removed.
    user: Option<String>,
    /// In which session.
    session: Option<String>,
    /// By which protocol; `admin` for operators.
    protocol: String,
    /// From which address.
    address: Option<String>,
    /// About what; at its end the operator, if one did it over the API.
    detail: String,
    /// The chain up to and with this record: SHA-256, in hex.
    hash: String,
}

/// A part of the records.
#[derive(Serialize, ToSchema)]
pub struct AuditPage {
    /// The records, newest first; a part may be short, or empty, and more may follow all the same.
    items: Vec<AuditItem>,
    /// What `cursor` is for the next part; null at the end.
    next: Option<String>,
}

/// Whether the log is whole.
#[derive(Serialize, ToSchema)]
pub struct Verdict {
    /// Each record follows from the one before, up to the newest.
    whole: bool,
    /// How many records those are; none when it is not.
    records: Option<i64>,
    /// The first record that was changed or is missing.
    broken_at: Option<i64>,
    /// The same in words.
    detail: String,
}

/// Which records are wanted.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// Not before this time (RFC 3339).
    #[param(required = false, format = DateTime)]
    from: Option<String>,
    /// Before this time.
    #[param(required = false, format = DateTime)]
    to: Option<String>,
    /// Of this account, by its name within the tenant.
    #[param(required = false)]
    user: Option<String>,
    /// Of the account with this number, as records show it: also one that was removed.
    #[param(required = false)]
    account: Option<i64>,
    /// Of this kind.
    #[param(required = false, schema_with = kinds)]
    kind: Option<String>,
    /// With this path, or a part of it, in what they are about.
    #[param(required = false)]
    path: Option<String>,
    /// From this address.
    #[param(required = false)]
    address: Option<String>,
}

/// Search the audit log, newest records first.
#[utoipa::path(
    get,
    path = "/audit",
    tag = "audit log",
    params(Wanted, Paging),
    responses((status = 200, description = "a part of what fits", body = AuditPage), Asking)
)]
pub async fn search(
    admin: Admin<Seeing>,
    Params(wanted): Params<Wanted>,
    Params(paging): Params<Paging>,
) -> Result<Json<AuditPage>, Problem> {
    let (limit, before) = (paging.limit()?, paging.place::<i64>()?);
    let span = span(&admin, wanted).await?;
    let (found, next) = admin.directory.audit_search(&span, before, limit).await?;
    Ok(Json(AuditPage {
        items: found.into_iter().map(item).collect(),
        next: next.map(|number| paging::cursor(&number.to_string())),
    }))
}

/// Export the audit log, oldest records first, one JSON object a line.
///
/// What is written down after the request came is not in it.
#[utoipa::path(
    get,
    path = "/audit/export",
    tag = "audit log",
    params(Wanted),
    responses((status = 200, description = "all that fits", body = String, content_type = "application/x-ndjson"), Asking)
)]
pub async fn export(
    admin: Admin<Seeing>,
    Params(wanted): Params<Wanted>,
) -> Result<(StatusCode, [(HeaderName, &'static str); 1], Body), Problem> {
    let span = span(&admin, wanted).await?;
    let lines = stream::try_unfold((admin.directory, span, Some(0)), |state| async move {
        let (directory, span, Some(after)) = state else {
            return Ok::<_, std::io::Error>(None);
        };
        match directory.audit_export_text(&span, after).await {
            Ok((text, next)) => Ok(Some((Bytes::from(text), (directory, span, next)))),
            Err(error) => {
                tracing::warn!(error = ?error, "the export of an audit log breaks off");
                Err(std::io::Error::other("the export breaks off"))
            }
        }
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((StatusCode::OK, kind, Body::from_stream(lines)))
}

/// Follow the chain of hashes from the first record to the newest.
#[utoipa::path(
    get,
    path = "/audit/verify",
    tag = "audit log",
    responses((status = 200, description = "whether it is whole", body = Verdict), Asking)
)]
pub async fn verify(admin: Admin<Seeing>) -> Result<Json<Verdict>, Problem> {
    let state = admin.directory.audit_verify(&admin.tenant).await?;
    let (records, broken_at) = match state {
        ChainState::Whole(records) => (Some(records), None),
        ChainState::Broken(number) => (None, Some(number)),
    };
    Ok(Json(Verdict {
        whole: broken_at.is_none(),
        records,
        broken_at,
        detail: manage_audit::sentence(&admin.tenant, &state),
    }))
}

fn kinds() -> Schema {
    let words = AuditKind::ALL.iter().map(|kind| kind.as_str());
    let schema = ObjectBuilder::new().schema_type(Type::String);
    schema.enum_values(Some(words)).build().into()
}

async fn span<P>(admin: &Admin<P>, wanted: Wanted) -> Result<AuditSpan, Problem> {
    let time = |text: Option<String>| text.as_deref().map(view::time).transpose();
    // PostgreSQL takes no NUL.
    if wanted.path.iter().any(|text| text.contains('\0')) {
        return Err(Problem::malformed("no record has a NUL in it"));
    }
    if wanted.user.is_some() && wanted.account.is_some() {
        return Err(Problem::malformed("give 'user' or 'account', not both"));
    }
    let login = wanted.user.as_deref().map(|user| admin.login(user));
    let query = AuditQuery {
        from: time(wanted.from)?,
        to: time(wanted.to)?,
        login: login.transpose()?,
        account: wanted.account.map(AccountId),
        kind: wanted.kind.as_deref().map(str::parse).transpose()?,
        path: wanted.path.filter(|path| !path.is_empty()),
        address: wanted.address.as_deref().map(address).transpose()?,
    };
    Ok(admin.directory.audit_span(&admin.tenant, query).await?)
}

fn address(text: &str) -> Result<IpAddr, Problem> {
    text.parse().map_err(|_| {
        Problem::malformed("'address' is an IP address, as in 192.0.2.7 or 2001:db8::7")
    })
}

fn item(line: AuditLine) -> AuditItem {
    AuditItem {
        number: line.number,
        seq: line.seq,
        at: line.at,
        kind: line.kind,
        account: line.account,
        user: line.user,
        session: line.session,
        protocol: line.protocol,
        address: line.address,
        detail: line.detail,
        hash: line.hash,
    }
}
