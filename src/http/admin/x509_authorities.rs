//! Authorities (X.509) whose certificates open a tenant's accounts over TLS, their lists of revoked ones, and which
//! certificates open which account.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::accounts::manage_x509::{
    AccountCertificateView, X509AuthorityView, X509CrlView, read_certificate,
};
use crate::accounts::x509::CertificateRule;
use crate::domain::error::Error;
use crate::http::admin::accounts::Named;
use crate::http::admin::acting::Admin;
use crate::http::admin::power::{Altering, Seeing};
use crate::http::extract::{JsonBody, PathOf, whole};
use crate::http::failures::{Asking, Reading};
use crate::http::raw::Raw;
use crate::http::reply::Problem;
use crate::http::web::Web;

/// Longest list of revoked certificates as it is sent, in bytes: 4 MiB in PEM, with certificates beside it.
const LIST_BYTES: usize = 6 << 20;

/// An authority that a tenant trusts.
#[derive(Serialize, ToSchema)]
pub struct X509Authority {
    /// Its certificate's SHA-256, in hex.
    fingerprint: String,
    /// Whose it is.
    subject: String,
    /// When its certificate ends.
    valid_to: String,
    /// When it was added.
    added_at: String,
}

/// The authorities that a tenant trusts.
#[derive(Serialize, ToSchema)]
pub struct X509Authorities {
    /// The authorities, oldest first.
    items: Vec<X509Authority>,
    /// Where the next part begins; there never is one.
    next: Option<String>,
}

/// An authority to be trusted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewX509Authority {
    /// Its own certificate, in PEM.
    certificate: String,
}

/// An authority's list of revoked certificates.
#[derive(Serialize, ToSchema)]
pub struct RevocationList {
    /// Whose it is.
    issuer: String,
    /// How many it names.
    revoked: usize,
    /// When it was made.
    made_at: String,
    /// When there must be a newer one.
    next_at: String,
}

/// The lists of revoked certificates.
#[derive(Serialize, ToSchema)]
pub struct RevocationLists {
    /// One of each authority.
    items: Vec<RevocationList>,
    /// Where the next part begins; there never is one.
    next: Option<String>,
}

/// What a certificate must have to open an account.
#[derive(Serialize, ToSchema)]
pub struct AccountCertificate {
    /// `email:ann@acme.example`, for instance; `fingerprint:` is one certificate, whoever made it.
    rule: String,
    /// When it was added.
    added_at: String,
}

/// What opens an account.
#[derive(Serialize, ToSchema)]
pub struct AccountCertificates {
    /// All of it, oldest first.
    items: Vec<AccountCertificate>,
    /// Where the next part begins; there never is one.
    next: Option<String>,
}

/// What is to open an account: one of the two.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccountCertificate {
    /// What an authority of the tenant must have put into the certificate: `email:ADDRESS`, `dns:NAME`, `uri:URI` or
    /// `cn:NAME`; or `fingerprint:` and the SHA-256 of one certificate.
    rule: Option<String>,
    /// One certificate, in PEM, whoever made it.
    certificate: Option<String>,
}

/// The rule that was added.
#[derive(Serialize, ToSchema)]
pub struct AddedRule {
    /// As the list shows it.
    rule: String,
}

/// A trusted authority in a path.
#[derive(Deserialize)]
pub struct NamedX509Authority {
    fingerprint: String,
}

/// What opens an account, in a path.
#[derive(Deserialize)]
pub struct NamedRule {
    user: String,
    rule: String,
}

/// List the authorities whose certificates open the tenant's accounts over TLS.
#[utoipa::path(
    get,
    path = "/x509-authorities",
    tag = "certificates",
    responses((status = 200, description = "all of them", body = X509Authorities), Asking)
)]
pub async fn list(admin: Admin<Seeing>) -> Result<Json<X509Authorities>, Problem> {
    let all = admin.directory.x509_authorities(&admin.tenant).await?;
    Ok(Json(X509Authorities {
        items: all.into_iter().map(authority).collect(),
        next: None,
    }))
}

/// Let an authority's certificates open the accounts that are mapped to them.
///
/// Not by an account's token: what opens any account of the tenant does not end with the token.
#[utoipa::path(
    post,
    path = "/x509-authorities",
    tag = "certificates",
    request_body = NewX509Authority,
    responses((status = 201, description = "it is trusted", body = X509Authority), Asking, Reading)
)]
pub async fn add(
    admin: Admin<Altering>,
    JsonBody(new): JsonBody<NewX509Authority>,
) -> Result<(StatusCode, Json<X509Authority>), Problem> {
    admin.insist_on_login("trusting by a token what opens all accounts")?;
    let (directory, tenant) = (&admin.directory, &admin.tenant);
    let file = new.certificate.as_bytes();
    let (fingerprint, _) = directory.add_x509_authority(tenant, file).await?;
    let all = directory.x509_authorities(tenant).await?;
    let added = all.into_iter().find(|one| one.fingerprint == fingerprint);
    let added = added.ok_or_else(|| Error::not_found("somebody else has removed it meanwhile"))?;
    Ok((StatusCode::CREATED, Json(authority(added))))
}

