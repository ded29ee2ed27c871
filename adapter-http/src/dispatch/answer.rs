//! What is read of an answer: no more of it than is needed, and nothing with trust.

use std::time::{Duration, SystemTime};

use counterfoil_core::{Period, RetryAfter, Timestamp};
use http_body_util::BodyExt;
use hyper::{
    StatusCode,
    body::Incoming,
    header::{HeaderMap, RETRY_AFTER},
};

/// The most bytes of a body that are read. Whoever sends more is cut off.
pub(super) const BODY_LEN_MAX: usize = 64 * 1024;

/// An answer, as far as it is read.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<RetryAfter>,
    pub(super) body: Vec<u8>,
    /// Whether there was more.
    pub(super) is_cut: bool,
}

/// Reads a body, and no more than [`BODY_LEN_MAX`] of it. Dropping the rest ends its connection.
///
/// # Errors
/// Where it breaks off.
pub(super) async fn read(mut incoming: Incoming) -> Result<(Vec<u8>, bool), hyper::Error> {
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let Ok(piece) = frame?.into_data() else { continue };
        let room = BODY_LEN_MAX - body.len();
        if let Some(fits) = piece.get(..room).filter(|fits| fits.len() < piece.len()) {
            body.extend_from_slice(fits);
            return Ok((body, true));
        }
        body.extend_from_slice(&piece);
    }
    Ok((body, false))
}

/// The first `Retry-After` that says something: seconds, or one of the dates of HTTP (RFC 9110).
pub(super) fn retry_after(headers: &HeaderMap) -> Option<RetryAfter> {
    let values = headers.get_all(RETRY_AFTER).into_iter();
    values.filter_map(|value| value.to_str().ok()).find_map(|text| meaning(text.trim_ascii()))
}

fn meaning(text: &str) -> Option<RetryAfter> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // What is too large for a number is very long, and cut by whoever waits.
        let seconds: u64 = text.parse().unwrap_or(u64::MAX);
        return Some(RetryAfter::Wait(Period::from_ms(seconds.saturating_mul(1000))));
    }
    let at: SystemTime = httpdate::parse_http_date(text).ok()?;
    let since: Duration = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let ms = i64::try_from(since.as_millis()).ok()?;
    Some(RetryAfter::At(Timestamp::from_ms(ms)))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn retry_after_has_two_forms_and_survives_the_rest() {
        let wait = |seconds: u64| Some(RetryAfter::Wait(Period::from_ms(seconds * 1000)));
        let at = |text: &str| Some(RetryAfter::At(text.parse().unwrap()));
        let table = [
            ("0", wait(0)),
            ("120", wait(120)),
            (" 7 ", wait(7)),
            ("99999999999999999999999", wait(Period::MAX_MS / 1000)),
            ("18446744073709551615", wait(Period::MAX_MS / 1000)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", at("1994-11-06T08:49:37Z")),
            ("Sunday, 06-Nov-94 08:49:37 GMT", at("1994-11-06T08:49:37Z")),
            ("Sun Nov  6 08:49:37 1994", at("1994-11-06T08:49:37Z")),
            ("Fri, 31 Dec 9999 23:59:59 GMT", at("9999-12-30T22:00:00Z")),
            ("", None),
            ("-1", None),
            ("+5", None),
            ("1.5", None),
            ("1e9", None),
            ("soon", None),
            ("Sun, 99 Nov 1994 08:49:37 GMT", None),
            ("\u{ff}", None),
        ];
        for (text, want) in table {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_bytes(text.as_bytes()).unwrap();
            headers.append(RETRY_AFTER, value);
            assert_eq!(retry_after(&headers), want, "{text}");
        }
        let mut headers = HeaderMap::new();
        headers.append(RETRY_AFTER, HeaderValue::from_static("later"));
        headers.append(RETRY_AFTER, HeaderValue::from_static("3"));
        assert_eq!(retry_after(&headers), wait(3));
    }
}
