//! What LIST, NLST, MLSD and STAT are asked for, and the lines they show.

use std::borrow::Cow;

use crate::domain::clock::Timestamp;
use crate::domain::long_name;
use crate::domain::node::{Entry, NodeKind};
use crate::domain::path::VfsPath;
use crate::domain::pattern::Pattern;
use crate::domain::rights::Rights;
use crate::ftp::argument::{self, Argument};
use crate::ftp::charset::Charset;
use crate::ftp::facts::{Facts, Relation};
use crate::ftp::reply::Reply;
use crate::ftp::state::State;
use crate::vfs::session::Session;

/// Names that are compared with a pattern before others have their turn.
const TURN_NAMES: usize = 32;
/// Longest pattern: several times the longest name.
const MAX_PATTERN_BYTES: usize = 1024;

/// What is listed, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRequest {
    /// The folder or file.
    pub path: VfsPath,
    /// Which of the folder's names; none is all.
    pub pattern: Option<Pattern>,
    /// What is shown of each.
    pub style: Style,
    /// What names are shown with in front (`NLST folder`).
    pub prefix: String,
    /// What is meant instead if nothing is at the path.
    otherwise: Option<Box<ListRequest>>,
}

/// What is shown of each name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Facts for programs (MLSD).
    Facts(Facts),
    /// The lines of `ls -l`, which clients of forty years read (LIST).
    Long,
    /// Names alone (NLST).
    Names,
}

impl ListRequest {
    /// What LIST, NLST and STAT ask for: flags of ls, which change nothing but for -R, and a path,
    /// whose last name may be a pattern. [`ListRequest::settled`] tells which it is.
    ///
    /// # Errors
    /// 504 for -R; else as paths.
    pub fn parse(argument: Argument<'_>, state: &State, style: Style) -> Result<Self, Reply> {
        let text = argument.text(state)?;
        let rest = flags(&text)?;
        if rest.is_empty() {
            return Ok(Self::whole(state.folder.clone(), style));
        }
        let whole = argument::path(rest, state).map(|path| Self {
            prefix: rest.to_owned(),
            ..Self::whole(path, style)
        });
        let prefix = match rest.rfind('/') {
            Some(at) => rest.get(..=at).unwrap_or_default(),
            None => "",
        };
        let last = rest.get(prefix.len()..).unwrap_or_default();
        if !last.contains(['*', '?', '[']) {
            return whole;
        }
        if last.len() > MAX_PATTERN_BYTES {
            return whole.map_err(|_| {
                let sentence = format!(
                    "a pattern has {MAX_PATTERN_BYTES} bytes at most; list the folder as a whole"
                );
                Reply::new(501, sentence)
            });
        }
        let folder = match prefix.is_empty() {
            true => state.folder.clone(),
            false => argument::path(prefix, state)?,
        };
        let by_pattern = Self {
            pattern: Some(Pattern::of(last)),
            prefix: prefix.to_owned(),
            ..Self::whole(folder, style)
        };
        // Not every pattern could be a name.
        Ok(match whole {
            Ok(whole) => Self {
                otherwise: Some(Box::new(by_pattern)),
                ..whole
            },
            Err(_) => by_pattern,
        })
    }

    /// All of a folder.
    pub fn whole(path: VfsPath, style: Style) -> Self {
        Self {
            path,
            pattern: None,
            style,
            prefix: String::new(),
            otherwise: None,
        }
    }

    /// What is meant: the name itself if it is there, or else the pattern. Clients ask for names that
    /// they were told of before, and these may look like patterns.
    pub async fn settled(mut self, session: &Session) -> Self {
        match self.otherwise.take() {
            Some(otherwise) if session.stat(&self.path).await.is_err() => *otherwise,
            _ => self,
        }
    }

    /// Whether a name is asked for.
    fn wants(&self, name: &str) -> bool {
        let pattern = self.pattern.as_ref();
        pattern.is_none_or(|pattern| pattern.matches(name))
    }

