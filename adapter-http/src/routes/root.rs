//! POST `/api/{tenant}/conversions`: a root that is handed in (R51).

use std::borrow::Cow;

use counterfoil_core::{
    AffiliateId, Arrival, Body, Channel, ConversionType, ExternalId, Incoming, Integration, Method,
    OfferId, Outcome, Pairs, Params, Reason, Refusal, Request, RootRequest, Ruleset, Source,
    decode, logged_text, masked_text, view,
};
use hyper::{StatusCode, body};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    answer::{self, Answer},
    app::Call,
    body::Form,
    problem::Problem,
};

/// The members of the body; everything else is a mistake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'b> {
    #[serde(borrow)]
    r#type: Option<&'b RawValue>,
    #[serde(borrow)]
    source: Option<&'b RawValue>,
    #[serde(borrow)]
    offer_id: Option<&'b RawValue>,
    #[serde(borrow)]
    affiliate_id: Option<&'b RawValue>,
    #[serde(borrow)]
    channel: Option<&'b RawValue>,
    #[serde(borrow)]
    integration: Option<&'b RawValue>,
    #[serde(borrow)]
    external_id: Option<&'b RawValue>,
    #[serde(borrow)]
    value: Option<&'b RawValue>,
    #[serde(borrow)]
    params: Option<&'b RawValue>,
}

/// The answer: that of a postback, and the id to pair with.
#[derive(Serialize)]
struct Made<'a> {
    pcid: &'a str,
    #[serde(flatten)]
    accepted: &'a view::Accepted,
}
