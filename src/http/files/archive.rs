//! Downloading files and folders together, as one archive of one moment.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use crc32fast::Hasher;

use crate::domain::error::Result as Outcome;
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::http::extract::Params;
use crate::http::failures::Asking;
use crate::http::files::bundle::{COLLECTED, Collector, Item};
use crate::http::files::pump::{self, Allowance, Outlet};
use crate::http::files::zip::{Blocks, Zip};
use crate::http::files::{disposition, tar};
use crate::http::raw::Raw;
use crate::http::reply::{self, Problem};
use crate::http::visitor::Visitor;
use crate::http::web::Web;
use crate::net::budget::Budget;
use crate::vfs::selection::{Purpose, Selection};

/// Most paths that one archive may name.
pub const PATHS: usize = 1000;

/// Download files and folders as one archive.
///
/// It holds what there is when it begins, whatever changes meanwhile. It never ends short: when
/// something cannot be read, the connection breaks off. Needs the rights to list and to read each
/// folder that is named.
#[utoipa::path(
    get,
    path = "/archive",
    tag = "files",
    params(
        ("path" = Vec<String>, Query, style = Form, explode, description = "what goes in, up to 1,000 times"),
        ("format" = Option<String>, Query, description = "zip (the default; not compressed, ZIP64 where needed) or tar (pax)"),
    ),
    responses(
        (status = 200, description = "the archive", headers(("Content-Disposition")), content(
            (Raw = "application/zip"),
            (Raw = "application/x-tar"),
        )),
        Asking,
    )
)]
pub async fn archive(
    State(web): State<Web>,
    visitor: Visitor,
    method: Method,
    Params(query): Params<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let (paths, format) = read(&query)?;
    let paths = match (1..=PATHS).contains(&paths.len()) {
        true => paths,
        false => {
            let detail = format!("name 1 to {PATHS} paths: path=/...&path=/...");
            return Err(Problem::malformed(detail));
        }
    };
    let selection = visitor.0.select(&paths, Purpose::Archive).await?;
    if method == Method::HEAD {
        return Ok(describe(&selection, format));
    }
    let principal = visitor.principal();
    let allowance = allowance(&web, principal)?;
    Ok(answer(&web, principal, allowance, (selection, format)))
}

/// The memory that an archive for `principal` cannot do without.
///
/// # Errors
/// 503 when there is none, or they hold a fair part of it already.
pub fn allowance(web: &Web, principal: &Principal) -> Result<Allowance, Problem> {
    Allowance::of(web, principal, COLLECTED)
}

/// The answer without the archive, for who asks for no more (HEAD): nothing is read or counted.
pub fn describe(selection: &Selection, format: Format) -> Response {
    (head(selection, format), reply::unsaid()).into_response()
}

fn head(selection: &Selection, format: Format) -> [(HeaderName, HeaderValue); 2] {
    let name = match selection.name() {
        None | Some("") => "files",
        Some(name) => name,
    };
    let (kind, ending) = match format {
        Format::Tar => ("application/x-tar", "tar"),
        Format::Zip => ("application/zip", "zip"),
    };
    [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (
            header::CONTENT_DISPOSITION,
            disposition::attachment(&format!("{name}.{ending}")),
        ),
    ]
}

/// Answers with an archive.
pub fn answer(
    web: &Web,
    principal: &Principal,
    allowance: Allowance,
    (selection, format): (Selection, Format),
) -> Response {
    let told = head(&selection, format);
    let budget = web.vfs().budget().clone();
    let body: Body = pump::body(web, principal, allowance, |outlet| async move {
        match format {
            Format::Tar => write_tar(&selection, outlet).await,
            Format::Zip => write_zip(&selection, outlet, budget).await,
        }
    });
    (told, body).into_response()
}

/// What kind of archive it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// tar, with pax headers.
    Tar,
    /// ZIP, not compressed.
    Zip,
}

/// Which paths are asked for, and as what.
///
/// # Errors
/// 400 when one is malformed.
pub fn read(query: &[(String, String)]) -> Result<(Vec<VfsPath>, Format), Problem> {
    let mut paths = Vec::new();
    let mut format = Format::Zip;
    for (key, value) in query {
        match (key.as_str(), value.as_str()) {
            ("path", path) => paths.push(VfsPath::parse(path)?),
            ("format", "tar") => format = Format::Tar,
            ("format", "zip") => format = Format::Zip,
            ("format", _) => return Err(Problem::malformed("format is zip or tar")),
            _ => {}
        }
    }
    Ok((paths, format))
}

async fn write_zip(selection: &Selection, outlet: Outlet, budget: Budget) -> Outcome<()> {
    let mut out = Collector::new(outlet);
    let mut zip = Zip::new(budget);
    let mut walk = selection.walk();
    while let Some(selected) = walk.next().await? {
        let item = Item::new(&selected);
        out.put(&zip.begin(&item)).await?;
        if !item.is_folder {
            let file = selection.open(&selected.entry).await?;
            let (mut sum, mut blocks) = (Hasher::new(), Blocks::of(item.size));
            let cut = |piece: Bytes| {
                sum.update(&piece);
                blocks.cut(piece)
            };
            out.put_file(&file, item.size, cut).await?;
            out.put(&zip.end(&item, sum.finalize())?).await?;
        }
    }
    // Once more for the directory, instead of holding all names.
    let mut walk = selection.walk();
    while let Some(selected) = walk.next().await? {
        out.put(&zip.list(&Item::new(&selected))?).await?;
    }
    out.put(&zip.finish()?).await?;
    out.flush().await
}

async fn write_tar(selection: &Selection, outlet: Outlet) -> Outcome<()> {
    let mut out = Collector::new(outlet);
    let mut walk = selection.walk();
    while let Some(selected) = walk.next().await? {
        let item = Item::new(&selected);
        out.put(&tar::begin(&item)).await?;
        if !item.is_folder {
            let file = selection.open(&selected.entry).await?;
            out.put_file(&file, item.size, |piece| [piece]).await?;
            out.put(&tar::padding(item.size)).await?;
        }
    }
    out.put(&tar::end()).await?;
    out.flush().await
}
