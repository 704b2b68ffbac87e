//! FEAT: what is offered beyond RFC 959 (RFC 2389 section 3).

use crate::ftp::reply::Reply;
use crate::ftp::verb::Verb;
use crate::ftp::verbs::hash;
use crate::ftp::work::Action;

/// FEAT.
pub const FEAT: Verb = Verb::new("FEAT", "", |state, _| {
    let mut features: Vec<String> = [
        "AUTH TLS",
        "AVBL",
        "CLNT",
        "CSID",
        "EPRT",
        "EPSV",
        "HOST",
        "LANG EN*",
        "MDTM",
        "MFCT",
        "MFF modify;create;UNIX.mode;",
        "MFMT",
        "MODE Z",
        "PBSZ",
        "PROT",
        "REST STREAM",
        "SITE CHMOD;UTIME;HELP",
        "SIZE",
        "TVFS",
        "UTF8",
        "XCRC",
        "XMD5",
        "XSHA",
        "XSHA1",
        "XSHA256",
        "XSHA512",
    ]
    .map(str::to_owned)
    .into();
    if state.options.ccc {
        features.push("CCC".to_owned());
    }
    features.push(format!("HASH {}", hash::offered(state.sum)));
    features.push(format!("MLST {}", state.facts.offered()));
    features.sort();
    Ok(Action::Reply(Reply::long(
        211,
        "Features:",
        features,
        "End",
    )))
})
.for_anybody();
