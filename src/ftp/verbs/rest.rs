//! REST: where the next transfer begins (RFC 3659 section 5).

use crate::ftp::reply::Reply;
use crate::ftp::state::Form;
use crate::ftp::verb::{Verb, reply};

/// REST.
pub const REST: Verb = Verb::new("REST", "<offset>", |state, argument| {
    let text = argument.text(state)?;
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let offset = text
        .parse::<u64>()
        .ok()
        .filter(|offset| is_number && i64::try_from(*offset).is_ok());
    let offset = offset.ok_or_else(|| Reply::new(501, "write REST and a number of bytes"))?;
    if state.form == Form::Ascii && offset > 0 {
        return Err(Reply::new(
            504,
            "in TYPE A nobody knows which byte that is; send TYPE I first",
        ));
    }
    state.restart = Some(offset);
    reply(350, format!("the next transfer begins at {offset}"))
});
