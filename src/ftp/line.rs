//! Command lines out of the bytes of a control connection (RFC 959 section 5.3.1, RFC 854).
//!
//! Lines end with CRLF; a bare LF is taken too (old scripts). Telnet's commands are read over: what
//! interrupts a transfer is the ABOR that follows them.

use std::borrow::Cow;
use std::collections::VecDeque;

/// Longest line, in bytes without its end.
pub const MAX_LINE_BYTES: usize = 8 * 1024;

/// Bytes of one line, all of them dropped, that nobody sends by mistake.
const FLOOD_BYTES: u64 = 1024 * 1024;

/// Telnet's escape, and those of its commands that have an option behind them.
const IAC: u8 = 255;
const SUBNEGOTIATION: u8 = 250;
const SUBNEGOTIATION_END: u8 = 240;
const WILL: u8 = 251;
const DONT: u8 = 254;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Without its end.
    Command(Vec<u8>),
    /// It was longer than [`MAX_LINE_BYTES`] and is gone.
    TooLong,
}

/// Splits bytes into lines. Holds one line that is not over yet, never more.
#[derive(Debug, Default)]
pub struct Splitter {
    line: Vec<u8>,
    is_too_long: bool,
    dropped: u64,
    telnet: Telnet,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Telnet {
    #[default]
    Text,
    Command,
    Option,
    Inside,
    InsideCommand,
}

impl Splitter {
    /// Takes bytes; the lines that are over are added to `lines`.
    pub fn feed(&mut self, bytes: &[u8], lines: &mut VecDeque<Line>) {
        for byte in bytes {
            let is_data = self.telnet == Telnet::Command && *byte < SUBNEGOTIATION_END;
            if is_data {
                // No command of Telnet: a client that speaks another character set sent a name.
                self.put(IAC, lines);
            }
            if let Some(byte) = self.text(*byte) {
                self.put(byte, lines);
            }
        }
    }

    /// Whether a line that is too long goes on and on.
    pub fn is_flooded(&self) -> bool {
        self.dropped > FLOOD_BYTES
    }

    fn put(&mut self, byte: u8, lines: &mut VecDeque<Line>) {
        match byte {
            b'\n' => {
                let mut line = std::mem::take(&mut self.line);
                let too_long = std::mem::take(&mut self.is_too_long);
                self.dropped = 0;
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                lines.push_back(match too_long {
                    true => Line::TooLong,
                    false => Line::Command(line),
                });
            }
            _ if self.is_too_long => self.dropped += 1,
            // One more than the limit, for the CR.
            _ if self.line.len() > MAX_LINE_BYTES => {
                self.is_too_long = true;
                self.line = Vec::new();
            }
            _ => self.line.push(byte),
        }
    }

    /// The byte, if it is text.
    fn text(&mut self, byte: u8) -> Option<u8> {
        let (next, text) = match (self.telnet, byte) {
            (Telnet::Text, IAC) => (Telnet::Command, None),
            (Telnet::Text, _) => (Telnet::Text, Some(byte)),
            (Telnet::Command, IAC) => (Telnet::Text, Some(IAC)),
            (Telnet::Command, WILL..=DONT) => (Telnet::Option, None),
            (Telnet::Command, SUBNEGOTIATION) => (Telnet::Inside, None),
            (Telnet::Command, ..SUBNEGOTIATION_END) => (Telnet::Text, Some(byte)),
            (Telnet::Command | Telnet::Option, _) => (Telnet::Text, None),
            // A line's end ends it too, lest one stray byte eats the rest of a session.
            (Telnet::Inside, b'\n') => (Telnet::Text, Some(byte)),
            (Telnet::Inside, IAC) => (Telnet::InsideCommand, None),
            (Telnet::InsideCommand, SUBNEGOTIATION_END) => (Telnet::Text, None),
            (Telnet::Inside | Telnet::InsideCommand, _) => (Telnet::Inside, None),
        };
        self.telnet = next;
        text
    }
}

/// Text as it goes over the control connection: Telnet's escape, which is a letter in some character sets,
/// stands twice.
pub fn double(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&IAC) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len() + 8);
    for byte in text {
        out.push(*byte);
        if *byte == IAC {
            out.push(IAC);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<Line> {
        let (mut splitter, mut lines) = (Splitter::default(), VecDeque::new());
        for piece in pieces {
            splitter.feed(piece, &mut lines);
        }
        lines.into()
    }

    fn command(text: &[u8]) -> Line {
        Line::Command(text.to_vec())
    }

    #[test]
    fn lines_end_with_crlf_or_lf_wherever_they_are_cut() {
        let expected = [command(b"USER a"), command(b""), command(b"NO\rOP")];
        assert_eq!(lines(&[b"USER a\r\n\nNO\rOP\r\n"]), expected);
        assert_eq!(lines(&[b"US", b"ER a\r", b"\n", b"\nNO\rOP\r\n"]), expected);
    }

    #[test]
    fn a_line_that_is_too_long_is_told_once_and_the_next_is_whole() {
        let long = vec![b'x'; 3 * MAX_LINE_BYTES];
        let limit = vec![b'x'; MAX_LINE_BYTES];
        let expected = [Line::TooLong, command(b"NOOP"), command(&limit)];
        assert_eq!(lines(&[&long, b"\r\nNOOP\r\n", &limit, b"\r\n"]), expected);
    }

    #[test]
    fn what_is_no_command_of_telnet_belongs_to_the_name() {
        let names = b"STOR a\xffb\r\nSTOR c\xff\r\nSTOR \xff\xef.txt\r\n";
        let expected = [
            command(b"STOR a\xffb"),
            command(b"STOR c\xff"),
            command(b"STOR \xff\xef.txt"),
        ];
        assert_eq!(lines(&[names]), expected);
        assert_eq!(lines(&[&names[..7], &names[7..]]), expected);
        let doubled = double(b"STOR \xff\xfe");
        assert_eq!(doubled, b"STOR \xff\xff\xfe".as_slice());
        assert_eq!(lines(&[&doubled, b"\r\n"]), [command(b"STOR \xff\xfe")]);
    }

    #[test]
    fn telnet_is_read_over() {
        let synch = b"\xff\xf4\xff\xf2ABOR\r\n";
        assert_eq!(lines(&[synch]), [command(b"ABOR")]);
        let options = b"\xff\xfb\x01\xff\xfd\x03NO\xff\xffOP\r\n";
        assert_eq!(lines(&[options]), [command(b"NO\xffOP")]);
        let subnegotiation = b"\xff\xfa\x18\x00xterm\xff\xf0NOOP\r\n";
        assert_eq!(lines(&[subnegotiation]), [command(b"NOOP")]);
        assert_eq!(lines(&[b"\xff\xfa\nNOOP\r\n"])[1], command(b"NOOP"));
    }
}
