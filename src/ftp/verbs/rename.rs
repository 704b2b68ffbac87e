//! RNFR and RNTO: another name, or another folder, as one change.

use crate::domain::id::NodeId;
use crate::domain::node::Entry;
use crate::ftp::reply::Reply;
use crate::ftp::verb::Verb;
use crate::ftp::work::{Action, Change, Done, Task, Work};
use crate::vfs::rename::Overwrite;

/// RNFR.
pub const RNFR: Verb = Verb::new("RNFR", "<old>", |state, argument| {
    let path = argument.path(state)?;
    Ok(Action::Work(Work::Files(Task::new(
        move |files| async move {
            files.session.stat(&path).await?;
            let done = Done::new(350, "send RNTO with the new name");
            Ok(done.changing(Change::Renaming(path)))
        },
    ))))
});

/// RNTO: takes the place of a file that is there, as servers on POSIX do.
pub const RNTO: Verb = Verb::new("RNTO", "<new>", |state, argument| {
    let Some(from) = state.renaming.take() else {
        return Err(Reply::new(503, "send RNFR just before"));
    };
    let to = argument.path(state)?;
    Ok(Action::Work(Work::Files(Task::new(
        move |files| async move {
            let session = &files.session;
            let is_published = |entry: &Entry| entry.node != NodeId::NIL;
            if !is_published(&session.stat(&from).await?)
                && session
                    .stat(&to)
                    .await
                    .is_ok_and(|entry| is_published(&entry))
            {
                return Err(Reply::new(
                    450,
                    "this file broke off, and cannot take the place of one that is whole; send the rest, and \
                     rename it then",
                ));
            }
            let renamed = files.session.rename(&from, &to, Overwrite::Allow).await;
            renamed?;
            Ok(Done::new(250, "renamed"))
        },
    ))))
});
