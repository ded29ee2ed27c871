//! What columns do not hold: the blobs `more`, `terms`, `request` and `unmapped`. Each begins with
//! the byte of its version, then comes postcard. A stored form: the structs below never change;
//! another version gets another byte and another struct.

use std::borrow::Cow;

use counterfoil_core::{
    Amount, CommissionId, Conversion, Currency, Decision, Effect, Note, Params, Rate, Reason,
    Received, Refusal, Rendered, Terms, Trace, TransactionId, Unmapped,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::codes::Coded;

const VERSION: u8 = 1;
/// The version of `unmapped`; the one before it had no reasons.
const UNMAPPED_VERSION: u8 = 2;

/// What is kept of a conversion beside its columns.
#[derive(Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConversionMore<'a> {
    pub(crate) affs: Cow<'a, [(u8, Box<str>)]>,
    pub(crate) affiliate_click_id: Option<Box<str>>,
    pub(crate) value_original: Option<(Amount, Currency)>,
    pub(crate) price_original: Option<(Amount, Currency)>,
    pub(crate) untaken_commission: Option<Received>,
    pub(crate) rates: Cow<'a, [(Currency, Rate)]>,
    pub(crate) params: Cow<'a, Params>,
    pub(crate) exhausted: Cow<'a, [CommissionId]>,
}

impl<'a> ConversionMore<'a> {
    pub(crate) fn of(conversion: &'a Conversion) -> Self {
        let original = |received: Option<Received>| received.and_then(|kept| kept.original);
        let origin = conversion.origin.as_ref();
        Self {
            affs: origin.map_or(Cow::default(), |o| Cow::Borrowed(o.affs.as_slice())),
            affiliate_click_id: origin.and_then(|o| o.affiliate_click_id.clone()),
            value_original: original(conversion.value),
            price_original: original(conversion.price),
            untaken_commission: conversion.untaken_commission,
            rates: Cow::Borrowed(&conversion.rates),
            params: Cow::Borrowed(&conversion.params),
            exhausted: Cow::Borrowed(&conversion.exhausted),
        }
    }
}

/// What is kept of a log row beside its columns.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct RequestMore<'a> {
    pub(crate) trace: Cow<'a, Trace>,
    /// Codes of codes.rs.
    notes: Vec<u8>,
    /// What was made or changed, in order.
    pub(crate) transaction_ids: Vec<TransactionId>,
    /// Absent where nothing was refused, and of a repeat: what that is told follows from the
    /// reason ([`Refusal::of_repeat`]).
    pub(crate) refusal: Option<RefusalText<'a>>,
}

/// A refusal without its reason, which has a column.
#[derive(Serialize, Deserialize)]
pub(crate) struct RefusalText<'a> {
    pub(crate) parameter: Option<Cow<'a, str>>,
    pub(crate) message: Cow<'a, str>,
    pub(crate) hint: Option<Cow<'a, str>>,
}

impl<'a> RequestMore<'a> {
    pub(crate) fn of(decision: &'a Decision) -> Self {
        let has_words = |refusal: &&Refusal| refusal.reason != Reason::Duplicate;
        let code = |note: &Note| u8::try_from(note.stored()).unwrap_or(u8::MAX);
        Self {
            trace: Cow::Borrowed(&decision.trace),
            notes: decision.notes.iter().map(code).collect(),
            transaction_ids: touched(decision),
            refusal: decision.refusal.as_ref().filter(has_words).map(RefusalText::of),
        }
    }

    /// The same, on its own.
    pub(crate) fn into_owned(self) -> RequestMore<'static> {
        RequestMore {
            trace: Cow::Owned(self.trace.into_owned()),
            notes: self.notes,
            transaction_ids: self.transaction_ids,
            refusal: self.refusal.map(RefusalText::into_owned),
        }
    }

    /// The notes; codes that this version does not know are left out.
    pub(crate) fn notes(&self) -> Vec<Note> {
        self.notes.iter().filter_map(|code| Note::of_stored(i64::from(*code))).collect()
    }
}

