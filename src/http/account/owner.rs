//! An account that works on itself.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;

use crate::accounts::bearer::Means;
use crate::accounts::ticket::Ticket;
use crate::domain::principal::{Principal, Protocol};
use crate::domain::scope::Scopes;
use crate::http::reply::Problem;
use crate::http::visitor;
use crate::http::web::Web;

/// An account that has logged in and may work on itself: by a token, only one that is for that. Others
/// are refused with 401 and 403.
pub struct Owner {
    /// Who it is.
    pub principal: Principal,
    /// By what it is known.
    pub means: Means,
    /// The session or token that it showed.
    pub ticket: Option<Ticket>,
}

impl FromRequestParts<Web> for Owner {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Problem> {
        // The future is that of a whole login.
        let shown = Box::pin(visitor::visit(parts, web, Protocol::Https)).await?;
        let visit = shown.visit;
        if !visit.means.scopes().contains(Scopes::ACCOUNT) {
            let detail = "the token is not for the account itself; make one with the scope account";
            return Err(Problem::new(StatusCode::FORBIDDEN, "scope", detail));
        }
        Ok(Self {
            principal: visit.principal,
            means: visit.means,
            ticket: shown.ticket,
        })
    }
}
