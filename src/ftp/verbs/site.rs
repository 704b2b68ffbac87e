//! SITE: what Unix has and FTP has no word for.

use crate::domain::node::AttributeUpdate;
use crate::ftp::argument;
use crate::ftp::facts;
use crate::ftp::reply::Reply;
use crate::ftp::state::State;
use crate::ftp::verb::{Verb, reply};
use crate::ftp::verbs::times;
use crate::ftp::work::Action;

/// SITE.
pub const SITE: Verb = Verb::new("SITE", "CHMOD | UTIME | HELP", |state, argument| {
    let text = argument.text(state)?;
    let (name, rest) = text.split_once(' ').unwrap_or((&text, ""));
    match name.to_ascii_uppercase().as_str() {
        "CHMOD" => chmod(state, rest),
        "UTIME" => utime(state, rest),
        "HELP" => Ok(Action::Reply(Reply::long(
            214,
            "These are known:",
            [
                "CHMOD <mode> <path>",
                "HELP",
                "UTIME YYYYMMDDhhmm[ss] <path>",
            ]
            .map(str::to_owned),
            "End",
        ))),
        // What old scripts say without need.
        "IDLE" | "UMASK" => reply(200, "it stays as it is"),
        "" => Err(Reply::new(501, "write SITE HELP for what is known")),
        _ => Err(Reply::new(
            504,
            "no such SITE command; write SITE HELP for what is known",
        )),
    }
});

fn chmod(state: &State, rest: &str) -> Result<Action, Reply> {
    let (mode, path) = rest.split_once(' ').unwrap_or((rest, ""));
    let mode = times::mode(mode)
        .ok_or_else(|| Reply::new(501, "write SITE CHMOD, a mode like 644, and a path"))?;
    let update = AttributeUpdate {
        mode: Some(mode),
        ..AttributeUpdate::default()
    };
    let path = argument::path(path, state)?;
    Ok(times::setting(
        path,
        update,
        200,
        "the mode was set".to_owned(),
    ))
}

/// `UTIME time path` (pure-ftpd, ncftp), or `UTIME path accessed modified created UTC` (ncftp too).
fn utime(state: &State, rest: &str) -> Result<Action, Reply> {
    let told = "the time was set".to_owned();
    let wrong = || Reply::new(501, "write SITE UTIME YYYYMMDDhhmmss and a path");
    let (first, path) = rest.split_once(' ').ok_or_else(wrong)?;
    if let Some(modified) = facts::parse_time(first) {
        let path = argument::path(path, state)?;
        return Ok(times::setting(
            path,
            times::modification(modified),
            200,
            told,
        ));
    }
    let mut words = rest.rsplitn(5, ' ');
    let zone = words.next().unwrap_or_default();
    let times: Option<Vec<_>> = words.by_ref().take(3).map(facts::parse_time).collect();
    let (Some([created, modified, accessed]), Some(path)) = (times.as_deref(), words.next()) else {
        return Err(wrong());
    };
    if !zone.eq_ignore_ascii_case("UTC") {
        return Err(Reply::new(501, "times are in UTC; write it at the end"));
    }
    let update = AttributeUpdate {
        accessed: Some(*accessed),
        created: Some(*created),
        ..times::modification(*modified)
    };
    let path = argument::path(path, state)?;
    Ok(times::setting(path, update, 200, told))
}
