//! Replies of FTP (RFC 959 section 4.2), and the table from our errors to its codes.

use crate::domain::error::{Error, ErrorKind};

/// A reply: its code, and lines of text. Every way to make one takes care that no text ends a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    /// What went wrong, where an error of ours stands behind it.
    kind: Option<ErrorKind>,
    /// At least one; those but the last are sent with a hyphen or a space in front.
    lines: Vec<String>,
}

impl Reply {
    /// A reply of one line.
    pub fn new(code: u16, text: impl Into<String>) -> Self {
        Self {
            code,
            kind: None,
            lines: vec![printable(text.into())],
        }
    }

    /// A reply with lines between its first and its last one (each is sent after a space, as RFC 2389
    /// wants it of features and RFC 3659 of facts).
    pub fn long(
        code: u16,
        first: impl Into<String>,
        between: impl IntoIterator<Item = String>,
        last: impl Into<String>,
    ) -> Self {
        let ends = [first.into(), last.into()].map(printable);
        let [first, last] = ends;
        let lines = [first].into_iter();
        let lines = lines
            .chain(between.into_iter().map(printable))
            .chain([last]);
        Self {
            code,
            kind: None,
            lines: lines.collect(),
        }
    }

    /// What an error is answered with where nothing more is known of the command.
    pub fn error(error: &Error) -> Self {
        Self::new(code(error.kind()), error.context()).after(error)
    }

    /// The same, which an error stands behind.
    #[must_use]
    pub fn after(self, error: &Error) -> Self {
        Self {
            kind: Some(error.kind()),
            ..self
        }
    }

    /// What went wrong, where an error of ours stands behind it.
    pub fn kind(&self) -> Option<ErrorKind> {
        self.kind
    }

    /// The code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// As it is sent.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let last = self.lines.len().saturating_sub(1);
        for (at, line) in self.lines.iter().enumerate() {
            let code = self.code;
            let start = match at {
                _ if at == last => format!("{code} "),
                0 => format!("{code}-"),
                _ => " ".to_owned(),
            };
            text.push_str(&start);
            text.push_str(line);
            text.push_str("\r\n");
        }
        text
    }
}

/// The code of an error.
pub fn code(kind: ErrorKind) -> u16 {
    match kind {
        ErrorKind::Busy
        | ErrorKind::Changed
        | ErrorKind::Locked
        | ErrorKind::Stale
        | ErrorKind::Unavailable => 450,
        ErrorKind::Corrupt | ErrorKind::Internal => 451,
        ErrorKind::StorageFull => 452,
        ErrorKind::Unsupported => 504,
        ErrorKind::Unauthenticated => 530,
        ErrorKind::AlreadyExists
        | ErrorKind::Denied
        | ErrorKind::IsFolder
        | ErrorKind::NotEmpty
        | ErrorKind::NotFolder
        | ErrorKind::NotFound => 550,
        ErrorKind::Quota => 552,
        ErrorKind::Invalid => 553,
    }
}

/// `path` as RFC 959 (appendix II) has it in replies: in quotes, those inside doubled.
pub fn quoted(path: &str) -> String {
    format!("\"{}\"", path.replace('"', "\"\""))
}

/// Without what would end a line, or what a terminal would obey: names are others' choice.
pub fn printable(text: String) -> String {
    match text.contains(char::is_control) {
        false => text,
        true => {
            let shown = |c: char| if c.is_control() { '?' } else { c };
            text.chars().map(shown).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_of_several_lines_are_told_from_their_last_one() {
        let lines = ["a".to_owned(), "213 b".to_owned()];
        let reply = Reply::long(211, "Features:", lines, "End");
        assert_eq!(reply.text(), "211-Features:\r\n a\r\n 213 b\r\n211 End\r\n");
        let none = Reply::long(213, "x", [], "End");
        assert_eq!(none.text(), "213-x\r\n213 End\r\n");
        assert_eq!(Reply::new(200, "ok").text(), "200 ok\r\n");
    }

    #[test]
    fn no_name_ends_a_reply() {
        let error = Error::not_found("no such file: 'a\r\n230 in\u{1b}[2J'");
        assert_eq!(
            Reply::error(&error).text(),
            "550 no such file: 'a??230 in?[2J'\r\n"
        );
    }
}
