//! Signatures of messages as in Standard Webhooks 1.0: HMAC-SHA256 over `id.timestamp.body`.
//!
//! Whoever sends signs each attempt anew, with one [`SigningKey`] or, while one replaces another,
//! with several; whoever receives accepts what any of its keys has signed, not too long ago.

use alloc::{string::String, vec::Vec};
use core::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::time::{Period, Timestamp};

/// Before the base64 of a key.
const KEY_PREFIX: &str = "whsec_";
/// Before the base64 of a symmetric signature.
const VERSION_PREFIX: &str = "v1,";
/// The least and the most bytes of a key.
const KEY_LENS: core::ops::RangeInclusive<usize> = 24..=64;
/// The most signatures of one message that are looked at.
const SIGNATURES_MAX: usize = 16;

/// A key that signs and verifies. Its bytes are never shown.
#[derive(Clone)]
pub struct SigningKey(Vec<u8>);

/// Why a text is no signing key. It does not repeat the text: that is the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// What should be base64 is none.
    #[error("it is no base64, and a signing key is `whsec_` and the base64 of 24 to 64 bytes")]
    NotBase64,
    /// So many bytes are too few or too many.
    #[error("it has {0} bytes, and a signing key is `whsec_` and the base64 of 24 to 64 bytes")]
    Length(usize),
}

impl SigningKeyError {
    /// What to try.
    pub const HINT: &'static str = "make one: echo whsec_$(openssl rand -base64 32)";
}

impl SigningKey {
    /// Reads a key: `whsec_` and base64, or the base64 alone.
    ///
    /// # Errors
    /// Where it is no base64, or has too few or too many bytes.
    pub fn parse(secret: &str) -> Result<Self, SigningKeyError> {
        let encoded = secret.strip_prefix(KEY_PREFIX).unwrap_or(secret);
        let key = STANDARD.decode(encoded).map_err(|_| SigningKeyError::NotBase64)?;
        if !KEY_LENS.contains(&key.len()) {
            return Err(SigningKeyError::Length(key.len()));
        }
        Ok(Self(key))
    }

    /// The signature of a message, as in `v1,K5oZ...`. `id` has no dot; `timestamp` is in seconds.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut digits = String::new();
        // Writing to a string cannot fail.
        let _ = fmt::write(&mut digits, format_args!("{timestamp}"));
        let Some(mac) = self.mac(id, &digits, body) else {
            return String::new();
        };
        let mut signature = String::from(VERSION_PREFIX);
        STANDARD.encode_string(mac.finalize().into_bytes(), &mut signature);
        signature
    }

    /// HMAC takes keys of any length, so there is always one.
    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        Some(mac)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

/// The header `webhook-signature` of a message: the signature of each key, the newest key first.
pub fn signatures(keys: &[SigningKey], id: &str, timestamp: i64, body: &[u8]) -> String {
    let all: Vec<String> = keys.iter().map(|key| key.sign(id, timestamp, body)).collect();
    all.join(" ")
}

/// A message with the headers that sign it, as it came.
#[derive(Clone, Copy, Debug)]
pub struct SignedMessage<'a> {
    /// `webhook-id`
    pub id: &'a str,
    /// `webhook-timestamp`
    pub timestamp: &'a str,
    /// `webhook-signature`
    pub signature: &'a str,
    /// The body, byte for byte.
    pub body: &'a [u8],
}

/// Why a signature is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// An id with a dot could be another message under another moment.
    #[error("`webhook-id` is empty or has a dot in it")]
    Id,
    /// The moment is no number.
    #[error("`webhook-timestamp` is no whole number of seconds")]
    Timestamp,
    /// The message was signed too long ago, or too far in the future.
    #[error("`webhook-timestamp` is too far from now; compare the clocks")]
    TooFar,
    /// No key has signed this.
    #[error("no signature in `webhook-signature` is right")]
    NoMatch,
}

impl SignedMessage<'_> {
    /// Whether one of the keys has signed this, at most `tolerance` before or after `now`. Takes as
    /// long for a signature that is nearly right as for any other.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify(
        &self,
        keys: &[SigningKey],
        now: Timestamp,
        tolerance: Period,
    ) -> Result<(), SignatureError> {
        if self.id.is_empty() || self.id.contains('.') {
            return Err(SignatureError::Id);
        }
        let at = moment(self.timestamp).ok_or(SignatureError::Timestamp)?;
        if now.since(at).max(at.since(now)) > tolerance {
            return Err(SignatureError::TooFar);
        }
        let given = self.signature.split(' ').take(SIGNATURES_MAX);
        let signatures = given.filter_map(|one| {
            let encoded = one.strip_prefix(VERSION_PREFIX)?;
            STANDARD.decode(encoded).ok()
        });
        let signatures: Vec<Vec<u8>> = signatures.collect();
        let is_right = |key: &SigningKey, signature: &[u8]| {
            let mac = key.mac(self.id, self.timestamp, self.body);
            mac.is_some_and(|mac| mac.verify_slice(signature).is_ok())
        };
        let mut pairs = keys.iter().flat_map(|key| signatures.iter().map(move |one| (key, one)));
        if pairs.any(|(key, signature)| is_right(key, signature)) {
            return Ok(());
        }
        Err(SignatureError::NoMatch)
    }
}

