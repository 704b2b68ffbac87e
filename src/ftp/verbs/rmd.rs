//! RMD: deletes an empty folder.

use crate::ftp::reply::Reply;
use crate::ftp::verb::Verb;
use crate::ftp::work::{Action, Done, Task, Work};

/// RMD and XRMD.
pub const RMD: Verb = Verb::new("RMD", "<folder>", |state, argument| {
    let path = argument.path(state)?;
    if path.is_root() {
        return Err(Reply::new(550, "the uppermost folder stays"));
    }
    Ok(Action::Work(Work::Files(Task::new(
        move |files| async move {
            files.session.remove_folder(&path).await?;
            Ok(Done::new(250, "deleted"))
        },
    ))))
})
.also("XRMD");
