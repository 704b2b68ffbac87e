//! PBSZ and PROT: whether data connections are encrypted (RFC 4217 sections 8 and 9).

use crate::ftp::reply::Reply;
use crate::ftp::state::Channel;
use crate::ftp::verb::{Verb, reply};

/// PBSZ.
pub const PBSZ: Verb = Verb::new("PBSZ", "0", |state, argument| {
    let size = argument.text(state)?;
    match (state.channel, size.trim().parse::<u32>()) {
        (Channel::Clear, _) => Err(Reply::new(503, "send AUTH TLS first")),
        (Channel::Sealed, Err(_)) => Err(Reply::new(501, "write PBSZ 0")),
        (Channel::Sealed, Ok(_)) => {
            state.is_buffer_agreed = true;
            reply(200, "PBSZ=0")
        }
    }
})
.for_anybody();

/// PROT.
pub const PROT: Verb = Verb::new("PROT", "P|C", |state, argument| {
    let level = argument.text(state)?.to_ascii_uppercase();
    if state.channel == Channel::Clear {
        return Err(Reply::new(503, "send AUTH TLS first"));
    }
    if !state.is_buffer_agreed {
        return Err(Reply::new(503, "send PBSZ 0 first"));
    }
    match level.as_str() {
        "P" => {
            state.protection = Channel::Sealed;
            reply(200, "data connections are encrypted")
        }
        "C" if state.must_seal_data() => Err(Reply::new(
            534,
            "data connections must be encrypted; write PROT P",
        )),
        "C" => {
            state.protection = Channel::Clear;
            reply(200, "data connections are in the clear")
        }
        "E" | "S" => Err(Reply::new(536, "TLS has no such level; write PROT P")),
        _ => Err(Reply::new(504, "write PROT P or PROT C")),
    }
})
.for_anybody();
