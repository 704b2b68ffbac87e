//! CCC: the control connection goes back to clear text (RFC 4217 section 12.3), where an account allows
//! it: firewalls can then read it, and so can everybody else.

use crate::ftp::reply::Reply;
use crate::ftp::state::Channel;
use crate::ftp::verb::Verb;
use crate::ftp::work::{Action, Work};

/// CCC.
pub const CCC: Verb = Verb::new("CCC", "", |state, _| match state.channel {
    Channel::Clear => Err(Reply::new(533, "this connection is in the clear already")),
    Channel::Sealed if !state.options.ccc => Err(Reply::new(
        534,
        "this connection stays encrypted; an administrator can allow your account CCC",
    )),
    // No PROT can be said behind it: what was chosen holds to the end.
    Channel::Sealed if state.must_seal_data() && state.protection == Channel::Clear => Err(
        Reply::new(521, "data connections must be encrypted; send PROT P first"),
    ),
    Channel::Sealed => Ok(Action::Work(Work::StopTls)),
});
