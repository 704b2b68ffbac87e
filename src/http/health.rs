//! Whether the process lives, and whether it can serve.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::http::web::Web;
use crate::net::readiness::{Part, RegionPart};

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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    regions: Vec<RegionAnswer>,
}

#[derive(Serialize)]
struct RegionAnswer {
    region: String,
    ready: bool,
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
    PartAnswer {
        name: part.name,
        ready: part.ready,
        latency_ms: part.latency.map(milliseconds),
        problem: part.problem.clone(),
        regions: part.regions.iter().map(region).collect(),
    }
}

fn region(part: &RegionPart) -> RegionAnswer {
    RegionAnswer {
        region: part.region.to_string(),
        ready: part.ready,
        latency_ms: part.latency.map(milliseconds),
        problem: part.problem.clone(),
    }
}

fn milliseconds(latency: Duration) -> f64 {
    (latency.as_secs_f64() * 1e6).round() / 1e3
}
