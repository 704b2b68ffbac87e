//! Somebody who asks by a link.

use std::collections::HashMap;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};

use crate::accounts::door::Door;
use crate::accounts::links::{Found, GoodLink, PASS_LIFE};
use crate::accounts::ticket::{Ticket, TicketKind};
use crate::domain::error::ErrorKind;
use crate::domain::id::{LinkId, TenantId};
use crate::domain::link::LinkKind;
use crate::domain::node::{Entry, NodeKind};
use crate::domain::path::VfsPath;
use crate::domain::principal::Protocol;
use crate::http::basic::Credentials;
use crate::http::links::veil;
use crate::http::reply::Problem;
use crate::http::web::{API, Web};
use crate::http::{cookie, held, standing, visitor};
use crate::vfs::session::Session;

/// Browsers take a cookie of such a name over TLS only; its path is that of the link.
const COOKIE: &str = "__Secure-sealift-link";
/// How often it is looked where a link leads, while what it leads to moves on.
const LOOKS: u32 = 5;

/// Somebody at the door of a link that is good; whether they may enter is not looked at. Refused with 404
/// when there is no such link, with 410 when it has ended.
pub struct Knock {
    /// The link.
    pub good: Box<GoodLink>,
    /// From where.
    pub from: Door,
    /// The text of the link.
    token: String,
}

/// Somebody who came in by a link: the files as they may use them. Refused besides with 401 when the
/// password is not given.
pub struct Outsider {
    /// The files.
    pub session: Session,
    /// The link.
    pub good: Box<GoodLink>,
    /// From where.
    pub from: Door,
    /// What the link leads to.
    pub entry: Entry,
    /// The text of the link.
    token: String,
    /// What stands behind the link in the address.
    path: Option<String>,
}

impl FromRequestParts<Web> for Knock {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Problem> {
        let token = named(parts, web).await?.remove("token").unwrap_or_default();
        // The future is that of several looks into the database.
        Box::pin(knock(parts, web, token)).await
    }
}

impl FromRequestParts<Web> for Outsider {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Problem> {
        let mut named = named(parts, web).await?;
        let token = named.remove("token").unwrap_or_default();
        let knock = Box::pin(knock(parts, web, token)).await?;
        Box::pin(prove(&parts.headers, web, &knock)).await?;
        let entering = knock.enter(web, &parts.extensions, named.remove("path"));
        entering.await
    }
}

impl Knock {
    /// Has the browser remember that the password was given.
    pub fn cookie(&self, web: &Web) -> HeaderValue {
        let pass = self.good.pass(web.clock().now());
        let (path, life) = (base(&self.token), PASS_LIFE.as_secs());
        let text = format!(
            "{COOKIE}={pass}; Path={path}; Max-Age={life}; Secure; HttpOnly; SameSite=Strict"
        );
        // Letters, digits and punctuation: there is nothing in it that a header could not hold.
        let mut value = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }

    /// Whether the password was given, or none is needed.
    ///
    /// # Errors
    /// 401 when a wrong one is, 429 after failures, 503.
    pub async fn is_open(&self, headers: &HeaderMap, web: &Web) -> Result<bool, Problem> {
        if !self.good.needs_password() {
            return Ok(true);
        }
        if cookie::value(headers, COOKIE)
            .is_some_and(|pass| self.good.is_pass(pass, web.clock().now()))
        {
            return Ok(true);
        }
        let Some(credentials) = basic(headers) else {
            return Ok(false);
        };
        let password = &credentials.password;
        web.accounts()
            .prove_link(&self.good, password, self.from)
            .await?;
        Ok(true)
    }

    /// Fails when no more can be done by the link, unless the address goes on with what it began.
    ///
    /// # Errors
    /// 410, 503.
    pub async fn check_left(&self, web: &Web) -> Result<(), Problem> {
        check_left(web, &self.good, self.from).await
    }

    /// Lets them in, who have shown that they may, as long as the answer to their request lasts. `path` is what
    /// stands behind the link in the address.
    ///
    /// # Errors
    /// 410 when the maker may not do any more what the link is for; 429, 503.
    pub async fn enter(
        self,
        web: &Web,
        request: &Extensions,
        path: Option<String>,
    ) -> Result<Outsider, Problem> {
        let Self {
            mut good,
            from,
            token,
        } = self;
        let mut looks = 1;
        let (guest, session, entry) = loop {
            let guest = web.guests().admit(&good, from).await?;
            let session = web.vfs().session(guest.principal.clone());
            let entry = session.held(good.home(), good.link().kind.needed()).await;
            let error = match entry {
                Ok(entry) => break (guest, session, entry),
                Err(error) => error,
            };
            good = match error.kind() {
                // What its maker may do no more, nobody does by it.
                ErrorKind::Denied | ErrorKind::NotFound | ErrorKind::NotFolder => {
                    return Err(veil::over());
                }
                // It was moved since it was looked where it is.
                ErrorKind::Stale if looks < LOOKS => {
                    match Box::pin(find(web, &token, from)).await? {
                        Found::Good(fresh) => fresh,
                        Found::Over => return Err(veil::over()),
                    }
                }
                _ => return Err(veil::error(error)),
            };
            looks += 1;
        };
        held::put(request, guest);
        if good.link().kind == LinkKind::Upload {
            if entry.kind == NodeKind::File {
                return Err(veil::over());
            }
            // Their files come by this connection.
            standing::admit(request);
        }
        Ok(Outsider {
            session,
            good,
            from,
            entry,
            token,
            path,
        })
    }
}

