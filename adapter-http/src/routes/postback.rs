//! Inbound postbacks: by `handle`, by a dialect's path, by a pixel.

use counterfoil_core::{
    AnswerStyle, Arrival, Incoming, Method, Outcome, PostbackDefinition, Refusal, Request, Ruleset,
    Timestamp, decode, logged_text, masked_text, parse, select, view,
};
use hyper::{StatusCode, body};

use crate::{
    answer::{self, Answer},
    app::{Call, now},
    body::parameters,
    problem::Problem,
    proof,
    store::Decided,
};

/// GET and POST `/api/{tenant}/postbacks/handle`.
pub(crate) async fn handle(call: &Call<'_>, body: body::Incoming) -> Result<Answer, Problem> {
    server_to_server(call, None, body).await
}

/// GET and POST `/api/{tenant}/postbacks/{dialect}`. A path that no dialect has is a refusal like
/// any other (R13), so that the log shows it.
pub(crate) async fn dialect(call: &Call<'_>, body: body::Incoming) -> Result<Answer, Problem> {
    server_to_server(call, Some(call.param("dialect")), body).await
}

/// GET `/api/{tenant}/pixel.gif`: the picture comes whatever the outcome, but not before it is
/// stored.
pub(crate) async fn pixel(call: &Call<'_>) -> Result<Answer, Problem> {
    let incoming =
        Incoming { method: Method::Pixel, dialect: None, query: call.query(), body: None };
    decide(call, &incoming, &[]).await?;
    Ok(answer::pixel())
}

async fn server_to_server(
    call: &Call<'_>,
    dialect: Option<&str>,
    body: body::Incoming,
) -> Result<Answer, Problem> {
    let bytes = match call.head.method {
        hyper::Method::POST => call.body(body).await?,
        _ => bytes::Bytes::new(),
    };
    let incoming = Incoming {
        method: Method::S2s,
        dialect,
        query: call.query(),
        body: parameters(&call.head.headers, &bytes)?,
    };
    let (decided, style) = decide(call, &incoming, &bytes).await?;
    let refused = decided.decision.outcome == Outcome::Refused;
    let status = match style {
        AnswerStyle::Strict if refused => StatusCode::UNPROCESSABLE_ENTITY,
        AnswerStyle::Strict | AnswerStyle::Ok => StatusCode::OK,
    };
    let told = view::Answer::of(&decided.decision, decided.request_id);
    Ok(answer::json(status, &told))
}

async fn decide(
    call: &Call<'_>,
    incoming: &Incoming<'_>,
    body: &[u8],
) -> Result<(Decided, AnswerStyle), Problem> {
    let rules = call.rules()?;
    let (ruleset, received_at) = (rules.ruleset.clone(), now());
    let sent = Sent { call, incoming, body, received_at };
    let read = read(&ruleset, &sent)?;
    let arrival = Arrival {
        request: read.request,
        method: incoming.method,
        dialect: incoming.dialect.map(Into::into),
        query: read.query,
        remote_addr: Some(call.peer.to_string().into()),
    };
    let decided = call.submit_at(rules, arrival, received_at).await?;
    match read.definition {
        Some(definition) if proof::is_refused(&decided) => {
            Err(proof::refused(definition).of_request(decided.request_id))
        }
        definition => Ok((decided, definition.map_or(AnswerStyle::Ok, |found| found.answer))),
    }
}

/// A postback as it came.
struct Sent<'a> {
    call: &'a Call<'a>,
    incoming: &'a Incoming<'a>,
    body: &'a [u8],
    received_at: Timestamp,
}

/// A postback, read as far as it could be.
struct Read<'r> {
    request: Request,
    /// What the log row keeps.
    query: String,
    /// The definition that decides; none where none was found.
    definition: Option<&'r PostbackDefinition>,
}

fn read<'r>(ruleset: &'r Ruleset, sent: &Sent<'_>) -> Result<Read<'r>, Problem> {
    let incoming = sent.incoming;
    let unreadable = |refusal: Refusal, query, definition| {
        Ok(Read { request: Request::Unreadable(refusal.into()), query, definition })
    };
    let pairs = match decode(incoming) {
        Ok(pairs) => pairs,
        Err(refusal) => return unreadable(refusal, logged_text(incoming), None),
    };
    let query = masked_text(&pairs);
    let definition = match select(ruleset, incoming, &pairs) {
        Ok(definition) => definition,
        Err(refusal) => return unreadable(refusal, query, None),
    };
    let Sent { call, body, received_at, .. } = *sent;
    if let Some(refusal) = proof::check(call, definition, incoming, &pairs, body, received_at)? {
        return unreadable(refusal, proof::kept(query), Some(definition));
    }
    match parse(ruleset, definition, incoming.method, &pairs) {
        Ok(postback) => {
            let request = Request::Postback(postback.into());
            Ok(Read { request, query, definition: Some(definition) })
        }
        Err(refusal) => unreadable(refusal, query, Some(definition)),
    }
}
