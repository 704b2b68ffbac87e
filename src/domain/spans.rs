//! What is traced: one span for each session and request, and one for each thing in it that may take long. They
//! are there only while somebody exports traces; they tell of no account, no file and no secret.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use tracing::{Span, info_span};

use crate::domain::id::SessionId;
use crate::domain::principal::{Principal, Protocol};

/// The target of all of them, by which they are told from what the log is about.
pub const TARGET: &str = "sealift::spans";

static IS_TRACED: AtomicBool = AtomicBool::new(false);
static SESSIONS: LazyLock<Mutex<HashMap<SessionId, Span>>> = LazyLock::new(Mutex::default);

/// Somebody exports traces from now on.
pub fn begin() {
    IS_TRACED.store(true, Ordering::Relaxed);
}

/// The session of an account begins.
pub fn session_began(session: SessionId, protocol: Protocol, address: IpAddr) {
    if is_traced() {
        let span = info_span!(
            target: TARGET,
            parent: None,
            "session",
            otel.kind = "server",
            network.protocol.name = protocol.as_str(),
            client.address = %address,
        );
        sessions().insert(session, span);
    }
}

/// It is over.
pub fn session_ended(session: SessionId) {
    if is_traced() {
        sessions().remove(&session);
    }
}

/// A request by HTTP, until its answer begins.
pub fn request(method: &str, peer: IpAddr) -> Span {
    if !is_traced() {
        return Span::none();
    }
    info_span!(
        target: TARGET,
        parent: None,
        "request",
        otel.kind = "server",
        network.protocol.name = "http",
        http.request.method = method,
        http.response.status_code = tracing::field::Empty,
        client.address = %peer,
    )
}

/// A file on its way: a part of the request that asked for it, or else of its session.
pub fn transfer(principal: &Principal, direction: &'static str) -> Span {
    if !is_traced() {
        return Span::none();
    }
    let current = Span::current();
    let parent = match current.is_none() {
        true => sessions().get(&principal.session).and_then(Span::id),
        false => current.id(),
    };
    info_span!(
        target: TARGET,
        parent: parent,
        "transfer",
        network.protocol.name = principal.protocol.as_str(),
        direction,
        bytes = tracing::field::Empty,
        outcome = tracing::field::Empty,
    )
}

/// A change, until it is committed: of what is traced.
pub fn commit() -> Span {
    match is_within() {
        true => info_span!(target: TARGET, "commit", otel.kind = "client"),
        false => Span::none(),
    }
}

/// A call to a blob store: of what is traced.
pub fn store(region: &str, operation: &'static str) -> Span {
    match is_within() {
        true => info_span!(target: TARGET, "store", otel.kind = "client", region, operation),
        false => Span::none(),
    }
}

/// A run of a job.
pub fn job(name: &'static str) -> Span {
    match is_traced() {
        true => info_span!(target: TARGET, parent: None, "job", job = name),
        false => Span::none(),
    }
}

/// Not asked of the subscriber: where layers have filters of their own, asking without an event that follows
/// costs one of them the next line of the log.
fn is_traced() -> bool {
    IS_TRACED.load(Ordering::Relaxed)
}

fn is_within() -> bool {
    is_traced() && !Span::current().is_none()
}

fn sessions() -> MutexGuard<'static, HashMap<SessionId, Span>> {
    SESSIONS.lock().unwrap_or_else(PoisonError::into_inner)
}
