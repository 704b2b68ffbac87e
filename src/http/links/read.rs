//! Reading by a link: the file, what is in the folder, its files, and archives of it.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;

use crate::accounts::link_downloads::Part;
use crate::domain::link::LinkKind;
use crate::domain::node::NodeKind;
use crate::domain::path::VfsPath;
use crate::http::extract::Params;
use crate::http::failures::{Ranging, Visiting};
use crate::http::files::archive;
use crate::http::files::download::{self, Head, Sending, Telling, Wish};
use crate::http::files::pump::{self, Allowance, Begun};
use crate::http::files::view::{self, Entries, EntryView};
use crate::http::headers::{Partly, Since, Versions};
use crate::http::links::outsider::Outsider;
use crate::http::links::veil;
use crate::http::paging::{self, Paging};
use crate::http::raw::Raw;
use crate::http::reply::Problem;
use crate::http::web::Web;
use crate::vfs::selection::Purpose;

/// Download the file that a link leads to.
///
/// A download is counted when its first byte, or all of it, begins to be sent. Other parts of the same
/// version, and its beginning after it broke off in the first half, belong to it for a day if the same
/// address asks.
#[utoipa::path(
    get,
    path = "/shared/{token}/file",
    tag = "shared",
    params(("token" = String, Path, description = "the text of the link"), Wish, Partly, Since, Versions),
    responses(
        Sending,
        Visiting,
        Ranging,
    )
)]
pub async fn file(
    State(web): State<Web>,
    outsider: Outsider,
    Params(wish): Params<Wish>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let path = the_file(&outsider)?;
    let sent = send(&web, &outsider, &path, &wish, &headers).await;
    outsider.told(&web, sent).await
}

/// Ask about the file that a link leads to, without its content.
#[utoipa::path(
    head,
    path = "/shared/{token}/file",
    tag = "shared",
    params(("token" = String, Path, description = "the text of the link"), Wish, Since, Versions),
    responses(
        Telling,
        Visiting,
    )
)]
pub async fn describe(
    State(web): State<Web>,
    outsider: Outsider,
    Params(wish): Params<Wish>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let path = the_file(&outsider)?;
    let told = tell(&web, &outsider, &path, &wish, &headers).await;
    outsider.told(&web, told).await
}

/// Download a file from the folder that a link leads to. Counted as `file` is.
#[utoipa::path(
    get,
    path = "/shared/{token}/files/{*path}",
    tag = "shared",
    params(
        ("token" = String, Path, description = "the text of the link"),
        ("path" = String, Path, description = "path of the file within the folder"),
        Wish,
        Partly,
        Since,
        Versions,
    ),
    responses(
        Sending,
        Visiting,
        Ranging,
    )
)]
pub async fn file_in(
    State(web): State<Web>,
    outsider: Outsider,
    Params(wish): Params<Wish>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let path = below(&outsider)?;
    let sent = send(&web, &outsider, &path, &wish, &headers).await;
    outsider.told(&web, sent).await
}

/// Ask about a file from the folder that a link leads to, without its content.
#[utoipa::path(
    head,
    path = "/shared/{token}/files/{*path}",
    tag = "shared",
    params(
        ("token" = String, Path, description = "the text of the link"),
        ("path" = String, Path, description = "path of the file within the folder"),
        Wish,
        Since,
        Versions,
    ),
    responses(
        Telling,
        Visiting,
    )
)]
pub async fn describe_in(
    State(web): State<Web>,
    outsider: Outsider,
    Params(wish): Params<Wish>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let path = below(&outsider)?;
    let told = tell(&web, &outsider, &path, &wish, &headers).await;
    outsider.told(&web, told).await
}

/// List the folder that a link leads to.
#[utoipa::path(
    get,
    path = "/shared/{token}/folders",
    tag = "shared",
    params(("token" = String, Path, description = "the text of the link"), Paging),
    responses((status = 200, description = "a part of what is in it, by name; paths begin at the folder", body = Entries), Visiting)
)]
pub async fn list(
    State(web): State<Web>,
    outsider: Outsider,
    Params(paging): Params<Paging>,
) -> Result<Json<Entries>, Problem> {
    list_in(State(web), outsider, Params(paging)).await
}

/// List a folder within the one that a link leads to.
#[utoipa::path(
    get,
    path = "/shared/{token}/folders/{*path}",
    tag = "shared",
    params(
        ("token" = String, Path, description = "the text of the link"),
        ("path" = String, Path, description = "path of the folder within the folder"),
        Paging,
    ),
    responses((status = 200, description = "a part of what is in it, by name; paths begin at the folder", body = Entries), Visiting)
)]
pub async fn list_in(
    State(web): State<Web>,
    outsider: Outsider,
    Params(paging): Params<Paging>,
) -> Result<Json<Entries>, Problem> {
    let path = below(&outsider)?;
    let within = outsider.place()?;
    outsider.check_left(&web).await?;
    let (limit, after) = (paging.limit()?, paging.after()?.unwrap_or_default());
    let page = outsider.session.page(&path, &after, limit).await;
    let page = outsider.told(&web, page.map_err(Problem::from)).await?;
    let items = page.items.iter().map(|seen| {
        let at = view::child(&within, &seen.entry.name)?;
        Ok(EntryView::new(&at, &seen.entry).with_sum(seen.sha256))
    });
    Ok(Json(Entries {
        items: items.collect::<Result<_, Problem>>()?,
        next: page.next.as_deref().map(paging::cursor),
    }))
}

