//! RETR: a file to the client.

use crate::ftp::verb::Verb;
use crate::ftp::work::{Action, Plan, What, Work};

/// RETR.
pub const RETR: Verb = Verb::new("RETR", "<file>", |state, argument| {
    let from = state.take_restart()?.unwrap_or(0);
    let path = argument.path(state)?;
    state.check_data()?;
    Ok(Action::Work(Work::Transfer(Plan {
        what: What::Retrieve { path, from },
        form: state.form,
        mode: state.mode,
    })))
});
