//! The only place that prints: results to standard output, refusals to standard error.

use std::error::Error as _;
use std::io::{self, Write as _};

use serde::Serialize;

use crate::domain::error::{Error, ErrorKind, Result};

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON document, for programs.
    Json,
    /// For people.
    Text,
}

/// Prints text of one line or several. Nobody may be reading any more: that is no error.
///
/// # Errors
/// Unavailable when it could not be written whole.
pub fn text(text: &str) -> Result<()> {
    match write(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::new(
            ErrorKind::Unavailable,
            "what was asked for is done, but what there is to say of it could not be written whole to standard \
             output",
        )
        .because(error)),
        _ => Ok(()),
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{}", tame(text)).and_then(|()| out.flush())
}

/// Prints one result: its JSON, or the sentence about it.
///
/// # Errors
/// As [`text`].
pub fn result(format: Format, value: &impl Serialize, sentence: &str) -> Result<()> {
    match format {
        Format::Json => json(value),
        Format::Text => text(sentence),
    }
}

/// Prints a result that is shown once. `lost` says what there is to do when nobody can have seen it.
///
/// # Errors
/// Unavailable, with `lost`, when it could not be written, also because nobody reads any more.
pub fn secret(
    format: Format,
    value: &impl Serialize,
    sentence: &str,
    lost: impl Into<String>,
) -> Result<()> {
    let written = match format {
        Format::Json => write(&escaped(&serialized(value)?)),
        Format::Text => write(sentence),
    };
    written.map_err(|error| Error::new(ErrorKind::Unavailable, lost).because(error))
}

/// Prints a list: a JSON array, or a table with aligned columns, of one line for each item whatever others wrote.
///
/// # Errors
/// As [`text`].
pub fn list<T: Serialize, const N: usize>(
    format: Format,
    items: &[T],
    head: [&str; N],
    row: impl Fn(&T) -> [String; N],
) -> Result<()> {
    if format == Format::Json {
        return json(&items);
    }
    let cells = |item| row(item).map(|cell| plain(&cell));
    let head = head.map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head)
        .chain(items.iter().map(cells))
        .collect();
    let mut widths = [0; N];
    for cells in &rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = cell.chars().count().max(*width);
        }
    }
    for cells in rows {
        let padded = cells.iter().zip(widths);
        let line: String = padded.map(|(cell, w)| format!("{cell:<w$}  ")).collect();
        text(line.trim_end())?;
    }
    Ok(())
}

/// Text that others wrote, for one line: what would end it or steer the terminal is written out.
pub fn plain(text: &str) -> String {
    rewritten(text, |c| match c {
        '\\' => Some("\\\\".to_owned()),
        _ => steers(c).then(|| c.escape_debug().to_string()),
    })
}

/// Text of one line or several in which nothing steers the terminal.
fn tame(text: &str) -> String {
    rewritten(text, |c| {
        (c != '\n' && steers(c)).then(|| c.escape_debug().to_string())
    })
}

fn rewritten(text: &str, instead: impl Fn(char) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match instead(c) {
            Some(other) => out += &other,
            None => out.push(c),
        }
    }
    out
}

/// Whether a terminal takes a character for a command, or for where text runs.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

/// Prints a value as JSON.
///
/// # Errors
/// As [`text`].
pub fn json(value: &impl Serialize) -> Result<()> {
    text(&escaped(&serialized(value)?))
}

fn serialized(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(Error::internal)
}

/// The same JSON without what steers the terminal, which is in its strings only.
fn escaped(json: &str) -> String {
    rewritten(json, |c| {
        steers(c).then(|| format!("\\u{:04x}", u32::from(c)))
    })
}

/// Prints lines of JSON, of which programs make something byte by byte; false when nobody reads any more.
///
/// # Errors
/// Unavailable when they could not be written whole.
pub fn lines(lines: &[u8]) -> Result<bool> {
    let mut out = io::stdout();
    let text = String::from_utf8_lossy(lines);
    let tamed = rewritten(&text, |c| {
        (c != '\n' && steers(c)).then(|| format!("\\u{:04x}", u32::from(c)))
    });
    match out.write_all(tamed.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::new(
            ErrorKind::Unavailable,
            "what was asked for could not be written whole to standard output",
        )
        .because(error)),
    }
}

/// Says why the program did not do what it was asked.
pub fn refusal(error: &Error) {
    let _ = writeln!(io::stderr(), "sealift: {}", sentence(error));
}

/// Says why something was not done to one of several things, and goes on.
pub fn refusal_of(thing: &str, error: &Error) {
    let _ = writeln!(io::stderr(), "sealift: {thing}: {}", sentence(error));
}

/// Says on standard error what one may want to know beside the result.
pub fn hint(text: &str) {
    let _ = writeln!(io::stderr(), "{}", tame(text));
}

/// Asks something at the terminal; the answer is typed behind it.
pub fn prompt(question: &str) {
    let mut out = io::stderr();
    let _ = write!(out, "{question}").and_then(|()| out.flush());
}

/// The sentence for an operator, who may see the cause as well.
fn sentence(error: &Error) -> String {
    let hidden = matches!(
        error.kind(),
        ErrorKind::Corrupt | ErrorKind::Internal | ErrorKind::StorageFull | ErrorKind::Unavailable
    );
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string().replace('\n', " ");
        let ours = error.downcast_ref::<Error>().map(Error::kind);
        if ours != Some(ErrorKind::Internal) && !causes.contains(&text) {
            causes.push(text);
        }
        cause = error.source();
    }
    let context = match error.kind() {
        ErrorKind::Internal => "internal error",
        _ => error.context(),
    };
    let sentence = match hidden && !causes.is_empty() {
        true => format!("{context} ({})", causes.join(": ")),
        false => context.to_owned(),
    };
    let sentence = match error.hint() {
        Some(hint) => format!("{sentence}; {hint}"),
        None => sentence,
    };
    match error.kind() {
        // Of settings, each that is wrong has a line.
        ErrorKind::Invalid => tame(&sentence),
        // It may tell of a name that a customer chose.
        _ => tame(&sentence.replace('\n', "\\n")),
    }
}
