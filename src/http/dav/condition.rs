//! The header `If` (RFC 4918 section 10.4): which versions and locks the client goes by.

use axum::http::{HeaderMap, StatusCode, Uri};

use crate::domain::error::ErrorKind;
use crate::domain::id::LockToken;
use crate::domain::node::{Entry, Version};
use crate::domain::path::VfsPath;
use crate::http::dav::fault::Fault;
use crate::http::dav::{place, token};
use crate::http::files::condition;
use crate::http::reply::Problem;
use crate::vfs::session::Session;

/// Most conditions of a request.
const MOST: usize = 100;

/// What the header says: one of these lists must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct If {
    lists: Vec<List>,
}

/// Conditions that must hold all together.
#[derive(Clone, Debug, PartialEq, Eq)]
struct List {
    /// The address that they are about; none is the request's own.
    about: Option<String>,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    is_not: bool,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// An entity tag, with its quotes.
    Tag(String),
    /// The token of a lock; one that is not ours holds nowhere.
    Token(Option<LockToken>),
}

impl If {
    /// Reads the header; none when the request has none.
    ///
    /// # Errors
    /// 400.
    pub fn read(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let Some(said) = headers.get("if") else {
            return Ok(None);
        };
        let parsed = said.to_str().ok().and_then(parse);
        let parsed = parsed.ok_or_else(|| {
            Problem::malformed("the header If does not have the form of RFC 4918 section 10.4")
        })?;
        let count: usize = parsed.lists.iter().map(|list| list.conditions.len()).sum();
        if count > MOST {
            let detail = format!(
                "the header If has {count} conditions, and {MOST} at most are taken; name the locks and versions \
                 of what this request changes alone"
            );
            return Err(Problem::malformed(detail));
        }
        Ok(Some(parsed))
    }

    /// The tokens that it shows, wherever they stand.
    pub fn tokens(&self) -> Vec<LockToken> {
        let conditions = self.lists.iter().flat_map(|list| &list.conditions);
        let tokens = conditions.filter_map(|condition| match condition.state {
            State::Token(token) => token,
            State::Tag(_) => None,
        });
        tokens.collect()
    }

    /// Fails unless one of its lists holds; those without an address are about `path`. If none would hold without
    /// a version, that is told with where it is, so that it can be looked at again in the change itself.
    ///
    /// # Errors
    /// 412; as looking at what it is about.
    pub async fn check(
        &self,
        session: &Session,
        path: &VfsPath,
        (uri, headers): (&Uri, &HeaderMap),
    ) -> Result<Option<(VfsPath, Version)>, Fault> {
        let mut needed = None;
        for list in &self.lists {
            let about = match &list.about {
                None => Some(path.clone()),
                // Of what lies elsewhere nothing is known.
                Some(text) => place::address(text, uri, headers).ok(),
            };
            let Some(about) = about else {
                continue;
            };
            match list.holds(session, &about).await? {
                Holds::No => {}
                Holds::OfVersion(version) => needed = Some((about, version)),
                Holds::Yes => return Ok(None),
            }
        }
        if needed.is_some() {
            return Ok(needed);
        }
        let detail = "none of what the header If names is so: another version is there, or a lock has \
                      ended; look at it again, then decide";
        Err(Problem::new(StatusCode::PRECONDITION_FAILED, "changed", detail).into())
    }
}

/// Whether a list holds.
enum Holds {
    No,
    /// As long as this is the version.
    OfVersion(Version),
    Yes,
}

