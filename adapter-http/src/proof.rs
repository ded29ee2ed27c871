//! What an inbound postback shows of who sent it, and what its definition says to that (R49).

use counterfoil_core::{
    Authentication, Incoming, Pairs, PostbackDefinition, Proof, Reason, Refusal, Ruleset,
    Timestamp, WebhookHeaders,
};
use hyper::{HeaderMap, Method, StatusCode};

use crate::{
    app::{Call, Sender},
    auth::{Holder, bearer},
    problem::Problem,
    store::Decided,
};

/// The most bytes that the log keeps of a request that nobody vouches for: a flood of them may not
/// fill the disk.
const KEPT_LEN_MAX: usize = 1024;

/// Lets those pass who prove what the definition asks for, and says whether they are known by it.
/// A refusal is for the log alone.
///
/// # Errors
/// 429 after too many failures of the address, or requests of the credential.
pub(crate) fn check(
    call: &Call<'_>,
    (ruleset, definition): (&Ruleset, &PostbackDefinition),
    incoming: &Incoming<'_>,
    pairs: &Pairs<'_>,
    body: &[u8],
    now: Timestamp,
) -> Result<Result<Sender, Refusal>, Problem> {
    let asked = &definition.authentication;
    if !asked.is_required() {
        return Ok(Ok(Sender::Stranger));
    }
    call.app.guard.refuse_too_many(call.peer.address)?;
    let headers = &call.head.headers;
    let is_post = call.head.method == Method::POST;
    let proof = Proof {
        is_encrypted: call.peer.is_encrypted,
        address: call.peer.address,
        bearer: bearer(headers),
        pairs,
        query: incoming.query,
        webhook: webhook_headers(headers),
        body: is_post.then_some(body),
        now,
    };
    let guard = &call.app.guard;
    let verified = asked.verify(&proof, |name| guard.secret(name));
    if let Some(signed_at) = asked.signed_at(&proof) {
        call.app.metrics.skew(signed_at, now, verified.is_ok());
    }
    let Err(failure) = verified else {
        let tenant = || ruleset.tenant().clone();
        guard.count_request(|| Holder::Senders(tenant(), definition.id.clone()))?;
        return Ok(Ok(sender(asked)));
    };
    guard.count_failure(call.peer.address);
    Ok(Err(failure.refusal()))
}

/// Who has proved all of this. Anyone can speak TLS: alone it tells nothing of the sender.
fn sender(proved: &Authentication) -> Sender {
    match proved.takes_credentials() || !proved.addresses.is_empty() {
        true => Sender::Known,
        false => Sender::Stranger,
    }
}

/// What is told of every failure: the same for all of one definition, whatever failed.
pub(crate) fn refused(definition: &PostbackDefinition) -> Problem {
    let status = match definition.authentication.takes_credentials() {
        true => StatusCode::UNAUTHORIZED,
        false => StatusCode::FORBIDDEN,
    };
    Problem::unproved(status)
}

/// Whether a decision is that of a request which proved nothing.
pub(crate) fn is_refused(decided: &Decided) -> bool {
    let refusal = decided.decision.refusal.as_ref();
    refusal.is_some_and(|refusal| refusal.reason == Reason::Unauthorized)
}

/// What the log keeps of the parameters of a request that proved nothing. Nothing reads it again:
/// its refusal stands.
pub(crate) fn kept(mut query: String) -> String {
    let mut end = query.len().min(KEPT_LEN_MAX);
    while !query.is_char_boundary(end) {
        end -= 1;
    }
    query.truncate(end);
    query
}

fn webhook_headers(headers: &HeaderMap) -> Option<WebhookHeaders<'_>> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    Some(WebhookHeaders {
        id: text("webhook-id")?,
        timestamp: text("webhook-timestamp")?,
        signature: text("webhook-signature")?,
    })
}
