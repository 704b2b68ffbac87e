//! PWD: which folder the session is in.

use crate::ftp::reply::quoted;
use crate::ftp::verb::{Verb, reply};

/// PWD and XPWD.
pub const PWD: Verb = Verb::new("PWD", "", |state, _| {
    let folder = quoted(&state.folder.to_string());
    reply(257, format!("{folder} is the folder"))
})
.also("XPWD");
