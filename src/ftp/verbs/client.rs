//! What clients and servers tell of themselves: CLNT, CSID, LANG, SYST.

use crate::ftp::reply::Reply;
use crate::ftp::verb::{Verb, reply};

/// CLNT: what the client is.
pub const CLNT: Verb = Verb::new("CLNT", "<name>", |_, _| reply(200, "noted")).for_anybody();

/// CSID: what client and server are.
pub const CSID: Verb = Verb::new("CSID", "Name=<client>;", |_, _| {
    reply(
        200,
        "Name=Sealift; UNIX=1; CaseSensitive=1; FolderSeparator=/;",
    )
})
.for_anybody();

/// LANG: the language of replies (RFC 2640 section 4).
pub const LANG: Verb = Verb::new("LANG", "[EN]", |state, argument| {
    let wanted = argument.text(state)?.to_ascii_lowercase();
    match wanted.split('-').next() {
        Some("" | "en") => reply(200, "replies are in English"),
        _ => Err(Reply::new(
            504,
            "replies are in English only; write LANG EN",
        )),
    }
})
.for_anybody();

/// SYST: what paths and listings look like.
pub const SYST: Verb = Verb::new("SYST", "", |_, _| reply(215, "UNIX Type: L8")).for_anybody();
