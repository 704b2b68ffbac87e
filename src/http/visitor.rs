//! Who sends a request.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};

use crate::accounts::login::{Door, Secrecy};
use crate::domain::principal::{Principal, Protocol};
use crate::http::basic::Credentials;
use crate::http::peer::Peer;
use crate::http::reply::Problem;
use crate::http::web::Web;
use crate::vfs::session::Session;

/// An account that has logged in, by whatever it shows with its request: the files as it may use
/// them. Requests of strangers are refused with 401.
pub struct Visitor(pub Session);

impl Visitor {
    /// Who it is.
    pub fn principal(&self) -> &Principal {
        self.0.principal()
    }
}

impl FromRequestParts<Web> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Problem> {
        // The future is that of a whole login.
        let principal = Box::pin(principal(parts, web, Protocol::Https)).await?;
        Ok(Self(web.vfs().session(principal)))
    }
}

/// The principal of a request that came by `protocol`.
///
/// # Errors
/// 401 for strangers, 429 after failures, 503.
pub async fn principal(parts: &Parts, web: &Web, protocol: Protocol) -> Result<Principal, Problem> {
    let shown = parts.headers.get(header::AUTHORIZATION);
    let shown = shown.and_then(|value| value.to_str().ok());
    let (scheme, text) = shown
        .and_then(|text| text.split_once(' '))
        .ok_or_else(Problem::stranger)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Problem::stranger());
    }
    let credentials = Credentials::parse(text).ok_or_else(|| {
        Problem::malformed("what stands behind 'Basic' is not base64 of NAME:PASSWORD in UTF-8")
    })?;
    let (from, tenant) = whence(parts, web, protocol).await?;
    let basic = web.basic();
    Ok(basic.log_in(from, tenant, &credentials).await?)
}

/// Where a request comes from, and the tenant that the name of the host stands for.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn whence(
    parts: &Parts,
    web: &Web,
    protocol: Protocol,
) -> Result<(Door, Option<String>), Problem> {
    let peer = parts.extensions.get::<Peer>().ok_or_else(|| {
        Problem::from(crate::domain::error::Error::internal(
            "a request without a peer",
        ))
    })?;
    let address = peer.behind(&web.settings().forwarders, &parts.headers);
    let tenant = match host(parts, peer) {
        Some(host) => web.accounts().tenant_of_host(&host).await?,
        None => None,
    };
    let door = Door {
        protocol,
        address,
        secrecy: Secrecy::Sealed,
    };
    Ok((door, tenant))
}

/// The name of the host that was asked for, without its port. The handshake's name goes first: what a
/// request says may differ from it (RFC 9110 section 7.4).
fn host(parts: &Parts, peer: &Peer) -> Option<String> {
    if let Some(name) = &peer.server_name {
        return Some(name.to_string());
    }
    let said = parts.headers.get(header::HOST).map(HeaderValue::to_str);
    let said = said.and_then(Result::ok);
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    let text = authority.or(said)?;
    let name = text.rsplit_once(':').map_or(text, |(name, _)| name);
    Some(name.to_ascii_lowercase())
}
