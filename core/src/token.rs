//! Tokens (R1): the ids and names that rules and requests use for the same thing.

use alloc::{boxed::Box, sync::Arc};
use core::fmt;

use serde::{Deserialize, Serialize};

/// The most bytes that a token may have (R1).
pub const TOKEN_LEN_MAX: usize = 64;

/// Why a text is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{input}` is no token: 1 to 64 of the characters A-Z a-z 0-9 . _ -")]
pub struct TokenError {
    input: Box<str>,
}

/// Says whether `text` has the form of a token (R1).
///
/// ```
/// assert!(counterfoil_core::is_token("shoply-cz"));
/// assert!(!counterfoil_core::is_token("shoply cz"));
/// ```
pub fn is_token(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !text.is_empty() && text.len() <= TOKEN_LEN_MAX && text.bytes().all(allowed)
}

macro_rules! token_type {
    ($($(#[doc = $doc:expr])+ $name:ident),+ $(,)?) => {$(
        $(#[doc = $doc])+
        ///
        /// A token (R1): 1 to 64 bytes of `A-Z a-z 0-9 . _ -`, compared byte for byte.
        /// Cheap to clone: rules, facts and decisions share the text.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "Box<str>")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` and makes the token.
            ///
            /// # Errors
            /// Where `text` does not have the form of R1.
            pub fn new(text: &str) -> Result<Self, TokenError> {
                if is_token(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(TokenError { input: text.into() })
                }
            }

            /// The text of the token.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<Box<str>> for $name {
            type Error = TokenError;
            fn try_from(text: Box<str>) -> Result<Self, TokenError> {
                if is_token(&text) {
                    Ok(Self(text.into()))
                } else {
                    Err(TokenError { input: text })
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }

        impl core::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    )+};
}

token_type! {
    /// The name of a tenant: one affiliate programme.
    TenantName,
    /// The id of an advertiser.
    AdvertiserId,
    /// The id of an affiliate.
    AffiliateId,
    /// The group of affiliates that a commission may name.
    GroupName,
    /// The id of an offer.
    OfferId,
    /// The id of a commission.
    CommissionId,
    /// The id of an inbound postback definition.
    PostbackId,
    /// The name of a dialect.
    DialectName,
    /// The name of a custom conversion type.
    TypeName,
    /// The channel that a root came through.
    Channel,
    /// The integration that a root came through.
    Integration,
    /// The id of an outbound definition.
    TrackingApiId,
    /// The name of a secret, as in `{secret:NAME}`; never its value.
    SecretName,
}
