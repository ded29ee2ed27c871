//! Log rows as requests again: for `replay`, and where other rules were installed while a request
//! waited.

use counterfoil_core::{Arrival, Method, Reason, Refusal, Request, Ruleset};

/// A request as a log row keeps it.
pub(crate) struct Logged<'a> {
    pub(crate) method: Method,
    pub(crate) dialect: Option<&'a str>,
    pub(crate) query: &'a str,
    /// How the request was refused, where it was.
    pub(crate) refusal: Option<&'a Refusal>,
}

/// The request of a log row, read with `ruleset`.
pub(crate) fn read(ruleset: &Ruleset, logged: &Logged<'_>) -> Request {
    let Logged { method, dialect, query, refusal } = *logged;
    let given = refusal.filter(|refusal| is_beyond_the_text(method, refusal));
    Request::of_log(ruleset, method, dialect, query, given.cloned())
}

/// The request of an arrival that was read with other rules than `ruleset`.
pub(crate) fn reread(ruleset: &Ruleset, arrival: &Arrival) -> Request {
    let refusal = match &arrival.request {
        Request::Root(_) | Request::AutoSet(_) | Request::Edit(_) => {
            return arrival.request.clone();
        }
        Request::Postback(_) => None,
        // Its steps name places in those other rules.
        Request::Unreadable(refusal) => Some(Refusal { steps: Vec::new(), ..(**refusal).clone() }),
    };
    let (method, dialect, query) = (arrival.method, arrival.dialect.as_deref(), &arrival.query);
    read(ruleset, &Logged { method, dialect, query, refusal: refusal.as_ref() })
}

/// Whether a refusal cannot follow from the text again and is taken as given: what could not be
/// decoded is not kept byte for byte, secrets are masked, who sent a request stands in none of its
/// parameters, a link's path is none either, what an edit was refused for came as JSON, and the
/// `date` of an imported row is its time of arrival rather than a parameter (R52).
fn is_beyond_the_text(method: Method, refusal: &Refusal) -> bool {
    let is_masked = matches!(refusal.parameter.as_deref(), Some("token" | "ts" | "sig"));
    let is_unread_edit = method == Method::Admin && refusal.reason != Reason::ConversionNotFound;
    let is_date = method == Method::Import && refusal.parameter.as_deref() == Some("date");
    method == Method::Link
        || is_unread_edit
        || is_date
        || matches!(refusal.reason, Reason::Malformed | Reason::Unauthorized)
        || refusal.reason == Reason::ConflictingParameters && is_masked
}
