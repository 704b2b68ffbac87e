//! RMD: deletes an empty folder.

use crate::domain::id::NodeId;
use crate::domain::rights::Rights;
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
            let session = &files.session;
            let rights = session.rights(&path).await;
            let may = rights.is_ok_and(|rights| rights.contains(Rights::LIST | Rights::DELETE));
            // Deleting would not mind what broke off in it, which listings show.
            if may
                && let Ok(mut names) = session.list(&path).await
                && let Ok(page) = names.next_page().await
                && page.iter().any(|entry| entry.node == NodeId::NIL)
            {
                let sentence = format!(
                    "the folder '{path}' is not empty; delete what is in it first, also what broke off"
                );
                return Err(Reply::new(550, sentence));
            }
            session.remove_folder(&path).await?;
            Ok(Done::new(250, "deleted"))
        },
    ))))
})
.also("XRMD");
