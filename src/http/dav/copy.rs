//! COPY: no bytes move; a folder is copied file by file, each of them one change.

use crate::domain::error::{Error, ErrorKind};
use crate::domain::node::NodeKind;
use crate::domain::path::VfsPath;
use crate::http::dav::asked::{Asked, Depth, in_the_way};
use crate::http::dav::fault::Fault;
use crate::http::dav::{place, propfind, xml};
use crate::http::reply::Problem;
use crate::http::tally::Told;
use crate::vfs::copy_tree::Failure;
use crate::vfs::rename::Overwrite;
use crate::vfs::selection::Purpose;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

/// Answers.
///
/// # Errors
/// 400, 403 onto itself, 404, 409 where the folder is missing, 412, 423, 502, 507.
pub async fn answer(asked: Asked) -> Result<Response, Fault> {
    let is_deep = match asked.depth()? {
        None | Some(Depth::Infinity) => true,
        Some(Depth::Zero) => false,
        Some(Depth::One) => {
            return Err(Problem::malformed("Depth of a COPY is 0 or infinity").into());
        }
    };
    let to = place::destination(&asked.uri, &asked.headers)?;
    if to.starts_with(&asked.path) || asked.path.starts_with(&to) {
        let detail = "nothing can be copied onto itself, into itself, or onto a folder above";
        return Err(Problem::new(StatusCode::FORBIDDEN, "invalid", detail).into());
    }
    let overwrite = match asked.may_overwrite()? {
        true => Overwrite::Replace,
        false => Overwrite::Forbid,
    };
    let (session, from) = (&asked.session, &asked.path);
    let seen = session.look(from).await;
    let seen = seen.map_err(|error| Fault::from(error).of_looking())?;
    let there = match session.look(&to).await {
        Ok(there) => Some(there),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(Fault::from(error).of_making()),
    };
    let is_folder = there.as_ref().map(|seen| seen.entry.kind) == Some(NodeKind::Folder);
    let status = match there {
        Some(_) => StatusCode::NO_CONTENT,
        None => StatusCode::CREATED,
    };
    let refused = |error: Error| match error.kind() {
        ErrorKind::AlreadyExists => in_the_way(&to),
        _ => {
            let fault = Fault::from(error).of_making();
            fault.about(&place::href(&to, is_folder))
        }
    };
    let conditioned = asked.conditioned()?;
    if seen.entry.kind == NodeKind::File {
        let copied = conditioned.copy_file(from, &to, overwrite).await;
        return copied.map(|()| status.into_response()).map_err(refused);
    }
    // What is in it is that of one moment, and seen before anything is replaced.
    let selection = match is_deep {
        true => {
            let paths = std::slice::from_ref(from);
            Some(session.select(paths, Purpose::Copy).await?)
        }
        false => None,
    };
    let made = conditioned.copy_folder(from, &to, overwrite).await;
    let made = made.map_err(refused)?;
    let Some(selection) = selection else {
        return Ok(status.into_response());
    };
    let copied = Box::pin(session.copy_into(&selection, from, (&to, made)));
    let accounts = asked.web.accounts();
    let copied = accounts.while_logged_in(session.principal(), copied);
    Ok(told(copied.await.flatten()?, &to, status))
}

/// The answer.
fn told(failures: Vec<Failure>, to: &VfsPath, status: StatusCode) -> Response {
    if failures.is_empty() {
        return status.into_response();
    }
    tracing::debug!(path = %to, failures = failures.len(), "a folder was copied in part");
    let mut responses = String::new();
    let mut words = Vec::new();
    for Failure { path, kind, error } in failures {
        let href = place::href(&path, kind == NodeKind::Folder);
        let fault = Fault::from(error).about(&href);
        responses += &format!(
            "<D:response><D:href>{}</D:href><D:status>HTTP/1.1 {}</D:status>{}\
             <D:responsedescription>{}</D:responsedescription></D:response>\n",
            xml::escaped(&href),
            fault.status(),
            fault.element(),
            xml::escaped(fault.detail())
        );
        words.push(fault.word());
    }
    let mut response = propfind::of_responses(&responses);
    response.extensions_mut().insert(Told(words));
    response
}
