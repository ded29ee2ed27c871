//! One visitor: who is meant, and what was erased of it.

use alloc::string::String;

use serde::Serialize;

use crate::ids::ConversionId;

/// Who is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Whose click, lead or other conversion this is.
    Pcid(ConversionId),
    /// Whose conversions carry this id of the advertiser.
    External {
        /// The advertiser's id.
        external_id: String,
        /// The advertiser; may be left out where only one has this id (R14).
        advertiser: Option<String>,
    },
}

/// What was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// Clicks and other roots.
    pub roots: u64,
    /// Conversions, these roots among them, that lost params, sub ids and the affiliate's id.
    pub conversions: u64,
    /// Log rows that lost parameters, address, trace and message.
    pub requests: u64,
    /// Messages that are gone with their attempts, or are empty.
    pub messages: u64,
    /// Messages of conversions about which some have not ended: these go out first, and erasing
    /// again takes them.
    pub messages_left: u64,
    /// Whether nothing personal was left in any of them: all had been erased before.
    pub was_erased_before: bool,
}

impl Erased {
    /// Whether nobody was meant.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}
