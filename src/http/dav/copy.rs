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
use crate::http::reply::Problem;
use crate::http::tally::Told;
use crate::vfs::rename::Overwrite;
use crate::vfs::selection::{Purpose, SelectionWalk};
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
    made.map_err(refused)?;
    let Some(selection) = selection else {
        return Ok(status.into_response());
    };
    let mut copying = Copying::new(session);
    let copied = Box::pin(copying.copy_all(selection.walk(), (from, &to)));
    let accounts = asked.web.accounts();
    let copied = accounts.while_logged_in(session.principal(), copied);
    copied.await.flatten()?;
    Ok(copying.told(&to, status))
}

/// A path below another.
fn below_of(folder: &VfsPath, below: &str) -> Result<VfsPath, Error> {
    below.split('/').try_fold(folder.clone(), |path, name| {
        path.join(Name::parse(name.as_bytes())?)
    })
}

/// Where a file went, whether it is a folder, and what came of it.
type Copied = ((VfsPath, bool), Result<(), Error>);

/// A folder that is being copied.
struct Copying<'a> {
    session: &'a Session,
    under_way: FuturesUnordered<futures_util::future::BoxFuture<'a, Copied>>,
    /// The addresses of what could not be copied, and why.
    failures: Vec<(String, Fault)>,
    /// The folders that were not copied: what is in them is not spoken of.
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

    /// Copies what a walk through `from` comes upon below it.
    async fn copy_all(
        &mut self,
        mut walk: SelectionWalk,
        (from, to): (&VfsPath, &VfsPath),
    ) -> Result<(), Error> {
        while let Some(found) = walk.next().await? {
            // What was selected itself comes first, unless it is the root.
            let below = match from.is_root() {
                true => found.path.as_str(),
                false => match found.path.split_once('/') {
                    Some((_, below)) => below,
                    None => continue,
                },
            };
            let from = below_of(from, below)?;
            let to = below_of(to, below);
            self.copy(from, to, found.entry.kind).await;
            if self.failures.len() >= FAILURES {
                break;
            }
        }
        while let Some((goal, copied)) = self.under_way.next().await {
            self.note(&goal, copied);
        }
        Ok(())
    }

    async fn copy(&mut self, from: VfsPath, to: Result<VfsPath, Error>, kind: NodeKind) {
        if self.lost.iter().any(|lost| from.starts_with(lost)) {
            return;
        }
        let (session, is_folder) = (self.session, kind == NodeKind::Folder);
        let to = match to {
            Ok(to) => to,
            // Where it would go has no address.
            Err(error) => {
                let href = place::href(&from, is_folder);
                self.failures.push((href, error.into()));
                if is_folder {
                    self.lost.push(from);
                }
                return;
            }
        };
        let goal = (to.clone(), is_folder);
        if is_folder {
            let copied = session.copy_folder(&from, &to, Overwrite::Forbid).await;
            if copied.is_err() {
                self.lost.push(from);
            }
            self.note(&goal, copied);
            return;
        }
        self.under_way.push(Box::pin(async move {
            let copied = session.copy_file(&from, &to, Overwrite::Forbid).await;
            (goal, copied)
        }));
        if self.under_way.len() >= AT_ONCE
            && let Some((goal, copied)) = self.under_way.next().await
        {
            self.note(&goal, copied);
        }
    }

    fn note(&mut self, (to, is_folder): &(VfsPath, bool), copied: Result<(), Error>) {
        match copied {
            // Gone since it was seen.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let href = place::href(to, *is_folder);
                let fault = Fault::from(error).about(&href);
                self.failures.push((href, fault));
            }
            Ok(()) => {}
        }
    }

    /// The answer.
    fn told(&self, to: &VfsPath, status: StatusCode) -> Response {
        if self.failures.is_empty() {
            return status.into_response();
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
        let mut response = propfind::of_responses(&responses.collect::<String>());
        let words = self.failures.iter().map(|(_, fault)| fault.word());
        response.extensions_mut().insert(Told(words.collect()));
        response
    }
}
