//! CWD: to another folder.

use crate::domain::node::NodeKind;
use crate::domain::path::VfsPath;
use crate::ftp::reply::{Reply, quoted};
use crate::ftp::verb::Verb;
use crate::ftp::work::{Action, Change, Done, Task, Work};

/// CWD and XCWD.
pub const CWD: Verb = Verb::new("CWD", "<folder>", |state, argument| {
    let path = match argument.text(state)?.as_str() {
        // A shell's sign for one's home.
        "~" => state.home.clone(),
        _ => argument.path(state)?,
    };
    Ok(enter(path))
})
.also("XCWD");

/// Goes to a folder, if it is one.
pub fn enter(path: VfsPath) -> Action {
    Action::Work(Work::Files(Task::new(move |files| async move {
        if files.session.stat(&path).await?.kind == NodeKind::File {
            return Err(Reply::new(550, format!("'{path}' is a file, not a folder")));
        }
        let done = Done::new(
            250,
            format!("{} is the folder now", quoted(&path.to_string())),
        );
        Ok(done.changing(Change::Entered(path)))
    })))
}
