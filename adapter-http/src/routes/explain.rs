//! POST `/api/{tenant}/explain`: decides without writing.

use counterfoil_core::{Arrival, Incoming, Method, Timestamp};
use hyper::{StatusCode, body};
use serde::Deserialize;

use crate::{
    answer::{self, Answer},
    app::Call,
    problem::Problem,
    store::ReadError,
};

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    query: String,
    dialect: Option<String>,
    method: Option<String>,
    at: Option<Timestamp>,
}

pub(crate) async fn explain(call: &Call<'_>, body: body::Incoming) -> Result<Answer, Problem> {
    let rules = call.rules()?;
    let question: Question = call.json(body).await?;
    let method = match question.method.as_deref() {
        None => Method::S2s,
        Some(name) => Method::named(name).ok_or_else(|| unknown_method(name))?,
    };
    let incoming = Incoming {
        method,
        dialect: question.dialect.as_deref(),
        query: &question.query,
        body: None,
    };
    let arrival = Arrival::read(&rules.ruleset, &incoming);
    let at = question.at.unwrap_or_else(|| call.now());
    let explanation = call
        .ask(move |store, _| -> Result<_, ReadError> { store.explain(&rules, arrival, at) })
        .await?;
    Ok(answer::json(StatusCode::OK, &explanation))
}

fn unknown_method(name: &str) -> Problem {
    let known: Vec<&str> = Method::ALL.iter().map(|method| method.name()).collect();
    Problem::bad_request("bad_body", format!("`{name}` is no method"))
        .about("method")
        .hint(format!("send one of {}", known.join(", ")))
}
