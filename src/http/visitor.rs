//! Who sends a request.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};

use crate::accounts::door::{Door, Secrecy};
use crate::accounts::ticket::{Ticket, TicketKind};
use crate::domain::principal::{LoginName, Principal, Protocol};
use crate::http::basic::Credentials;
use crate::http::peer::Peer;
use crate::http::reply::Problem;
use crate::http::visits::Visit;
use crate::http::web::Web;
use crate::http::{cookie, held, origin, standing};
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
        Ok(Self(web.vfs().session(principal).as_published()))
    }
}

/// The principal of a request that came by `protocol`.
///
/// # Errors
/// As [`visit`].
pub async fn principal(parts: &Parts, web: &Web, protocol: Protocol) -> Result<Principal, Problem> {
    Ok(visit(parts, web, protocol).await?.visit.principal)
}

/// Who makes a request, and what they showed.
pub struct Shown {
    /// Who it is, and by what they are known.
    pub visit: Visit,
    /// The session or token, unless it was a password.
    pub ticket: Option<Ticket>,
}

/// Who makes a request that came by `protocol`: by the header `Authorization`, or else by the cookie of a
/// session.
///
/// # Errors
/// 401 for strangers, 403 when a cookie comes without proof that a page of ours made the request, 429
/// after failures, 503.
pub async fn visit(parts: &Parts, web: &Web, protocol: Protocol) -> Result<Shown, Problem> {
    let shown = look(parts, web, protocol).await?;
    standing::admit(&parts.extensions);
    Ok(shown)
}

async fn look(parts: &Parts, web: &Web, protocol: Protocol) -> Result<Shown, Problem> {
    let Some(shown) = parts.headers.get(header::AUTHORIZATION) else {
        let ticket = cookie::shown(&parts.headers).ok_or_else(Problem::stranger)?;
        let visit = bearer(parts, web, protocol, &ticket).await?;
        origin::check(parts, &ticket)?;
        let ticket = Some(ticket);
        return Ok(Shown { visit, ticket });
    };
    let shown = shown.to_str().ok().and_then(|text| text.split_once(' '));
    let (scheme, text) = shown.ok_or_else(Problem::stranger)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        let ticket = Ticket::parse(TicketKind::Token, text.trim()).ok_or_else(|| {
            let detail =
                "what stands behind 'Bearer' is no token of this server; tokens begin with slt_";
            Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
        })?;
        let visit = bearer(parts, web, protocol, &ticket).await?;
        let ticket = Some(ticket);
        return Ok(Shown { visit, ticket });
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Problem::stranger());
    }
    let credentials = Credentials::parse(text).ok_or_else(|| {
        Problem::malformed("what stands behind 'Basic' is not base64 of NAME:PASSWORD in UTF-8")
    })?;
    if let Some(ticket) = token_of(&credentials, protocol) {
        let visit = bearer(parts, web, protocol, &ticket).await?;
        if !is_called(&visit.principal.login, &credentials.login) {
            return Err(Problem::stranger());
        }
        let ticket = Some(ticket);
        return Ok(Shown { visit, ticket });
    }
    let (from, tenant) = whence(parts, web, protocol).await?;
    let basic = web.basic();
    let visit = basic.log_in(from, tenant, &credentials).await?;
    held::put(&parts.extensions, visit.clone());
    Ok(Shown {
        visit,
        ticket: None,
    })
}

/// The token that stands in place of a password: clients of WebDAV know no other way to show one.
fn token_of(credentials: &Credentials, protocol: Protocol) -> Option<Ticket> {
    if protocol != Protocol::Webdav {
        return None;
    }
    let text = std::str::from_utf8(credentials.password.expose()).ok()?;
    Ticket::parse(TicketKind::Token, text.trim())
}

/// Whether an account is the one that was typed, with its tenant or without.
fn is_called(login: &LoginName, typed: &str) -> bool {
    typed == login.user || typed == login.to_string()
}

/// Who shows a ticket. Where the name of the host stands for a tenant, those of others are strangers.
async fn bearer(
    parts: &Parts,
    web: &Web,
    protocol: Protocol,
    ticket: &Ticket,
) -> Result<Visit, Problem> {
    let (from, tenant) = whence(parts, web, protocol).await?;
    let visit = web.visits().of(ticket, from).await?;
    held::put(&parts.extensions, visit.clone());
    match tenant {
        Some(tenant) if tenant != visit.principal.login.tenant => Err(Problem::stranger()),
        _ => Ok(visit),
    }
}

/// Where a request comes from, and the tenant that the name of the host stands for.
///
/// # Errors
/// 421 when the connection was made for another tenant's host; 503 when the database does not answer.
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
    let tenant = tenant(parts, web, peer).await?;
    let door = Door {
        protocol,
        address,
        secrecy: Secrecy::Sealed,
    };
    Ok((door, tenant))
}

/// The tenant that the name of the host stands for: that of the handshake, which goes first (RFC 9110 section
/// 7.4), or else the one that the request says. By a connection whose certificate has several names browsers ask
/// for all of these (RFC 9113 section 9.1.1); for another tenant's they are to make another.
async fn tenant(parts: &Parts, web: &Web, peer: &Peer) -> Result<Option<String>, Problem> {
    let (hosts, accounts) = (web.hosts(), web.accounts());
    let said = said(parts);
    let Some(name) = peer.server_name.as_deref() else {
        return match said {
            Some(said) => Ok(hosts.tenant_of(accounts, &said).await?),
            None => Ok(None),
        };
    };
    let tenant = hosts.tenant_of(accounts, name).await?;
    let (Some(own), Some(said)) = (&tenant, said.filter(|said| said != name)) else {
        return Ok(tenant);
    };
    match hosts.tenant_of(accounts, &said).await? {
        Some(other) if other != *own => {
            let detail = "this connection was made for another tenant's host than the request is for; send it \
                          again by a new connection, whose TLS handshake names the host that the request names";
            let status = StatusCode::MISDIRECTED_REQUEST;
            Err(Problem::new(status, "misdirected", detail))
        }
        _ => Ok(tenant),
    }
}

/// The name of the host that the request says, without its port.
fn said(parts: &Parts) -> Option<String> {
    let said = parts.headers.get(header::HOST).map(HeaderValue::to_str);
    let said = said.and_then(Result::ok);
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    let text = authority.or(said)?;
    let name = text.rsplit_once(':').map_or(text, |(name, _)| name);
    Some(name.to_ascii_lowercase())
}
