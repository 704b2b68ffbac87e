//! MKD: makes a folder.

use crate::domain::node::AttributeUpdate;
use crate::ftp::reply::quoted;
use crate::ftp::verb::Verb;
use crate::ftp::work::{Action, Done, Task, Work};

/// MKD and XMKD.
pub const MKD: Verb = Verb::new("MKD", "<folder>", |state, argument| {
    let path = argument.path(state)?;
    Ok(Action::Work(Work::Files(Task::new(
        move |files| async move {
            let plain = AttributeUpdate::default();
            files.session.make_folder(&path, plain).await?;
            Ok(Done::new(
                257,
                format!("{} was made", quoted(&path.to_string())),
            ))
        },
    ))))
})
.also("XMKD");
