//! OPTS: how other commands behave (RFC 2389 section 4).

use crate::ftp::argument::Argument;
use crate::ftp::charset::Charset;
use crate::ftp::facts::Facts;
use crate::ftp::reply::Reply;
use crate::ftp::state::{Mode, State};
use crate::ftp::verb::{Verb, reply};
use crate::ftp::verbs::hash;
use crate::ftp::work::Action;

/// OPTS.
pub const OPTS: Verb = Verb::new(
    "OPTS",
    "UTF8 ON | MLST facts | HASH name | MODE Z LEVEL 1-9",
    options,
)
.for_anybody();

fn options(state: &mut State, argument: Argument<'_>) -> Result<Action, Reply> {
    let text = argument.text(state)?;
    let (name, value) = text.split_once(' ').unwrap_or((&text, ""));
    let value = value.trim();
    match name.to_ascii_uppercase().as_str() {
        "UTF8" | "UTF-8" => match value.to_ascii_uppercase().as_str() {
            "" | "ON" | "NLST" => {
                state.options.charset = Charset::UTF_8;
                state.is_utf8_agreed = true;
                reply(200, "names are UTF-8")
            }
            "OFF" => Err(Reply::new(
                504,
                "names are UTF-8; an administrator can give your account another character set",
            )),
            _ => Err(Reply::new(501, "write OPTS UTF8 ON")),
        },
        "MLST" => {
            state.facts = Facts::chosen(value);
            reply(200, format!("MLST OPTS {}", state.facts.list()).trim_end())
        }
        "HASH" if value.is_empty() => reply(200, hash::name(state.sum)),
        "HASH" => match hash::named(value) {
            Some(kind) => {
                state.sum = kind;
                reply(200, hash::name(kind))
            }
            None => Err(Reply::new(
                501,
                format!("there are {}", hash::offered(state.sum)),
            )),
        },
        "MODE" => {
            state.level = level(value)?;
            if let Mode::Deflate(level) = &mut state.mode {
                *level = state.level;
            }
            reply(200, format!("MODE Z LEVEL {}", state.level))
        }
        "" => Err(Reply::new(501, "write OPTS and the name of a command")),
        _ => Err(Reply::new(501, "no options are known for this")),
    }
}

/// Options of MODE come in pairs; those that do not change what comes out are read over.
fn level(text: &str) -> Result<u32, Reply> {
    let wrong = || Reply::new(501, "write OPTS MODE Z LEVEL and a number from 1 to 9");
    let text = text.to_ascii_uppercase();
    let mut words = text.split_ascii_whitespace();
    if words.next() != Some("Z") {
        return Err(wrong());
    }
    let words: Vec<_> = words.collect();
    let of_level = words.chunks(2).find_map(|pair| match pair {
        ["LEVEL", level] => Some(level.parse().ok()),
        _ => None,
    });
    let level = of_level.flatten().filter(|level| (1..=9).contains(level));
    level.ok_or_else(wrong)
}