impl<'a> RefusalText<'a> {
    fn of(refusal: &'a Refusal) -> Self {
        Self {
            parameter: refusal.parameter.as_deref().map(Cow::Borrowed),
            message: Cow::Borrowed(&refusal.message),
            hint: refusal.hint.as_deref().map(Cow::Borrowed),
        }
    }

    fn into_owned(self) -> RefusalText<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        RefusalText {
            parameter: self.parameter.map(own),
            message: own(self.message),
            hint: self.hint.map(own),
        }
    }
}

/// The transactions that a decision made or changed, each once.
fn touched(decision: &Decision) -> Vec<TransactionId> {
    let mut ids = Vec::new();
    for effect in &decision.effects {
        if let Effect::InsertTransaction(changed) | Effect::UpdateTransaction(changed) = effect
            && !ids.contains(&changed.id)
        {
            ids.push(changed.id);
        }
    }
    ids
}

/// As many bytes as most blobs have, those of log rows among them.
const MOST_BLOBS: usize = 256;

/// The blob of a value; absent where postcard fails, which it does not for what is stored here.
fn encode(value: &impl Serialize) -> Result<Vec<u8>, BlobError> {
    encode_as(VERSION, value)
}

fn encode_as(version: u8, value: &impl Serialize) -> Result<Vec<u8>, BlobError> {
    let mut blob = Vec::with_capacity(MOST_BLOBS);
    blob.push(version);
    postcard::to_extend(value, blob).map_err(BlobError::Postcard)
}

fn decode<T: DeserializeOwned>(blob: &[u8]) -> Result<T, BlobError> {
    decode_as(VERSION, blob)
}

fn decode_as<T: DeserializeOwned>(version: u8, blob: &[u8]) -> Result<T, BlobError> {
    match blob.split_first() {
        Some((found, bytes)) if *found == version => {
            postcard::from_bytes(bytes).map_err(BlobError::Postcard)
        }
        Some((&found, _)) => Err(BlobError::Version(found)),
        None => Err(BlobError::Empty),
    }
}

/// Why a blob could not be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    #[error("a blob does not hold what it should: {0}")]
    Postcard(postcard::Error),
    #[error("a blob has the unknown version {0}")]
    Version(u8),
    #[error("a blob is empty")]
    Empty,
}

/// The blob of a conversion; absent where the columns hold everything.
pub(crate) fn encode_conversion(more: &ConversionMore<'_>) -> Result<Option<Vec<u8>>, BlobError> {
    if *more == ConversionMore::default() {
        return Ok(None);
    }
    encode(more).map(Some)
}

pub(crate) fn decode_conversion(blob: Option<&[u8]>) -> Result<ConversionMore<'static>, BlobError> {
    blob.map_or_else(|| Ok(ConversionMore::default()), decode)
}

pub(crate) fn encode_request(more: &RequestMore<'_>) -> Result<Vec<u8>, BlobError> {
    encode(more)
}

pub(crate) fn decode_request(blob: &[u8]) -> Result<RequestMore<'static>, BlobError> {
    decode(blob)
}

pub(crate) fn encode_terms(terms: &Terms) -> Result<Vec<u8>, BlobError> {
    encode(terms)
}

pub(crate) fn decode_terms(blob: &[u8]) -> Result<Terms, BlobError> {
    decode(blob)
}

/// The blob of a request that is final but for its secrets.
pub(crate) fn encode_rendered(request: &Rendered) -> Result<Vec<u8>, BlobError> {
    encode(request)
}

pub(crate) fn decode_rendered(blob: &[u8]) -> Result<Rendered, BlobError> {
    decode(blob)
}

/// The blob of the parameters that an answer left out; absent where it left out none.
pub(crate) fn encode_unmapped(all: &[Unmapped]) -> Result<Option<Vec<u8>>, BlobError> {
    if all.is_empty() { Ok(None) } else { encode_as(UNMAPPED_VERSION, &all).map(Some) }
}

pub(crate) fn decode_unmapped(blob: Option<&[u8]>) -> Result<Vec<Unmapped>, BlobError> {
    blob.map_or_else(|| Ok(Vec::new()), |blob| decode_as(UNMAPPED_VERSION, blob))
}
