//! `sha256sum` and its kin, in the forms that clients read.

use data_encoding::HEXLOWER;

use crate::domain::error::Result;
use crate::domain::sum::SumKind;
use crate::sftp::environment::{Environment, after_dashes, reason};
use crate::sftp::scp_line::message;
use crate::sftp::words::Word;
use crate::vfs::sums::Summer;

/// Whose output it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The checksum, and the name only when there are several.
    Bare(SumKind),
    /// `md5`: `MD5 (name) = sum`, or `sum name` with -r, or the checksum alone with -q.
    Bsd(SumKind),
    /// `md5sum`: the checksum, two blanks, the name.
    Gnu(SumKind),
}

/// How a line is printed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Binary,
    Plain,
    Quiet,
    Reversed,
    Tagged,
    Text,
}

/// Prints checksums of files, or of what is sent when there are none; returns the exit status.
///
/// # Errors
/// Busy when the client takes nothing.
pub async fn run(
    place: &mut Environment,
    program: &str,
    form: Form,
    words: &[Word],
) -> Result<u32> {
    let (kind, mut style) = match form {
        Form::Bare(kind) => (kind, Style::Plain),
        Form::Bsd(kind) => (kind, Style::Tagged),
        Form::Gnu(kind) => (kind, Style::Text),
    };
    let mut files = words;
    while let [first, rest @ ..] = files {
        style = match (form, &*first.bytes) {
            (Form::Gnu(_), b"-b" | b"--binary") => Style::Binary,
            (Form::Gnu(_), b"-t" | b"--text") => Style::Text,
            (Form::Bsd(_), b"-r") => Style::Reversed,
            (Form::Bsd(_), b"-q") => Style::Quiet,
            (_, b"--" | b"-") => break,
            (_, bytes) if bytes.first() == Some(&b'-') => {
                let option = message(bytes);
                let line = format!("{program}: the option '{option}' is not offered");
                place.output.complain(&line)?;
                return Ok(2);
            }
            _ => break,
        };
        files = rest;
    }
    files = after_dashes(files);
    if files.is_empty() {
        let sum = of_input(place, kind).await;
        let line = match form {
            Form::Gnu(_) => line(style, kind, &sum, b"-"),
            Form::Bare(_) | Form::Bsd(_) => line(Style::Quiet, kind, &sum, b""),
        };
        place.output.say(line)?;
        return Ok(0);
    }
    if style == Style::Plain && files.len() > 1 {
        style = Style::Reversed;
    }
    let mut status = 0;
    for word in files {
        let sum = match &*word.bytes {
            b"-" => Ok(of_input(place, kind).await),
            _ => of_file(place, kind, word).await,
        };
        match sum {
            Ok(sum) => place.output.say(line(style, kind, &sum, &word.bytes))?,
            Err(error) => {
                let name = message(&word.bytes);
                let line = format!("{program}: {name}: {}", reason(&error));
                place.output.complain(&line)?;
                status = 1;
            }
        }
    }
    Ok(status)
}

async fn of_input(place: &mut Environment, kind: SumKind) -> Vec<u8> {
    let mut sum = Summer::new(kind);
    while let Some(bytes) = place.input.take(usize::MAX).await {
        sum.add(&bytes);
    }
    sum.finish()
}

async fn of_file(place: &Environment, kind: SumKind, word: &Word) -> Result<Vec<u8>> {
    // The client waits for us, however long that takes, and is not idle.
    let _ticket = place.ledger.request()?;
    let path = place.resolve(word)?;
    let file = place.files.open_sum(&path).await?;
    place.files.sum(&file, kind).await
}

fn line(style: Style, kind: SumKind, sum: &[u8], name: &[u8]) -> Vec<u8> {
    let sum = HEXLOWER.encode(sum);
    let join = |parts: &[&[u8]]| parts.concat();
    match style {
        Style::Plain | Style::Quiet => join(&[sum.as_bytes(), b"\n"]),
        Style::Reversed => join(&[sum.as_bytes(), b" ", name, b"\n"]),
        Style::Tagged => {
            let kind = kind.name().to_uppercase();
            let before = format!("{kind} (");
            let after = format!(") = {sum}\n");
            join(&[before.as_bytes(), name, after.as_bytes()])
        }
        Style::Binary | Style::Text => {
            let mark: &[u8] = match style {
                Style::Binary => b" *",
                _ => b"  ",
            };
            // As GNU does it, so that a name cannot make lines of its own.
            if !name
                .iter()
                .any(|byte| matches!(byte, b'\\' | b'\n' | b'\r'))
            {
                return join(&[sum.as_bytes(), mark, name, b"\n"]);
            }
            let mut escaped = Vec::with_capacity(name.len() + 8);
            for byte in name {
                match byte {
                    b'\\' => escaped.extend_from_slice(b"\\\\"),
                    b'\n' => escaped.extend_from_slice(b"\\n"),
                    b'\r' => escaped.extend_from_slice(b"\\r"),
                    byte => escaped.push(*byte),
                }
            }
            join(&[b"\\", sum.as_bytes(), mark, &escaped, b"\n"])
        }
    }
}
