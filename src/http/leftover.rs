//! What is left of a body whose request was refused: read for a while behind the answer, so that clients get to
//! read why.
//!
//! A client that is still sending when its stream is reset, or its connection closed, may never look at the
//! answer: curl (7.88), Node and httpx report the reset instead.

use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use tokio::time::timeout;

use crate::http::web::Web;

/// How long, at most: enough for a client to see the answer and to stop.
const LINGER: Duration = Duration::from_secs(10);

/// Reads on when a request was refused before its body was read.
pub async fn read(State(web): State<Web>, request: Request, next: Next) -> Response {
    // Whoever waits for leave to send has sent nothing, and must not be given leave now.
    if request.headers().contains_key(header::EXPECT) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let lent = Lent(Arc::new(Mutex::new(body)));
    let request = Request::from_parts(parts, Body::new(lent.clone()));
    let response = next.run(request).await;
    let status = response.status();
    // Of whoever was waited for in vain nothing more is expected.
    let is_over = status == StatusCode::REQUEST_TIMEOUT;
    if (status.is_client_error() || status.is_server_error()) && !is_over {
        let rest = mem::take(&mut *lent.lock());
        web.tasks()
            .spawn(async move { drop(timeout(LINGER, discard(rest)).await) });
    }
    response
}

async fn discard(mut body: Body) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// A body that can be taken back from who reads it.
#[derive(Clone)]
struct Lent(Arc<Mutex<Body>>);

impl Lent {
    fn lock(&self) -> MutexGuard<'_, Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.lock()).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().size_hint()
    }
}
