//! Whether the process lives, and whether it can serve.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::http::web::Web;
use crate::net::readiness::Part;

/// What a balancer asks for.
#[derive(Serialize)]
struct Answer {
    ready: bool,
    parts: Vec<PartAnswer>,
}

#[derive(Serialize)]
struct PartAnswer {
    name: &'static str,
    ready: bool,
    /// None while there is no answer.
    latency_ms: Option<f64>,
    problem: Option<String>,
}

/// `/healthz`: 200 for as long as the process answers, whatever it depends on. `/readyz`: 200 when it can
/// serve, else 503; both times with what it depends on.
pub fn routes() -> Router<Web> {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
}

async fn ready(State(web): State<Web>) -> (StatusCode, Json<Answer>) {
    let readiness = web.readiness();
    let ready = readiness.is_ready();
    let status = match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let parts = readiness.parts().iter().map(part).collect();
    (status, Json(Answer { ready, parts }))
}

fn part(part: &Part) -> PartAnswer {
    let latency = part.latency.map(|latency| latency.as_secs_f64() * 1e3);
    PartAnswer {
        name: part.name,
        ready: part.ready,
        latency_ms: latency.map(|ms| (ms * 1e3).round() / 1e3),
        problem: part.problem.clone(),
    }
}
