//! HASH and its elder cousins: checksums of files (draft-bryan-ftpext-hash, draft-bryan-ftp-hash).

use data_encoding::{HEXLOWER, HEXUPPER};

use crate::domain::error::{Error, ErrorKind, Result as DomainResult};
use crate::domain::path::VfsPath;
use crate::domain::sum::SumKind;
use crate::ftp::argument::{self, Argument};
use crate::ftp::files::Files;
use crate::ftp::reply::Reply;
use crate::ftp::state::State;
use crate::ftp::verb::Verb;
use crate::ftp::work::{Action, Done, Task, Work};
use crate::vfs::read::FileReader;

/// What the checksums are called in FEAT and OPTS.
const NAMES: [(&str, SumKind); 5] = [
    ("CRC32", SumKind::Crc32),
    ("MD5", SumKind::Md5),
    ("SHA-1", SumKind::Sha1),
    ("SHA-256", SumKind::Sha256),
    ("SHA-512", SumKind::Sha512),
];

/// HASH: by the kind that OPTS HASH chose.
pub const HASH: Verb = Verb::new("HASH", "<file>", |state, argument| {
    let (path, kind) = (argument.path(state)?, state.sum);
    let shown = argument.text(state)?;
    Ok(Action::Work(Work::Sum(Task::new(
        move |files| async move {
            let file = files.session.open_sum(&path).await?;
            let sum = whole(&files, &file, kind, 556).await?;
            let last = file.entry().size.saturating_sub(1);
            let sum = HEXLOWER.encode(&sum);
            Ok(Done::new(
                213,
                format!("{} 0-{last} {sum} {shown}", name(kind)),
            ))
        },
    ))))
});

/// XCRC.
pub const XCRC: Verb = Verb::new("XCRC", USAGE, |s, a| of_part(s, a, SumKind::Crc32));
/// XMD5.
pub const XMD5: Verb = Verb::new("XMD5", USAGE, |s, a| of_part(s, a, SumKind::Md5)).also("MD5");
/// XSHA1.
pub const XSHA1: Verb = Verb::new("XSHA1", USAGE, |s, a| of_part(s, a, SumKind::Sha1)).also("XSHA");
/// XSHA256.
pub const XSHA256: Verb = Verb::new("XSHA256", USAGE, |s, a| of_part(s, a, SumKind::Sha256));
/// XSHA512.
pub const XSHA512: Verb = Verb::new("XSHA512", USAGE, |s, a| of_part(s, a, SumKind::Sha512));

const USAGE: &str = "<file> [start [end]]";

/// The checksums there are, the one that HASH makes with a star.
pub fn offered(chosen: SumKind) -> String {
    let star = |kind| if kind == chosen { "*" } else { "" };
    let all = NAMES.iter().rev();
    let all: Vec<_> = all
        .map(|(name, kind)| format!("{name}{}", star(*kind)))
        .collect();
    all.join(";")
}

/// The checksum of this name.
pub fn named(text: &str) -> Option<SumKind> {
    let found = NAMES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text.trim()));
    found.map(|(_, kind)| *kind)
}

/// What a checksum is called.
pub fn name(kind: SumKind) -> &'static str {
    let found = NAMES.iter().find(|(_, named)| *named == kind);
    found.map_or("", |(name, _)| name)
}

/// A path, and a part of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    path: VfsPath,
    start: u64,
    end: Option<u64>,
}

fn of_part(state: &mut State, argument: Argument<'_>, kind: SumKind) -> Result<Action, Reply> {
    let readings = readings(&argument.text(state)?, state)?;
    Ok(Action::Work(Work::Sum(Task::new(
        move |files| async move {
            let (file, wanted) = open(&files, readings).await?;
            let size = file.entry().size;
            let end = wanted.end.map_or(size, |end| end.min(size));
            let sum = match (wanted.start, end) {
                (0, end) if end == size => whole(&files, &file, kind, 550).await?,
                (start, end) if end.saturating_sub(start) > files.most_summed => {
                    return Err(too_large(&files, kind, 550));
                }
                (start, end) if start < end => {
                    files
                        .session
                        .sums_of(&file, kind, start..end, end - start)
                        .await?
                }
                _ => {
                    return Err(Reply::new(
                        501,
                        format!("the file has {size} bytes; nothing is there"),
                    ));
                }
            };
            Ok(Done::new(250, HEXUPPER.encode(&sum)))
        },
    ))))
}

/// The checksum of a whole file. `refusal` is what is said of one that is too large to be read for it: 556 behind HASH
/// (draft-bryan-ftpext-hash), and 550 behind its elder cousins, as ProFTPD has it.
async fn whole(
    files: &Files,
    file: &FileReader,
    kind: SumKind,
    refusal: u16,
) -> Result<Vec<u8>, Reply> {
    let most = files.most_summed;
    let sum = files.session.sum_within(file, kind, most).await?;
    sum.ok_or_else(|| too_large(files, kind, refusal))
}

fn too_large(files: &Files, kind: SumKind, refusal: u16) -> Reply {
    let (most, kind) = (files.most_summed, name(kind));
    let sentence = format!(
        "the {kind} of more than {most} bytes is not computed; ask for the SHA-256 of the whole file, which is kept, \
         or for smaller parts"
    );
    Reply::new(refusal, sentence)
}

/// The first reading whose file is there.
async fn open(files: &Files, readings: Vec<Wanted>) -> DomainResult<(FileReader, Wanted)> {
    let mut readings = readings.into_iter().peekable();
    while let Some(wanted) = readings.next() {
        match files.session.open_sum(&wanted.path).await {
            Err(error) if error.kind() == ErrorKind::NotFound && readings.peek().is_some() => {}
            opened => return opened.map(|file| (file, wanted)),
        }
    }
    Err(Error::invalid("a path is missing"))
}

/// What the argument may mean: names may end with words that look like offsets.
fn readings(text: &str, state: &State) -> Result<Vec<Wanted>, Reply> {
    let wanted = |path: &str, start, end| {
        argument::path(path, state).map(|path| Wanted { path, start, end })
    };
    if let Some((path, rest)) = text.strip_prefix('"').and_then(|text| text.split_once('"')) {
        let numbers: Option<Vec<u64>> = rest
            .split_ascii_whitespace()
            .map(|n| n.parse().ok())
            .collect();
        return match numbers.as_deref() {
            Some([]) => Ok(vec![wanted(path, 0, None)?]),
            Some([start]) => Ok(vec![wanted(path, *start, None)?]),
            Some([start, end]) => Ok(vec![wanted(path, *start, Some(*end))?]),
            _ => Err(Reply::new(501, format!("write {USAGE}"))),
        };
    }
    let mut readings = vec![wanted(text, 0, None)?];
    let last = |text: &str| {
        let (before, number) = text.rsplit_once(' ')?;
        let number: u64 = number.parse().ok()?;
        Some((before.to_owned(), number))
    };
    if let Some((before, second)) = last(text) {
        if let Some((path, first)) = last(&before) {
            readings.push(wanted(&path, first, Some(second))?);
        }
        readings.push(wanted(&before, second, None)?);
    }
    Ok(readings)
}