/// Download what a link leads to, or parts of it, as one archive. Counted each time.
#[utoipa::path(
    get,
    path = "/shared/{token}/archive",
    tag = "shared",
    params(
        ("token" = String, Path, description = "the text of the link"),
        ("path" = Option<Vec<String>>, Query, style = Form, explode, description = "what goes in, within the folder, up to 1,000 times; everything if none is named"),
        ("format" = Option<String>, Query, description = "zip (the default) or tar"),
    ),
    responses(
        (status = 200, description = "the archive", headers(("Content-Disposition")), content(
            (Raw = "application/zip"),
            (Raw = "application/x-tar"),
        )),
        Visiting,
    )
)]
pub async fn pack(
    State(web): State<Web>,
    outsider: Outsider,
    method: Method,
    Params(query): Params<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    outsider.require(LinkKind::Download)?;
    let (paths, format) = archive::read(&query)?;
    if paths.len() > archive::PATHS {
        let detail = format!("name at most {} paths: path=/...&path=/...", archive::PATHS);
        return Err(Problem::malformed(detail));
    }
    outsider.check_left(&web).await?;
    let paths = match paths.is_empty() {
        true => vec![outsider.good.home().clone()],
        false => {
            let within = paths.iter().map(|path| outsider.within(path));
            within.collect::<Result<_, _>>()?
        }
    };
    let session = &outsider.session;
    let selection = session.select(&paths, Purpose::Archive).await;
    let selection = selection.map_err(|error| {
        let problem = Problem::from(error);
        match problem.word() {
            "invalid" => problem.saying("two of these have the same name; ask for one by itself"),
            _ => problem,
        }
    });
    let selection = outsider.told(&web, selection).await?;
    if method == Method::HEAD {
        return Ok(archive::describe(&selection, format));
    }
    // Nobody has downloaded what there is no memory for.
    let principal = session.principal();
    let allowance = archive::allowance(&web, principal)?;
    if !web.accounts().count_archive(outsider.id()).await? {
        return Err(veil::over());
    }
    Ok(archive::answer(
        &web,
        principal,
        allowance,
        (selection, format),
    ))
}

async fn send(
    web: &Web,
    outsider: &Outsider,
    path: &VfsPath,
    wish: &Wish,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let session = &outsider.session;
    let file = session.open_published(path).await.map_err(veil::error)?;
    let head = download::head(&file, headers, wish).map_err(veil::problem)?;
    let (mut response, part) = match head {
        Head::Complete(response) => {
            outsider.check_left(web).await?;
            return Ok(response);
        }
        Head::Precedes(response, part) => (response, part),
    };
    let wanted = Part {
        version: file.entry().version(),
        size: file.entry().size,
        from: part.start,
        length: part.end - part.start,
    };
    // Nobody has downloaded what cannot be read.
    let allowance = Allowance::take(web, session.principal())?;
    let begun = Begun::read(&allowance, file, part);
    let begun = begun.await.map_err(veil::error)?;
    let counted = web
        .accounts()
        .count_download(outsider.id(), outsider.from, wanted);
    let leave = counted.await?.ok_or_else(veil::over)?;
    let mut sending = web.guests().sending(leave);
    session.note_download(path);
    let principal = session.principal();
    *response.body_mut() = pump::body(web, principal, allowance, |outlet| async move {
        let seen = |piece: &[u8]| sending.add(piece.len());
        outlet.send_begun(begun, seen).await
    });
    Ok(response)
}

async fn tell(
    web: &Web,
    outsider: &Outsider,
    path: &VfsPath,
    wish: &Wish,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    outsider.check_left(web).await?;
    let file = outsider.session.open_published(path).await;
    let file = file.map_err(veil::error)?;
    download::told(&file, headers.clone(), wish).map_err(veil::problem)
}

/// The file that the link itself leads to.
fn the_file(outsider: &Outsider) -> Result<VfsPath, Problem> {
    outsider.require(LinkKind::Download)?;
    match outsider.entry.kind {
        NodeKind::File => Ok(outsider.good.home().clone()),
        NodeKind::Folder => {
            let detail = "this link leads to a folder; its files are behind .../files/";
            Err(Problem::new(StatusCode::CONFLICT, "is-folder", detail))
        }
    }
}

/// What is named below the folder that the link leads to.
fn below(outsider: &Outsider) -> Result<VfsPath, Problem> {
    outsider.require(LinkKind::Download)?;
    match outsider.entry.kind {
        NodeKind::Folder => outsider.within(&outsider.place()?),
        NodeKind::File => {
            let detail = "this link leads to a file, which is at .../file";
            Err(Problem::new(StatusCode::CONFLICT, "not-folder", detail))
        }
    }
}
