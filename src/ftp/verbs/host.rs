//! HOST: which server of many is meant (RFC 7151): here, whose accounts.

use crate::ftp::reply::Reply;
use crate::ftp::state::Stage;
use crate::ftp::verb::Verb;
use crate::ftp::work::{Action, Work};

/// HOST.
pub const HOST: Verb = Verb::new("HOST", "<name>", |state, argument| {
    if state.stage != Stage::Stranger {
        return Err(Reply::new(503, "send HOST before USER"));
    }
    let name = argument.text(state)?.to_ascii_lowercase();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte);
    match !name.is_empty() && name.bytes().all(is_plain) {
        true => Ok(Action::Work(Work::Host(name))),
        false => Err(Reply::new(501, "write a host name")),
    }
})
.for_anybody();
