//! A request of somebody who has logged in, as far as it is the same for all methods.

use axum::http::{HeaderMap, StatusCode, Uri};

use crate::domain::node::Version;
use crate::domain::path::VfsPath;
use crate::http::dav::condition::If;
use crate::http::dav::fault::Fault;
use crate::http::files::entries;
use crate::http::reply::Problem;
use crate::http::web::Web;
use crate::vfs::condition::Condition;
use crate::vfs::session::Session;

/// A request.
pub struct Asked {
    /// What every request may use.
    pub web: Web,
    /// The files as who asks may use them; what others hold locks on is not changed.
    pub session: Session,
    /// What it is about.
    pub path: VfsPath,
    /// Its address.
    pub uri: Uri,
    /// Its headers.
    pub headers: HeaderMap,
    /// The locks and versions that it goes by.
    pub condition: Option<If>,
    /// What must be at a path for that to hold, if it must be this version.
    pub version: Option<(VfsPath, Version)>,
}

/// How far down something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// To what is named and all that is below.
    Infinity,
    /// To what is named and what is directly in it.
    One,
    /// To what is named.
    Zero,
}

impl Asked {
    /// The session that changes what the request is about only if its conditions hold, and what `If` names is the
    /// version that it names.
    ///
    /// # Errors
    /// 400 when a condition is malformed.
    pub fn conditioned(&self) -> Result<Session, Problem> {
        let session = entries::conditioned(&self.session, &self.headers)?;
        Ok(match &self.version {
            None => session,
            Some((path, version)) => session.provided(Condition {
                at: Some(path.clone()).filter(|path| *path != self.path),
                only: Some(vec![*version]),
                ..Condition::default()
            }),
        })
    }

    /// The header `Depth`; what is meant without it, the standard says for each method.
    ///
    /// # Errors
    /// 400.
    pub fn depth(&self) -> Result<Option<Depth>, Problem> {
        let Some(said) = self.headers.get("depth") else {
            return Ok(None);
        };
        let said = said.to_str().unwrap_or_default().trim();
        // `noroot` is Microsoft's, from before the standard.
        match said.split(',').next().unwrap_or_default() {
            "0" => Ok(Some(Depth::Zero)),
            "1" => Ok(Some(Depth::One)),
            infinity if infinity.eq_ignore_ascii_case("infinity") => Ok(Some(Depth::Infinity)),
            _ => Err(Problem::malformed("Depth is 0, 1 or infinity")),
        }
    }

    /// Whether something may be replaced (RFC 4918 section 10.6).
    ///
    /// # Errors
    /// 400.
    pub fn may_overwrite(&self) -> Result<bool, Problem> {
        let said = self.headers.get("overwrite");
        match said.map(|said| said.to_str().unwrap_or_default().trim()) {
            None | Some("T" | "t") => Ok(true),
            Some("F" | "f") => Ok(false),
            Some(_) => Err(Problem::malformed("Overwrite is T or F")),
        }
    }
}

/// The error of something that is in the way and may not be replaced.
pub fn in_the_way(path: &VfsPath) -> Fault {
    let detail = format!("'{path}' exists already, and Overwrite is F");
    Problem::new(StatusCode::PRECONDITION_FAILED, "already-exists", detail).into()
}
