//! Inbound postbacks: by `handle`, by a dialect's path, by a pixel.

use std::sync::Arc;

use counterfoil_core::{
    AnswerStyle, Arrival, Dialect, Incoming, Method, Outcome, Pairs, PostbackDefinition, Refusal,
    Request, Ruleset, Timestamp, decode, logged_text, masked_text, parse, refused_by, select, view,
};
use hyper::{StatusCode, body};

use crate::{
    answer::{self, Answer},
    app::{Call, Sender},
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
    let (decided, manner) = decide(call, &incoming, &bytes).await?;
    Ok(answered(&decided, &manner))
}

/// The answer in the manner of the deciding definition (R49).
fn answered(decided: &Decided, manner: &Manner) -> Answer {
    let refused = decided.decision.outcome == Outcome::Refused;
    let status = match manner.style {
        AnswerStyle::Strict if refused => StatusCode::UNPROCESSABLE_ENTITY,
        AnswerStyle::Strict | AnswerStyle::Ok => StatusCode::OK,
    };
    match manner.dialect.reply(&decided.decision, manner.asked_reply.as_deref()) {
        Some(reply) => answer::of(status, reply.media_type, reply.body),
        None => answer::json(status, &view::Answer::of(&decided.decision, decided.request_id)),
    }
}

async fn decide(
    call: &Call<'_>,
    incoming: &Incoming<'_>,
    body: &[u8],
) -> Result<(Decided, Manner), Problem> {
    let rules = call.rules()?;
    let (ruleset, received_at) = (rules.ruleset.clone(), call.now());
    let sent = Sent { call, incoming, body, received_at };
    let read = read(&ruleset, &sent)?;
    let arrival = Arrival {
        remote_addr: Some(call.peer.text.clone()),
        ..Arrival::of(incoming, read.request, read.query)
    };
    let decided = call.submit_at(rules, arrival, read.sender, received_at).await?;
    match read.definition {
        Some(definition) if proof::is_refused(&decided) => {
            Err(proof::refused(definition).of_request(decided.request_id))
        }
        _ => Ok((decided, read.manner)),
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
    sender: Sender,
    /// The definition that decides; none where none was found.
    definition: Option<&'r PostbackDefinition>,
    manner: Manner,
}

/// How to answer.
struct Manner {
    /// The deciding definition's; 200 as long as none was found (R49).
    style: AnswerStyle,
    /// The deciding definition's; native as long as none was found.
    dialect: Arc<Dialect>,
    /// The text that the sender wants to see after a success.
    asked_reply: Option<String>,
}

impl Manner {
    fn native() -> Self {
        Self {
            style: AnswerStyle::Ok,
            dialect: Arc::new(Dialect::native().clone()),
            asked_reply: None,
        }
    }

    fn of(definition: &PostbackDefinition, pairs: &Pairs<'_>) -> Self {
        let dialect = Arc::clone(&definition.dialect);
        let asked_reply = dialect.asked_reply(pairs).map(ToOwned::to_owned);
        Self { style: definition.answer, dialect, asked_reply }
    }
}

fn read<'r>(ruleset: &'r Ruleset, sent: &Sent<'_>) -> Result<Read<'r>, Problem> {
    let incoming = sent.incoming;
    let unknown = |refusal: Refusal, query| {
        let request = Request::Unreadable(refusal.into());
        let (sender, manner) = (Sender::Stranger, Manner::native());
        Ok(Read { request, query, sender, definition: None, manner })
    };
    let mut pairs = match decode(incoming) {
        Ok(pairs) => pairs,
        Err(refusal) => return unknown(refusal, logged_text(ruleset, incoming)),
    };
    let selected = select(ruleset, incoming, &mut pairs);
    let query = masked_text(&pairs);
    let definition = match selected {
        Ok(definition) => definition,
        Err(refusal) => return unknown(refusal, query),
    };
    let manner = Manner::of(definition, &pairs);
    let Sent { call, body, received_at, .. } = *sent;
    let checked = proof::check(call, (ruleset, definition), incoming, &pairs, body, received_at)?;
    let (request, query, sender) = match checked {
        Err(refusal) => {
            let refusal = refused_by(ruleset, definition, refusal);
            (Request::Unreadable(refusal.into()), proof::kept(query), Sender::Stranger)
        }
        Ok(sender) => match parse(ruleset, definition, incoming.method, &pairs) {
            Ok(postback) => (Request::Postback(postback.into()), query, sender),
            Err(refusal) => (Request::Unreadable(refusal.into()), query, sender),
        },
    };
    Ok(Read { request, query, sender, definition: Some(definition), manner })
}
