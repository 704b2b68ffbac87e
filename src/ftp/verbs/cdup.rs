//! CDUP: to the folder above.

use crate::ftp::verb::Verb;
use crate::ftp::verbs::cwd;

/// CDUP and XCUP.
pub const CDUP: Verb = Verb::new("CDUP", "", |state, _| {
    let above = state.folder.parent().unwrap_or_default();
    Ok(cwd::enter(above))
})
.also("XCUP");
