//! What operations may be answered with when they fail, for the OpenAPI document.

use utoipa::IntoResponses;

use crate::http::reply::ProblemDetails;

macro_rules! failures {
    ($(#[$doc:meta])* $name:ident: $($variant:ident = $status:literal $text:literal),+ $(,)?) => {
        $(#[$doc])*
        #[derive(IntoResponses)]
        pub enum $name {
            $(
                #[doc = $text]
                #[response(status = $status, description = $text, content_type = "application/problem+json")]
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
    /// Of whatever has a JSON body, besides.
    Reading:
    Stalled = 408 "the body did not come",
    TooLarge = 413 "the body is too long",
    NotJson = 415 "the body is not JSON",
}