/// Trust an authority no more; the sessions of accounts that certificates open end.
#[utoipa::path(
    delete,
    path = "/x509-authorities/{fingerprint}",
    tag = "certificates",
    params(("fingerprint" = String, Path, description = "the SHA-256 of its certificate, in hex, as the list shows it")),
    responses((status = 204, description = "its certificates open nothing any more"), Asking)
)]
pub async fn remove(
    admin: Admin<Altering>,
    PathOf(named): PathOf<NamedX509Authority>,
) -> Result<StatusCode, Problem> {
    let directory = &admin.directory;
    directory
        .remove_x509_authority(&admin.tenant, &named.fingerprint)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the authorities' lists of revoked certificates.
#[utoipa::path(
    get,
    path = "/x509-revocation-lists",
    tag = "certificates",
    responses((status = 200, description = "one of each authority", body = RevocationLists), Asking)
)]
pub async fn lists(admin: Admin<Seeing>) -> Result<Json<RevocationLists>, Problem> {
    let all = admin.directory.x509_crls(&admin.tenant).await?;
    Ok(Json(RevocationLists {
        items: all.into_iter().map(revocation_list).collect(),
        next: None,
    }))
}

/// Put the newest lists of revoked certificates in the place of the last ones of their authorities.
///
/// All of a file in PEM, or one in DER; all of them or none. Sessions of accounts that certificates open end when they name more than the last ones did.
#[utoipa::path(
    post,
    path = "/x509-revocation-lists",
    tag = "certificates",
    request_body(content = Raw, content_type = "application/octet-stream", description = "the lists, in PEM, or one in DER"),
    responses((status = 200, description = "they hold", body = RevocationLists), Asking, Reading)
)]
pub async fn set_list(
    State(web): State<Web>,
    admin: Admin<Altering>,
    body: Body,
) -> Result<Json<RevocationLists>, Problem> {
    let file = whole(body, LIST_BYTES, web.settings().stall_time).await?;
    let taken = admin.directory.set_x509_crls(&admin.tenant, &file).await?;
    Ok(Json(RevocationLists {
        items: taken.into_iter().map(revocation_list).collect(),
        next: None,
    }))
}

/// List the certificates that open an account over TLS.
#[utoipa::path(
    get,
    path = "/accounts/{user}/certificates",
    tag = "certificates",
    params(("user" = String, Path, description = "the account's name within the tenant")),
    responses((status = 200, description = "all of them", body = AccountCertificates), Asking)
)]
pub async fn rules(
    admin: Admin<Seeing>,
    PathOf(named): PathOf<Named>,
) -> Result<Json<AccountCertificates>, Problem> {
    let login = admin.login(&named.user)?;
    let all = admin.directory.certificates(&login).await?;
    let view = |one: AccountCertificateView| AccountCertificate {
        rule: one.rule,
        added_at: one.added_at,
    };
    Ok(Json(AccountCertificates {
        items: all.into_iter().map(view).collect(),
        next: None,
    }))
}

/// Let certificates open an account over TLS.
#[utoipa::path(
    post,
    path = "/accounts/{user}/certificates",
    tag = "certificates",
    params(("user" = String, Path, description = "the account's name within the tenant")),
    request_body = NewAccountCertificate,
    responses((status = 201, description = "they open it", body = AddedRule), Asking, Reading)
)]
pub async fn add_rule(
    admin: Admin<Altering>,
    PathOf(named): PathOf<Named>,
    JsonBody(new): JsonBody<NewAccountCertificate>,
) -> Result<(StatusCode, Json<AddedRule>), Problem> {
    let login = admin.login_to_open(&named.user).await?;
    let rule = match (new.rule, new.certificate) {
        (Some(rule), None) => rule.parse()?,
        (None, Some(file)) => CertificateRule::pinned(&read_certificate(file.as_bytes())?),
        _ => return Err(Problem::malformed("give one of 'rule' and 'certificate'")),
    };
    admin.directory.add_certificate(&login, &rule).await?;
    let rule = rule.to_string();
    Ok((StatusCode::CREATED, Json(AddedRule { rule })))
}

/// Take it back; the account's sessions end.
#[utoipa::path(
    delete,
    path = "/accounts/{user}/certificates/{rule}",
    tag = "certificates",
    params(
        ("user" = String, Path, description = "the account's name within the tenant"),
        ("rule" = String, Path, description = "what is to open it no more, as the list shows it, percent-encoded"),
    ),
    responses((status = 204, description = "such certificates open it no more"), Asking)
)]
pub async fn remove_rule(
    admin: Admin<Altering>,
    PathOf(named): PathOf<NamedRule>,
) -> Result<StatusCode, Problem> {
    let login = admin.login(&named.user)?;
    let rule: CertificateRule = named.rule.parse()?;
    admin.directory.remove_certificate(&login, &rule).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn authority(one: X509AuthorityView) -> X509Authority {
    X509Authority {
        fingerprint: one.fingerprint,
        subject: one.subject,
        valid_to: one.valid_to,
        added_at: one.added_at,
    }
}

fn revocation_list(one: X509CrlView) -> RevocationList {
    RevocationList {
        issuer: one.issuer,
        revoked: one.revoked,
        made_at: one.made_at,
        next_at: one.next_at,
    }
}
