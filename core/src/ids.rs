//! Ids. One receipt id comes in; every id that a decision makes is derived from it, so that
//! deciding again gives the same ids and keys stay ordered on disk.

use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is a UUID: 32 hexadecimal digits, with or without hyphens")]
pub struct IdError;

macro_rules! id_type {
    ($($(#[doc = $doc:expr])+ $name:ident),+ $(,)?) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(#[serde(with = "uuid_form")] Uuid);

        impl $name {
            /// The id with these 16 bytes, as a store keeps them.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes of the id; their order is the order of the ids.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            /// Reads a UUID in any case, with or without hyphens.
            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_uuid(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.as_hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )+};
}

id_type! {
    /// The id of a request: a UUIDv7 that the caller of a decision provides. Ids must rise in the
    /// order of the decisions.
    RequestId,
    /// The id of a conversion; as `pcid` it is public and names what to pair with.
    ConversionId,
    /// The id of a transaction.
    TransactionId,
    /// The id of a message to another system, the same for all attempts.
    MessageId,
}

/// What an id is derived for: the upper four bits of the derived tail.
#[derive(Clone, Copy)]
#[repr(u16)]
enum Kind {
    Conversion = 0x1,
    Transaction = 0x2,
    Message = 0x3,
}

impl RequestId {
    /// The id of the conversion that this request makes.
    pub const fn conversion_id(self) -> ConversionId {
        ConversionId(self.derive(Kind::Conversion, 0))
    }

    /// The id of the `ordinal`-th transaction that this request makes.
    pub const fn transaction_id(self, ordinal: u16) -> TransactionId {
        TransactionId(self.derive(Kind::Transaction, ordinal))
    }

    /// The id of the `ordinal`-th message that this request makes.
    pub const fn message_id(self, ordinal: u16) -> MessageId {
        MessageId(self.derive(Kind::Message, ordinal))
    }

    /// The first 112 bits say which receipt it was (and when), the last 16 say what of it.
    const fn derive(self, kind: Kind, ordinal: u16) -> Uuid {
        let mut bytes = *self.0.as_bytes();
        let [high, low] = (((kind as u16) << 12) | (ordinal & 0x0fff)).to_be_bytes();
        bytes[14] = high;
        bytes[15] = low;
        Uuid::from_bytes(bytes)
    }
}

/// A UUID in any case, with or without hyphens, and no other spelling (no braces, no `urn:`).
fn parse_uuid(text: &str) -> Result<Uuid, IdError> {
    if !matches!(text.len(), 32 | 36) {
        return Err(IdError);
    }
    Uuid::try_parse(text).map_err(|_| IdError)
}

/// Text for people and JSON, sixteen bytes for stored forms.
mod uuid_form {
    use alloc::string::String;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use uuid::{Uuid, fmt::Hyphenated};

    pub(super) fn serialize<S: Serializer>(id: &Uuid, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            return to.serialize_str(id.as_hyphenated().encode_lower(&mut [0; Hyphenated::LENGTH]));
        }
        id.as_bytes().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Uuid, D::Error> {
        if from.is_human_readable() {
            let text = String::deserialize(from)?;
            return super::parse_uuid(&text).map_err(D::Error::custom);
        }
        <[u8; 16]>::deserialize(from).map(Uuid::from_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_keep_the_receipt_and_tell_kinds_apart() {
        let receipt: RequestId = "01930000-0000-7abc-8def-0123456789ab".parse().unwrap();
        let conversion = receipt.conversion_id();
        let transaction = receipt.transaction_id(3);
        assert_eq!(alloc::format!("{conversion}"), "01930000-0000-7abc-8def-012345671000");
        assert_eq!(alloc::format!("{transaction}"), "01930000-0000-7abc-8def-012345672003");
    }

    #[test]
    fn a_uuid_is_read_in_any_case_with_or_without_hyphens() {
        let plain = "0193000000007ABC8DEF0123456789AB".parse::<ConversionId>().unwrap();
        assert_eq!(alloc::format!("{plain}"), "01930000-0000-7abc-8def-0123456789ab");
        for bad in [
            "",
            "{01930000-0000-7abc-8def-0123456789ab}",
            "0193",
            "x193000000007ABC8DEF0123456789AB",
        ] {
            assert_eq!(bad.parse::<ConversionId>(), Err(IdError), "{bad}");
        }
    }
}
