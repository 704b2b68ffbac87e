//! DELE: deletes a file.

use crate::ftp::verb::Verb;
use crate::ftp::work::{Action, Done, Task, Work};

/// DELE.
pub const DELE: Verb = Verb::new("DELE", "<file>", |state, argument| {
    let path = argument.path(state)?;
    Ok(Action::Work(Work::Files(Task::new(
        move |files| async move {
            files.session.remove_file(&path).await?;
            Ok(Done::new(250, "deleted"))
        },
    ))))
});
