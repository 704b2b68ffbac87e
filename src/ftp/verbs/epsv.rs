//! PASV and EPSV: the client connects to us for data (RFC 959 section 4.1.2, RFC 2428 section 3).

use crate::ftp::reply::Reply;
use crate::ftp::verb::{Verb, reply};
use crate::ftp::work::{Action, Family, Work};

/// PASV.
pub const PASV: Verb = Verb::new("PASV", "", |state, _| {
    if state.only_extended_passive {
        return Err(Reply::new(501, "EPSV ALL was sent; only EPSV will do"));
    }
    if state.ends.local.ip().to_canonical().is_ipv6() {
        return Err(Reply::new(
            425,
            "PASV cannot tell an IPv6 address; use EPSV",
        ));
    }
    Ok(Action::Work(Work::Listen(Family::Four)))
});

/// EPSV.
pub const EPSV: Verb = Verb::new("EPSV", "[1|2|ALL]", |state, argument| {
    let is_six = state.ends.local.ip().to_canonical().is_ipv6();
    match (argument.text(state)?.to_ascii_uppercase().as_str(), is_six) {
        ("", _) | ("1", false) | ("2", true) => Ok(Action::Work(Work::Listen(Family::Same))),
        ("ALL", _) => {
            state.only_extended_passive = true;
            reply(200, "only EPSV will do from here on")
        }
        ("1", true) => Err(Reply::new(
            522,
            "the address here is of another protocol, use (2)",
        )),
        ("2", false) => Err(Reply::new(
            522,
            "the address here is of another protocol, use (1)",
        )),
        _ => Err(Reply::new(501, "write EPSV, EPSV 1, EPSV 2 or EPSV ALL")),
    }
});
