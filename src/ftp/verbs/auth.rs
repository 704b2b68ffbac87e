//! AUTH: begins TLS (RFC 4217 section 4). What came behind it in clear text is dropped unread, and the
//! session begins anew.

use crate::ftp::reply::Reply;
use crate::ftp::state::Channel;
use crate::ftp::verb::Verb;
use crate::ftp::work::{Action, Work};

/// AUTH.
pub const AUTH: Verb = Verb::new("AUTH", "TLS", |state, argument| {
    let kind = argument.text(state)?.to_ascii_uppercase();
    match (state.channel, kind.as_str()) {
        (_, "") => Err(Reply::new(501, "write AUTH TLS")),
        (Channel::Sealed, _) => Err(Reply::new(503, "this connection is encrypted already")),
        (Channel::Clear, "TLS" | "TLS-C" | "SSL" | "TLS-P") => Ok(Action::Work(Work::StartTls)),
        (Channel::Clear, _) => Err(Reply::new(504, "only TLS is known here; write AUTH TLS")),
    }
})
.for_anybody();
