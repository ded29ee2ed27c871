//! A claimed message as the request that is sent: secrets put in, signed, and checked to be HTTP.

use std::borrow::Cow;

use bytes::Bytes;
use counterfoil_core::{
    Claim, MessageOf, Part, Place, Rendered, SecretName, SigningKey, SigningKeyError, Timestamp,
    complete, signatures,
};
use http_body_util::Full;
use hyper::{
    Method, Request, Uri,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT},
    http::uri::InvalidUri,
};

use super::excerpt::Masks;
use crate::config::{Secret, SecretLookup};

/// Who we say that we are, where the rules say nothing.
const AGENT: &str = concat!("counterfoil/", env!("CARGO_PKG_VERSION"));

/// A request that is ready to be sent, and the secrets in it.
pub(super) struct Completed {
    pub(super) request: Request<Full<Bytes>>,
    pub(super) masks: Masks,
}

/// Why a message cannot be sent: a fault of ours, that an operator mends.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RequestError {
    #[error("the rules of its event do not know what makes this message")]
    Unknown,
    #[error("there is no secret `{0}`: provide it")]
    NoSecret(SecretName),
    #[error("the secret `{0}` signs nothing: {1}")]
    NoSigningKey(SecretName, SigningKeyError),
    #[error("the url cannot be sent: {why}")]
    Url {
        why: String,
        /// Whether another value of a secret may mend it.
        has_secret: bool,
    },
    #[error("the header `{0}` cannot be sent: it holds what no header may hold")]
    Header(Box<str>),
}

impl RequestError {
    /// Whether trying again is of no use: a message is frozen but for its secrets (R40).
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Url { has_secret: false, .. })
    }
}

/// Puts the secrets into a message and signs it, for an attempt that begins at `at`.
pub(super) fn completed(
    claim: &Claim,
    secrets: &SecretLookup,
    at: Timestamp,
) -> Result<Completed, RequestError> {
    let rendered = claim.message.request.as_ref().ok_or(RequestError::Unknown)?;
    let mut masks = Masks::default();
    let mut text = |parts: &[Part]| {
        note_secrets(parts, secrets, &mut masks);
        let value = |name: &SecretName| Some(Cow::Owned(secrets(name)?.value().to_owned()));
        complete(parts, value).map_err(RequestError::NoSecret)
    };
    let url = text(&rendered.url)?;
    let uri: Uri = url.parse().map_err(|error: InvalidUri| RequestError::Url {
        why: format!("{error}"),
        has_secret: rendered.url.iter().any(|part| matches!(part, Part::Secret(..))),
    })?;
    let mut headers = headers_of(rendered, &mut text)?;
    let body = match &rendered.body {
        None => Bytes::new(),
        Some((content_type, parts)) => {
            headers.insert(CONTENT_TYPE, header(content_type, CONTENT_TYPE.as_str())?);
            Bytes::from(text(parts)?)
        }
    };
    sign(claim, secrets, at, &body, &mut headers)?;
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method(rendered);
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(Completed { request, masks })
}

/// A receiver may answer with what it was sent, in whatever spelling.
fn note_secrets(parts: &[Part], secrets: &SecretLookup, masks: &mut Masks) {
    for part in parts {
        let Part::Secret(name, place) = part else { continue };
        let Some(secret) = secrets(name) else { continue };
        masks.add(secret.value(), name);
        for place in [*place, Place::Json, Place::Query, Place::Xml] {
            masks.add(&place.encode(secret.value()), name);
        }
    }
}

fn headers_of(
    rendered: &Rendered,
    text: &mut impl FnMut(&[Part]) -> Result<String, RequestError>,
) -> Result<HeaderMap, RequestError> {
    let mut headers = HeaderMap::new();
    for (name, parts) in &rendered.headers {
        let known = HeaderName::from_bytes(name.as_bytes());
        let known = known.map_err(|_| RequestError::Header(name.clone()))?;
        let mut value = header(&text(parts)?, name)?;
        value.set_sensitive(parts.iter().any(|part| matches!(part, Part::Secret(..))));
        headers.insert(known, value);
    }
    Ok(headers)
}

fn header(value: &str, name: &str) -> Result<HeaderValue, RequestError> {
    HeaderValue::from_str(value).map_err(|_| RequestError::Header(name.into()))
}

fn method(rendered: &Rendered) -> Method {
    use counterfoil_core::HttpMethod::{Delete, Get, Patch, Post, Put};
    match rendered.method {
        Get => Method::GET,
        Post => Method::POST,
        Put => Method::PUT,
        Patch => Method::PATCH,
        Delete => Method::DELETE,
    }
}

/// Adds the headers of Standard Webhooks, where the tracking API has signing secrets.
fn sign(
    claim: &Claim,
    secrets: &SecretLookup,
    at: Timestamp,
    body: &[u8],
    headers: &mut HeaderMap,
) -> Result<(), RequestError> {
    let names: &[SecretName] = match &claim.message.of {
        MessageOf::Step { .. } => &[],
        MessageOf::TrackingApi(id) => {
            let api = claim.ruleset.tracking_api(id.as_str());
            &api.ok_or(RequestError::Unknown)?.sign
        }
    };
    if names.is_empty() {
        return Ok(());
    }
    let key = |name: &SecretName| {
        let secret: Secret = secrets(name).ok_or_else(|| RequestError::NoSecret(name.clone()))?;
        let key = SigningKey::parse(secret.value());
        key.map_err(|error| RequestError::NoSigningKey(name.clone(), error))
    };
    let keys = names.iter().map(key).collect::<Result<Vec<_>, _>>()?;
    let id = claim.message.id.to_string();
    let seconds = at.as_ms().div_euclid(1000);
    let signed = [
        ("webhook-signature", signatures(&keys, &id, seconds, body)),
        ("webhook-timestamp", seconds.to_string()),
        ("webhook-id", id),
    ];
    for (name, value) in signed {
        headers.insert(HeaderName::from_static(name), header(&value, name)?);
    }
    Ok(())
}
