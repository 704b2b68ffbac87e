//! AVBL: how many bytes more the quota allows (draft-peterson-streamlined-ftp-command-extensions).

use crate::ftp::reply::Reply;
use crate::ftp::verb::Verb;
use crate::ftp::work::{Action, Done, Task, Work};

/// AVBL.
pub const AVBL: Verb = Verb::new("AVBL", "[path]", |state, argument| {
    let path = argument.path_or_here(state)?;
    Ok(Action::Work(Work::Files(Task::new(
        move |files| async move {
            files.session.stat(&path).await?;
            let space = files.session.space().await?;
            let free = space.bytes_left().ok_or_else(|| {
                let sentence = "no quota is set, so that nobody can say how much there is room for";
                Reply::new(550, sentence)
            })?;
            Ok(Done::new(213, free.to_string()))
        },
    ))))
});
