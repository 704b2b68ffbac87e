//! MLST: the facts of one file or folder, in the reply (RFC 3659 section 7).

use crate::domain::error::ErrorKind;
use crate::ftp::facts::Relation;
use crate::ftp::reply::Reply;
use crate::ftp::verb::Verb;
use crate::ftp::work::{Action, Done, Task, Work};

/// MLST.
pub const MLST: Verb = Verb::new("MLST", "[path]", |state, argument| {
    let path = argument.path_or_here(state)?;
    let (facts, is_here) = (state.facts, path == state.folder);
    Ok(Action::Work(Work::Files(Task::new(
        move |files| async move {
            let entry = files.session.stat(&path).await?;
            let rights = match (files.session.rights(&path).await, path.parent()) {
                // What broke off under a new name has those of its folder, as in listings.
                (Err(error), Some(folder)) if error.kind() == ErrorKind::NotFound => {
                    files.session.rights(&folder).await?
                }
                (rights, _) => rights?,
            };
            let relation = match is_here {
                true => Relation::Itself,
                false => Relation::Child,
            };
            let line = format!("{}{path}", facts.of(&entry, relation, rights));
            Ok(Done::from(Reply::long(250, "Facts:", [line], "End")))
        },
    ))))
});
