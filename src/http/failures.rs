//! What operations may be answered with when they fail, for the OpenAPI document.

use utoipa::IntoResponses;

use crate::http::reply::ProblemDetails;

macro_rules! failures {
    ($(#[$doc:meta])* $name:ident: $($variant:ident = $status:literal $text:literal $($header:literal)?),+ $(,)?) => {
        $(#[$doc])*
        #[derive(IntoResponses)]
        pub enum $name {
            $(
                #[doc = $text]
                #[response(
                    status = $status,
                    description = $text,
                    content_type = "application/problem+json",
                    headers($(($header))?)
                )]
                $variant(ProblemDetails),
            )+
        }
    };
}

failures! {
    /// Of whatever an account asks for.
    Asking:
    Invalid = 400 "the request is malformed",
    Stranger = 401 "nobody has logged in",
    Denied = 403 "a right is missing; the detail names it",
    NotFound = 404 "there is no such thing",
    Conflict = 409 "what is there does not allow it",
    Busy = 429 "too much at once; try again later",
    Internal = 500 "a defect, or stored bytes are damaged; the operator is told",
    Unavailable = 503 "a part of the server does not answer; try again later",
}

failures! {
    /// Of whatever changes something, besides.
    Changing:
    Changed = 412 "it is another version than the request names",
    Full = 507 "a quota is reached, or the store is full",
}

failures! {
    /// Of whatever somebody asks for by a link.
    Visiting:
    Invalid = 400 "the request is malformed",
    Password = 401 "the link has a password, which was not given or is wrong",
    Otherwise = 403 "the link is for something else",
    NotFound = 404 "there is no such link, or nothing of this name behind it",
    Conflict = 409 "what is there does not allow it",
    Over = 410 "the link has ended",
    Busy = 429 "too much at once, or too many wrong passwords; try again later",
    Internal = 500 "a defect, or stored bytes are damaged; the operator is told",
    Unavailable = 503 "a part of the server does not answer; try again later",
}

failures! {
    /// Of whatever sends bytes by a link, besides.
    Piecing:
    NoMethod = 405 "X-HTTP-Method-Override names another method",
    Stalled = 408 "nothing came for too long",
    Version = 412 "another version of tus",
    TooLarge = 413 "more than it may hold",
    NoPiece = 415 "the body is no piece, or comes with Content-Encoding",
    Locked = 423 "another request writes to it",
    Checksum = 460 "the sum does not fit the body",
    Full = 507 "the link takes no more, or there is no room",
}

failures! {
    /// Of whatever is sent of a file, besides.
    Ranging:
    Changed = 412 "it is another version than If-Match names",
    NoRange = 416 "the file has no such part" "Content-Range",
}

failures! {
    /// Of whatever has a JSON body, besides.
    Reading:
    Stalled = 408 "the body did not come",
    TooLarge = 413 "the body is too long",
    NotJson = 415 "the body is not JSON",
}
