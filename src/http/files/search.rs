//! Finding files and folders by name.

use axum::Json;
use serde::Deserialize;

use crate::domain::path::VfsPath;
use crate::http::extract::Params;
use crate::http::failures::Asking;
use crate::http::files::view::{Entries, EntryView};
use crate::http::paging::{self, Paging};
use crate::http::reply::Problem;
use crate::http::visitor::Visitor;
use crate::vfs::search::NamePattern;

/// What is searched for.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// A part of the name in any case, or a pattern: `*` stands for any characters, `?` for one.
    #[param(min_length = 1, max_length = 255)]
    name: String,
    /// The folder below which it is searched; the root if nobody says.
    under: Option<String>,
}

/// Find files and folders by name.
///
/// A part may hold fewer items than asked for, even none, as long as `next` is not null: so much work
/// is done for one request, and no more.
#[utoipa::path(
    get,
    path = "/search",
    tag = "entries",
    params(Query, Paging),
    responses((status = 200, description = "a part of what was found, by path", body = Entries), Asking)
)]
pub async fn search(
    visitor: Visitor,
    Params(query): Params<Query>,
    Params(paging): Params<Paging>,
) -> Result<Json<Entries>, Problem> {
    let pattern = NamePattern::parse(&query.name)?;
    let under = query.under.as_deref().map(VfsPath::parse).transpose()?;
    let under = under.unwrap_or_else(VfsPath::root);
    let after = paging.after()?.as_deref().map(VfsPath::shown).transpose()?;
    let limit = paging.limit()?;
    let found = visitor
        .0
        .search(&under, &pattern, after.as_ref(), limit)
        .await?;
    let items = found.items.iter();
    let items = items.map(|(path, entry)| EntryView::new(path, entry));
    Ok(Json(Entries {
        items: items.collect(),
        next: found.next.map(|path| paging::cursor(&path.to_string())),
    }))
}
