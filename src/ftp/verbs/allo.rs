//! ALLO: room is found when bytes come.

use crate::ftp::verb::{Verb, reply};

/// ALLO.
pub const ALLO: Verb = Verb::new("ALLO", "<bytes>", |_, _| {
    reply(202, "no room has to be set aside")
});
