//! Reading bodies, within a length and a time.

use std::time::Duration;

use bytes::Bytes;
use counterfoil_core::Body;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap,
    body::{Body as _, Incoming},
    header::CONTENT_TYPE,
};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::problem::Problem;

/// How many times the limit is read and thrown away before a body is given up, so that a client
/// that is a little beyond it can read the answer: closing with bytes unread would reset it.
const DRAINED: usize = 16;

/// The whole body.
///
/// # Errors
/// 413 beyond `len_max` bytes, 408 beyond `within`, 400 where it breaks.
pub(crate) async fn read(
    body: Incoming,
    len_max: usize,
    within: Duration,
) -> Result<Bytes, Problem> {
    match timeout(within, collect(body, len_max)).await {
        Ok(read) => read,
        Err(_) => Err(Problem::body_too_slow()),
    }
}

async fn collect(mut body: Incoming, len_max: usize) -> Result<Bytes, Problem> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut all = Vec::with_capacity(announced.min(len_max));
    let mut came: usize = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::body_broken())?;
        let Ok(bytes) = frame.into_data() else {
            continue; // trailers say nothing here
        };
        came = came.saturating_add(bytes.len());
        if came <= len_max {
            all.extend_from_slice(&bytes);
        } else if came / DRAINED > len_max {
            break;
        }
    }
    if came > len_max {
        return Err(Problem::body_too_long(len_max));
    }
    Ok(all.into())
}

/// What a JSON object says.
///
/// # Errors
/// 400 where it is no object, or one of another shape.
pub(crate) fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let bad = |detail: String| Problem::bad_request("bad_body", detail);
    // An array would be taken for the values of the members in the order that the code has them.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(bad("the body must be a JSON object".to_owned()));
    }
    serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))
}

/// What a media type says of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Url,
    Json,
    Toml,
}

impl Form {
    /// What the headers say; none: they say nothing.
    ///
    /// # Errors
    /// 415 for every other media type.
    pub(crate) fn of(headers: &HeaderMap, accepted: &'static str) -> Result<Option<Self>, Problem> {
        let Some(value) = headers.get(CONTENT_TYPE) else {
            return Ok(None);
        };
        let named = value.to_str().unwrap_or_default();
        let media_type = named.split(';').next().unwrap_or_default().trim();
        let is = |name: &str| media_type.eq_ignore_ascii_case(name);
        match () {
            () if is("application/x-www-form-urlencoded") => Ok(Some(Self::Url)),
            () if is("application/json") => Ok(Some(Self::Json)),
            () if is("application/toml") => Ok(Some(Self::Toml)),
            () => Err(Problem::unsupported_media_type(accepted)),
        }
    }
}

/// The body of a postback as the core reads it (R8): none where it is empty.
///
/// # Errors
/// 415 where it is neither a form nor JSON.
pub(crate) fn parameters<'b>(
    headers: &HeaderMap,
    bytes: &'b Bytes,
) -> Result<Option<Body<'b>>, Problem> {
    const ACCEPTED: &str = "application/x-www-form-urlencoded or application/json";
    // Some clients name a media type whatever they send.
    if bytes.is_empty() {
        return Ok(None);
    }
    match Form::of(headers, ACCEPTED)? {
        Some(Form::Url) => Ok(Some(Body::Form(bytes))),
        Some(Form::Json) => Ok(Some(Body::Json(bytes))),
        Some(Form::Toml) | None => Err(Problem::unsupported_media_type(ACCEPTED)),
    }
}
