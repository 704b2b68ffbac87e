//! MKCOL, DELETE and MOVE: one change each, however much is below.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use crate::domain::error::ErrorKind;
use crate::domain::node::AttributeUpdate;
use crate::http::dav::asked::{Asked, Depth, in_the_way};
use crate::http::dav::fault::Fault;
use crate::http::dav::place;
use crate::http::extract::next_piece;
use crate::http::reply::Problem;
use crate::vfs::rename::Overwrite;

/// Answers a MKCOL.
///
/// # Errors
/// 405 when something is there, 409 where the folder above is missing, 415 for any body.
pub async fn make(asked: Asked, mut body: Body) -> Result<Response, Fault> {
    let stall = asked.web.settings().stall_time;
    if next_piece(&mut body, stall).await?.is_some() {
        let detail = "a MKCOL has no body";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid", detail).into());
    }
    let update = AttributeUpdate::default();
    match asked.session.make_folder(&asked.path, update).await {
        Ok(()) => Ok(StatusCode::CREATED.into_response()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(Fault::from(error).with_status(StatusCode::METHOD_NOT_ALLOWED))
        }
        Err(error) => Err(Fault::from(error).of_making()),
    }
}

/// Answers a DELETE; the past of what is deleted stays.
///
/// # Errors
/// 404, 412, 423; 403 for the root.
pub async fn delete(asked: Asked) -> Result<Response, Fault> {
    if !matches!(asked.depth()?, None | Some(Depth::Infinity)) {
        return whole_only();
    }
    let session = asked.conditioned()?;
    match session.remove_tree(&asked.path).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(error) if asked.path.is_root() => {
            Err(Fault::from(error).with_status(StatusCode::FORBIDDEN))
        }
        Err(error) => Err(Fault::from(error).of_looking()),
    }
}

/// Answers a MOVE. What it replaces is deleted in the same change.
///
/// # Errors
/// 403 onto or into itself, 404, 409 where the folder is missing, 412, 423, 502.
pub async fn rename(asked: Asked) -> Result<Response, Fault> {
    if !matches!(asked.depth()?, None | Some(Depth::Infinity)) {
        return whole_only();
    }
    let to = place::destination(&asked.uri, &asked.headers)?;
    if to.starts_with(&asked.path) || asked.path.starts_with(&to) {
        let detail = "nothing can be moved onto itself, into itself, or onto a folder above";
        return Err(Problem::new(StatusCode::FORBIDDEN, "invalid", detail).into());
    }
    let overwrite = match asked.may_overwrite()? {
        true => Overwrite::Replace,
        false => Overwrite::Forbid,
    };
    let seen = asked.session.look(&asked.path).await;
    seen.map_err(|error| Fault::from(error).of_looking())?;
    let replaces = asked.session.look(&to).await.is_ok();
    let session = asked.conditioned()?;
    match session.rename(&asked.path, &to, overwrite).await {
        Ok(()) if replaces => Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(()) => Ok(StatusCode::CREATED.into_response()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(in_the_way(&to)),
        Err(error) => Err(Fault::from(error).of_making()),
    }
}

fn whole_only() -> Result<Response, Fault> {
    let detail = "this is done to a folder with all that is below it; Depth can only be infinity";
    Err(Problem::malformed(detail).into())
}
