//! Reading a request (rungs 1 to 5): bytes to pairs, pairs to a typed [`Postback`].

use alloc::{borrow::Cow, string::String, vec::Vec};

use crate::{
    conversion::Method,
    postback::Postback,
    reason::{Reason, Refusal},
    request::Request,
    ruleset::{PostbackDefinition, Ruleset},
};

/// What came in, undecoded.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// How it came in.
    pub method: Method,
    /// The dialect of the path, where the path names one.
    pub dialect: Option<&'a str>,
    /// The query, without the question mark.
    pub query: &'a str,
    /// The body, where there is one.
    pub body: Option<Body<'a>>,
}

/// A body that may carry parameters (R8).
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// `application/x-www-form-urlencoded`
    Form(&'a [u8]),
    /// `application/json`: a flat object of strings and numbers.
    Json(&'a [u8]),
}

/// The parameters of a request, decoded and trimmed, in the order they came; empty values are
/// left out (R3, R4).
pub type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Decodes query and body into one list of parameters (rung 1; R3, R4, R8).
///
/// # Errors
/// `malformed`.
pub fn decode<'a>(incoming: &Incoming<'a>) -> Result<Pairs<'a>, Refusal> {
    let _ = incoming;
    Err(Refusal::new(Reason::Malformed, "not written yet"))
}

/// The parameters as one form-encoded text with the secrets masked: what a log row keeps.
pub fn masked_text(pairs: &Pairs<'_>) -> String {
    let _ = pairs;
    String::new()
}

/// Finds the definition that decides (rung 2; R13).
///
/// # Errors
/// `conflicting_parameters`, `unresolved_macro` and `unknown_postback`.
pub fn select<'r>(
    ruleset: &'r Ruleset,
    incoming: &Incoming<'_>,
    pairs: &Pairs<'_>,
) -> Result<&'r PostbackDefinition, Refusal> {
    let _ = (ruleset, incoming, pairs);
    Err(Refusal::new(Reason::UnknownPostback, "not written yet"))
}

/// Reads the parameters (rungs 3 to 5).
///
/// # Errors
/// The first refusal in the order of the ladder.
pub fn parse(
    ruleset: &Ruleset,
    definition: &PostbackDefinition,
    method: Method,
    pairs: &Pairs<'_>,
) -> Result<Postback, Refusal> {
    let _ = (ruleset, definition, method, pairs);
    Err(Refusal::new(Reason::Malformed, "not written yet"))
}

/// All of the above, for callers without authentication of their own between the rungs: the
/// request, and the text that a log row keeps of it.
pub fn read(ruleset: &Ruleset, incoming: &Incoming<'_>) -> (Request, String) {
    let _ = (ruleset, incoming);
    (
        Request::Unreadable(Refusal::new(Reason::Malformed, "not written yet").into()),
        String::new(),
    )
}
