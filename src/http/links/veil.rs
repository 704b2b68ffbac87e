//! What those who come by a link are told when something fails: never a path of the account, nor why a link
//! has ended.

use axum::http::{HeaderValue, StatusCode, header};

use crate::domain::error::Error;
use crate::http::reply::Problem;
use crate::vfs::access::MOVED;

/// 404: no link has this text, or it belongs elsewhere.
pub fn unknown() -> Problem {
    let detail = "there is no such link; look whether all of it was copied";
    Problem::new(StatusCode::NOT_FOUND, "no-such-link", detail)
}

/// 410: the link has ended, in whichever way.
pub fn over() -> Problem {
    let detail = "this link leads nowhere any more; ask who gave it to you for another";
    Problem::new(StatusCode::GONE, "link-over", detail)
}

/// 503: what the link leads to was moved while it was asked for.
fn moved() -> Problem {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", MOVED);
    problem.with(header::RETRY_AFTER, HeaderValue::from_static("1"))
}

/// What an error is to those who come by a link.
pub fn error(error: Error) -> Problem {
    problem(error.into())
}

/// What a problem is to those who come by a link.
pub fn problem(problem: Problem) -> Problem {
    let sentence = match problem.word() {
        // A right is missing that its maker had.
        "denied" | "unauthenticated" => return over(),
        _ if problem.detail() == MOVED => return moved(),
        "already-exists" => "something of this name was made meanwhile; send it again",
        "changed" => "this is not the version that you know any more; ask for it again",
        "is-folder" => "this is a folder, not a file",
        "not-folder" => "this is a file, not a folder",
        "not-found" => "there is no such thing behind this link, or it has expired",
        "quota" if !problem.detail().starts_with("this link") => {
            "there is no room for this; tell who gave you the link"
        }
        _ => return problem,
    };
    problem.saying(sentence)
}
