//! The process itself: whether it lives, whether it is ready, what it counts, what it speaks.

use hyper::StatusCode;
use serde::Serialize;

use crate::{
    answer::{self, Answer},
    app::Call,
    openapi,
    problem::Problem,
};

#[derive(Serialize)]
struct Version {
    name: &'static str,
    version: &'static str,
}

/// GET `/healthz`: whoever can answer lives.
pub(crate) fn alive() -> Answer {
    answer::text("text/plain", "ok\n")
}

/// GET `/readyz`: 503 where requests cannot be acknowledged.
pub(crate) fn ready(call: &Call<'_>) -> Result<Answer, Problem> {
    match call.app.store.health().not_ready {
        None => Ok(answer::text("text/plain", "ready\n")),
        Some(why) => Err(Problem::not_ready(why)),
    }
}

/// GET `/metrics`. Where the store cannot be read, the rest is told all the same.
pub(crate) async fn metrics(call: &Call<'_>) -> Answer {
    let backlog = call.ask(|store, _| store.backlog()).await.ok();
    let text = call.app.metrics.text(&call.app.store.health(), backlog, call.now());
    answer::text("application/openmetrics-text; version=1.0.0; charset=utf-8", text)
}

/// GET `/version`.
pub(crate) fn version() -> Answer {
    let version = Version { name: "counterfoil", version: env!("CARGO_PKG_VERSION") };
    answer::json(StatusCode::OK, &version)
}

/// GET `/openapi.json`.
pub(crate) fn openapi() -> Answer {
    answer::json(StatusCode::OK, &openapi::document())
}
