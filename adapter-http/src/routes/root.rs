//! POST `/api/{tenant}/conversions`: a root that is handed in (R51).

use counterfoil_core::{
    Arrival, Outcome,
    view::{Accepted, Answer as Told},
};
use hyper::{StatusCode, body};
use serde::Serialize;

use crate::{
    answer::{self, Answer},
    app::{Call, Sender},
    body::Form,
    problem::Problem,
    store::Decided,
};

/// The answer: that of a postback, and the id to pair with.
#[derive(Serialize)]
struct Made<'a> {
    pcid: String,
    #[serde(flatten)]
    accepted: Accepted<'a>,
}

pub(crate) async fn make(call: &Call<'_>, body: body::Incoming) -> Result<Answer, Problem> {
    const ACCEPTED: &str = "application/json";
    let rules = call.rules()?;
    let guard = &call.app.guard;
    guard.tenant(call.peer.address, &call.head.headers, &rules.ruleset)?;
    if Form::of(&call.head.headers, ACCEPTED)? != Some(Form::Json) {
        return Err(Problem::unsupported_media_type(ACCEPTED));
    }
    let bytes = call.body(body).await?;
    let arrival = Arrival {
        remote_addr: Some(call.peer.text.clone()),
        ..Arrival::root(&rules.ruleset, &bytes)
    };
    let Decided { request_id, decision } = call.submit(rules, arrival, Sender::Known).await?;
    match Told::of(&decision, request_id) {
        Told::Accepted(accepted) => {
            let status = match accepted.outcome {
                Outcome::Created => StatusCode::CREATED,
                _ => StatusCode::OK,
            };
            let pcid = accepted.conversion_id.to_string();
            Ok(answer::json(status, &Made { pcid, accepted }))
        }
        Told::Refused(refused) => Err(Problem::refused(refused)),
    }
}