    /// Those of `page` that are asked for; lets others go on in between.
    pub async fn wanted(&self, page: Vec<Entry>) -> Vec<Entry> {
        if self.pattern.is_none() {
            return page;
        }
        let mut wanted = Vec::new();
        for (number, entry) in page.into_iter().enumerate() {
            if number % TURN_NAMES == TURN_NAMES - 1 {
                tokio::task::yield_now().await;
            }
            if self.wants(&entry.name) {
                wanted.push(entry);
            }
        }
        wanted
    }
}

/// What follows the flags: one space parts them from it, all others belong to a name.
fn flags(text: &str) -> Result<&str, Reply> {
    let mut rest = text;
    while let Some(after) = rest.strip_prefix('-') {
        let (word, behind) = after.split_once(' ').unwrap_or((after, ""));
        match word {
            "-" => return Ok(behind),
            _ if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_alphanumeric()) => break,
            _ if word.contains('R') => {
                return Err(Reply::new(504, "-R is not offered; list folder by folder"));
            }
            _ => rest = behind,
        }
    }
    Ok(rest)
}

/// Who looks at a listing.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// What files are shown as belonging to.
    pub owners: (String, String),
    /// The time.
    pub now: Timestamp,
    /// What may be done in the folder.
    pub rights: Rights,
    /// How names are written.
    pub charset: Charset,
}

impl Viewer {
    /// The same, in the client's character set.
    pub fn encoded(&self, style: Style, entry: &Entry, name: &str) -> Vec<u8> {
        let line = self.line(style, entry, name);
        self.charset.encode(&line).into_owned()
    }

    /// The line of an entry under a name, with its end.
    pub fn line(&self, style: Style, entry: &Entry, name: &str) -> String {
        let name = in_a_line(name);
        let (user, group) = (&self.owners.0, &self.owners.1);
        match style {
            Style::Facts(facts) => {
                let facts = facts.of(entry, Relation::Child, self.rights);
                format!("{facts}{name}\r\n")
            }
            Style::Long => {
                let line = long_name::line(&name, entry, (user, group), self.now);
                format!("{line}\r\n")
            }
            Style::Names => format!("{name}\r\n"),
        }
    }
}

/// A name as it stands in a line: without what would end the line, and otherwise as it is, since clients
/// fetch what they read.
fn in_a_line(name: &str) -> Cow<'_, str> {
    const ENDS: [char; 3] = ['\0', '\n', '\r'];
    match name.contains(ENDS) {
        true => Cow::Owned(name.replace(ENDS, "?")),
        false => Cow::Borrowed(name),
    }
}

/// The name under which NLST shows an entry: with the path that was asked for in front, as ls does.
pub fn shown_name(request: &ListRequest, entry: &Entry) -> String {
    match (request.style, request.prefix.as_str()) {
        (Style::Names, prefix) if !prefix.is_empty() => match prefix.ends_with('/') {
            true => format!("{prefix}{}", entry.name),
            false => format!("{prefix}/{}", entry.name),
        },
        _ => entry.name.clone(),
    }
}

/// The name under which a file is shown that was asked for itself.
pub fn file_name(request: &ListRequest, entry: &Entry) -> String {
    match (request.prefix.is_empty(), entry.kind) {
        (false, NodeKind::File) => request.prefix.clone(),
        _ => entry.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_not_paths() {
        for (text, rest) in [
            ("", ""),
            ("-a", ""),
            ("-al", ""),
            ("-la -t *.txt", "*.txt"),
            ("-a x y", "x y"),
            ("-- -a", "-a"),
            ("-", "-"),
            ("-1x/y", "-1x/y"),
            ("a -l", "a -l"),
            (" x", " x"),
            ("-a  x", " x"),
            ("--  -x", " -x"),
        ] {
            assert_eq!(flags(text).as_deref(), Ok(rest), "{text}");
        }
        assert_eq!(flags("-lR x").unwrap_err().code(), 504);
    }
}
