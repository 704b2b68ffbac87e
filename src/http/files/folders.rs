//! Folders: what is in them, and new ones.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::Response;
use serde::Deserialize;

use crate::domain::error::ErrorKind;
use crate::domain::node::AttributeUpdate;
use crate::domain::path::VfsPath;
use crate::http::extract::Params;
use crate::http::failures::{Asking, Changing};
use crate::http::files::entries;
use crate::http::files::place::{self, Place};
use crate::http::files::view::{self, Entries, EntryView};
use crate::http::paging::{self, Paging};
use crate::http::reply::Problem;
use crate::http::visitor::Visitor;
use crate::http::web::Web;
use crate::vfs::seen::Seen;
use crate::vfs::session::Session;

/// List the root folder.
#[utoipa::path(
    get,
    path = "/folders",
    tag = "folders",
    params(Paging),
    responses((status = 200, description = "a part of what is in it, by name", body = Entries), Asking)
)]
pub async fn list_root(
    visitor: Visitor,
    Params(paging): Params<Paging>,
) -> Result<Json<Entries>, Problem> {
    list(visitor, Place(VfsPath::root()), Params(paging)).await
}

/// List a folder.
///
/// Parts go by name: what is there from the first part to the last is shown once, whatever changes
/// meanwhile.
#[utoipa::path(
    get,
    path = "/folders/{*path}",
    tag = "folders",
    params(("path" = String, Path, description = "path of the folder"), Paging),
    responses((status = 200, description = "a part of what is in it, by name", body = Entries), Asking)
)]
pub async fn list(
    visitor: Visitor,
    Place(path): Place,
    Params(paging): Params<Paging>,
) -> Result<Json<Entries>, Problem> {
    let (limit, after) = (paging.limit()?, paging.after()?.unwrap_or_default());
    let page = visitor.0.page(&path, &after, limit).await?;
    let items = page.items.iter().map(|seen| {
        let at = view::child(&path, &seen.entry.name)?;
        Ok(EntryView::seen(&at, seen))
    });
    Ok(Json(Entries {
        items: items.collect::<Result<_, Problem>>()?,
        next: page.next.as_deref().map(paging::cursor),
    }))
}

/// How a folder is made.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct How {
    /// Make the folders that are missing on the way, too, and be content if it is there.
    #[serde(default)]
    #[param(required = false)]
    parents: bool,
}

/// Make a folder.
#[utoipa::path(
    post,
    path = "/folders/{*path}",
    tag = "folders",
    params(("path" = String, Path, description = "path of the folder"), How),
    responses(
        (status = 201, description = "made, or there already if parents is true", body = EntryView, headers(("ETag"), ("Location"))),
        Asking,
        Changing,
    )
)]
pub async fn make(
    State(_): State<Web>,
    visitor: Visitor,
    Place(path): Place,
    Params(how): Params<How>,
) -> Result<Response, Problem> {
    let made = match how.parents {
        true => make_all(&visitor.0, &path).await?,
        false => {
            let (session, told) = visitor.0.telling();
            session
                .make_folder(&path, AttributeUpdate::default())
                .await?;
            told.take()
        }
    };
    let mut response = entries::done(made.as_ref(), &path, StatusCode::CREATED);
    let location = place::location("folders", &path);
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// Makes a folder and those above it, as far as they are missing; tells what is there then, if whoever asks may look.
async fn make_all(session: &Session, path: &VfsPath) -> Result<Option<Seen>, Problem> {
    let mut missing = Vec::new();
    let mut at = Some(path.clone());
    let mut found = None;
    while let Some(folder) = at {
        match session.look(&folder).await {
            Ok(seen) => {
                found = Some(seen).filter(|_| missing.is_empty());
                break;
            }
            // What may not be seen may be there, and what is below it may be made.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Denied) => {}
            Err(error) => return Err(error.into()),
        }
        at = folder.parent();
        if !folder.is_root() {
            missing.push(folder);
        }
    }
    while let Some(folder) = missing.pop() {
        let (telling, told) = session.telling();
        let made = telling
            .make_folder(&folder, AttributeUpdate::default())
            .await;
        match made {
            // Another was quicker.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                found = session.look(&folder).await.ok();
            }
            Err(error) if error.kind() == ErrorKind::Denied && !missing.is_empty() => {}
            made => {
                made?;
                found = told.take();
            }
        }
    }
    Ok(found)
}
