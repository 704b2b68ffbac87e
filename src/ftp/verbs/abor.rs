//! ABOR: ends a transfer (RFC 959 section 4.1.3). The session ends it as soon as the line is read; when
//! its turn to be answered comes, the transfer has been answered.

use crate::ftp::state::Data;
use crate::ftp::verb::{Verb, reply};

/// ABOR.
pub const ABOR: Verb = Verb::new("ABOR", "", |state, _| {
    state.data = Data::None;
    reply(226, "no transfer is under way any more")
});
