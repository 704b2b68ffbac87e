//! Messages of syslog (RFC 5424), framed by their length (RFC 5425 section 4.3).

use std::fmt::Write as _;

use crate::domain::clock::Timestamp;

/// Longest text of a message, and longest value beside it, in bytes: all of a message is below 8 KiB, which all
/// servers take.
const LONGEST_TEXT: usize = 2048;
const LONGEST_VALUE: usize = 1536;
/// What our structured data is called: under the number for what has none registered (RFC 5612).
const DATA: &str = "sealift@32473";

/// How urgent a message is (RFC 5424 section 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something is broken.
    Error = 3,
    /// Something may break.
    Warning = 4,
    /// It is as it should be, and worth knowing.
    Notice = 5,
    /// It is as it should be.
    Informational = 6,
    /// For whoever looks for a mistake.
    Debug = 7,
}

/// Who sends, in all messages.
#[derive(Clone, Debug)]
pub struct Sender {
    facility: u8,
    host: String,
    app_name: String,
    process: u32,
}

/// A message.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// How urgent.
    pub severity: Severity,
    /// When it happened.
    pub at: Timestamp,
    /// Of what kind it is.
    pub kind: &'a str,
    /// Names and values.
    pub data: &'a [(&'static str, String)],
    /// A sentence.
    pub text: &'a str,
}

impl Sender {
    /// This process on this machine.
    pub fn new(facility: u8, app_name: &str) -> Self {
        // A name that cannot be read is left out, as the standard has it.
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            facility,
            host: word(host.trim(), 255),
            app_name: word(app_name, 48),
            process: std::process::id(),
        }
    }

    /// Adds a message to `frames`.
    pub fn write(&self, message: &Message<'_>, frames: &mut Vec<u8>) {
        let priority = u32::from(self.facility) * 8 + message.severity as u32;
        let (host, app, process) = (&self.host, &self.app_name, self.process);
        let kind = word(message.kind, 32);
        let at = message.at;
        let mut line = format!("<{priority}>1 {at} {host} {app} {process} {kind} ");
        match message.data.is_empty() {
            true => line.push('-'),
            false => {
                line.push('[');
                line.push_str(DATA);
                for (name, value) in message.data {
                    // Writing to a text cannot fail.
                    let _ = write!(line, " {name}=\"{}\"", quoted(value));
                }
                line.push(']');
            }
        }
        line.push(' ');
        plain(message.text, LONGEST_TEXT, &[], &mut line);
        frames.extend_from_slice(format!("{} ", line.len()).as_bytes());
        frames.extend_from_slice(line.as_bytes());
    }
}

/// A header field: visible ASCII, and "-" for nothing.
fn word(text: &str, most: usize) -> String {
    let visible = text.chars().filter(char::is_ascii_graphic);
    let word: String = visible.take(most).collect();
    match word.is_empty() {
        true => "-".to_owned(),
        false => word,
    }
}

/// A value of structured data (RFC 5424 section 6.3.3).
fn quoted(value: &str) -> String {
    let mut out = String::new();
    plain(value, LONGEST_VALUE, &['"', '\\', ']'], &mut out);
    out
}

/// At most `most` bytes that say `text`: control characters in octal, as other senders have them, and a backslash
/// before those that are `special`.
fn plain(text: &str, most: usize, special: &[char], out: &mut String) {
    let end = out.len() + most;
    for letter in text.chars() {
        let before = out.len();
        if letter.is_control() {
            // Writing to a text cannot fail.
            let _ = write!(out, "#{:03o}", u32::from(letter));
        } else {
            if special.contains(&letter) {
                out.push('\\');
            }
            out.push(letter);
        }
        if out.len() > end {
            out.truncate(before);
            out.push_str("...");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_the_standard_has_it() {
        let sender = Sender {
            facility: 16,
            host: "host".into(),
            app_name: "sealift".into(),
            process: 7,
        };
        let message = Message {
            severity: Severity::Notice,
            at: Timestamp(1_000_000),
            kind: "delete",
            data: &[
                ("path", "/a \"b\\c]\n".to_owned()),
                ("tenant", "t".to_owned()),
            ],
            text: "/a\r",
        };
        let mut frames = Vec::new();
        sender.write(&message, &mut frames);
        let line = "<133>1 1970-01-01T00:00:01.000000Z host sealift 7 delete \
                    [sealift@32473 path=\"/a \\\"b\\\\c\\]#012\" tenant=\"t\"] /a#015";
        assert_eq!(
            String::from_utf8(frames).unwrap(),
            format!("{} {line}", line.len())
        );
    }

    #[test]
    fn what_is_long_is_cut_between_letters() {
        let mut out = String::new();
        plain(&"é".repeat(10), 5, &[], &mut out);
        assert_eq!(out, "éé...");
        assert_eq!(quoted(&"\"".repeat(10_000)).len(), LONGEST_VALUE + 3);
    }

    #[test]
    fn header_fields_are_visible_ascii() {
        assert_eq!(word("a b\u{e9}", 48), "ab");
        assert_eq!(word("", 48), "-");
    }
}
