//! Answers: the few shapes in which this adapter speaks.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION},
};
use serde::Serialize;

/// An answer; all of them are in memory.
pub(crate) type Answer = Response<Full<Bytes>>;

/// A transparent picture of one pixel.
const PIXEL: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\0\0\0!\xf9\x04\x01\0\0\0\0,\
\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// Bytes that most answers fit in.
const JSON_LEN: usize = 512;

/// An answer of a status and a media type.
pub(crate) fn of(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

/// JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    of(status, "application/json", json_bytes(value))
}

/// Text.
pub(crate) fn text(media_type: &'static str, text: impl Into<Bytes>) -> Answer {
    of(StatusCode::OK, media_type, text)
}

/// The pixel, never cached.
pub(crate) fn pixel() -> Answer {
    never_cached(of(StatusCode::OK, "image/gif", PIXEL))
}

/// Leads a visitor on; never cached. None where the address cannot stand in a header.
pub(crate) fn redirect(to: &str) -> Option<Answer> {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::FOUND;
    answer.headers_mut().insert(LOCATION, HeaderValue::try_from(to).ok()?);
    Some(never_cached(answer))
}

/// The JSON of a value. Values of this adapter have string keys and finite numbers, so they can
/// all be written; should one not be, the answer is empty rather than half.
pub(crate) fn json_bytes(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(JSON_LEN);
    if let Err(error) = serde_json::to_writer(&mut bytes, value) {
        tracing::error!(%error, "failed to write an answer");
        bytes.clear();
    }
    bytes
}

fn never_cached(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
