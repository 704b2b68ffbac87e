//! MDTM, MFMT, MFCT and MFF: times and modes (RFC 3659 section 3, draft-somers-ftp-mfxx).

use crate::domain::clock::Timestamp;
use crate::domain::error::ErrorKind;
use crate::domain::node::{AttributeUpdate, Entry};
use crate::domain::path::VfsPath;
use crate::ftp::argument;
use crate::ftp::facts;
use crate::ftp::files::Files;
use crate::ftp::reply::Reply;
use crate::ftp::verb::Verb;
use crate::ftp::work::{Action, Done, Task, Work};

/// MDTM: tells the time of modification, or sets it when a time comes first (rclone, old clients).
pub const MDTM: Verb = Verb::new("MDTM", "[YYYYMMDDHHMMSS] <file>", |state, argument| {
    let text = argument.text(state)?;
    if let Some((time, path)) = text.split_once(' ')
        && let Some(modified) = facts::parse_time(time)
        && time.len() >= 14
        && !path.is_empty()
    {
        let (whole, path) = (argument.path(state)?, argument::path(path, state)?);
        return Ok(Action::Work(Work::Files(Task::new(
            move |files| async move {
                // A name that is there goes before what it looks like.
                match files.session.stat(&whole).await {
                    Ok(entry) => Ok(modified_at(&entry)),
                    Err(_) => {
                        let told = "the time was set".to_owned();
                        set(files, path, modification(modified), 253, told).await
                    }
                }
            },
        ))));
    }
    let path = argument.path(state)?;
    Ok(Action::Work(Work::Files(Task::new(
        move |files| async move { Ok(modified_at(&files.session.stat(&path).await?)) },
    ))))
});

fn modified_at(entry: &Entry) -> Done {
    Done::new(213, facts::time(entry.attributes.modified))
}

/// MFMT: sets the time of modification.
pub const MFMT: Verb = Verb::new("MFMT", "YYYYMMDDHHMMSS <path>", |state, argument| {
    let text = argument.text(state)?;
    let (time, path) = text.split_once(' ').unwrap_or((&text, ""));
    let modified = facts::parse_time(time)
        .ok_or_else(|| Reply::new(501, "write MFMT YYYYMMDDHHMMSS and a path"))?;
    let named = argument::path(path, state)?;
    let told = format!("Modify={}; {path}", facts::time(modified));
    Ok(setting(named, modification(modified), 213, told))
});

/// MFCT: sets the time of creation. The log of changes keeps its own.
pub const MFCT: Verb = Verb::new("MFCT", "YYYYMMDDHHMMSS <path>", |state, argument| {
    let text = argument.text(state)?;
    let (time, path) = text.split_once(' ').unwrap_or((&text, ""));
    let created = facts::parse_time(time)
        .ok_or_else(|| Reply::new(501, "write MFCT YYYYMMDDHHMMSS and a path"))?;
    let named = argument::path(path, state)?;
    let told = format!("Create={}; {path}", facts::time(created));
    let update = AttributeUpdate {
        created: Some(created),
        ..AttributeUpdate::default()
    };
    Ok(setting(named, update, 213, told))
});

/// MFF: sets facts.
pub const MFF: Verb = Verb::new(
    "MFF",
    "modify=YYYYMMDDHHMMSS;create=YYYYMMDDHHMMSS;UNIX.mode=0644; <path>",
    |state, argument| {
        let text = argument.text(state)?;
        let (list, path) = text.split_once(' ').unwrap_or((&text, ""));
        let mut update = AttributeUpdate::default();
        for fact in list.split(';').filter(|fact| !fact.is_empty()) {
            let (name, value) = fact.split_once('=').unwrap_or((fact, ""));
            let wrong = || Reply::new(501, format!("'{fact}' is not right"));
            match name.to_ascii_lowercase().as_str() {
                "modify" => update.modified = Some(facts::parse_time(value).ok_or_else(wrong)?),
                "create" => update.created = Some(facts::parse_time(value).ok_or_else(wrong)?),
                "unix.mode" => update.mode = Some(mode(value).ok_or_else(wrong)?),
                _ => {
                    return Err(Reply::new(
                        504,
                        "modify, create and UNIX.mode can be set, and nothing else",
                    ));
                }
            }
        }
        if update.is_empty() {
            return Err(Reply::new(
                501,
                "write MFF modify=YYYYMMDDHHMMSS; and a path",
            ));
        }
        let named = argument::path(path, state)?;
        Ok(setting(named, update, 213, format!("{list} {path}")))
    },
);

/// A mode in octal digits.
pub fn mode(text: &str) -> Option<u32> {
    let mode = u32::from_str_radix(text, 8).ok()?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    (is_plain && mode <= 0o7777).then_some(mode)
}

/// What sets the time of modification.
pub fn modification(modified: Timestamp) -> AttributeUpdate {
    AttributeUpdate {
        modified: Some(modified),
        ..AttributeUpdate::default()
    }
}

/// Sets attributes and says so.
pub fn setting(path: VfsPath, update: AttributeUpdate, code: u16, told: String) -> Action {
    let doing = move |files| set(files, path, update, code, told);
    Action::Work(Work::Files(Task::new(doing)))
}

async fn set(
    files: Files,
    path: VfsPath,
    update: AttributeUpdate,
    code: u16,
    told: String,
) -> Result<Done, Reply> {
    match files.session.set_attributes(&path, update).await {
        // SIZE and listings show it.
        Err(error)
            if error.kind() == ErrorKind::NotFound && files.session.stat(&path).await.is_ok() =>
        {
            Err(Reply::new(
                450,
                "this file broke off; send the rest, and set its mode and times then",
            ))
        }
        set => {
            set?;
            Ok(Done::new(code, told))
        }
    }
}
