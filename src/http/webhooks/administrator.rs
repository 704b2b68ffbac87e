//! An account that may administer its tenant.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::accounts::manage::Directory;
use crate::domain::principal::Principal;
use crate::http::account::owner::Owner;
use crate::http::reply::Problem;
use crate::http::web::Web;

/// An administrator of a tenant, and what it may do there. Others are refused with 401 and 403.
pub struct Administrator {
    /// Who it is.
    pub principal: Principal,
    /// What is done, in its name.
    pub directory: Directory,
}

impl FromRequestParts<Web> for Administrator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Problem> {
        let owner = Owner::from_request_parts(parts, web).await?;
        administrator(web, owner.principal).await
    }
}

/// Lets those on who may administer their tenant: whoever decides that decides it here.
async fn administrator(web: &Web, principal: Principal) -> Result<Administrator, Problem> {
    web.directory().may_administer(&principal).await?;
    Ok(Administrator {
        directory: web.directory().by(principal.actor()),
        principal,
    })
}
