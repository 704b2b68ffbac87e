//! STOR, APPE and STOU: a file from the client.

use crate::domain::path::VfsPath;
use crate::ftp::argument;
use crate::ftp::reply::Reply;
use crate::ftp::state::State;
use crate::ftp::verb::Verb;
use crate::ftp::work::{Action, How, Plan, Told, What, Work};

/// STOR: in place of what is there, whole or not at all; after REST, behind what is there.
pub const STOR: Verb = Verb::new("STOR", "<file>", |state, argument| {
    let how = match state.take_restart()? {
        None | Some(0) => How::Replace,
        Some(from) => How::From(from),
    };
    store(state, argument.path(state)?, how)
});

/// APPE.
pub const APPE: Verb = Verb::new("APPE", "<file>", |state, argument| {
    state.restart = None;
    store(state, argument.path(state)?, How::Append)
});

/// STOU: under a name that is nobody else's, which both replies tell (RFC 1123 section 4.1.2.9). What is
/// behind it is a wish.
pub const STOU: Verb = Verb::new("STOU", "[name]", |state, argument| {
    if state.restart.take().is_some() {
        return Err(Reply::new(501, "a file that is made begins at its start"));
    }
    let path = match argument.is_empty() {
        true => argument::path("file", state)?,
        false => argument.path(state)?,
    };
    let told = match argument.bytes().contains(&b'/') {
        true => Told::Path,
        false => Told::Name,
    };
    store(state, path, How::Unique(told))
});

fn store(state: &State, path: VfsPath, how: How) -> Result<Action, Reply> {
    state.check_data()?;
    Ok(Action::Work(Work::Transfer(Plan {
        what: What::Store { path, how },
        form: state.form,
        mode: state.mode,
    })))
}
