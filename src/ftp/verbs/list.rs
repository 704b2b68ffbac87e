//! LIST, NLST and MLSD: a folder's names over a data connection.

use crate::ftp::argument::Argument;
use crate::ftp::listing::{ListRequest, Style};
use crate::ftp::reply::Reply;
use crate::ftp::state::{Form, State};
use crate::ftp::verb::Verb;
use crate::ftp::work::{Action, Plan, What, Work};

/// LIST.
pub const LIST: Verb = Verb::new("LIST", "[path]", |state, argument| {
    by(state, argument, Style::Long)
});

/// NLST.
pub const NLST: Verb = Verb::new("NLST", "[path]", |state, argument| {
    by(state, argument, Style::Names)
});

/// MLSD (RFC 3659 section 7).
pub const MLSD: Verb = Verb::new("MLSD", "[folder]", |state, argument| {
    let path = argument.path_or_here(state)?;
    plan(state, ListRequest::whole(path, Style::Facts(state.facts)))
});

fn by(state: &State, argument: Argument<'_>, style: Style) -> Result<Action, Reply> {
    let request = ListRequest::parse(argument, state, style)?;
    plan(state, request)
}

fn plan(state: &State, request: ListRequest) -> Result<Action, Reply> {
    state.check_data()?;
    Ok(Action::Work(Work::Transfer(Plan {
        what: What::List(request),
        // Lines end with CRLF already.
        form: Form::Image,
        mode: state.mode,
    })))
}
