//! ACCT: the code of a second factor, when PASS was answered by 332.

use crate::domain::secret::Secret;
use crate::ftp::reply::Reply;
use crate::ftp::state::Stage;
use crate::ftp::verb::{Verb, reply};
use crate::ftp::work::{Action, Credential, Work};

/// ACCT.
pub const ACCT: Verb = Verb::new("ACCT", "<code>", |state, argument| match &state.stage {
    Stage::Code(name) => Ok(Action::Work(Work::LogIn(Credential::Code {
        name: name.clone(),
        code: Secret::new(argument.bytes()),
    }))),
    Stage::In(_) => reply(202, "no account is needed"),
    Stage::Named(_) | Stage::Stranger => Err(Reply::new(503, "send USER and PASS first")),
})
.for_anybody();
