//! RMD: deletes an empty folder.

use crate::domain::node::NodeKind;
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
            // Deleting would not mind what broke off in it, which listings show.
            if files.session.stat(&path).await?.kind == NodeKind::Folder
                && !files.session.list(&path).await?.next_page().await?.is_empty()
            {
                let sentence = "the folder is not empty: MLSD shows what is in it, which may be a file that broke off";
                return Err(Reply::new(550, sentence));
            }
            files.session.remove_folder(&path).await?;
            Ok(Done::new(250, "deleted"))
        },
    ))))
})
.also("XRMD");
