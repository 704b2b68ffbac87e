//! COPY: no bytes move; a folder is copied file by file, each of them one change.

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use crate::domain::error::{Error, ErrorKind};
use crate::domain::node::NodeKind;
use crate::domain::path::{Name, VfsPath};
use crate::http::dav::asked::{Asked, Depth, in_the_way};
use crate::http::dav::fault::Fault;
use crate::http::dav::{place, propfind, xml};
use crate::http::files::entries;
use crate::http::reply::Problem;
use crate::vfs::rename::Overwrite;
use crate::vfs::session::Session;

/// Files that are copied at once: their changes are committed together.
const AT_ONCE: usize = 16;
/// After so many failures a copy ends.
const FAILURES: usize = 100;

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
    let may_overwrite = asked.may_overwrite()?;
    let (session, from) = (&asked.session, &asked.path);
    let seen = session.look(from).await;
    let seen = seen.map_err(|error| Fault::from(error).of_looking())?;
    let there = match session.look(&to).await {
        Ok(there) => Some(there.entry.kind),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(Fault::from(error).of_making()),
    };
    if there.is_some() && !may_overwrite {
        return Err(in_the_way(&to));
    }
    let conditioned = entries::conditioned(session, &asked.headers)?;
    let status = match there {
        Some(_) => StatusCode::NO_CONTENT,
        None => StatusCode::CREATED,
    };
    if seen.entry.kind == NodeKind::File {
        if there == Some(NodeKind::Folder) {
            session.remove_tree(&to).await?;
        }
        let overwrite = match may_overwrite {
            true => Overwrite::Allow,
            false => Overwrite::Forbid,
        };
        let copied = conditioned.copy_file(from, &to, overwrite).await;
        copied.map_err(|error| Fault::from(error).of_making())?;
        return Ok(status.into_response());
    }
    // What is in it is that of one moment, and seen before anything is replaced.
    let selection = match is_deep {
        true => Some(session.select(std::slice::from_ref(from)).await?),
        false => None,
    };
    if there.is_some() {
        session.remove_tree(&to).await?;
    }
    let made = session.copy_folder(from, &to).await;
    made.map_err(|error| Fault::from(error).of_making())?;
    let Some(selection) = selection else {
        return Ok(status.into_response());
    };
    let mut copying = Copying::new(session);
    let mut walk = selection.walk();
    while let Some(found) = walk.next().await? {
        // What was selected itself comes first, unless it is the root.
        let below = match from.is_root() {
            true => found.path.as_str(),
            false => match found.path.split_once('/') {
                Some((_, below)) => below,
                None => continue,
            },
        };
        let way = (below_of(from, below), below_of(&to, below));
        let (Ok(from), Ok(to)) = way else {
            let detail = "a path would become too long";
            copying.failed(
                format!("{}/{below}", asked.path),
                Problem::malformed(detail),
            );
            continue;
        };
        copying.copy(from, to, found.entry.kind).await;
        if copying.failures.len() >= FAILURES {
            break;
        }
    }
    copying.finish(&to, status).await
}

/// A path below another.
fn below_of(folder: &VfsPath, below: &str) -> Result<VfsPath, Error> {
    below.split('/').try_fold(folder.clone(), |path, name| {
        path.join(Name::parse(name.as_bytes())?)
    })
}

type Copied = (VfsPath, Result<(), Error>);

/// A folder that is being copied.
struct Copying<'a> {
    session: &'a Session,
    under_way: FuturesUnordered<futures_util::future::BoxFuture<'a, Copied>>,
    /// The addresses of what could not be copied, and why.
    failures: Vec<(String, Fault)>,
    /// The folders that could not be made: what would be in them is not spoken of.
    lost: Vec<VfsPath>,
}

impl<'a> Copying<'a> {
    fn new(session: &'a Session) -> Self {
        Self {
            session,
            under_way: FuturesUnordered::new(),
            failures: Vec::new(),
            lost: Vec::new(),
        }
    }

    async fn copy(&mut self, from: VfsPath, to: VfsPath, kind: NodeKind) {
        if self.lost.iter().any(|lost| to.starts_with(lost)) {
            return;
        }
        let session = self.session;
        if kind == NodeKind::Folder {
            if let Err(error) = session.copy_folder(&from, &to).await {
                self.note(&to, Err(error));
                self.lost.push(to);
            }
            return;
        }
        self.under_way.push(Box::pin(async move {
            let copied = session.copy_file(&from, &to, Overwrite::Forbid).await;
            (to, copied)
        }));
        if self.under_way.len() >= AT_ONCE
            && let Some((to, copied)) = self.under_way.next().await
        {
            self.note(&to, copied);
        }
    }

    fn note(&mut self, to: &VfsPath, copied: Result<(), Error>) {
        match copied {
            // Gone since it was seen.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => self.failures.push((place::href(to, false), error.into())),
            Ok(()) => {}
        }
    }

    fn failed(&mut self, href: String, problem: Problem) {
        self.failures.push((href, problem.into()));
    }

    async fn finish(mut self, to: &VfsPath, status: StatusCode) -> Result<Response, Fault> {
        while let Some((to, copied)) = self.under_way.next().await {
            self.note(&to, copied);
        }
        if self.failures.is_empty() {
            return Ok(status.into_response());
        }
        tracing::debug!(path = %to, failures = self.failures.len(), "a folder was copied in part");
        let responses = self.failures.iter().map(|(href, fault)| {
            format!(
                "<D:response><D:href>{}</D:href><D:status>HTTP/1.1 {}</D:status>{}\
                 <D:responsedescription>{}</D:responsedescription></D:response>\n",
                xml::escaped(href),
                fault.status(),
                fault.element(),
                xml::escaped(fault.detail())
            )
        });
        Ok(propfind::of_responses(&responses.collect::<String>()))
    }
}