impl List {
    async fn holds(&self, session: &Session, about: &VfsPath) -> Result<Holds, Fault> {
        let (mut tokens, mut entry) = (None, None);
        let mut holds = Holds::Yes;
        for condition in &self.conditions {
            let is_so = match &condition.state {
                State::Token(None) => false,
                State::Token(Some(token)) => {
                    let known = match tokens.take() {
                        Some(known) => known,
                        None => tokens_at(session, about).await?,
                    };
                    tokens.insert(known).contains(token)
                }
                State::Tag(wanted) => {
                    let known = match entry.take() {
                        Some(known) => known,
                        None => entry_at(session, about).await?,
                    };
                    let known: &Option<Entry> = entry.insert(known);
                    let wanted = wanted.trim_start_matches("W/");
                    let is = |entry: &&Entry| condition::tag(entry) == wanted;
                    let found = known.as_ref().filter(is);
                    if let (Some(found), false) = (found, condition.is_not) {
                        holds = Holds::OfVersion(found.version());
                    }
                    found.is_some()
                }
            };
            if is_so == condition.is_not {
                return Ok(Holds::No);
            }
        }
        Ok(holds)
    }
}

async fn tokens_at(session: &Session, path: &VfsPath) -> Result<Vec<LockToken>, Fault> {
    match session.locks_at(path).await {
        Ok(locks) => Ok(locks.locks.iter().map(|placed| placed.lock.token).collect()),
        Err(error) if error.kind() == ErrorKind::Unavailable => Err(error.into()),
        Err(_) => Ok(Vec::new()),
    }
}

async fn entry_at(session: &Session, path: &VfsPath) -> Result<Option<Entry>, Fault> {
    match session.look(path).await {
        Ok(seen) => Ok(Some(seen.entry)),
        Err(error) if error.kind() == ErrorKind::Unavailable => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// Takes what the header says; none when it does not have its form.
fn parse(text: &str) -> Option<If> {
    let (mut lists, mut about) = (Vec::new(), None);
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('<') {
            let (address, after) = after.split_once('>')?;
            about = Some(address.to_owned());
            rest = after.trim_start();
            // An address stands before at least one list.
            if !rest.starts_with('(') {
                return None;
            }
        }
        let mut inner = rest.strip_prefix('(')?.trim_start();
        let mut conditions = Vec::new();
        while !inner.starts_with(')') {
            let (condition, after) = condition(inner)?;
            conditions.push(condition);
            inner = after.trim_start();
        }
        if conditions.is_empty() {
            return None;
        }
        lists.push(List {
            about: about.clone(),
            conditions,
        });
        rest = inner.strip_prefix(')')?.trim_start();
    }
    (!lists.is_empty()).then_some(If { lists })
}

fn condition(text: &str) -> Option<(Condition, &str)> {
    let not = text
        .get(..3)
        .is_some_and(|word| word.eq_ignore_ascii_case("not"));
    let text = match not {
        true => text.get(3..)?.trim_start(),
        false => text,
    };
    let (state, rest) = match text.strip_prefix('<') {
        Some(address) => {
            let (address, rest) = address.split_once('>')?;
            (State::Token(token::parse(address)), rest)
        }
        None => {
            let (tag, rest) = text.strip_prefix('[')?.split_once(']')?;
            (State::Tag(tag.trim().to_owned()), rest)
        }
    };
    let condition = Condition { is_not: not, state };
    Some((condition, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_conditions_are_read_with_what_they_are_about() {
        let token = LockToken::random();
        let shown = token::text(token);
        let text = format!("<https://a/b> (<{shown}> [W/\"x\"]) (Not <DAV:no-lock>) ([\"y\"])");
        let read = parse(&text).unwrap();
        assert_eq!(read.tokens(), [token]);
        assert_eq!(read.lists.len(), 3);
        assert_eq!(read.lists[2].about.as_deref(), Some("https://a/b"));
        assert_eq!(
            read.lists[1].conditions,
            [Condition {
                is_not: true,
                state: State::Token(None)
            }]
        );
        assert_eq!(
            read.lists[0].conditions[1].state,
            State::Tag("W/\"x\"".to_owned())
        );
        for bad in [
            "",
            "x",
            "(",
            "()",
            "(x)",
            "<a>",
            "<a> <b> (<c>)",
            "(<a>",
            "([\"x\")",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
