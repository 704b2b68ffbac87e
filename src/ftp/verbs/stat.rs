//! STAT: how the session stands, also during a transfer; or names, in the reply.

use crate::domain::error::Result as DomainResult;
use crate::domain::node::{Entry, NodeKind};
use crate::domain::rights::Rights;
use crate::ftp::argument::Argument;
use crate::ftp::files::Files;
use crate::ftp::listing::{self, ListRequest, Style, Viewer};
use crate::ftp::reply::Reply;
use crate::ftp::state::{Channel, Form, Mode, Stage, State};
use crate::ftp::verb::Verb;
use crate::ftp::work::{Action, Done, Task, Work};

/// Most names that fit a reply.
const MAX_NAMES: usize = 2000;

/// STAT.
pub const STAT: Verb = Verb::new("STAT", "[path]", |state, argument| {
    match argument.is_empty() {
        true => Ok(Action::Reply(status(state))),
        false => names(state, argument),
    }
})
.for_anybody()
.at_any_time();

fn status(state: &State) -> Reply {
    let sealed = |channel| match channel {
        Channel::Clear => "in the clear",
        Channel::Sealed => "encrypted",
    };
    let mut lines = vec![match &state.stage {
        Stage::In(name) => format!("Logged in as {name}"),
        Stage::Code(_) | Stage::Named(_) | Stage::Stranger => "Not logged in".to_owned(),
    }];
    lines.push(format!(
        "The control connection is {}, data connections are {}",
        sealed(state.channel),
        sealed(state.protection)
    ));
    let form = match state.form {
        Form::Ascii => 'A',
        Form::Image => 'I',
    };
    let mode = match state.mode {
        Mode::Deflate(_) => 'Z',
        Mode::Stream => 'S',
    };
    lines.push(format!("TYPE {form}, STRU F, MODE {mode}"));
    lines.push(match &state.under_way {
        Some(what) => what.clone(),
        None => "No transfer is under way".to_owned(),
    });
    Reply::long(211, "Sealift", lines, "End")
}

fn names(state: &State, argument: Argument<'_>) -> Result<Action, Reply> {
    if !state.is_in() {
        return Err(Reply::new(530, "log in first: USER and PASS"));
    }
    if state.under_way.is_some() {
        return Err(Reply::new(450, "names are told when the transfer is over"));
    }
    let request = ListRequest::parse(argument, state, Style::Long)?;
    Ok(Action::Work(Work::Files(Task::new(
        move |files| async move {
            let request = request.settled(&files.session).await;
            let lines = lines(&files, &request).await?;
            let code = match request.pattern {
                Some(_) => 212,
                None => 213,
            };
            let title = format!("Status of {}:", request.path);
            Ok(Done::from(Reply::long(code, title, lines, "End")))
        },
    ))))
}

async fn lines(files: &Files, request: &ListRequest) -> DomainResult<Vec<String>> {
    let viewer = files.viewer(Rights::NONE);
    let entry = files.session.stat(&request.path).await?;
    if entry.kind == NodeKind::File {
        let name = listing::file_name(request, &entry);
        return Ok(vec![line(&viewer, &entry, &name)]);
    }
    let mut lines = Vec::new();
    let mut list = files.session.list(&request.path).await?;
    loop {
        let page = list.next_page().await?;
        if page.is_empty() {
            return Ok(lines);
        }
        for entry in request.wanted(page).await {
            if lines.len() == MAX_NAMES {
                lines.push("There are more; LIST and MLSD show all".to_owned());
                return Ok(lines);
            }
            lines.push(line(&viewer, &entry, &entry.name));
        }
    }
}

/// A line without its end; spaces before that belong to the name.
fn line(viewer: &Viewer, entry: &Entry, name: &str) -> String {
    let mut line = viewer.line(Style::Long, entry, name);
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    line
}
