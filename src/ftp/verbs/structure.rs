//! TYPE, STRU and MODE: what a transfer's bytes mean (RFC 959 section 5.1 asks for less).

use crate::ftp::reply::Reply;
use crate::ftp::state::{Form, Mode};
use crate::ftp::verb::{Verb, reply};

/// TYPE.
pub const TYPE: Verb = Verb::new("TYPE", "A|I|L 8", |state, argument| {
    let words = argument.text(state)?.to_ascii_uppercase();
    let words: Vec<_> = words.split_ascii_whitespace().collect();
    let form = match words.as_slice() {
        ["A"] | ["A", "N"] => Form::Ascii,
        ["I"] | ["L", "8"] | ["L8"] => Form::Image,
        ["A", _] => return Err(Reply::new(504, "no page control is offered; write TYPE A")),
        ["E", ..] => {
            return Err(Reply::new(
                504,
                "EBCDIC is not offered; write TYPE A or TYPE I",
            ));
        }
        ["L", ..] => return Err(Reply::new(504, "bytes have 8 bits here; write TYPE L 8")),
        _ => return Err(Reply::new(501, "write TYPE A or TYPE I")),
    };
    state.form = form;
    reply(
        200,
        match form {
            Form::Ascii => "lines are converted",
            Form::Image => "bytes travel as they are",
        },
    )
});

/// STRU.
pub const STRU: Verb = Verb::new("STRU", "F", |state, argument| {
    match argument.text(state)?.to_ascii_uppercase().as_str() {
        "F" => reply(200, "files are bytes"),
        "R" | "P" => Err(Reply::new(504, "files are bytes here; write STRU F")),
        _ => Err(Reply::new(501, "write STRU F")),
    }
});

/// MODE.
pub const MODE: Verb = Verb::new("MODE", "S|Z", |state, argument| {
    match argument.text(state)?.to_ascii_uppercase().as_str() {
        "S" => {
            state.mode = Mode::Stream;
            reply(200, "bytes are a stream")
        }
        "Z" => {
            state.mode = Mode::Deflate(state.level);
            reply(200, "bytes are a stream of zlib")
        }
        "B" | "C" => Err(Reply::new(
            504,
            "no blocks are offered; write MODE S or MODE Z",
        )),
        _ => Err(Reply::new(501, "write MODE S or MODE Z")),
    }
});
