//! PROPFIND: what is at an address, and what is directly in it (RFC 4918 section 9.1).

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::domain::error::Result as Outcome;
use crate::domain::lock::Lock;
use crate::domain::node::{Entry, NodeKind};
use crate::http::dav::asked::{Asked, Depth};
use crate::http::dav::fault::{Condition, Fault};
use crate::http::dav::live::{Answering, Subject};
use crate::http::dav::{body, place, xml};
use crate::http::files::bundle::{COLLECTED, Collector};
use crate::http::files::pump::{self, Allowance};
use crate::vfs::locks::Locks;
use crate::vfs::look::Page;
use crate::vfs::seen::Seen;
use crate::vfs::session::Session;

/// Entries of a folder that are fetched at once, and those of them whose properties and locks are held in
/// memory together: of each these may be more than all else.
const PAGE: usize = 1000;
const AT_ONCE: usize = 64;
const OPEN: &str = "<D:multistatus xmlns:D=\"DAV:\">\n";
const CLOSE: &str = "</D:multistatus>\n";

/// Answers.
///
/// # Errors
/// 400, 403 for all that is below, 404, 413; as looking.
pub async fn answer(asked: Asked, body: Body) -> Result<Response, Fault> {
    let stall = asked.web.settings().stall_time;
    let wanted = body::propfind(&body::read(body, stall).await?)?;
    // Without a word all that is below is meant.
    let depth = asked.depth()?.unwrap_or(Depth::Infinity);
    let Asked {
        web, session, path, ..
    } = asked;
    let seen = session.look(&path).await;
    let seen = seen.map_err(|error| Fault::from(error).of_looking())?;
    let is_folder = seen.entry.kind == NodeKind::Folder;
    if depth == Depth::Infinity && is_folder {
        let detail = "a folder is shown with what is directly in it, not with all that is below; ask folder \
                      by folder, with Depth: 1";
        let condition = Condition::PropfindFiniteDepth;
        return Err(Fault::of(StatusCode::FORBIDDEN, condition, detail));
    }
    let locks = match wanted.needs_locks() {
        true => session.locks_at(&path).await?,
        false => Locks::unknown(),
    };
    let space = match wanted.needs_space() {
        true => Some(session.space().await?),
        false => None,
    };
    let teller = Teller {
        session,
        folder: place::href(&path, is_folder),
        answering: Answering {
            wanted,
            space,
            now: locks.now,
        },
        locks,
    };
    let first = teller.tell_root(&seen).await?;
    if depth == Depth::Zero || !is_folder {
        return Ok(multistatus(Body::from(
            [xml::HEAD, OPEN, &first, CLOSE].concat(),
        )));
    }
    // What is refused is refused before the answer has begun.
    let page = teller.session.page(&path, "", PAGE).await?;
    let principal = teller.session.principal().clone();
    let allowance = Allowance::of(&web, &principal, COLLECTED)?;
    let body = pump::body(&web, &principal, allowance, |outlet| async move {
        let mut out = Collector::new(outlet);
        out.put(xml::HEAD.as_bytes()).await?;
        out.put(OPEN.as_bytes()).await?;
        out.put(first.as_bytes()).await?;
        let mut page = page;
        loop {
            teller.tell_page(&page, &mut out).await?;
            let Some(after) = page.next else {
                break;
            };
            page = teller.session.page(&path, &after, PAGE).await?;
        }
        out.put(CLOSE.as_bytes()).await?;
        out.flush().await
    });
    Ok(multistatus(body))
}

/// 207 with a body of XML.
pub fn multistatus(body: Body) -> Response {
    let kind = HeaderValue::from_static("application/xml; charset=utf-8");
    (
        StatusCode::MULTI_STATUS,
        [(header::CONTENT_TYPE, kind)],
        body,
    )
        .into_response()
}

/// 207 with these responses.
pub fn of_responses(responses: &str) -> Response {
    multistatus(Body::from([xml::HEAD, OPEN, responses, CLOSE].concat()))
}

/// Tells of a folder and what is in it.
struct Teller {
    session: Session,
    /// Its address.
    folder: String,
    /// The locks on it.
    locks: Locks,
    answering: Answering,
}

impl Teller {
    async fn tell_root(&self, seen: &Seen) -> Outcome<String> {
        let entry = &seen.entry;
        let kept = match self.answering.wanted.needs_kept() {
            true => self.session.properties_of(&[entry]).await?,
            false => Default::default(),
        };
        let is_folder = entry.kind == NodeKind::Folder;
        let locks = self.locks.locks.iter().map(|placed| {
            let is_own = placed.lock.node == entry.node;
            let root = place::href(&placed.root, is_folder || !is_own);
            (&placed.lock, root)
        });
        let subject = Subject {
            href: self.folder.clone(),
            entry,
            kept: kept.get(&entry.node).map_or(&[], Vec::as_slice),
            locks: locks.collect(),
        };
        Ok(self.answering.response(&subject))
    }

    async fn tell_page(&self, page: &Page, out: &mut Collector) -> Outcome<()> {
        for some in page.items.chunks(AT_ONCE) {
            let entries: Vec<&Entry> = some.iter().map(|seen| &seen.entry).collect();
            self.tell_some(&entries, out).await?;
        }
        Ok(())
    }

    async fn tell_some(&self, entries: &[&Entry], out: &mut Collector) -> Outcome<()> {
        let session = &self.session;
        let kept = match self.answering.wanted.needs_kept() {
            true => session.properties_of(entries).await?,
            false => Default::default(),
        };
        let own = match self.answering.wanted.needs_locks() {
            true => session.locks_on(entries, self.answering.now).await?,
            false => Vec::new(),
        };
        for entry in entries {
            let href = place::child(&self.folder, entry);
            let subject = Subject {
                locks: self.locks_on(entry, &own, &href),
                href,
                entry,
                kept: kept.get(&entry.node).map_or(&[], Vec::as_slice),
            };
            out.put(self.answering.response(&subject).as_bytes())
                .await?;
        }
        Ok(())
    }

    fn locks_on<'a>(
        &'a self,
        entry: &Entry,
        own: &'a [Lock],
        href: &str,
    ) -> Vec<(&'a Lock, String)> {
        let above = self.locks.locks.iter().filter(|placed| placed.lock.deep);
        let above = above.map(|placed| (&placed.lock, place::href(&placed.root, true)));
        let own = own.iter().filter(|lock| lock.node == entry.node);
        above
            .chain(own.map(|lock| (lock, href.to_owned())))
            .collect()
    }
}
