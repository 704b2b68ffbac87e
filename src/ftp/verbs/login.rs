//! USER, PASS, REIN and QUIT: who the client is, and the end.

use crate::domain::secret::Secret;
use crate::ftp::reply::Reply;
use crate::ftp::state::Stage;
use crate::ftp::verb::Verb;
use crate::ftp::work::{Action, Credential, Work};

/// Longest name or password, in bytes.
const MAX_BYTES: usize = 512;

/// USER.
pub const USER: Verb = Verb::new("USER", "<name>", |state, argument| {
    if state.is_in() {
        return Err(Reply::new(
            503,
            "you are logged in; send REIN to log in anew",
        ));
    }
    let name = argument.text(state)?;
    match name.len() {
        0 => Err(Reply::new(501, "a name is missing")),
        1..=MAX_BYTES => Ok(Action::Work(Work::LogIn(Credential::User(name)))),
        _ => Err(Reply::new(501, "no name is that long")),
    }
})
.for_anybody();

/// PASS.
pub const PASS: Verb = Verb::new("PASS", "<password>", |state, argument| match &state.stage {
    Stage::Named(name) => match argument.bytes().len() > MAX_BYTES {
        true => Err(Reply::new(501, "no password is that long")),
        false => Ok(Action::Work(Work::LogIn(Credential::Password {
            name: name.clone(),
            password: Secret::new(argument.bytes()),
        }))),
    },
    Stage::Code(_) => Err(Reply::new(
        503,
        "send ACCT and the code, or USER to begin anew",
    )),
    Stage::Stranger => Err(Reply::new(503, "send USER first")),
    Stage::In(_) => Err(Reply::new(503, "you are logged in")),
})
.for_anybody();

/// REIN: logs out; the connection stays.
pub const REIN: Verb = Verb::new("REIN", "", |_, _| Ok(Action::Work(Work::LogOut))).for_anybody();

/// QUIT: ends the session, when the transfer is over.
pub const QUIT: Verb = Verb::new("QUIT", "", |_, _| {
    Ok(Action::Close(Reply::new(221, "goodbye")))
})
.for_anybody()
.at_any_time();
