//! All commands.

use crate::ftp::reply::Reply;
use crate::ftp::verb::{Verb, reply};
use crate::ftp::verbs::{
    abor, acct, allo, auth, avbl, ccc, cdup, client, cwd, dele, epsv, feat, hash, host, list,
    login, mkd, mlst, noop, opts, port, prot, pwd, rename, rest, retr, rmd, site, size, stat, stor,
    structure, times,
};
use crate::ftp::work::Action;

/// All commands, by name.
pub const ALL: [Verb; 58] = [
    abor::ABOR,
    acct::ACCT,
    allo::ALLO,
    stor::APPE,
    auth::AUTH,
    avbl::AVBL,
    ccc::CCC,
    cdup::CDUP,
    client::CLNT,
    client::CSID,
    cwd::CWD,
    dele::DELE,
    port::EPRT,
    epsv::EPSV,
    feat::FEAT,
    hash::HASH,
    HELP,
    host::HOST,
    client::LANG,
    list::LIST,
    times::MDTM,
    times::MFCT,
    times::MFF,
    times::MFMT,
    mkd::MKD,
    list::MLSD,
    mlst::MLST,
    structure::MODE,
    list::NLST,
    noop::NOOP,
    opts::OPTS,
    login::PASS,
    epsv::PASV,
    prot::PBSZ,
    port::PORT,
    prot::PROT,
    pwd::PWD,
    login::QUIT,
    login::REIN,
    rest::REST,
    retr::RETR,
    rmd::RMD,
    rename::RNFR,
    rename::RNTO,
    site::SITE,
    size::SIZE,
    stat::STAT,
    stor::STOR,
    stor::STOU,
    structure::STRU,
    client::SYST,
    structure::TYPE,
    login::USER,
    hash::XCRC,
    hash::XMD5,
    hash::XSHA1,
    hash::XSHA256,
    hash::XSHA512,
];

/// Commands of RFC 959 that make no sense here: 502, not 500.
const UNSUPPORTED: [&str; 5] = ["SMNT", "ADAT", "CONF", "ENC", "MIC"];

/// The command of this name, in any case.
///
/// # Errors
/// 500 when there is none, 502 when it is known and not offered.
pub fn find(name: &[u8]) -> Result<&'static Verb, Reply> {
    static TABLE: [Verb; ALL.len()] = ALL;
    let is_it = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
    let found = TABLE
        .iter()
        .find(|verb| is_it(verb.name) || verb.alias.is_some_and(is_it));
    if let Some(verb) = found {
        return Ok(verb);
    }
    match UNSUPPORTED.iter().any(|known| is_it(known)) {
        true => Err(Reply::new(502, "this is not offered")),
        false => Err(Reply::new(
            500,
            "no such command; HELP names those there are",
        )),
    }
}

/// HELP.
pub const HELP: Verb = Verb::new("HELP", "[command]", |state, argument| {
    let wanted = argument.text(state)?;
    if !wanted.is_empty() {
        let verb =
            find(wanted.trim().as_bytes()).map_err(|_| Reply::new(502, "no such command"))?;
        return reply(214, format!("{} {}", verb.name, verb.usage).trim_end());
    }
    let names: Vec<_> = ALL.iter().map(|verb| verb.name).collect();
    let lines = names.chunks(10).map(|line| line.join(" "));
    Ok(Action::Reply(Reply::long(
        214,
        "These are known:",
        lines,
        "End",
    )))
})
.for_anybody()
.at_any_time();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_found_in_any_case() {
        assert!(ALL.is_sorted_by_key(|verb| verb.name));
        assert_eq!(find(b"xCwD").map(|verb| verb.name), Ok("CWD"));
        assert_eq!(find(b"NONE").map(|verb| verb.name).unwrap_err().code(), 500);
        assert_eq!(find(b"smnt").map(|verb| verb.name).unwrap_err().code(), 502);
    }
}
