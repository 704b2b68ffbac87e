//! An operator who asks, by a token, at the port for operators.

use std::marker::PhantomData;
use std::net::IpAddr;

use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};

use crate::accounts::manage::Directory;
use crate::accounts::operators;
use crate::accounts::ticket::{Ticket, TicketKind};
use crate::domain::error::Error;
use crate::domain::principal::Actor;
use crate::http::admin::power::Demand;
use crate::http::peer::Peer;
use crate::http::reply::Problem;
use crate::http::web::Web;

/// Among the extensions of every request that came to the port for operators, and of no other.
#[derive(Clone, Copy, Debug)]
pub struct AtOperators;

/// An operator who may do what `P` says. Others are refused with 401 and 403.
pub struct Operator<P> {
    /// Who it is.
    pub who: operators::Operator,
    /// What they do is written down in their name.
    pub directory: Directory,
    demand: PhantomData<P>,
}

impl<P: Demand> FromRequestParts<Web> for Operator<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Problem> {
        let (who, address) = shown(parts, web).await?;
        if !who.role.may(P::POWER) {
            // No tenant is concerned, so that no audit log has a place for it.
            log_refusal(&who, address, parts);
            return Err(not_for(&who));
        }
        let actor = Actor::operator_at(&who.name, address);
        Ok(Self {
            who,
            directory: web.directory().by(actor),
            demand: PhantomData,
        })
    }
}

/// Whoever shows an operator's token, whatever it is for, and from where.
///
/// # Errors
/// 401 without a good one, 429 after many that were none, 503.
pub async fn shown(parts: &Parts, web: &Web) -> Result<(operators::Operator, IpAddr), Problem> {
    if parts.extensions.get::<AtOperators>().is_none() {
        return Err(Problem::stranger());
    }
    let peer = parts
        .extensions
        .get::<Peer>()
        .ok_or_else(|| Problem::from(Error::internal("a request without a peer")))?;
    let address = peer.behind(&web.settings().forwarders, &parts.headers);
    let shown = parts.headers.get(header::AUTHORIZATION);
    let shown = shown.and_then(|value| value.to_str().ok()?.split_once(' '));
    let text = shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let ticket = text.and_then(|(_, text)| Ticket::parse(TicketKind::Operator, text.trim()));
    let ticket = ticket.ok_or_else(|| {
        if text.is_some() {
            web.operators().note_refusal(address);
        }
        let detail = "send an operator's token: 'Authorization: Bearer slo_...', as 'sealift admin token create' \
                      shows it";
        Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
    })?;
    let who = web.operators().look_up(&ticket, address).await?;
    Ok((who, address))
}

/// Logs that an operator was refused something.
pub fn log_refusal(who: &operators::Operator, address: IpAddr, parts: &Parts) {
    tracing::warn!(operator = %who.name, role = %who.role, peer = %address, method = %parts.method, path = %asked(parts), "an operator was refused something");
}

/// The path that was asked for.
pub fn asked(parts: &Parts) -> String {
    // What is left of the path has lost what led here.
    let whole = parts.extensions.get::<OriginalUri>();
    let path = whole.map_or(parts.uri.path(), |whole| whole.0.path());
    path.chars().take(1_000).collect()
}

/// 403.
pub fn not_for(who: &operators::Operator) -> Problem {
    let detail = format!(
        "the role {} does not do this; a token of the role operator does",
        who.role
    );
    Problem::new(StatusCode::FORBIDDEN, "role", detail)
}
