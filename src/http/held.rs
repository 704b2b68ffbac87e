//! What a request holds until the last byte of its answer is out or the client is gone.

use std::any::Any;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::Extensions;
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};

/// Where a request puts what it holds.
#[derive(Clone, Default)]
struct Slot(Arc<OnceLock<Box<dyn Any + Send + Sync>>>);

/// Keeps what is put into the slot of each request as long as its answer lasts.
pub async fn hold(mut request: Request, next: Next) -> Response {
    let slot = Slot::default();
    request.extensions_mut().insert(slot.clone());
    let response = next.run(request).await;
    match slot.0.get() {
        Some(_) => {
            let mut response = response;
            response.extensions_mut().insert(slot.clone());
            response.map(|body| Body::new(Held { body, _slot: slot }))
        }
        None => response,
    }
}

/// What the request that is answered put into its slot, if it is of this kind.
pub fn of<T: Any>(answer: &Extensions) -> Option<&T> {
    answer.get::<Slot>()?.0.get()?.downcast_ref()
}

/// Puts something into the slot of a request; the first stays.
pub fn put(extensions: &Extensions, held: impl Any + Send + Sync) {
    if let Some(slot) = extensions.get::<Slot>() {
        slot.0.get_or_init(|| Box::new(held));
    }
}

/// A body and what is held for it.
struct Held {
    body: Body,
    _slot: Slot,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
