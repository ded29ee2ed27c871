//! POST `/api/{tenant}/conversions`: a root that is handed in (R51).

use counterfoil_core::{
    Arrival, Body, Incoming, Method, Outcome, Refusal, Request, RootRequest, Ruleset, logged_text,
    masked_text, root_pairs,
    view::{Accepted, Answer as Told},
};
use hyper::{StatusCode, body};
use serde::Serialize;

use crate::{
    answer::{self, Answer},
    app::Call,
    body::Form,
    problem::Problem,
    store::Decided,
};

/// The answer: that of a postback, and the id to pair with.
#[derive(Serialize)]
struct Made {
    pcid: String,
    #[serde(flatten)]
    accepted: Accepted,
}

pub(crate) async fn make(call: &Call<'_>, body: body::Incoming) -> Result<Answer, Problem> {
    const ACCEPTED: &str = "application/json";
    let rules = call.rules()?;
    let guard = &call.app.guard;
    guard.tenant(call.peer, &call.head.headers, &rules.ruleset)?;
    if Form::of(&call.head.headers, ACCEPTED)? != Some(Form::Json) {
        return Err(Problem::unsupported_media_type(ACCEPTED));
    }
    let bytes = call.body(body).await?;
    let (request, query) = read(&rules.ruleset, &bytes);
    let arrival = Arrival {
        request,
        method: Method::Api,
        dialect: None,
        query,
        remote_addr: Some(call.peer.to_string().into()),
    };
    let Decided { request_id, decision } = call.submit(rules, arrival).await?;
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

/// The root, read as far as it could be, and what a log row keeps of it.
fn read(ruleset: &Ruleset, json: &[u8]) -> (Request, String) {
    let unreadable = |refusal: Refusal| Request::Unreadable(refusal.into());
    let mut pairs = match root_pairs(json) {
        Ok(pairs) => pairs,
        Err(refusal) => {
            let incoming = Incoming {
                method: Method::Api,
                dialect: None,
                query: "",
                body: Some(Body::Json(json)),
            };
            return (unreadable(refusal), logged_text(ruleset, &incoming));
        }
    };
    ruleset.privacy().mask_root(&mut pairs);
    let request = match RootRequest::read(ruleset, Method::Api, &pairs) {
        Ok(root) => Request::Root(root.into()),
        Err(refusal) => unreadable(refusal),
    };
    (request, masked_text(&pairs))
}
