//! Pushground: a click id and an amount, always answered 200.

use alloc::borrow::Cow;

use super::{Dialect, Replies, Source, row};
use crate::{
    conversion::ConversionType,
    parameter::Parameter,
    ruleset::{Dedup, KeyKind, OnRepeat},
};

const S2S: Source = Source::Page("Pushground: S2S Postback Configuration");

pub(super) static PUSHGROUND: Dialect = Dialect {
    name: Cow::Borrowed("pushground"),
    system: Cow::Borrowed("Pushground"),
    rows: Cow::Borrowed(&[
        row("click_id", Parameter::Pcid, "{click_id}", S2S),
        row("payout", Parameter::Commission, "{payout}", S2S),
        row("amount", Parameter::Commission, "", S2S),
    ]),
    words: Cow::Borrowed(&[]),
    events: Cow::Borrowed(&[]),
    fixed: Cow::Borrowed(&[]),
    keeps_unmapped: true,
    dedup: Dedup { key: KeyKind::ClickType, on_repeat: OnRepeat::Refuse },
    dedup_source: Source::Uncertain("Pushground publishes no repeat rule; this one pays once"),
    default_type: Some(ConversionType::Sale),
    replies: Replies::Json,
    replies_source: S2S,
    always_200: true,
    click_macros: Cow::Borrowed(&["click_id"]),
};
