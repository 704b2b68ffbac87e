//! Answers that are in memory as a whole count against the budget until the client has them: over HTTP/2 one
//! connection can have many of them waiting.

use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;

use crate::http::held;
use crate::http::holders::Holder;
use crate::http::peer::Peer;
use crate::http::reply::Problem;
use crate::http::visits::Visit;
use crate::http::web::Web;

/// Longest answer that need not count, in bytes: what every request costs beside it is about as much.
const LEAST_BYTES: u64 = 16 * 1024;

/// Counts an answer of many bytes for whom it is. Without memory for it, a question is answered with 503; what was done is
/// told all the same.
pub async fn count(State(web): State<Web>, request: Request, next: Next) -> Response {
    let is_question = request.method().is_safe() || request.method().as_str() == "PROPFIND";
    let peer = request.extensions().get::<Peer>();
    let address = peer.map(|peer| peer.behind(&web.settings().forwarders, request.headers()));
    let response = next.run(request).await;
    // Of those that are read while they are sent the length is not known here, and they count by the piece.
    let length = response.body().size_hint().exact();
    let Some(length) = length.filter(|length| *length > LEAST_BYTES) else {
        return response;
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let account = held::of::<Visit>(response.extensions());
    let holder = account.map(|visit| Holder::of(&visit.principal));
    let Some(holder) = holder.or(address.map(Holder::at)) else {
        return response;
    };
    match web.holders().try_take(holder, length) {
        Some(holding) => response.map(|body| {
            Body::new(
                body.map_frame(move |frame| frame.map_data(|bytes| holding.clone().around(bytes))),
            )
        }),
        None if is_question => Problem::short_of_memory().into_response(),
        None => response,
    }
}
