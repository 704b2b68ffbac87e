//! NOOP: nothing, so that nobody takes the connection for dead.

use crate::ftp::verb::{Verb, reply};

/// NOOP.
pub const NOOP: Verb = Verb::new("NOOP", "", |_, _| reply(200, "fine"))
    .for_anybody()
    .at_any_time();
