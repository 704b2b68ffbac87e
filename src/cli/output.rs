//! The only place that prints: results to standard output, refusals to standard error.

use std::error::Error as _;
use std::io::{self, Write as _};

use serde::Serialize;

use crate::domain::error::{Error, ErrorKind};

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON document, for programs.
    Json,
    /// For people.
    Text,
}

/// Prints text as it is. Nobody may be reading any more: that is no error.
pub fn text(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Prints one result: its JSON, or the sentence about it.
pub fn result(format: Format, value: &impl Serialize, sentence: &str) {
    match format {
        Format::Json => json(value),
        Format::Text => text(sentence),
    }
}

/// Prints a list: a JSON array, or a table with aligned columns.
pub fn list<T: Serialize, const N: usize>(
    format: Format,
    items: &[T],
    head: [&str; N],
    row: impl Fn(&T) -> [String; N],
) {
    if format == Format::Json {
        return json(&items);
    }
    let head = head.map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(items.iter().map(row)).collect();
    let mut widths = [0; N];
    for cells in &rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = cell.chars().count().max(*width);
        }
    }
    for cells in rows {
        let padded = cells.iter().zip(widths);
        let line: String = padded.map(|(cell, w)| format!("{cell:<w$}  ")).collect();
        text(line.trim_end());
    }
}

/// Text that others wrote, for a list: what would steer the terminal is written out.
pub fn plain(text: &str) -> String {
    let shown = |c: char| match c {
        '\'' | '"' => c.to_string(),
        _ => c.escape_debug().to_string(),
    };
    text.chars().map(shown).collect()
}

/// Prints a value as JSON.
pub fn json(value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(json) => text(&json),
        Err(error) => refusal(&Error::internal(error)),
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
        if !causes.contains(&text) {
            causes.push(text);
        }
        cause = error.source();
    }
    let context = match error.kind() {
        ErrorKind::Internal => "internal error",
        _ => error.context(),
    };
    match hidden && !causes.is_empty() {
        true => format!("{context} ({})", causes.join(": ")),
        false => context.to_owned(),
    }
}