/// The moment that a text of Unix seconds names.
pub(crate) fn moment(text: &str) -> Option<Timestamp> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds: i64 = text.parse().ok()?;
    Some(Timestamp::from_ms(seconds.checked_mul(1000)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector that the reference libraries of Standard Webhooks share.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const MESSAGE: SignedMessage<'_> = SignedMessage {
        id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp: "1614265330",
        signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        body: br#"{"test": 2432232314}"#,
    };
    const SIGNED_AT: i64 = 1_614_265_330;
    const TOLERANCE: Period = Period::from_ms(300_000);

    fn key(secret: &str) -> SigningKey {
        SigningKey::parse(secret).unwrap()
    }

    fn verified(message: SignedMessage<'_>, late_s: i64) -> Result<(), SignatureError> {
        let now = Timestamp::from_ms((SIGNED_AT + late_s) * 1000);
        message.verify(&[key(SECRET)], now, TOLERANCE)
    }

    #[test]
    fn the_published_vector_is_signed_and_verified() {
        let signature = key(SECRET).sign(MESSAGE.id, SIGNED_AT, MESSAGE.body);
        assert_eq!(signature, MESSAGE.signature);
        assert_eq!(verified(MESSAGE, 0), Ok(()));
        let bare = key("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        assert_eq!(bare.sign(MESSAGE.id, SIGNED_AT, MESSAGE.body), MESSAGE.signature);
    }

    #[test]
    fn whatever_differs_is_refused() {
        use SignatureError::{Id, NoMatch, Timestamp as Moment};
        let SignedMessage { id, timestamp, signature, .. } = MESSAGE;
        let cut = signature.strip_suffix('=').unwrap();
        let table = [
            ("msg_p5", timestamp, signature, NoMatch),
            ("", timestamp, signature, Id),
            ("msg.1", timestamp, signature, Id),
            (id, "1614265331", signature, NoMatch),
            (id, "01614265330", signature, NoMatch),
            (id, "", signature, Moment),
            (id, "-5", signature, Moment),
            (id, "9223372036854775807", signature, Moment),
            (id, timestamp, "", NoMatch),
            (id, timestamp, "v1,", NoMatch),
            (id, timestamp, cut, NoMatch),
            (id, timestamp, &signature[3..], NoMatch),
            (id, timestamp, "v1a,AAAA", NoMatch),
        ];
        for (id, timestamp, signature, error) in table {
            let body = MESSAGE.body;
            let message = SignedMessage { id, timestamp, signature, body };
            assert_eq!(verified(message, 0), Err(error), "{message:?}");
        }
        let body = b"{\"test\": 2432232315}";
        assert_eq!(verified(SignedMessage { body, ..MESSAGE }, 0), Err(NoMatch));
        let now = Timestamp::from_ms(SIGNED_AT * 1000);
        assert_eq!(MESSAGE.verify(&[], now, TOLERANCE), Err(NoMatch));
    }

    #[test]
    fn the_clock_may_differ_by_the_tolerance() {
        for (late_s, want) in [
            (300, Ok(())),
            (-300, Ok(())),
            (301, Err(SignatureError::TooFar)),
            (-301, Err(SignatureError::TooFar)),
        ] {
            assert_eq!(verified(MESSAGE, late_s), want, "{late_s}");
        }
    }

    #[test]
    fn two_keys_sign_while_one_replaces_the_other() {
        let keys = [key("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), key(SECRET)];
        let header = signatures(&keys, MESSAGE.id, SIGNED_AT, MESSAGE.body);
        assert_eq!(header.split(' ').nth(1), Some(MESSAGE.signature));
        for known in &keys {
            let message = SignedMessage { signature: &header, ..MESSAGE };
            let now = Timestamp::from_ms(SIGNED_AT * 1000);
            assert_eq!(message.verify(core::slice::from_ref(known), now, TOLERANCE), Ok(()));
        }
        // One signature is accepted by whoever still knows both.
        assert_eq!(MESSAGE.verify(&keys, Timestamp::from_ms(SIGNED_AT * 1000), TOLERANCE), Ok(()));
    }

    #[test]
    fn keys_have_a_form_and_are_not_shown() {
        for bad in ["", "whsec_", "whsec_hunter2", "whsec_AAAA", "whpk_AAAA"] {
            assert!(SigningKey::parse(bad).is_err(), "{bad}");
        }
        assert!(SigningKey::parse(&STANDARD.encode([7; 64])).is_ok());
        assert!(SigningKey::parse(&STANDARD.encode([7; 65])).is_err());
        assert_eq!(alloc::format!("{:?}", key(SECRET)), "SigningKey(***)");
    }
}
