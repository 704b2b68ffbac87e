//! SIZE: how many bytes RETR would bring (RFC 3659 section 4).

use crate::domain::node::NodeKind;
use crate::ftp::reply::Reply;
use crate::ftp::state::Form;
use crate::ftp::verb::Verb;
use crate::ftp::work::{Action, Done, Task, Work};
use crate::vfs::resume;

/// SIZE.
pub const SIZE: Verb = Verb::new("SIZE", "<file>", |state, argument| {
    let path = argument.path(state)?;
    if state.form == Form::Ascii {
        let sentence = "in TYPE A the whole file would have to be read; send TYPE I first";
        return Err(Reply::new(550, sentence));
    }
    Ok(Action::Work(Work::Files(Task::new(
        move |files| async move {
            // Whoever goes on from what is published, or is kept later, leaves out what comes in between.
            if files.session.is_being_sent(&path).await? {
                return Err(Reply::error(&resume::held_elsewhere()));
            }
            let entry = files.session.stat(&path).await?;
            match entry.kind {
                NodeKind::File => {
                    files.told.note(&path, entry.size);
                    Ok(Done::new(213, entry.size.to_string()))
                }
                NodeKind::Folder => Err(Reply::new(550, format!("'{path}' is a folder"))),
            }
        },
    ))))
});