impl Outsider {
    /// As [`Knock::check_left`].
    ///
    /// # Errors
    /// 410, 503.
    pub async fn check_left(&self, web: &Web) -> Result<(), Problem> {
        check_left(web, &self.good, self.from).await
    }

    /// What an outcome is to those who come by a link, which may have ended since they were let in.
    ///
    /// # Errors
    /// That of the outcome; 410.
    pub async fn told<T>(&self, web: &Web, outcome: Result<T, Problem>) -> Result<T, Problem> {
        let problem = match outcome {
            Ok(done) => return Ok(done),
            Err(problem) => veil::problem(problem),
        };
        let is_of_place = matches!(
            problem.status(),
            StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::LOCKED
        );
        if !is_of_place {
            return Err(problem);
        }
        match Box::pin(find(web, &self.token, self.from)).await {
            Ok(Found::Over) => Err(veil::over()),
            // What went wrong before says more.
            Ok(Found::Good(_)) | Err(_) => Err(problem),
        }
    }

    /// Fails unless the link is for this.
    ///
    /// # Errors
    /// 403; 410 when nothing can be done by it any more.
    pub fn require(&self, kind: LinkKind) -> Result<(), Problem> {
        match (self.good.link().kind == kind, kind) {
            (true, _) => Ok(()),
            (false, _) if self.good.link().is_used_up() => Err(veil::over()),
            (false, LinkKind::Download) => {
                let detail = "files are sent by this link; nothing can be seen or read by it";
                Err(Problem::new(StatusCode::FORBIDDEN, "upload-only", detail))
            }
            (false, LinkKind::Upload) => {
                let detail = "files are read by this link; none can be sent by it";
                Err(Problem::new(StatusCode::FORBIDDEN, "download-only", detail))
            }
        }
    }

    /// The link, as what is done by it is counted.
    pub fn id(&self) -> (TenantId, LinkId) {
        (self.session.principal().tenant, self.good.link().id)
    }

    /// What was named behind the link, below what it leads to.
    ///
    /// # Errors
    /// 400 when it is no path.
    pub fn place(&self) -> Result<VfsPath, Problem> {
        let path = self.path.as_deref().unwrap_or_default();
        Ok(VfsPath::parse(&format!(
            "/{}",
            path.trim_start_matches('/')
        ))?)
    }

    /// The name that stands behind the link, as it was sent.
    pub fn named(&self) -> &str {
        self.path.as_deref().unwrap_or_default()
    }

    /// Where something is that lies at `path` below what the link leads to.
    ///
    /// # Errors
    /// 400 when that is too deep.
    pub fn within(&self, path: &VfsPath) -> Result<VfsPath, Problem> {
        let home = self.good.home().clone();
        let names = path.names().iter().cloned();
        let joined = names.into_iter().try_fold(home, VfsPath::join);
        joined.map_err(|_| Problem::malformed("the path is too long or too deep"))
    }

    /// What stands before the ids of uploads in their addresses.
    pub fn uploads(&self) -> String {
        format!("{}/uploads/", base(&self.token))
    }
}

/// Where a link is.
pub fn base(token: &str) -> String {
    format!("{API}/shared/{token}")
}

async fn named(parts: &mut Parts, web: &Web) -> Result<HashMap<String, String>, Problem> {
    let named = Path::<HashMap<String, String>>::from_request_parts(parts, web).await;
    let Path(named) = named.map_err(|error| {
        Problem::malformed(format!("the path does not fit: {}", error.body_text()))
    })?;
    Ok(named)
}

async fn knock(parts: &Parts, web: &Web, token: String) -> Result<Knock, Problem> {
    let (from, tenant) = visitor::whence(parts, web, Protocol::Https).await?;
    let good = match find(web, &token, from).await? {
        Found::Good(good) => good,
        Found::Over => return Err(veil::over()),
    };
    match tenant {
        Some(tenant) if tenant != good.tenant() => Err(veil::unknown()),
        _ => Ok(Knock { good, from, token }),
    }
}

/// What the text of a link stands for now.
async fn find(web: &Web, token: &str, from: Door) -> Result<Found, Problem> {
    let ticket = Ticket::parse(TicketKind::Link, token).ok_or_else(veil::unknown)?;
    let found = web.accounts().link(&ticket, from).await?;
    found.ok_or_else(veil::unknown)
}

async fn prove(headers: &HeaderMap, web: &Web, knock: &Knock) -> Result<(), Problem> {
    match knock.is_open(headers, web).await? {
        true => Ok(()),
        false => {
            let detail = "this link has a password: send it by Basic, with any name, or by POST to \
                          .../password, which sets a cookie";
            Err(Problem::new(StatusCode::UNAUTHORIZED, "password", detail))
        }
    }
}

async fn check_left(web: &Web, good: &GoodLink, from: Door) -> Result<(), Problem> {
    let link = good.link();
    if !link.is_used_up() {
        return Ok(());
    }
    let goes_on = match link.kind {
        LinkKind::Download => {
            let id = (good.tenant_id(), link.id);
            web.accounts().has_downloads(id, from).await?
        }
        LinkKind::Upload => false,
    };
    match goes_on {
        true => Ok(()),
        false => Err(veil::over()),
    }
}

fn basic(headers: &HeaderMap) -> Option<Credentials> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, text) = text.split_once(' ')?;
    let is_basic = scheme.eq_ignore_ascii_case("basic");
    is_basic.then(|| Credentials::parse(text)).flatten()
}
