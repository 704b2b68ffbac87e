//! Command lines that wait for their turn.

use std::collections::VecDeque;

use crate::ftp::line::{Line, Splitter};

/// Lines that wait: beyond them nothing more is read, so that TCP slows the client down.
const MAX_WAITING: usize = 64;

/// Commands that ABOR ends: transfers, and checksums.
const ENDABLE: [&str; 15] = [
    "APPE", "HASH", "LIST", "MD5", "MLSD", "NLST", "RETR", "STOR", "STOU", "XCRC", "XMD5", "XSHA",
    "XSHA1", "XSHA256", "XSHA512",
];

/// Command lines that wait for their turn.
#[derive(Default)]
pub struct Waiting {
    splitter: Splitter,
    lines: VecDeque<Line>,
}

impl Waiting {
    /// Takes bytes; says whether an ABOR came with them.
    pub fn feed(&mut self, bytes: &[u8]) -> bool {
        let before = self.lines.len();
        self.splitter.feed(bytes, &mut self.lines);
        self.lines.iter().skip(before).any(is_abort)
    }

    /// Whether more may be read: there is room, and what comes is not behind a goodbye.
    pub fn wants_bytes(&self) -> bool {
        let is_goodbye = |line: &Line| is_one_of(line, &["QUIT"]);
        self.lines.len() < MAX_WAITING && !self.lines.front().is_some_and(is_goodbye)
    }

    /// Whether a line that is too long goes on and on.
    pub fn is_flooded(&self) -> bool {
        self.splitter.is_flooded()
    }

    /// Whether no line waits.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether an ABOR waits that is meant for what is under way. It ends the command before it (RFC 959 section
    /// 4.1.3): one that stands behind another transfer, or another checksum, is meant for that.
    pub fn is_unsaid(&self) -> bool {
        let mut lines = self.lines.iter();
        let first = lines.find(|line| is_abort(line) || is_one_of(line, &ENDABLE));
        first.is_some_and(is_abort)
    }

    /// The line whose turn it is.
    pub fn front(&self) -> Option<&Line> {
        self.lines.front()
    }

    /// Takes that away.
    pub fn pop(&mut self) -> Option<Line> {
        self.lines.pop_front()
    }

    /// Forgets all that came, also of a line that is not over.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The verb, and what stands behind it: one space parts them, all others belong to names.
pub fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.trim_ascii_start();
    match line.iter().position(|byte| *byte == b' ') {
        Some(at) => {
            let (verb, rest) = line.split_at(at);
            (verb, rest.get(1..).unwrap_or_default())
        }
        None => (line, &[]),
    }
}

fn is_abort(line: &Line) -> bool {
    is_one_of(line, &["ABOR"])
}

fn is_one_of(line: &Line, names: &[&str]) -> bool {
    match line {
        Line::Command(line) => {
            let (verb, _) = split(line);
            let mut names = names.iter();
            names.any(|name| verb.eq_ignore_ascii_case(name.as_bytes()))
        }
        Line::TooLong => false,
    }
}
